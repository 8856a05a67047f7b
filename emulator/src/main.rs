//! The emulator as a process.

use std::error::Error as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use apprunner_emulator::{Behaviors, Config, Emulator, Error};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Emulates AWS App Runner for tests; prints its URL on the first line and runs until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, env = "APPRUNNER_EMULATOR_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Maximum number of ACTIVE VPC connectors of an account in a region.
    #[arg(long, env = "APPRUNNER_EMULATOR_QUOTA", default_value_t = Behaviors::default().connector_quota)]
    quota: usize,
    /// Access key to accept, repeatable (in the variable: separated by commas); by default one for tests.
    #[arg(
        long = "access-key",
        value_name = "ID:SECRET:ACCOUNT[:SESSION_TOKEN[@EXPIRY]]",
        env = "APPRUNNER_EMULATOR_ACCESS_KEYS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    access_keys: Vec<String>,
    /// Role that callers may assume, repeatable (in the variable: separated by semicolons); without a principal, every
    /// caller may.
    #[arg(
        long = "role",
        value_name = "ARN[,trust=PRINCIPAL]...[,external-id=ID]",
        env = "APPRUNNER_EMULATOR_ROLES",
        value_delimiter = ';',
        hide_env_values = true
    )]
    roles: Vec<String>,
}

impl Arguments {
    /// Parses the access keys and the roles. clap does not parse them, because its error would contain secrets.
    fn into_config(self) -> Result<Config, Error> {
        let behaviors = Behaviors { connector_quota: self.quota, ..Behaviors::default() };
        let mut config = Config { listen: self.listen, behaviors, ..Config::default() };
        config.roles = self.roles.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        if !self.access_keys.is_empty() {
            config.access_keys = self.access_keys.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        }
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is closed, the exit code alone reports the failure.
            let _ = writeln!(std::io::stderr(), "apprunner-emulator: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let config = arguments.into_config().map_err(|error| with_source(&error))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let emulator = Emulator::start(config).await.map_err(|error| with_source(&error))?;
    print_url(&emulator).map_err(|error| format!("cannot print the URL: {error}"))?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}

fn print_url(emulator: &Emulator) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", emulator.url())?;
    out.flush()
}

fn with_source(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
