//! Measures what the README promises in seconds, at the operator's defaults. Run it with `make bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "telling is what it is for")]

mod stage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use apprunner_emulator::{Behaviors, Config, DEFAULT_ACCOUNT};
use apprunner_operator::api::{VpcConnector, VpcConnectorStatus};
use futures::future::try_join_all;
use kube::api::DeleteParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use stage::{Done, Stage, check, object};

const CONNECTORS: usize = 20;
/// Services end at times that have nothing to do with the operator's.
const WITHIN: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Done {
    let behaviors = Behaviors { connector_quota: CONNECTORS, ..Behaviors::default() };
    let stage = Stage::set(Config { behaviors, ..Config::default() }).await?;
    stage.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n")?;
    let api = Api::namespaced(client(&stage.kubeconfig).await?, "shop");
    let took = try_join_all((0..CONNECTORS).map(|n| until_gone(&stage, &api, n))).await;
    if took.is_err() {
        eprintln!("What the operator logged last:\n{}", stage.log_tail());
    }
    let mut took = took?;
    took.sort();
    let seconds = |n: usize| took[n].as_secs_f64();
    println!("From the moment App Runner would delete a connector to the object gone, over {CONNECTORS} connectors:");
    let (first, middle, last) = (seconds(0), seconds(CONNECTORS / 2), seconds(CONNECTORS - 1));
    println!("    minimum {first:.1} s, median {middle:.1} s, maximum {last:.1} s");
    Ok(())
}

async fn client(kubeconfig: &str) -> Done<Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?)
}

/// Deletes an object whose connector a service holds, then the service; gives the time from the one end to the other.
async fn until_gone(stage: &Stage, api: &Api<VpcConnector>, n: usize) -> Done<Duration> {
    let name = format!("egress-{n}");
    let arn = stage.aws.create_connector(DEFAULT_ACCOUNT, "us-east-1", &name);
    let service = stage.aws.create_service(DEFAULT_ACCOUNT, "us-east-1", &format!("web-{n}"), Some(&arn));
    stage.apply(&object(&name, &arn))?;
    reached(api, &name, |object| object.is_some_and(|object| ready(object) == Some("Available"))).await?;
    api.delete(&name, &DeleteParams::default()).await?;
    let named = |object: &VpcConnector| object.status.as_ref().is_some_and(|status| !status.blocked_by.is_empty());
    reached(api, &name, |object| object.is_some_and(named)).await?;
    tokio::time::sleep(WITHIN.mul_f64(rand::random())).await;
    check(stage.aws.delete_service(&service), "there is no such service")?;
    let free = Instant::now();
    reached(api, &name, |object| object.is_none()).await?;
    Ok(free.elapsed())
}

fn ready(object: &VpcConnector) -> Option<&str> {
    object.status.as_ref().and_then(VpcConnectorStatus::ready_reason)
}

async fn reached(api: &Api<VpcConnector>, name: &str, is: impl Fn(Option<&VpcConnector>) -> bool) -> Done {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is(api.get_opt(name).await?.as_ref()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{name} is not where it should be after {PATIENCE:?}: {:#?}", api.get_opt(name).await?).into())
}
