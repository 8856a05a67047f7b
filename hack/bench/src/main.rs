//! Measures the operator beside the floor, which is the minimum that does the same work. Run it with `make bench`;
//! `docs/operations/performance.md` describes the method.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its purpose is to print")]

mod audit;
mod bed;
mod chart;
mod claimed;
mod deletion;
mod floor;
mod in_use;
mod memory;
mod plan;
mod process;
mod report;
mod results;
mod start;
mod stats;
mod tls;
mod wait;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use plan::Plan;
use results::Results;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// A program that has not reached its state by then has failed.
const PATIENCE: Duration = Duration::from_mins(5);
/// The namespace of all objects.
const NAMESPACE: &str = "shop";
/// The region of all connectors.
const REGION: &str = "us-east-1";

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("floor") => floor::run(),
        _ => measure(),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("bench: {error}");
    ExitCode::FAILURE
}

#[tokio::main]
async fn measure() -> Result {
    let (plan, mut results) = (Plan::read()?, Results::load()?);
    for part in &plan.parts {
        match part.as_str() {
            "deletion" => deletion::measure(&plan, &mut results).await?,
            "start" => start::measure(&mut results).await?,
            "memory" => memory::measure(&plan, &mut results).await?,
            "in-use" => in_use::measure(&mut results).await?,
            "report" => {}
            other => return Err(format!("PARTS={other}: there is no such part").into()),
        }
    }
    let (tables, directory) = (report::tables(&results), bed::results()?);
    std::fs::write(directory.join("tables.md"), &tables)?;
    chart::draw(&results, &directory.join("performance.svg"))?;
    println!("{tables}\nThe results are in {}", directory.display());
    Ok(())
}
