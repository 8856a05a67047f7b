//! Arguments in, exit code out.

use std::process::ExitCode;

use apprunner_operator::cli::Cli;
use clap::Parser;

fn main() -> ExitCode {
    Cli::parse().run()
}
