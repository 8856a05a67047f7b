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
    let error = match execute(Cli::parse()) {
        Ok(code) => return code,
        Err(error) => error,
    };
    // If standard error is closed, only the exit code reports the failure.
    let _ = writeln!(std::io::stderr(), "apprunner-operator: {error}");
    ExitCode::FAILURE
}

fn execute(cli: Cli) -> Result<ExitCode, Box<dyn Error>> {
    match cli.command {
        Some(Command::Crd) => std::io::stdout().write_all(api::crd_yaml()?.as_bytes())?,
        Some(Command::Report(args)) => {
            args.check().unwrap_or_else(|error| error.exit());
            return Ok(report::run(&args)?.code().into());
        }
        Some(Command::Adopt(args)) => return Ok(report::adopt(&args)?.code().into()),
        Some(Command::Preflight(Preflight::Uninstall(args))) => preflight::uninstall(&args)?,
        Some(Command::Run(args)) => run::run(&args)?,
        None => run::run(&cli.run)?,
    }
    Ok(ExitCode::SUCCESS)
}
