//! Time from the release by the last service to the deletion of the connector and its object.

use std::time::{Duration, Instant};

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::VpcConnector;
use futures::future::try_join_all;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::bed::{Bed, Program};
use crate::results::Results;
use crate::wait::{available, reached};
use crate::{NAMESPACE, REGION, Result, claimed};

const CONNECTORS: usize = 20;
/// Each service ends at a random time within this span, independent of the operator's intervals.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn measure(results: &mut Results) -> Result {
    let bed = Bed::start().await?;
    let operator = bed.run(Program::Operator, &[])?;
    let took = try_join_all((0..CONNECTORS).map(|n| until_gone(&bed, n))).await;
    let took = took.map_err(|error| format!("{error}\n{}", bed.log_tail(&operator.user)))?;
    results.in_use = took.iter().map(Duration::as_secs_f64).collect();
    results.save()
}

/// Deletes an object whose connector a service uses, then the service; returns the time between the two ends.
async fn until_gone(bed: &Bed, n: usize) -> Result<Duration> {
    let name = format!("egress-{n}");
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    let arn = bed.aws.create_connector(DEFAULT_ACCOUNT, REGION, &name);
    let service = bed.aws.create_service(DEFAULT_ACCOUNT, REGION, &format!("web-{n}"), Some(&arn));
    api.create(&PostParams::default(), &claimed::object(&name, &arn)).await?;
    reached(&api, &name, available).await?;
    api.delete(&name, &DeleteParams::default()).await?;
    let named = |object: &VpcConnector| object.status.as_ref().is_some_and(|status| !status.blocked_by.is_empty());
    reached(&api, &name, |object| object.is_some_and(named)).await?;
    tokio::time::sleep(WITHIN.mul_f64(rand::random())).await;
    if !bed.aws.delete_service(&service) {
        return Err(format!("{service} does not exist").into());
    }
    let free = Instant::now();
    reached(&api, &name, |object| object.is_none()).await?;
    Ok(free.elapsed())
}
