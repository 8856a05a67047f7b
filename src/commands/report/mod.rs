//! `apprunner-operator report`: each connector of an account, the objects that manage it, its blockers, and whether it can
//! be deleted now.
//!
//! The command is for users who leave App Runner. It only reads, in AWS and in the cluster. The report shows everything
//! that could not be read as unknown, never as absent.
//!
//! [`scan`] calls AWS, [`objects`] lists the objects, [`inventory`] combines both, [`table`] and [`manifests`] print.

mod inventory;
mod manifests;
mod objects;
mod scan;
mod table;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::cli::{Output, ReportArgs};
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation};
use crate::core::wait::explain;
use inventory::Inventory;
use objects::Object;

/// Why a report is missing or incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// The account of the credentials is unknown, so nothing was read.
    #[error("{}", account_unknown(.0))]
    NoAccount(Failure),
    /// The report could not be serialized.
    #[error("writing the report: {0}")]
    Format(Box<dyn std::error::Error + Send + Sync>),
    /// The report could not be printed.
    #[error("printing the report: {0}")]
    Print(std::io::Error),
    /// A part could not be read; the rest is printed.
    #[error("{0}")]
    Incomplete(String),
}

/// Reads AWS and the cluster, and prints the report.
pub fn run(args: &ReportArgs) -> Result<(), ReportError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ReportError::Process)?;
    let result = runtime.block_on(report(args));
    // The process does not wait for an API server that never answered.
    runtime.shutdown_background();
    result
}

async fn report(args: &ReportArgs) -> Result<(), ReportError> {
    let access = args.access.clone();
    let listing = tokio::spawn(async move { objects::list(&access).await });
    let (account, scans) = scan::scan_account(&args.aws).await.map_err(ReportError::NoAccount)?;
    let objects = listing.await.unwrap_or_else(|error| Err(error.to_string()));
    let inventory = Inventory::new(&account, scans, &objects);
    if let Err(problem) = &objects {
        eprint(&format!("the cluster could not be read: {}", ascii(problem)));
    }
    print(&render(args, &inventory, objects.as_deref().unwrap_or_default())?).map_err(ReportError::Print)?;
    match inventory.problems_text().as_str() {
        "" => Ok(()),
        problems => Err(ReportError::Incomplete(problems.to_owned())),
    }
}

fn render(args: &ReportArgs, inventory: &Inventory, objects: &[Object]) -> Result<String, ReportError> {
    if args.manifests {
        return render_manifests(args, inventory, objects);
    }
    match args.output {
        Output::Table => Ok(table::render(inventory)),
        Output::Json => {
            let json = serde_json::to_string_pretty(inventory).map_err(|error| ReportError::Format(error.into()))?;
            Ok(json + "\n")
        }
        Output::Yaml => yaml(inventory).map_err(|error| ReportError::Format(error.into())),
    }
}

fn render_manifests(args: &ReportArgs, inventory: &Inventory, objects: &[Object]) -> Result<String, ReportError> {
    if !inventory.cluster.read {
        eprint("careful: whether objects manage these connectors already is not known");
    }
    let manifests = manifests::render(inventory, objects, args.namespace.as_deref(), &args.deletion_policy);
    let manifests = manifests.map_err(|error| ReportError::Format(error.into()))?;
    if manifests.is_empty() {
        eprint("no manifests: no ACTIVE connector without an object was found");
    }
    Ok(manifests)
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

/// Prints a line of progress or a warning. An error of standard error cannot be reported anywhere, and is ignored.
fn eprint(line: &str) {
    let _ = writeln!(std::io::stderr(), "apprunner-operator: {line}");
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

/// Writes YAML with each ARN on the line of its name, where `grep` finds it.
fn yaml(value: &impl Serialize) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string_with_options(value, serde_saphyr::ser_options! { prefer_block_scalars: false })
}

/// Replaces all but printable ASCII, so that text from AWS or the cluster is safe in a terminal and in a YAML comment.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
