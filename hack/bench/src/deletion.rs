//! Deletes claimed objects, all at once, with each program in turn.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use apprunner_emulator::{Fault, FaultKind};
use apprunner_operator::api::VpcConnector;
use futures::TryStreamExt;
use kube::api::{DeleteParams, ListParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::audit::Requests;
use crate::bed::{Bed, Program};
use crate::plan::Plan;
use crate::process::Process;
use crate::results::Results;
use crate::{NAMESPACE, PATIENCE, Result, claimed};

/// With the default rate limit 5,000 deletions take 33 minutes. A resync that falls into a run adds two calls.
const ARGUMENTS: [&str; 3] = ["--aws-rate=10000", "--aws-burst=10000", "--resync=24h"];
/// A start into which a resync falls is repeated; of 5,000 objects, one has a resync in each 17 seconds.
const STARTS: usize = 10;

/// One deletion of all objects by one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) program: Program,
    pub(crate) objects: usize,
    pub(crate) latency_ms: u64,
    /// From the request that deletes all objects to the DELETED event of the last one.
    pub(crate) wall_ms: f64,
    /// CPU time until then.
    pub(crate) cpu_ms: f64,
    /// CPU time until the program has come to rest, which is after its last Event.
    pub(crate) settled_cpu_ms: f64,
    /// Calls to AWS, by operation.
    pub(crate) aws: BTreeMap<String, usize>,
    /// Requests to the API server until the program has come to rest.
    pub(crate) requests: Requests,
    /// Number of these requests after the last DELETED event.
    pub(crate) late_requests: usize,
}

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result {
    let bed = Bed::start().await?;
    for latency in &plan.latencies {
        for objects in &plan.sizes {
            results.forget_deletions(*objects, *latency);
            for round in 1..=plan.runs_of(*objects) {
                // The programs alternate, so that a slow minute of the machine is not the result of one of them.
                for program in Program::ALL {
                    let run = run(&bed, program, *objects, *latency).await?;
                    eprintln!(
                        "{program:?}, {objects} objects, {latency} ms, run {round}: {:.1} ms, CPU {:.1} ms ({:.1} ms)",
                        run.wall_ms, run.cpu_ms, run.settled_cpu_ms
                    );
                    results.deletions.push(run);
                    results.save()?;
                }
            }
        }
    }
    Ok(())
}

async fn run(bed: &Bed, program: Program, objects: usize, latency_ms: u64) -> Result<Run> {
    bed.clean().await?;
    claimed::create(bed, objects).await?;
    if latency_ms > 0 {
        bed.aws.add_fault(Fault::new(FaultKind::Delay { ms: latency_ms }).forever());
    }
    let gone = watch(bed, objects).await?;
    let (mut process, cpu) = start(bed, program).await?;
    let measured = delete_all(bed, &mut process, cpu, gone, latency_ms).await;
    let measured = measured.map_err(|error| format!("{program:?}: {error}\n{}", bed.log_tail(&process.user)))?;
    let Measured { wall, cpu, settled_cpu, requests, late_requests } = measured;
    let [wall_ms, cpu_ms, settled_cpu_ms] = [wall, cpu, settled_cpu].map(|took| took.as_secs_f64() * 1e3);
    let aws = aws_calls(bed, program);
    Ok(Run { program, objects, latency_ms, wall_ms, cpu_ms, settled_cpu_ms, aws, requests, late_requests })
}

/// Starts a program, and returns it at rest, with its CPU time. What it does before the deletion it would not have to do
/// after it, so it must have written nothing and called nothing yet.
async fn start(bed: &Bed, program: Program) -> Result<(Process, Duration)> {
    let arguments = if program == Program::Operator { &ARGUMENTS[..] } else { &[] };
    let mut early = String::new();
    for _ in 0..STARTS {
        bed.aws.clear_calls();
        let audit = bed.audit()?;
        let mut process = bed.run(program, arguments)?;
        process.ready().await.map_err(|error| format!("{program:?}: {error}\n{}", bed.log_tail(&process.user)))?;
        let cpu = process.settled().await?;
        match done_early(bed, &audit.requests(&process.user)?) {
            None => return Ok((process, cpu)),
            Some(done) => early = done,
        }
    }
    Err(format!("{program:?}: before the deletion, at each of {STARTS} starts, {early}").into())
}

struct Measured {
    wall: Duration,
    cpu: Duration,
    settled_cpu: Duration,
    requests: Requests,
    late_requests: usize,
}

async fn delete_all(
    bed: &Bed,
    process: &mut Process,
    cpu: Duration,
    gone: JoinHandle<Result<Instant, watcher::Error>>,
    latency_ms: u64,
) -> Result<Measured> {
    bed.aws.clear_calls();
    bed.plain.reset(latency_ms);
    let audit = bed.audit()?;
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    let started = Instant::now();
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    let last = tokio::select! {
        last = gone => last??,
        () = process.ended() => return Err("it ended before all objects were deleted".into()),
        () = tokio::time::sleep(PATIENCE) => return Err("not all objects are deleted".into()),
    };
    let used = process.cpu()?.saturating_sub(cpu);
    let then: usize = audit.requests(&process.user)?.values().sum();
    let settled_cpu = process.settled().await?.saturating_sub(cpu);
    let requests = audit.requests(&process.user)?;
    let late_requests = requests.values().sum::<usize>() - then;
    Ok(Measured { wall: last - started, cpu: used, settled_cpu, requests, late_requests })
}

/// Starts to watch the objects; the task returns the time at which the last one was gone.
async fn watch(bed: &Bed, objects: usize) -> Result<JoinHandle<Result<Instant, watcher::Error>>> {
    let api = Api::<PartialObjectMeta<VpcConnector>>::namespaced(bed.client.clone(), NAMESPACE);
    let mut events = Box::pin(watcher::watcher(api, watcher::Config::default()));
    let (mut names, mut listed) = (HashSet::new(), false);
    while names.len() < objects || !listed {
        let event = events.try_next().await?.ok_or("the watch ended")?;
        listed |= matches!(event, Event::InitDone);
        follow(&mut names, event);
    }
    Ok(tokio::spawn(async move {
        // During a new list, which follows a watch that broke off, the set is not complete.
        let mut complete = true;
        while !names.is_empty() || !complete {
            let Some(event) = events.try_next().await? else { break };
            complete = matches!(event, Event::InitDone) || complete && !matches!(event, Event::Init);
            follow(&mut names, event);
        }
        Ok(Instant::now())
    }))
}

fn follow(names: &mut HashSet<String>, event: Event<PartialObjectMeta<VpcConnector>>) {
    match event {
        Event::Apply(object) | Event::InitApply(object) => drop(names.insert(object.name_any())),
        Event::Delete(object) => drop(names.remove(&object.name_any())),
        Event::Init => names.clear(),
        Event::InitDone => {}
    }
}

/// The writes and calls of a program that has only started.
fn done_early(bed: &Bed, requests: &Requests) -> Option<String> {
    let writes: Vec<_> = requests.keys().filter(|request| !request.starts_with(['l', 'w', 'g'])).collect();
    let calls: Vec<_> = bed.aws.calls().into_iter().filter_map(|call| call.operation).collect();
    let early: Vec<_> = calls.iter().filter(|operation| *operation != "GetCallerIdentity").collect();
    let nothing = writes.is_empty() && early.is_empty();
    (!nothing).then(|| format!("it wrote {writes:?} and called {early:?}"))
}

/// The calls to AWS since they were last cleared.
pub(crate) fn aws_calls(bed: &Bed, program: Program) -> BTreeMap<String, usize> {
    if program == Program::GoFloor {
        return BTreeMap::from([("plain HTTP".to_owned(), bed.plain.answered())]);
    }
    let mut counted = BTreeMap::new();
    for call in bed.aws.calls() {
        *counted.entry(call.operation.unwrap_or_default()).or_default() += 1;
    }
    counted
}
