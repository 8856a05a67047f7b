//! Resident memory of the operator, and the start with objects that are claimed already.

use std::collections::BTreeMap;
use std::time::Duration;

use apprunner_emulator::{DEFAULT_ACCOUNT, Role};
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
/// The regions of App Runner.
const REGIONS: [&str; 11] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
];
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
    let ten = claim_all(&bed, &one_region(10), &[]).await?;
    results.ten_claims_s = Some(ten.started.elapsed().as_secs_f64());
    drop(ten);
    bed.forget().await?;
    results.save()?;
    results.accounts = Some(adopt_accounts(&bed).await?);
    bed.forget().await?;
    results.save()?;
    for &objects in &plan.objects {
        let footprint = adopt(&bed, &one_region(objects), &FAST).await?;
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

/// The account and region of a connector.
type Place = (String, &'static str);

/// This number of connectors in one account and region.
fn one_region(objects: usize) -> Vec<Place> {
    vec![(DEFAULT_ACCOUNT.to_owned(), REGION); objects]
}

/// Ten accounts with ten connectors in each region of App Runner, and one operator for all of them.
async fn adopt_accounts(bed: &Bed) -> Result<Footprint> {
    let accounts: Vec<_> = (0..10).map(|n| format!("2000000000{n:02}")).collect();
    let role = |account: &str| format!("arn:aws:iam::{account}:role/apprunner-operator");
    for account in &accounts {
        bed.aws.put_role(Role::new(role(account)));
    }
    let entry = |account: &String| serde_json::json!({"role": role(account), "namespaces": [NAMESPACE]});
    let file = bed.file("accounts.yaml");
    std::fs::write(&file, serde_json::to_string(&accounts.iter().map(entry).collect::<Vec<_>>())?)?;
    let in_account = |account: &String| REGIONS.map(|region| vec![(account.clone(), region); 10]).concat();
    let places: Vec<_> = accounts.iter().flat_map(in_account).collect();
    adopt(bed, &places, &[FAST[0], FAST[1], &format!("--accounts={}", file.display())]).await
}

/// Creates objects, and starts an operator that claims their connectors.
async fn claim_all(bed: &Bed, places: &[Place], flags: &[&str]) -> Result<Process> {
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    let create = async |(n, (account, region)): (usize, &Place)| {
        let name = format!("egress-{n}");
        let arn = bed.aws.create_connector(account, region, &name);
        api.create(&PostParams::default(), &claimed::object(&name, &arn)).await.map(|_| ())
    };
    stream::iter(places.iter().enumerate()).map(create).buffer_unordered(claimed::AT_ONCE).try_collect::<()>().await?;
    let operator = bed.run(Program::Operator, flags)?;
    all_available(api, places.len()).await?;
    Ok(operator)
}

async fn adopt(bed: &Bed, places: &[Place], flags: &[&str]) -> Result<Footprint> {
    let mut operator = claim_all(bed, places, flags).await?;
    let (adoption_s, adopted) = (operator.started.elapsed().as_secs_f64(), operator.memory()?);
    let settled_memory = settled(&mut operator).await?;
    drop(operator);
    let restarted = settled(&mut bed.run(Program::Operator, flags)?).await?;
    Ok(Footprint { objects: places.len(), adoption_s, adopted, settled: settled_memory, restarted })
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
