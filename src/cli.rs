//! The command line. Every flag of the operator is also an environment variable, because variables configure a pod; the
//! output flags of a report have no variable, because users set them for each report.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use http::uri::Authority;
use jiff::SignedDuration;

use crate::accounts_file;
use crate::api::DeletionPolicy;
use crate::core::accounts::Accounts;
use crate::core::arn::{APP_RUNNER_REGIONS, Region};
use crate::core::ownership::ClusterId;
use crate::core::rate_limit::Limits;
use crate::telemetry::log::LogFormat;

/// The name of the program.
const NAME: &str = env!("CARGO_PKG_NAME");
/// Version, commit, date and target, which `hack/image/build` sets.
const LONG_VERSION: &str = match option_env!("APPRUNNER_OPERATOR_BUILD") {
    Some(build) => build,
    None => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown)"),
};

/// Deletes AWS App Runner VPC connectors when their `VpcConnector` objects are deleted.
#[derive(Parser, Debug)]
#[command(version, long_version = LONG_VERSION, about, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Report what remains of App Runner: who holds what, what is deletable, and the way out in order.
    Report(Box<ReportArgs>),
    /// Print a `VpcConnector` object for each ACTIVE connector that no object manages.
    Adopt(Box<AdoptArgs>),
    /// Check the cluster before a change to the operator itself.
    #[command(subcommand)]
    Preflight(Preflight),
    /// Print the manifests of an installation without Helm.
    Install(InstallArgs),
    /// Print the `CustomResourceDefinition` as YAML.
    Crd(CrdArgs),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a page of the manual, for man(1).
    Man {
        /// The command that it describes, such as `preflight uninstall`. The operator itself without it.
        command: Vec<String>,
    },
}

/// The flags of `crd`.
#[derive(Args, Debug, Clone, Copy)]
pub struct CrdArgs {
    /// Print the JSON schema of an object instead, for kubeconform.
    #[arg(long)]
    pub schema: bool,
}

/// The flags of `install`.
#[derive(Args, Debug, Clone)]
pub struct InstallArgs {
    /// The namespace to install into.
    #[arg(long, value_name = "NAME", default_value = "apprunner-system", value_parser = namespace)]
    pub namespace: String,
    /// The image of the operator.
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("localhost/apprunner-operator:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// The role of the operator in AWS, with IAM roles for service accounts. EKS Pod Identity needs none.
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,
    /// Flags of `run`, after `--`.
    #[arg(last = true, value_name = "FLAG")]
    pub flags: Vec<String>,
}

/// The changes that can be checked.
#[derive(Subcommand, Debug)]
pub enum Preflight {
    /// List the objects that only a running operator can release, and fail while there are any.
    Uninstall(UninstallArgs),
    /// Check that an installed operator answers, and show the AWS accounts of this pod's credentials. `helm test` runs it.
    Ready(ReadyArgs),
}

/// The flags of `preflight uninstall`.
#[derive(Args, Debug, Clone, Default)]
pub struct UninstallArgs {
    /// Look in the namespaces that the operator watches only; repeatable. All namespaces without it.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// The Helm release to uninstall. With this flag a refusal prints the command that restores the release.
    #[arg(long, value_name = "NAME", requires_all = ["release_namespace", "release_revision"])]
    pub release: Option<String>,
    /// The namespace of that release.
    #[arg(long, value_name = "NAME", requires = "release", value_parser = namespace)]
    pub release_namespace: Option<String>,
    /// The installed revision of that release.
    #[arg(long, value_name = "N", requires = "release")]
    pub release_revision: Option<u32>,
    /// The cluster to read.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// The flags of `preflight ready`.
#[derive(Args, Debug, Clone)]
pub struct ReadyArgs {
    /// The address of the operator's metrics, such as that of its Service.
    #[arg(long, value_name = "NAME:PORT", value_parser = authority)]
    pub address: Authority,
    /// The regions whose STS is called, and the rates.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// A YAML list of further AWS accounts, each with its role, as for the operator.
    #[arg(long, env = "APPRUNNER_OPERATOR_ACCOUNTS", value_name = "FILE", value_parser = accounts)]
    pub accounts: Option<Accounts>,
}

/// The choice of the cluster, with the flags of kubectl.
#[derive(Args, Debug, Clone, Default)]
pub struct AccessArgs {
    /// The kubeconfig to use. That of KUBECONFIG or ~/.kube/config without it, or the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Its current context without it.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// The namespaces that the operator watches.
#[derive(Args, Debug, Clone, Default)]
pub struct WatchArgs {
    /// A namespace that the operator watches; repeatable. All namespaces without it.
    #[arg(
        long = "watch-namespace", env = "APPRUNNER_OPERATOR_WATCH_NAMESPACE", value_name = "NAME", value_delimiter = ',',
        value_parser = namespace
    )]
    pub namespaces: Vec<String>,
    /// The flag and the variable of earlier versions. An operator that ignored them would watch all namespaces.
    #[arg(long = "namespace", env = "APPRUNNER_OPERATOR_NAMESPACE", hide = true, value_parser = renamed)]
    pub renamed: Option<String>,
}

/// The operator's flags.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// The namespaces.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// The regions and rates of AWS calls.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// A YAML list of further AWS accounts, each with its role and the namespaces that may use it. Without it, the
    /// operator acts in its own account only.
    #[arg(long, env = "APPRUNNER_OPERATOR_ACCOUNTS", value_name = "FILE", value_parser = accounts)]
    pub accounts: Option<Accounts>,
    /// The name of this cluster in owner tags. The uid of the kube-system namespace without it; a re-created cluster
    /// keeps its connectors with the id of the old one.
    #[arg(long, env = "APPRUNNER_OPERATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,
    /// Mark connectors with an owner tag in AWS. Off is for roles without the right to tag.
    #[arg(
        long, env = "APPRUNNER_OPERATOR_OWNERSHIP_TAGS", value_name = "true|false", default_value = "true",
        action = ArgAction::Set, value_parser = BoolishValueParser::new()
    )]
    pub ownership_tags: bool,
    /// The deletion policy of objects that have none in their spec, unless the annotation
    /// `apprunner-operator.dev/default-deletion-policy` of their namespace sets another.
    #[arg(
        long,
        env = "APPRUNNER_OPERATOR_DEFAULT_DELETION_POLICY",
        value_name = "Delete|Retain",
        default_value = "Delete",
        ignore_case = true
    )]
    pub default_deletion_policy: DeletionPolicy,
    /// The interval between two checks of a claimed connector.
    #[arg(long, env = "APPRUNNER_OPERATOR_RESYNC", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub resync: Duration,
    /// The number of concurrent reconciles; at most half of them for one account and region.
    #[arg(long, env = "APPRUNNER_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 32, value_parser = concurrency)]
    pub concurrency: usize,
    /// Reconcile only while holding a Lease, so that one of several operators works.
    #[arg(
        long, env = "APPRUNNER_OPERATOR_LEADER_ELECTION", value_name = "true|false", default_value = "false",
        action = ArgAction::Set, value_parser = BoolishValueParser::new()
    )]
    pub leader_election: bool,
    /// The namespace of the Lease. The pod's own namespace without it, or the kubeconfig's.
    #[arg(long, env = "APPRUNNER_OPERATOR_LEASE_NAMESPACE", value_name = "NAME", value_parser = namespace)]
    pub lease_namespace: Option<String>,
    /// The name of the Lease.
    #[arg(long, env = "APPRUNNER_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = "apprunner-operator")]
    pub lease_name: String,
    /// The address of /livez and /readyz, such as `[::]:8081` (IPv6 and IPv4). Not served without it.
    #[arg(long, env = "APPRUNNER_OPERATOR_HEALTH_ADDRESS", value_name = "ADDRESS:PORT")]
    pub health_address: Option<SocketAddr>,
    /// The address of /metrics, such as `[::]:8080` (IPv6 and IPv4). Not served without it.
    #[arg(long, env = "APPRUNNER_OPERATOR_METRICS_ADDRESS", value_name = "ADDRESS:PORT")]
    pub metrics_address: Option<SocketAddr>,
    /// The format of the log: text, json, or auto (text on a terminal and json elsewhere).
    #[arg(long, env = "APPRUNNER_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// The log level, or directives such as `info,apprunner_operator=debug`.
    #[arg(long, env = "APPRUNNER_OPERATOR_LOG", value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// The flags of `report`.
#[derive(Args, Debug, Clone)]
pub struct ReportArgs {
    /// What to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The output format: a table to read, with more columns in wide; JSON and YAML for programs; CSV; Markdown.
    #[arg(
        long, short, value_name = "FORMAT", default_value = "table",
        conflicts_with_all = ["manifests", "namespace", "deletion_policy"]
    )]
    pub output: Output,
    /// Print the way out instead: what to remove in which order, with the commands.
    #[arg(long, conflicts_with_all = ["output", "diff", "manifests"])]
    pub plan: bool,
    /// Compare with an older report (`--output json`), and print what went, came and changed.
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    pub diff: Option<PathBuf>,
    /// Exit with 1 if a service holds a connector, with 3 if something could not be read, or with 0 in any case.
    #[arg(long, value_name = "none|blocked|unread", default_value = "unread")]
    pub fail_on: FailOn,
    /// Deprecated: the command `adopt`.
    #[arg(long, hide = true)]
    pub manifests: bool,
    /// Deprecated: `adopt --into-namespace`.
    #[arg(long, hide = true, value_name = "NAME", requires = "manifests", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Deprecated: `adopt --deletion-policy`.
    #[arg(long, hide = true, default_value = "Retain", requires = "manifests", ignore_case = true)]
    pub deletion_policy: DeletionPolicy,
}

impl ReportArgs {
    /// The error of flags that clap cannot compare.
    pub fn check(&self) -> Result<(), clap::Error> {
        let as_table = matches!(self.output, Output::Table | Output::Json | Output::Yaml);
        if self.diff.is_none() || as_table {
            return Ok(());
        }
        let message = "--diff prints a table, json or yaml";
        Err(Cli::command().error(ErrorKind::ArgumentConflict, message))
    }
}

/// The flags of `adopt`.
#[derive(Args, Debug, Clone)]
pub struct AdoptArgs {
    /// What to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The namespace to write into the manifests. Without it, the namespace of `kubectl apply` decides.
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    pub into_namespace: Option<String>,
    /// The deletion policy to write into the manifests.
    #[arg(long, value_name = "Retain|Delete", default_value = "Retain", ignore_case = true)]
    pub deletion_policy: DeletionPolicy,
}

/// The accounts, regions and cluster that a command reads.
#[derive(Args, Debug, Clone)]
pub struct ReadArgs {
    /// The regions and rates of AWS calls.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// The accounts.
    #[command(flatten)]
    pub identities: IdentityArgs,
    /// The cluster to read.
    #[command(flatten)]
    pub access: AccessArgs,
    /// The name of the cluster in owner tags. The uid of the kube-system namespace without it.
    #[arg(long, env = "APPRUNNER_OPERATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,
    /// Show no progress.
    #[arg(long, short)]
    pub quiet: bool,
}

/// The accounts to read: that of the current credentials without a flag.
#[derive(Args, Debug, Clone, Default)]
pub struct IdentityArgs {
    /// A YAML list of further AWS accounts, each with its role, as for the operator.
    #[arg(long, env = "APPRUNNER_OPERATOR_ACCOUNTS", value_name = "FILE", value_parser = accounts)]
    pub accounts: Option<Accounts>,
    /// The profiles of the AWS configuration to read with, one for each account; in place of `--accounts`.
    #[arg(long = "profile", value_name = "NAME,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub profiles: Vec<String>,
}

/// The regions and rates of AWS calls.
#[derive(Args, Debug, Clone)]
pub struct AwsArgs {
    /// The regions to act in, or to report on. The operator holds objects of other regions as `WrongAccount`.
    #[arg(
        long, alias = "region", env = "APPRUNNER_OPERATOR_REGIONS", value_name = "REGION,…", value_delimiter = ',',
        default_values = APP_RUNNER_REGIONS
    )]
    pub regions: Vec<Region>,
    /// Calls a second to AWS for one account and region. The operator halves the rate while AWS throttles.
    #[arg(long, env = "APPRUNNER_OPERATOR_AWS_RATE", value_name = "N", default_value_t = 5.0, value_parser = rate)]
    pub aws_rate: f64,
    /// Calls at once to AWS for one account and region, after a pause.
    #[arg(long, env = "APPRUNNER_OPERATOR_AWS_BURST", value_name = "N", default_value_t = 40, value_parser = burst)]
    pub aws_burst: u32,
    /// The divisor of every wait; for tests.
    #[arg(long, env = "APPRUNNER_OPERATOR_PACE_DIVISOR", hide = true, default_value_t = 1)]
    pub pace_divisor: u32,
}

impl AwsArgs {
    /// Returns the rate limits of one account and region.
    pub fn limits(&self) -> Limits {
        Limits { rate: self.aws_rate, burst: self.aws_burst }
    }
}

/// The output formats of a report.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Tables to read.
    Table,
    /// Tables with more columns.
    Wide,
    /// For programs.
    Json,
    /// For programs and readers.
    Yaml,
    /// One row for each resource.
    Csv,
    /// Tables for a page or an issue.
    Markdown,
}

/// What makes a report exit with another code than 0.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// Nothing.
    None,
    /// A service holds a connector, or something could not be read.
    Blocked,
    /// Something could not be read.
    Unread,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}; write it as 10m, 90s or 1h30m"))?;
    let duration = Duration::try_from(parsed).map_err(|_| "a duration is not negative".to_owned())?;
    let sensible = Duration::from_secs(1)..=Duration::from_hours(24);
    if sensible.contains(&duration) { Ok(duration) } else { Err("at least 1s and at most 24h".into()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write it as a number, such as 5 or 0.5".to_owned())?;
    if (0.1..=10_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("at least 0.1 and at most 10000 calls a second".into())
    }
}

/// At least 3, because a claim takes the tokens of three calls at once.
fn burst(text: &str) -> Result<u32, String> {
    let burst: u32 = text.parse().map_err(|_| "write it as a whole number, such as 40".to_owned())?;
    if (3..=10_000).contains(&burst) { Ok(burst) } else { Err("at least 3 and at most 10000 calls".into()) }
}

fn renamed(_: &str) -> Result<String, String> {
    Err("it is --watch-namespace now, and the variable APPRUNNER_OPERATOR_WATCH_NAMESPACE".into())
}

fn authority(text: &str) -> Result<Authority, String> {
    let address: Option<Authority> = text.parse().ok();
    address
        .filter(|address| address.port_u16().is_some())
        .ok_or_else(|| "write it as a name and a port, such as apprunner-operator-metrics:8080".into())
}

fn accounts(path: &str) -> Result<Accounts, String> {
    accounts_file::read(Path::new(path)).map_err(|error| error.to_string())
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "write it as a whole number, such as 16".to_owned())?;
    if (1..=1024).contains(&number) { Ok(number) } else { Err("at least 1 and at most 1024".into()) }
}

/// The completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> io::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    String::from_utf8(script).map_err(io::Error::other)
}

/// A page of the manual. It has the version without the target, so that one page serves the programs of all targets.
pub fn manual(command: &[String]) -> Result<String, Box<dyn Error>> {
    let mut described = Cli::command().long_version(None);
    described.build();
    for name in command {
        let below = described.find_subcommand(name).cloned();
        described = below.ok_or_else(|| format!("there is no command '{}'", command.join(" ")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(described).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// Source: Kubernetes, names of namespaces (RFC 1123 labels).
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    if (1..=63).contains(&text.len()) && text.bytes().all(plain) && edges {
        Ok(text.to_owned())
    } else {
        Err("a namespace has at most 63 characters of a-z, 0-9 and -, and neither begins nor ends with -".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_has_the_version_and_not_the_build() {
        let page = manual(&[]).unwrap();
        assert!(page.contains(concat!("v", env!("CARGO_PKG_VERSION"))), "{page}");
        assert!(!page.contains("commit"), "{page}");
    }

    #[test]
    fn the_manual_has_a_page_for_each_command() {
        let page = |command: &str| manual(&command.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(page("preflight uninstall").unwrap().contains("release\\-namespace"));
        assert_eq!(page("preflight upgrade").unwrap_err().to_string(), "there is no command 'preflight upgrade'");
    }

    #[test]
    fn a_namespace_is_a_valid_kubernetes_name() {
        for good in ["shop", "a", "0", "team-a", &"n".repeat(63)] {
            assert!(namespace(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "-a", "a-", "a.b", "a b", &"n".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}
