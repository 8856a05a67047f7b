//! Arguments in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use apprunner_operator::api;
use apprunner_operator::cli::{Cli, Command, Preflight};
use apprunner_operator::commands::{preflight, report, run};
use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// glibc keeps a quarter more memory after thousands of objects were adopted, and needs a fifth more CPU time for a deletion.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let Err(error) = execute(Cli::parse()) else { return ExitCode::SUCCESS };
    // If standard error is closed, only the exit code reports the failure.
    let _ = writeln!(std::io::stderr(), "apprunner-operator: {error}");
    ExitCode::FAILURE
}

fn execute(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Some(Command::Crd) => Ok(std::io::stdout().write_all(api::crd_yaml()?.as_bytes())?),
        Some(Command::Report(args)) => Ok(report::run(&args)?),
        Some(Command::Preflight(Preflight::Uninstall(args))) => Ok(preflight::uninstall(&args)?),
        Some(Command::Run(args)) => Ok(run::run(&args)?),
        None => Ok(run::run(&cli.run)?),
    }
}
