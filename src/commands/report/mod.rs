//! `apprunner-operator report` and `adopt`: everything of App Runner that remains in some accounts, who holds what, and
//! what to do next.
//!
//! The commands are for users who leave App Runner. They only read, in AWS and in the cluster. Everything that could not be
//! read is shown as unknown, never as absent.
//!
//! [`sources`] finds the accounts, [`scan`] reads AWS, [`objects`] the cluster, and [`combine`] makes the [`model`] of both.
//! [`rows`] and [`notes`] are the words for readers; [`table`], [`csv`], [`plan`], [`diff`] and [`manifests`] print.

pub(crate) mod combine;
mod connectors;
mod csv;
mod diff;
mod manifests;
mod model;
mod notes;
mod objects;
mod plan;
mod progress;
mod rows;
mod scan;
mod sources;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Write};

use futures::future::join_all;
use jiff::Timestamp;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use self::combine::AccountScan;
use self::diff::OldReportError;
use self::manifests::{Into, Unmanaged};
use self::model::{Credentials, Report};
use self::objects::ClusterState;
use self::progress::{Progress, eprint};
use self::scan::Scanner;
use self::sources::{Source, Unread};
use crate::api::DeletionPolicy;
use crate::cli::{AdoptArgs, AwsArgs, FailOn, IdentityArgs, Output, ReadArgs, ReportArgs};
use crate::core::arn::{AccountId, AccountRegion};
use crate::core::intervals::Intervals;
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation};
use crate::core::wait::explain;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// No account of any credentials is known, so nothing was read.
    #[error("{0}")]
    NoAccount(String),
    /// The older report could not be compared.
    #[error("--diff: {0}")]
    Old(#[from] OldReportError),
    /// The report could not be serialized.
    #[error("writing the report: {0}")]
    Format(Box<dyn std::error::Error + Send + Sync>),
    /// The report could not be printed.
    #[error("printing the report: {0}")]
    Print(std::io::Error),
}

/// What a printed report says about the accounts, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that the user wants to fail on.
    Fine,
    /// A service holds a connector.
    Blocked,
    /// Something could not be read; the rest is printed.
    Incomplete,
}

impl Verdict {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Blocked => 1,
            Self::Incomplete => 3,
        }
    }
}

/// Reads AWS and the cluster, and prints the report.
pub fn run(args: &ReportArgs) -> Result<Verdict, ReportError> {
    let old = args.diff.as_deref().map(diff::read).transpose()?;
    let (report, cluster) = read(&args.read)?;
    // The other formats have a note about it.
    if args.manifests || matches!(args.output, Output::Json | Output::Yaml | Output::Csv) && !args.plan {
        warn_about_the_cluster(&report);
    }
    if args.manifests {
        eprint("--manifests is deprecated: use `apprunner-operator adopt`");
        let (namespace, policy) = (args.namespace.as_deref(), &args.deletion_policy);
        return print_manifests(&args.read, &report, &cluster, namespace, policy);
    }
    let text = match &old {
        Some(old) => render_difference(args, old, &report)?,
        None => render(args, &report)?,
    };
    print(&text).map_err(ReportError::Print)?;
    Ok(verdict(&report, args.fail_on))
}

/// Reads AWS and the cluster, and prints objects for the connectors that no object manages.
pub fn adopt(args: &AdoptArgs) -> Result<Verdict, ReportError> {
    let (report, cluster) = read(&args.read)?;
    warn_about_the_cluster(&report);
    let namespace = args.into_namespace.as_deref();
    print_manifests(&args.read, &report, &cluster, namespace, &args.deletion_policy)
}

/// The JSON Schema of `report --output json`.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Report>().to_value()
}

fn read(args: &ReadArgs) -> Result<(Report, ClusterState), ReportError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ReportError::Process)?;
    let read = runtime.block_on(read_all(args));
    // The process does not wait for an API server that never answered.
    runtime.shutdown_background();
    read
}

async fn read_all(args: &ReadArgs) -> Result<(Report, ClusterState), ReportError> {
    let sources = sources::find(&args.aws, &args.identities).await;
    if let Some(nothing) = nothing_to_read(&sources) {
        return Err(ReportError::NoAccount(nothing));
    }
    let progress = Progress::new(args.quiet);
    progress.begin(sources.iter().flatten().map(|source| source.regions.len()).sum());
    let intervals = Intervals::default().divided_by(args.aws.pace_divisor);
    let scans = join_all(sources.into_iter().map(|source| scan_account(source, &intervals, &progress)));
    let (scans, cluster) = tokio::join!(scans, objects::read(&args.access, args.cluster_id.as_ref()));
    progress.end();
    let report = combine::report(scans, &cluster, Timestamp::now());
    let unread = report.unread();
    if !unread.is_empty() {
        eprint(&ascii(&unread));
    }
    Ok((report, cluster))
}

/// An account of some credentials.
pub(super) struct Identity {
    /// The account, if it is known.
    pub(super) account: Option<AccountId>,
    /// The ARN of the role that is assumed, or `None` for the own credentials.
    pub(super) role: Option<String>,
    /// Why the account cannot be used.
    pub(super) problem: Option<String>,
}

/// Finds out the accounts that some credentials reach.
pub(super) async fn identities(aws: &AwsArgs, args: &IdentityArgs) -> Vec<Identity> {
    let of = |credentials| match credentials {
        Credentials::Role(arn) => Some(arn),
        Credentials::Current | Credentials::Profile(_) => None,
    };
    let found = sources::find(aws, args).await.into_iter().map(|source| match source {
        Ok(Source { account, credentials, .. }) => {
            Identity { account: Some(account), role: of(credentials), problem: None }
        }
        Err(Unread { account, credentials, failure }) => {
            Identity { account, role: of(credentials), problem: Some(ascii(&explain(&failure))) }
        }
    });
    found.collect()
}

fn warn_about_the_cluster(report: &Report) {
    if let Some(problem) = &report.cluster.problem {
        eprint(&format!("the cluster could not be read: {}", ascii(problem)));
    }
}

/// The error if no account is known at all.
fn nothing_to_read(sources: &[Result<Source, Unread>]) -> Option<String> {
    let failures: Vec<_> = sources.iter().filter_map(|source| source.as_ref().err()).collect();
    let of_one = |unread: &&Unread| match sources.len() {
        1 => account_unknown(&unread.failure),
        _ => format!("{}: {}", rows::credentials(&unread.credentials), account_unknown(&unread.failure)),
    };
    (failures.len() == sources.len()).then(|| failures.iter().map(of_one).collect::<Vec<_>>().join("; "))
}

async fn scan_account(source: Result<Source, Unread>, intervals: &Intervals, progress: &Progress) -> AccountScan {
    let source = match source {
        Ok(source) => source,
        Err(Unread { account, credentials, failure }) => {
            let account = account.map(|account| account.to_string());
            return AccountScan { account, credentials, regions: Err(failure) };
        }
    };
    let account = source.account.to_string();
    let scan = async |region| {
        let place = AccountRegion { account: source.account.clone(), region };
        let scanner = Scanner { aws: source.aws.clone(), intervals: intervals.clone(), place };
        let scan = scanner.scan().await;
        progress.done(&account, scanner.place.region.as_str(), &scan.in_words());
        (scanner.place.region, scan)
    };
    let regions = join_all(source.regions.iter().cloned().map(scan)).await;
    AccountScan { account: Some(account), credentials: source.credentials, regions: Ok(regions) }
}

fn render(args: &ReportArgs, report: &Report) -> Result<String, ReportError> {
    if args.plan {
        return Ok(plan::render(report, &args.read.access));
    }
    match args.output {
        Output::Table => Ok(table::render(report, false)),
        Output::Wide => Ok(table::render(report, true)),
        Output::Markdown => Ok(table::markdown(report)),
        Output::Csv => csv::render(report).map_err(|error| ReportError::Format(error.into())),
        Output::Json => json(report),
        Output::Yaml => yaml(report).map_err(|error| ReportError::Format(error.into())),
    }
}

fn render_difference(args: &ReportArgs, old: &Report, report: &Report) -> Result<String, ReportError> {
    let difference = diff::compare(old, report);
    match args.output {
        Output::Json => json(&difference),
        Output::Yaml => yaml(&difference).map_err(|error| ReportError::Format(error.into())),
        Output::Table | Output::Wide | Output::Markdown | Output::Csv => Ok(diff::render(&difference)),
    }
}

fn print_manifests(
    args: &ReadArgs,
    report: &Report,
    cluster: &ClusterState,
    namespace: Option<&str>,
    deletion_policy: &DeletionPolicy,
) -> Result<Verdict, ReportError> {
    if !report.cluster.read {
        eprint("careful: whether objects manage these connectors already is not known");
    }
    let unmanaged = Unmanaged::of(report);
    let into = Into {
        objects: cluster.objects.as_deref().ok(),
        namespace,
        deletion_policy,
        accounts: args.identities.accounts.as_ref(),
    };
    let manifests = manifests::render(&unmanaged, &into);
    print(&manifests.map_err(|error| ReportError::Format(error.into()))?).map_err(ReportError::Print)?;
    if unmanaged.skipped > 0 {
        let number = counted(unmanaged.skipped, "ACTIVE connector");
        eprint(&format!("{number} without a usable ARN: no object can manage them"));
    } else if unmanaged.is_empty() && report.summary.complete {
        eprint("no manifests: every ACTIVE connector has an object");
    } else if unmanaged.is_empty() {
        eprint("no manifests: no ACTIVE connector without an object was found in what could be read");
    }
    // Whether an object manages a connector decides what is printed.
    Ok(if report.cluster.read { verdict(report, FailOn::Unread) } else { Verdict::Incomplete })
}

fn verdict(report: &Report, fail_on: FailOn) -> Verdict {
    match fail_on {
        FailOn::Blocked if report.summary.held > 0 => Verdict::Blocked,
        FailOn::Blocked | FailOn::Unread if !report.summary.complete => Verdict::Incomplete,
        FailOn::None | FailOn::Blocked | FailOn::Unread => Verdict::Fine,
    }
}

fn account_unknown(failure: &Failure) -> String {
    match failure.operation {
        Operation::ResolveCredentials if failure.code == NO_CREDENTIALS => format!(
            "no AWS credentials; give some as to the AWS CLI, for instance with AWS_PROFILE. What was tried: {}",
            failure.message
        ),
        Operation::ResolveCredentials => explain(failure),
        _ => format!("it could not be found out whose AWS credentials these are: {}", explain(failure)),
    }
}

/// Prints the report. A closed pipe is no error, because a reader such as `head` closes it early.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn json(value: &impl Serialize) -> Result<String, ReportError> {
    let json = serde_json::to_string_pretty(value).map_err(|error| ReportError::Format(error.into()))?;
    Ok(json + "\n")
}

/// Writes YAML with each ARN on the line of its name, where `grep` finds it.
fn yaml(value: &impl Serialize) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string_with_options(value, serde_saphyr::ser_options! { prefer_block_scalars: false })
}

/// Replaces all but printable ASCII, so that text from AWS or the cluster is safe in a terminal and in a YAML comment.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
