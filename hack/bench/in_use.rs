//! Time from the release by the last service to the deletion of the connector and its object.

use std::time::{Duration, Instant};

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::VpcConnector;
use futures::future::try_join_all;
use kube::Api;
use kube::api::DeleteParams;

use crate::test_bed::{Result, TestBed, check};
use crate::{available, create, reached, spread, test_bed};

const CONNECTORS: usize = 20;
/// Each service ends at a random time within this span, independent of the operator's intervals.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn measure() -> Result {
    let (bed, api) = test_bed(CONNECTORS).await?;
    let _operator = bed.start_operator(&[])?;
    let took = try_join_all((0..CONNECTORS).map(|n| until_gone(&bed, &api, n))).await;
    if took.is_err() {
        eprintln!("The operator's last log lines:\n{}", bed.log_tail());
    }
    let [first, middle, last] = spread(took?).map(|took| took.as_secs_f64());
    println!("From the moment App Runner would delete a connector to the object gone, over {CONNECTORS} connectors:");
    println!("    minimum {first:.1} s, median {middle:.1} s, maximum {last:.1} s");
    Ok(())
}

/// Deletes an object whose connector a service uses, then the service; returns the time between the two ends.
async fn until_gone(bed: &TestBed, api: &Api<VpcConnector>, n: usize) -> Result<Duration> {
    let (name, arn) = create(bed, api, n).await?;
    let service = bed.aws.create_service(DEFAULT_ACCOUNT, "us-east-1", &format!("web-{n}"), Some(&arn));
    reached(api, &name, available).await?;
    api.delete(&name, &DeleteParams::default()).await?;
    let named = |object: &VpcConnector| object.status.as_ref().is_some_and(|status| !status.blocked_by.is_empty());
    reached(api, &name, |object| object.is_some_and(named)).await?;
    tokio::time::sleep(WITHIN.mul_f64(rand::random())).await;
    check(bed.aws.delete_service(&service), "there is no such service")?;
    let free = Instant::now();
    reached(api, &name, |object| object.is_none()).await?;
    Ok(free.elapsed())
}
