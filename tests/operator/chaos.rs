//! Many objects at once, while the operator is killed again and again.

use std::time::{Duration, Instant};

use apprunner_emulator::{Fault, FaultKind, Operation};
use futures::future::join_all;
use kube::api::ListParams;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{ACCOUNT, World, eventually};

const DELETIONS: usize = 300;
const SLOW: &str = "eu-west-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_seconds_of_kills_lose_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("SEED={seed} repeats these kills");
    let mut chance = StdRng::seed_from_u64(seed);
    let world = World::new().await;
    let arns = claim(&world, DELETIONS).await;
    world.emulator.add_fault(Fault::new(FaultKind::Delay { ms: 20 }).forever());
    world.delete_all().await;

    let (started, mut kills) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(30) && !all_deleted(&world).await {
        let _operator = world.operator_with(&["--concurrency=4"]);
        tokio::time::sleep(Duration::from_millis(chance.random_range(100..1_500))).await;
        kills += 1;
    }
    let _operator = world.operator();
    assert!(
        eventually(async || all_deleted(&world).await.then_some(())).await.is_some(),
        "not all objects are deleted"
    );
    assert!(kills > 2, "the deletions ended before the third kill");
    assert!(arns.iter().all(|arn| world.inactive(arn)), "an object is deleted and its connector is not");
    for arn in &arns {
        let deletes = world.deletes_of(arn);
        assert!(deletes <= 1 + kills, "{arn} was deleted {deletes} times with {kills} kills");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_region_does_not_delay_other_regions() {
    let world = World::new().await;
    let (alone, beside) = {
        let _operator = world.operator();
        let names = |prefix: &str| (0..20).map(|n| format!("{prefix}-{n}")).collect::<Vec<_>>();
        let (alone, beside) = (names("alone"), names("beside"));
        join_all(alone.iter().chain(&beside).map(|name| world.claimed(name))).await;
        (alone, beside)
    };
    let latency = FaultKind::Delay { ms: 200 };
    world.emulator.add_fault(Fault::new(latency).on(Operation::DeleteVpcConnector).region("us-east-1").forever());
    let quiet = {
        let _operator = world.operator();
        time_to_delete(&world, &alone).await
    };

    world.emulator.add_fault(Fault::new(FaultKind::Delay { ms: 600_000 }).region(SLOW).forever());
    let slow: Vec<_> = (0..100).map(|n| world.emulator.create_connector(ACCOUNT, SLOW, &format!("slow-{n}"))).collect();
    join_all(slow.iter().enumerate().map(async |(n, arn)| world.create(&format!("slow-{n}"), arn).await)).await;
    let _operator = world.operator();
    let waiting =
        async || (world.emulator.calls().iter().any(|call| call.region.as_deref() == Some(SLOW))).then_some(());
    assert!(eventually(waiting).await.is_some(), "nothing waits for the slow region");
    let crowded = time_to_delete(&world, &beside).await;
    assert!(crowded <= quiet * 2, "{crowded:?} beside a region that answers nothing, {quiet:?} without it");
}

async fn claim(world: &World, count: usize) -> Vec<String> {
    let _operator = world.operator();
    let arns: Vec<_> = (0..count).map(|n| world.connector(&format!("conn-{n}"))).collect();
    join_all(arns.iter().enumerate().map(async |(n, arn)| world.create(&format!("egress-{n}"), arn).await)).await;
    assert!(
        eventually(async || (world.available().await == count).then_some(())).await.is_some(),
        "not all were claimed"
    );
    arns
}

async fn all_deleted(world: &World) -> bool {
    world.api.list(&ListParams::default()).await.unwrap().items.is_empty()
}

async fn time_to_delete(world: &World, names: &[String]) -> Duration {
    let started = Instant::now();
    join_all(names.iter().map(|name| world.delete(name))).await;
    join_all(names.iter().map(|name| world.until_deleted(name))).await;
    started.elapsed()
}
