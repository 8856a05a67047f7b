//! What there is: every connector of an account, who manages it, who uses it, and whether it could be deleted now.
//!
//! This is `apprunner-operator report`, for people on their way out of App Runner. It is no part of the operator: it only
//! reads, in AWS and in the cluster, and it may take its time. What could not be read is said to be unknown, and never
//! taken for nothing.
//!
//! [`scan`] asks AWS and [`objects`] the cluster; [`found`] puts together what they gave; [`table`] and [`manifests`] print.

pub mod found;
pub mod manifests;
pub mod objects;
pub mod scan;
pub mod table;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::cli::{Output, ReportArgs};
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation};
use crate::core::wait::explain;
use found::Inventory;
use objects::Object;

/// Says why a report is not there, or not whole.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// It is not known whose credentials these are, so nothing was read.
    #[error("{}", no_account(.0))]
    NoAccount(Failure),
    /// What was found could not be written down.
    #[error("writing the report: {0}")]
    Format(Box<dyn std::error::Error + Send + Sync>),
    /// The report could not be printed.
    #[error("printing the report: {0}")]
    Print(std::io::Error),
    /// Something could not be read; what could be is printed.
    #[error("{0}")]
    Incomplete(String),
}

/// Reads what there is, and prints it.
pub fn run(args: &ReportArgs) -> Result<(), ReportError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ReportError::Process)?;
    let result = runtime.block_on(report(args));
    // A cluster that never answered is not waited for.
    runtime.shutdown_background();
    result
}

async fn report(args: &ReportArgs) -> Result<(), ReportError> {
    let access = args.access.clone();
    let reading = tokio::spawn(async move { objects::read(&access).await });
    let (account, readings) = scan::account(&args.aws).await.map_err(ReportError::NoAccount)?;
    let objects = reading.await.unwrap_or_else(|error| Err(error.to_string()));
    let inventory = Inventory::of(&account, readings, &objects);
    if let Err(problem) = &objects {
        say(&format!("the cluster could not be read: {}", plain(problem)));
    }
    print(&rendered(args, &inventory, objects.as_deref().unwrap_or_default())?).map_err(ReportError::Print)?;
    match inventory.problems_in_words().as_str() {
        "" => Ok(()),
        words => Err(ReportError::Incomplete(words.to_owned())),
    }
}

fn rendered(args: &ReportArgs, inventory: &Inventory, objects: &[Object]) -> Result<String, ReportError> {
    if args.manifests {
        return unmanaged(args, inventory, objects);
    }
    match args.output {
        Output::Table => Ok(table::rendered(inventory)),
        Output::Json => {
            let json = serde_json::to_string_pretty(inventory).map_err(|error| ReportError::Format(error.into()))?;
            Ok(json + "\n")
        }
        Output::Yaml => yaml(inventory).map_err(|error| ReportError::Format(error.into())),
    }
}

fn unmanaged(args: &ReportArgs, inventory: &Inventory, objects: &[Object]) -> Result<String, ReportError> {
    if !inventory.cluster.read {
        say("careful: whether objects manage these connectors already is not known");
    }
    let manifests = manifests::rendered(inventory, objects, args.namespace.as_deref(), args.deletion_policy);
    let manifests = manifests.map_err(|error| ReportError::Format(error.into()))?;
    if manifests.is_empty() {
        say("no manifests: no ACTIVE connector without an object was found");
    }
    Ok(manifests)
}

fn no_account(failure: &Failure) -> String {
    match failure.operation {
        Operation::ResolveCredentials if failure.code == NO_CREDENTIALS => format!(
            "no AWS credentials; give some as to the AWS CLI, for instance with AWS_PROFILE. What was tried: {}",
            failure.message
        ),
        Operation::ResolveCredentials => explain(failure),
        _ => format!("it could not be found out whose AWS credentials these are: {}", explain(failure)),
    }
}

/// Tells how it goes. Where even this can't be written, there is nobody to read it.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "apprunner-operator: {what}");
}

/// A reader who has seen enough, as `head` has, is no error.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Writes YAML with each ARN on the line of its name, where `grep` finds it.
fn yaml(value: &impl Serialize) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string_with_options(value, serde_saphyr::ser_options! { prefer_block_scalars: false })
}

/// Text of somebody else's on one line, fit for a terminal and a comment.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
