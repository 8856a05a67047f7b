//! The rate of AWS calls, counted in the emulator's call log.

use std::collections::{BTreeMap, BTreeSet};

use apprunner_emulator::{Call, Operation};
use futures::future::join_all;
use kube::api::ListParams;

use crate::support::operator::Limits;
use crate::support::{ACCOUNT, REGION, World, eventually};

/// So low that two hundred deletions have to wait for the rate limit.
const LIMITS: Limits = Limits { rate: 8, burst: 10 };

impl World {
    /// Creates objects and has an operator claim their connectors; the operator is stopped afterwards.
    async fn claimed_before(&self, arns: &[String]) {
        let _operator = self.operator();
        join_all(arns.iter().enumerate().map(async |(n, arn)| self.create(&format!("egress-{n}"), arn).await)).await;
        let claimed = eventually(async || (self.available().await == arns.len()).then_some(()));
        assert!(claimed.await.is_some(), "not all were claimed");
    }

    async fn all_deleted(&self) {
        let left = async || self.api.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(());
        assert!(eventually(left).await.is_some(), "not all objects are deleted");
    }

    /// Every call to App Runner, in order of arrival.
    fn app_runner_calls(&self) -> Vec<Call> {
        let sts = Some(Operation::GetCallerIdentity.name());
        self.emulator.calls().into_iter().filter(|call| call.operation.as_deref() != sts).collect()
    }
}

/// Seconds from one call to another.
fn between(first: &Call, last: &Call) -> f64 {
    last.received_at.duration_since(first.received_at).as_secs_f64()
}

/// The highest number of calls that arrived within a second, from a second after the first on.
fn busiest_second(calls: &[Call]) -> usize {
    let later = calls.iter().filter(|call| between(&calls[0], call) >= 1.0);
    let within = |start: &Call| calls.iter().filter(|call| (0.0..1.0).contains(&between(start, call))).count();
    later.map(within).max().unwrap_or_default()
}

/// A service uses one connector only, so four objects share each connector: without ownership tags they all may claim
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_waiting_objects_cost_one_delete_each_and_shared_scans() {
    const FASTER: u32 = 3;
    const MINUTE: f64 = 60.0 / FASTER as f64;
    let mut world = World::new().await;
    world.settings.arguments.push("--ownership-tags=false".to_owned());
    let arns: Vec<_> = (0..25).map(|n| world.connector(&format!("conn-{n}"))).collect();
    let arns: Vec<_> = arns.iter().cycle().take(100).cloned().collect();
    world.claimed_before(&arns).await;
    let services: Vec<_> =
        arns[..25].iter().map(|arn| world.emulator.create_service(ACCOUNT, REGION, "holder", Some(arn))).collect();
    world.settings.pace = FASTER;
    world.settings.limits = Limits { rate: 5 * FASTER, burst: 10 };
    world.emulator.clear_calls();
    // No operator runs during the deletions, so no call describes objects that are not yet being deleted.
    world.delete_all().await;
    let _operator = world.operator();
    let minute_is_over = async || {
        let calls = world.app_runner_calls();
        (between(calls.first()?, calls.last()?) > MINUTE).then_some(calls)
    };
    let calls = eventually(minute_is_over).await.expect("the calls end before the minute does");

    // The first waiting object is retried when a minute has passed, to a millisecond.
    let in_time = calls.iter().filter(|call| between(&calls[0], call) < MINUTE - 0.5);
    let mut counted = BTreeMap::<_, usize>::new();
    in_time.for_each(|call| *counted.entry(call.operation.clone().unwrap()).or_default() += 1);
    let pages = counted.remove("ListServices").unwrap();
    assert!(pages <= 2 * 13, "{pages} pages, two per scan");
    assert_eq!(counted, BTreeMap::from([("DeleteVpcConnector".into(), 100), ("DescribeService".into(), 25)]));

    for service in &services {
        assert!(world.emulator.delete_service(service));
    }
    world.all_deleted().await;
    assert!(arns.iter().all(|arn| world.inactive(arn)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_deletions_keep_the_rate_limit_and_wait_a_fair_share() {
    let mut world = World::new().await;
    let arns: Vec<_> = (0..200).map(|n| world.connector(&format!("conn-{n}"))).collect();
    world.claimed_before(&arns).await;
    world.emulator.change_behaviors(|b| b.requests_per_second = Some(50));
    world.settings.limits = LIMITS;
    world.emulator.clear_calls();
    // No operator runs during the deletions, so no call describes objects that are not yet being deleted.
    world.delete_all().await;
    let _operator = world.operator();
    world.all_deleted().await;
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    assert!(
        world.statuses().all(|status| status.condition("Stalled").is_none()),
        "waiting for the rate limit is no stall"
    );

    let calls = world.app_runner_calls();
    let mut seen = BTreeSet::new();
    let deletes = calls.iter().filter(|call| call.operation.as_deref() == Some("DeleteVpcConnector"));
    let first_deletes: Vec<_> = deletes.filter(|call| seen.insert(call.arn.clone())).collect();
    assert_eq!((first_deletes.len(), calls.len()), (200, 400), "the owner tag is read and one delete sent for each");
    let took = between(first_deletes[0], first_deletes[199]);
    assert!(took <= 1.2 * 400.0 / f64::from(LIMITS.rate), "the last delete was sent {took} s after the first");
    // While requesters are late, the limiter saves up tokens for at most one burst.
    assert!(
        busiest_second(&calls) <= (LIMITS.rate + LIMITS.burst) as usize,
        "{} calls in a second",
        busiest_second(&calls)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_that_aws_throttles_is_lowered_and_nothing_is_lost() {
    let mut world = World::new().await;
    let arns: Vec<_> = (0..60).map(|n| world.connector(&format!("conn-{n}"))).collect();
    world.claimed_before(&arns).await;
    world.emulator.change_behaviors(|b| b.requests_per_second = Some(5));
    world.settings.limits = Limits { rate: 100, burst: 50 };
    world.emulator.clear_calls();
    // No operator runs during the deletions, so no call describes objects that are not yet being deleted.
    world.delete_all().await;
    let _operator = world.operator();
    world.all_deleted().await;
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    assert!(world.statuses().all(|status| status.condition("Stalled").is_none()), "throttling is no stall");
    let calls = world.app_runner_calls();
    let throttled = calls.iter().filter(|call| call.error.is_some()).count();
    assert!(throttled > 0, "the emulator never throttled");
    assert!(throttled < 2 * 60, "{throttled} of {} calls were throttled: more than are needed", calls.len());
}
