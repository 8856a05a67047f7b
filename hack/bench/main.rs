//! Measures what the README promises in numbers, at the operator's defaults. Run it with `make bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its purpose is to print")]

mod footprint;
mod in_use;
#[path = "../test_bed.rs"]
mod test_bed;

use std::process::ExitCode;
use std::time::Duration;

use apprunner_emulator::{Behaviors, Config, DEFAULT_ACCOUNT};
use apprunner_operator::api::{DeletionPolicy, VpcConnector, VpcConnectorSpec, VpcConnectorStatus};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use test_bed::{Result, TestBed, exit};

/// An object that has not reached its state by then has failed.
const PATIENCE: Duration = Duration::from_mins(2);
/// Number of objects for the memory measurement; the variable OBJECTS overrides it.
const OBJECTS: usize = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    exit("bench", measure().await)
}

async fn measure() -> Result {
    let objects = std::env::var("OBJECTS").map_or(Ok(OBJECTS), |number| number.parse());
    footprint::measure(objects.map_err(|error| format!("OBJECTS: {error}"))?).await?;
    in_use::measure().await
}

/// A test bed with room for this many connectors and without an operator, and the API for its objects.
async fn test_bed(connectors: usize) -> Result<(TestBed, Api<VpcConnector>)> {
    let behaviors = Behaviors { connector_quota: connectors, ..Behaviors::default() };
    let bed = TestBed::start(Config { behaviors, ..Config::default() }).await?;
    bed.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n")?;
    let config = Kubeconfig::read_from(&bed.kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let api = Api::namespaced(Client::try_from(config)?, "shop");
    Ok((bed, api))
}

/// Creates a connector and an object for it; returns the object's name and the connector's ARN.
async fn create(bed: &TestBed, api: &Api<VpcConnector>, n: usize) -> Result<(String, String)> {
    let name = format!("egress-{n}");
    let arn = bed.aws.create_connector(DEFAULT_ACCOUNT, "us-east-1", &name);
    let spec = VpcConnectorSpec { arn: arn.clone(), deletion_policy: DeletionPolicy::Delete };
    api.create(&PostParams::default(), &VpcConnector::new(&name, spec)).await?;
    Ok((name, arn))
}

async fn reached(api: &Api<VpcConnector>, name: &str, is: impl Fn(Option<&VpcConnector>) -> bool) -> Result {
    match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, is)).await {
        Ok(reached) => Ok(reached.map(|_| ())?),
        Err(_) => Err(format!("{name} is not where it should be after {PATIENCE:?}").into()),
    }
}

fn available(object: Option<&VpcConnector>) -> bool {
    let reason = object.and_then(|object| object.status.as_ref()).and_then(VpcConnectorStatus::ready_reason);
    reason == Some("Available")
}

/// The shortest, the median, and the longest.
fn spread(mut took: Vec<Duration>) -> [Duration; 3] {
    took.sort();
    [0, took.len() / 2, took.len() - 1].map(|n| took[n])
}
