//! Draws the chart's Grafana dashboard from a real run: the operator on a real API server, the App Runner emulator, and a
//! Prometheus that evaluates the dashboard's own queries.
//!
//! Run it with `make dashboard`. It fails if a query of a panel returns nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its purpose is to print")]

mod panel;
mod picture;
mod prometheus;
mod scenario;
#[path = "../test_bed.rs"]
mod test_bed;

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use apprunner_emulator::{Config, DEFAULT_ACCOUNT, Role};
use prometheus::Prometheus;
use test_bed::{Result, TestBed, exit};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images/dashboard.svg");

#[tokio::main]
async fn main() -> ExitCode {
    exit("dashboard", draw().await)
}

async fn draw() -> Result {
    let role = Role::new(scenario::ROLE).trusting(DEFAULT_ACCOUNT);
    let bed = TestBed::start(Config { roles: vec![role], ..Config::default() }).await?;
    let metrics = free_address()?;
    let prometheus = Prometheus::start(&bed.log.with_file_name("prometheus"), &metrics)?;
    let run = scenario::run(&bed, &metrics).await;
    if run.is_err() {
        eprintln!("\nThe operator's last log lines:\n{}", bed.log_tail());
    }
    let (_operator, end) = (run?, prometheus.elapsed()?);
    picture::draw(&panel::panels(&prometheus, end)?, end, Path::new(PICTURE))?;
    println!("The picture is {PICTURE}");
    Ok(())
}

/// An address on loopback that nobody listens on.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
