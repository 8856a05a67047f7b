//! 10,000 objects that are listed at once: the Lease is renewed and the probes answer meanwhile.
//!
//! `make schedules` runs it, because the API server needs minutes to store so many objects.
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the helpers are those of tests/operator, which uses more of them"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a failing test panics")]

#[path = "../operator/support/mod.rs"]
mod support;

use std::time::Duration;

use apprunner_operator::api;
use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use support::{World, eventually};

const OBJECTS: usize = 10_000;
/// Requests to the API server at a time.
const AT_ONCE: usize = 40;
/// The kubelet's default.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The operator renews the Lease every two seconds, and ends when it cannot for ten.
const RENEWED_WITHIN: i64 = 5;
/// Far more than the operator needs, in steps of 100 ms.
const STEPS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_and_probes_are_served_while_ten_thousand_objects_are_listed() {
    let mut world = World::new().await;
    world.allow_election();
    let arn = world.connector("shop");
    // A paused object costs the operator one status write and no call to AWS.
    let create = async |n: usize| {
        let paused = [(api::PAUSED.to_owned(), "true".to_owned())].into();
        world.create_with(&format!("egress-{n}"), &arn, |object| object.metadata.annotations = Some(paused)).await;
    };
    stream::iter(0..OBJECTS).map(create).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;

    let lease = format!("--lease-namespace={}", world.namespace);
    let addresses = ["--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"];
    world.settings.pace = 1;
    let operator = world.operator_with(&["--leader-election=true", &lease, addresses[0], addresses[1]]);
    assert!(eventually(async || renewed_ago(&world).await.map(|_| ())).await.is_some(), "the operator does not lead");
    let mut steps = 0..STEPS;
    let all = format!("apprunner_operator_objects{{reason=\"Adopting\"}} {OBJECTS}\n");
    while !operator.http_get(1, "/metrics").await.1.contains(&all) {
        assert!(steps.next().is_some(), "not all objects have a status");
        for path in ["/livez", "/readyz"] {
            let answer = tokio::time::timeout(PROBE_TIMEOUT, operator.http_get(0, path)).await;
            let (code, text) = answer.unwrap_or_else(|_| panic!("{path} did not answer within {PROBE_TIMEOUT:?}"));
            assert!(code == 200 || path == "/readyz" && steps.start < 100, "{path}: {text}");
        }
        let ago = renewed_ago(&world).await.unwrap();
        assert!(ago <= RENEWED_WITHIN, "the Lease was renewed {ago} s ago");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(operator.logged("lost the Lease").is_empty());
    assert!(world.emulator.calls().is_empty(), "paused objects cause no call");
}

/// Seconds since the Lease was renewed, if there is one.
async fn renewed_ago(world: &World) -> Option<i64> {
    let leases = Api::<Lease>::namespaced(world.client.clone(), &world.namespace);
    let renewed = leases.get_opt("apprunner-operator").await.unwrap()?.spec?.renew_time?;
    Some(jiff::Timestamp::now().duration_since(renewed.0).as_secs())
}
