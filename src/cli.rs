//! The command line. Every flag of the operator is also an environment variable, because that is how a pod is configured;
//! what a report shows is said by whoever asks for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde::Serialize;

use crate::core::arn::{APP_RUNNER_REGIONS, Region};
use crate::core::limiter::Limits;
use crate::core::ownership::ClusterId;
use crate::telemetry::log::LogFormat;

/// Deletes AWS App Runner VPC connectors when their `VpcConnector` objects are deleted.
#[derive(Parser, Debug)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; the operator runs without one.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the operator is run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What else the program does.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator (what happens without a subcommand).
    Run(RunArgs),
    /// Report every connector of the account: who manages it, who uses it, and whether it could be deleted now.
    Report(ReportArgs),
    /// Print the `CustomResourceDefinition` as YAML.
    Crd,
    /// Check whether something may be done to the operator itself.
    #[command(subcommand)]
    Preflight(Preflight),
}

/// What is to be done to the operator.
#[derive(Subcommand, Debug)]
pub enum Preflight {
    /// List the objects that only a running operator lets go, and fail while there are any.
    Uninstall(UninstallArgs),
}

/// Where a removed operator would be missed.
#[derive(Args, Debug, Clone, Default)]
pub struct UninstallArgs {
    /// A namespace that it watches; may be given more than once. All namespaces without it.
    #[arg(
        long = "namespace", env = "APPRUNNER_OPERATOR_NAMESPACE", value_name = "NAME", value_delimiter = ',',
        value_parser = namespace
    )]
    pub namespaces: Vec<String>,
    /// The Helm release that is uninstalled. A refusal then prints the command that restores it.
    #[arg(long, value_name = "NAME", requires_all = ["release_namespace", "release_revision"])]
    pub release: Option<String>,
    /// The namespace of that release.
    #[arg(long, value_name = "NAME", requires = "release", value_parser = namespace)]
    pub release_namespace: Option<String>,
    /// The revision of that release which is installed.
    #[arg(long, value_name = "N", requires = "release")]
    pub release_revision: Option<u32>,
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Which cluster is meant, in the words of kubectl.
#[derive(Args, Debug, Clone, Default)]
pub struct AccessArgs {
    /// The kubeconfig to use. That of KUBECONFIG or ~/.kube/config without it, or the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Its current context without it.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How the operator is run.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// A namespace to watch; may be given more than once. All namespaces without it.
    #[arg(
        long = "namespace", env = "APPRUNNER_OPERATOR_NAMESPACE", value_name = "NAME", value_delimiter = ',',
        value_parser = namespace
    )]
    pub namespaces: Vec<String>,
    /// Where AWS is called, and how often.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// The name of this cluster in owner tags. The uid of the kube-system namespace without it; a cluster that is
    /// created anew keeps its connectors under the id of the old one.
    #[arg(long, env = "APPRUNNER_OPERATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,
    /// Whether to mark connectors with an owner tag in AWS. Off is for roles that may not tag.
    #[arg(long, env = "APPRUNNER_OPERATOR_OWNERSHIP_TAGS", value_name = "on|off", default_value = "on")]
    pub ownership_tags: Switch,
    /// How often a claimed connector is looked at.
    #[arg(long, env = "APPRUNNER_OPERATOR_RESYNC", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub resync: Duration,
    /// How many objects are worked on at once; at most half of them of one account and region.
    #[arg(long, env = "APPRUNNER_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 16, value_parser = concurrency)]
    pub concurrency: usize,
    /// Whether to work only while holding a Lease, so that of several operators one works.
    #[arg(long, env = "APPRUNNER_OPERATOR_LEADER_ELECTION", value_name = "on|off", default_value = "off")]
    pub leader_election: Switch,
    /// The namespace of the Lease. The pod's own without it, or that of the kubeconfig.
    #[arg(long, env = "APPRUNNER_OPERATOR_LEASE_NAMESPACE", value_name = "NAME", value_parser = namespace)]
    pub lease_namespace: Option<String>,
    /// The name of the Lease.
    #[arg(long, env = "APPRUNNER_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = "apprunner-operator")]
    pub lease_name: String,
    /// Where to serve /livez and /readyz, such as `[::]:8081` (IPv6 and IPv4). Nowhere without it.
    #[arg(long, env = "APPRUNNER_OPERATOR_HEALTH_ADDRESS", value_name = "ADDRESS:PORT")]
    pub health_address: Option<SocketAddr>,
    /// Where to serve /metrics, such as `[::]:8080` (IPv6 and IPv4). Nowhere without it.
    #[arg(long, env = "APPRUNNER_OPERATOR_METRICS_ADDRESS", value_name = "ADDRESS:PORT")]
    pub metrics_address: Option<SocketAddr>,
    /// How to write the log: text, json, or text on a terminal and json elsewhere.
    #[arg(long, env = "APPRUNNER_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// What to log: a level, or directives such as `info,apprunner_operator=debug`.
    #[arg(long, env = "APPRUNNER_OPERATOR_LOG", value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// How a report is made.
#[derive(Args, Debug, Clone)]
pub struct ReportArgs {
    /// Where AWS is called, and how often.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: AccessArgs,
    /// How to print it: a table for people; JSON or YAML for programs, which says more.
    #[arg(
        long, short, value_name = "table|json|yaml", default_value = "table",
        conflicts_with_all = ["manifests", "namespace", "deletion_policy"]
    )]
    pub output: Output,
    /// Print a `VpcConnector` object for each ACTIVE connector that no object manages, in place of the report.
    #[arg(long)]
    pub manifests: bool,
    /// The namespace to write into the manifests. None without it: they go where they are applied.
    #[arg(long, value_name = "NAME", requires = "manifests", value_parser = namespace)]
    pub namespace: Option<String>,
    /// What deleting the objects of the manifests is to do.
    #[arg(long, value_name = "Delete|Retain", default_value = "Delete", requires = "manifests", ignore_case = true)]
    pub deletion_policy: Policy,
}

/// Where AWS is called, and how often.
#[derive(Args, Debug, Clone)]
pub struct AwsArgs {
    /// The regions to act in, or to report on. The operator holds an object in another region, and says so.
    #[arg(
        long, env = "APPRUNNER_OPERATOR_REGIONS", value_name = "REGION,…", value_delimiter = ',',
        default_values = APP_RUNNER_REGIONS
    )]
    pub regions: Vec<Region>,
    /// Calls a second to AWS for one account and region. Halved while AWS throttles.
    #[arg(long, env = "APPRUNNER_OPERATOR_AWS_RATE", value_name = "N", default_value_t = 5.0, value_parser = rate)]
    pub aws_rate: f64,
    /// Calls at once to AWS for one account and region, after a quiet time.
    #[arg(long, env = "APPRUNNER_OPERATOR_AWS_BURST", value_name = "N", default_value_t = 10, value_parser = burst)]
    pub aws_burst: u32,
    /// Divides every wait; for tests.
    #[arg(long, env = "APPRUNNER_OPERATOR_PACE_DIVISOR", hide = true, default_value_t = 1)]
    pub pace_divisor: u32,
}

impl AwsArgs {
    /// What one account and region may be called.
    pub fn limits(&self) -> Limits {
        Limits { rate: self.aws_rate, burst: self.aws_burst }
    }
}

/// How a report is printed.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// A deletion policy that may be written into a manifest.
#[derive(ValueEnum, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum Policy {
    /// The connector is deleted in AWS.
    Delete,
    /// The connector stays in AWS.
    Retain,
}

/// On or off.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
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

/// An adoption takes three calls, which are taken together.
fn burst(text: &str) -> Result<u32, String> {
    let burst: u32 = text.parse().map_err(|_| "write it as a whole number, such as 10".to_owned())?;
    if (3..=10_000).contains(&burst) { Ok(burst) } else { Err("at least 3 and at most 10000 calls".into()) }
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "write it as a whole number, such as 16".to_owned())?;
    if (1..=1024).contains(&number) { Ok(number) } else { Err("at least 1 and at most 1024".into()) }
}

/// Source: Kubernetes, names of namespaces (RFC 1123 labels).
fn namespace(text: &str) -> Result<String, String> {
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_namespace_is_one_that_kubernetes_would_take() {
        for good in ["shop", "a", "0", "team-a", &"n".repeat(63)] {
            assert!(namespace(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "-a", "a-", "a.b", "a b", &"n".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}
