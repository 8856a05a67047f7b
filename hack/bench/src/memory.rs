//! Resident memory of the operator, and the start with objects that are claimed already.

use std::collections::BTreeMap;
use std::time::Duration;

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::VpcConnector;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::PostParams;
use serde::{Deserialize, Serialize};

use crate::audit::Requests;
use crate::bed::{Bed, Program};
use crate::deletion::aws_calls;
use crate::plan::Plan;
use crate::process::{Memory, Process};
use crate::results::Results;
use crate::wait::all_available;
use crate::{NAMESPACE, REGION, Result, claimed};

/// With the default rate limit 10,000 claims take two hours; the rate has no influence on the memory.
const FAST: [&str; 2] = ["--aws-rate=10000", "--aws-burst=10000"];
/// By then the process has returned memory that it needed only for a moment.
const SETTLED: Duration = Duration::from_secs(10);
/// The time over which the requests and calls of a start are counted.
const FIRST: Duration = Duration::from_mins(2);

/// Resident memory in MB.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Footprint {
    pub(crate) objects: usize,
    /// Seconds from the start to the last claim.
    pub(crate) adoption_s: f64,
    /// At the last claim.
    pub(crate) adopted: Memory,
    /// Ten seconds later.
    pub(crate) settled: Memory,
    /// Ten seconds after a new start with the same objects.
    pub(crate) restarted: Memory,
}

/// A start with claimed objects and default flags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Restart {
    pub(crate) objects: usize,
    pub(crate) ready_ms: f64,
    pub(crate) aws: BTreeMap<String, usize>,
    pub(crate) requests: Requests,
    pub(crate) cpu_ms: f64,
    pub(crate) memory: Memory,
}

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result {
    let bed = Bed::start().await?;
    let idle = settled(&mut bed.run(Program::Operator, &[])?).await?;
    results.idle = Some(idle);
    let ten = claim_all(&bed, 10, &[]).await?;
    results.ten_claims_s = Some(ten.started.elapsed().as_secs_f64());
    drop(ten);
    bed.forget().await?;
    results.save()?;
    for &objects in &plan.objects {
        let footprint = adopt(&bed, objects).await?;
        eprintln!("{footprint:?}");
        results.footprints.retain(|earlier| earlier.objects != objects);
        results.footprints.push(footprint);
        results.save()?;
        if Some(&objects) == plan.objects.last() {
            let restart = restart(&bed, objects).await?;
            eprintln!("{restart:?}");
            results.restart = Some(restart);
            results.save()?;
        }
        bed.forget().await?;
    }
    Ok(())
}

/// Creates objects, and starts an operator that claims their connectors.
async fn claim_all(bed: &Bed, objects: usize, flags: &[&str]) -> Result<Process> {
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    let create = async |n: usize| {
        let name = format!("egress-{n}");
        let arn = bed.aws.create_connector(DEFAULT_ACCOUNT, REGION, &name);
        api.create(&PostParams::default(), &claimed::object(&name, &arn)).await.map(|_| ())
    };
    stream::iter(0..objects).map(create).buffer_unordered(claimed::AT_ONCE).try_collect::<()>().await?;
    let operator = bed.run(Program::Operator, flags)?;
    all_available(api, objects).await?;
    Ok(operator)
}

async fn adopt(bed: &Bed, objects: usize) -> Result<Footprint> {
    let mut operator = claim_all(bed, objects, &FAST).await?;
    let (adoption_s, adopted) = (operator.started.elapsed().as_secs_f64(), operator.memory()?);
    let settled_memory = settled(&mut operator).await?;
    drop(operator);
    let restarted = settled(&mut bed.run(Program::Operator, &FAST)?).await?;
    Ok(Footprint { objects, adoption_s, adopted, settled: settled_memory, restarted })
}

async fn restart(bed: &Bed, objects: usize) -> Result<Restart> {
    bed.aws.clear_calls();
    let audit = bed.audit()?;
    let mut operator = bed.run(Program::Operator, &[])?;
    let ready_ms = operator.ready().await?.as_secs_f64() * 1e3;
    tokio::time::sleep(FIRST.saturating_sub(operator.started.elapsed())).await;
    let (aws, requests) = (aws_calls(bed, Program::Operator), audit.requests(&operator.user)?);
    let (cpu_ms, memory) = (operator.cpu()?.as_secs_f64() * 1e3, operator.memory()?);
    Ok(Restart { objects, ready_ms, aws, requests, cpu_ms, memory })
}

async fn settled(operator: &mut Process) -> Result<Memory> {
    if !operator.was_ready() {
        operator.ready().await?;
    }
    tokio::time::sleep(SETTLED).await;
    operator.memory()
}
