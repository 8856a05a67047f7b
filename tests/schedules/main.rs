//! Random schedules: 200 steps of users, AWS, processes and networks against the operator on the real API server, with the
//! promises checked at the end.
//!
//! `make schedules` runs 20 new seeds and prints them; `SEED=n make schedules` runs the schedule of one seed, and
//! `SCHEDULES=n` another number of seeds. Seeds are new in each run, because a fixed list would test the same schedules for
//! ever; a defect that one of them finds gets a test of its own.
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the helpers are those of tests/operator, which uses more of them"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a failing test panics")]

mod aws;
mod generator;
mod invariants;
mod network;
mod objects;
mod observer;
mod policy;
mod processes;
mod run;
mod settled;
mod steps;
#[path = "../operator/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apprunner_operator::api;
use futures::{FutureExt, StreamExt, stream};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use invariants::Finished;
use run::Run;
use support::{OTHER, eventually};

/// Seeds of one run, unless SCHEDULES or SEED says otherwise.
const SCHEDULES: u64 = 20;
/// Schedules at a time: each mostly waits.
const SIDE_BY_SIDE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_schedules_keep_the_promises() {
    let seeds = seeds();
    eprintln!("seeds {} to {}; SEED=n make schedules repeats one", seeds[0], seeds[seeds.len() - 1]);
    let runs = stream::iter(seeds).map(|seed| async move { (seed, checked(seed).await) });
    let results: Vec<_> = runs.buffer_unordered(SIDE_BY_SIDE).collect().await;
    let failed: Vec<_> =
        results.iter().filter(|(_, violations)| !violations.is_empty()).map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "these seeds break a promise: {failed:?}");
}

fn seeds() -> Vec<u64> {
    if let Some(seed) = number("SEED") {
        return vec![seed];
    }
    // Short enough to type.
    let first = u64::from(rand::random::<u32>());
    (first..first + number("SCHEDULES").unwrap_or(SCHEDULES)).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Runs the schedule of a seed, and prints its steps and violations if there are any.
async fn checked(seed: u64) -> Vec<String> {
    let started = Instant::now();
    // A panic is printed where it happens, and must not end the other runs.
    let finished = AssertUnwindSafe(violations(seed)).catch_unwind().await;
    let violations = finished.unwrap_or_else(|_| vec!["the run itself panicked".to_owned()]);
    if !violations.is_empty() {
        let steps = generator::schedule(seed).into_iter().enumerate();
        let listed = steps.fold(String::new(), |mut text, (at, planned)| {
            let _ = writeln!(text, "{at:3} {:?}, then {}", planned.step, planned.progress);
            text
        });
        eprintln!("seed {seed} breaks a promise:\n{}\nits steps:\n{listed}", violations.join("\n"));
    }
    eprintln!("seed {seed}: {} violations after {:.0?}", violations.len(), started.elapsed());
    violations
}

async fn violations(seed: u64) -> Vec<String> {
    let mut run = Run::start(seed).await;
    for planned in generator::schedule(seed) {
        run.perform(planned).await;
    }
    run.heal().await;
    let held = run.until_settled().await;
    release_all_holds(&run).await;
    let free = run.until_settled().await;
    delete_all(&run).await;
    let gone = run.until_all_are_gone().await;
    for (when, result) in [("as the schedule left them", held), ("without holds", free), ("after their deletion", gone)]
    {
        let unsettled = result.err().into_iter().flatten();
        run.acts.violations.extend(unsettled.map(|object| format!("objects are not settled {when}: {object}")));
    }
    run.finish();
    let observed = async || run.observer.history().lives.values().all(|life| life.gone.is_some()).then_some(());
    let ended = eventually(observed).await.is_some();
    let finished = Finished {
        history: run.observer.history().clone(),
        acts: run.acts.clone(),
        calls: run.emulator().calls(),
        connectors: run.emulator().state().into_iter().flat_map(|region| region.connectors).collect(),
        behaviors: run.emulator().behaviors(),
        namespace: run.world.namespace.clone(),
    };
    eprintln!("seed {seed}: {}", finished.summary());
    let mut violations = finished.violations();
    violations.extend((!ended).then(|| "the watch never showed the end of all objects".to_owned()));
    if !violations.is_empty() {
        violations.push(format!("written to {}", keep(seed, &finished).display()));
    }
    violations
}

/// Deletes the services, and ends paused and protected.
async fn release_all_holds(run: &Run) {
    let services = run.emulator().state().into_iter().flat_map(|region| region.services);
    for service in services {
        run.emulator().delete_service(&service.arn);
    }
    for object in run.objects.list(&ListParams::default()).await.unwrap() {
        let patch = json!({"metadata": {"annotations": {api::PAUSED: null, api::PROTECTED: null}}});
        merge(run, &object.name_any(), patch).await;
    }
}

/// Deletes all objects, and retains connectors of another account, which the operator cannot delete.
async fn delete_all(run: &Run) {
    for object in run.objects.list(&ListParams::default()).await.unwrap() {
        if object.spec.arn.contains(OTHER.2) {
            merge(run, &object.name_any(), json!({"spec": {"deletionPolicy": "Retain"}})).await;
        }
        let _ = run.objects.delete(&object.name_any(), &DeleteParams::default()).await;
    }
}

/// Changes an object, which the operator may have released by now.
async fn merge(run: &Run, name: &str, patch: serde_json::Value) {
    let _ = run.objects.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
}

/// Writes what is known of a failed run to files.
fn keep(seed: u64, run: &Finished) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schedule-{seed}"));
    std::fs::create_dir_all(&directory).unwrap();
    let lines = |items: Vec<String>| items.join("\n");
    let calls = run.calls.iter().map(|call| format!("{call:?}")).collect();
    let versions = run.history.lives.iter().flat_map(|(uid, life)| {
        let ended = format!("{uid} {} gone {:?}\n", life.name(), life.gone);
        let versions = life.versions.iter().map(|v| format!("{} {}", v.at, json!(v.object)));
        versions.chain([ended]).collect::<Vec<_>>()
    });
    let tags = run.history.tags.iter().map(|(arn, tags)| format!("{arn} {tags:?}")).collect();
    for (name, text) in [
        ("calls", lines(calls)),
        ("versions", lines(versions.collect())),
        ("tags", lines(tags)),
        ("acts", format!("{:#?}", run::Acts { logs: Vec::new(), ..run.acts.clone() })),
        ("log", run.acts.logs.join("\n---- next process ----\n")),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    directory
}
