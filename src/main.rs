//! Arguments in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use apprunner_operator::api;
use apprunner_operator::cli::{self, Cli, Command, CrdArgs, Preflight};
use apprunner_operator::commands::{install, preflight, report, run};
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
        Command::Run(args) => run::run(&args)?,
        Command::Report(args) => {
            args.check().unwrap_or_else(|error| error.exit());
            return Ok(report::run(&args)?.code().into());
        }
        Command::Adopt(args) => return Ok(report::adopt(&args)?.code().into()),
        Command::Preflight(Preflight::Uninstall(args)) => preflight::uninstall(&args)?,
        Command::Preflight(Preflight::Ready(args)) => preflight::ready::ready(&args)?,
        Command::Install(args) => print(&install::manifests(&args)?)?,
        Command::Crd(CrdArgs { schema: true }) => print(&api::json_schema()?)?,
        Command::Crd(CrdArgs { schema: false }) => print(&api::crd_yaml()?)?,
        Command::Completions { shell } => print(&cli::completions(shell)?)?,
        Command::Man { command } => print(&cli::manual(&command)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}
