//! The process: its start, its shutdown, and the effects of one object on others.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apprunner_emulator::{Fault, FaultKind, Operation};
use apprunner_operator::testing;
use futures::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::cluster::cluster;
use crate::support::operator::PACE;
use crate::support::{ACCOUNT, World, create_namespace, eventually, with_finalizer};

#[tokio::test]
async fn shutdown_finishes_the_call_in_flight_and_records_its_answer() {
    let world = World::new().await;
    let mut operator = world.operator();
    let arn = world.claimed("egress").await;
    world.fault(Operation::DeleteVpcConnector, FaultKind::LateAnswer { ms: 2_000 });
    world.delete("egress").await;
    let sent = eventually(async || (world.deletes() == 1).then_some(()));
    assert!(sent.await.is_some());

    operator.terminate();
    let status = operator.ended().await;
    assert!(status.success(), "{status}");
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.history("egress").await.pop().unwrap().ready_reason(), Some("Deleted"));
}

#[tokio::test]
async fn shutdown_with_no_call_in_flight_is_quick_and_clean() {
    let world = World::new().await;
    let mut operator = world.operator();
    world.claimed("egress").await;
    operator.terminate();
    assert!(operator.ended().await.success());
    assert_eq!(operator.logged("stopped").len(), 1);
}

#[tokio::test]
async fn killed_operator_continues_after_its_restart() {
    let world = World::new().await;
    let arn = {
        let _operator = world.operator();
        let arn = world.claimed("egress").await;
        // Describe fails too, so the outcome stays unknown until the kill.
        world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::ClosedAfterEffect);
        world.lasting_fault(Operation::DescribeVpcConnector, FaultKind::AccessDenied);
        world.delete("egress").await;
        world.reason("egress", "Unreachable").await;
        arn
    };
    world.emulator.clear_faults();
    let before = world.deletes();
    let _operator = world.operator();
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), before, "the status says that the outcome is unknown: a describe comes first");
    assert_eq!(world.history("egress").await.pop().unwrap().ready_reason(), Some("Deleted"));
}

#[tokio::test]
async fn slow_region_does_not_delay_other_regions() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--concurrency=4"]);
    let slow: Vec<_> =
        (0..12).map(|n| world.emulator.create_connector(ACCOUNT, "eu-west-1", &format!("slow-{n}"))).collect();
    world.emulator.add_fault(
        Fault::new(FaultKind::Delay { ms: 9_000 }).on(Operation::DescribeVpcConnector).region("eu-west-1").forever(),
    );
    join_all(slow.iter().enumerate().map(async |(n, arn)| world.create(&format!("slow-{n}"), arn).await)).await;
    let waiting = eventually(async || {
        let open = world.emulator.calls().into_iter().filter(|call| call.answered_at.is_none()).count();
        (open == 2).then_some(())
    });
    assert!(waiting.await.is_some(), "half of four workers wait for the slow region");

    let started = Instant::now();
    for n in 0..3 {
        world.claimed(&format!("quick-{n}")).await;
    }
    assert!(started.elapsed() < Duration::from_secs(9), "they waited for the slow region");
}

#[tokio::test]
async fn only_the_configured_namespaces_are_watched() {
    let mut world = World::new().await;
    let (second, third) = (create_namespace(&world.client).await, create_namespace(&world.client).await);
    let _operator = world.operator_with(&[&format!("--watch-namespace={second}")]);
    world.claimed("egress").await;
    world.switch_namespace(&third);
    world.create("egress", &world.connector("third")).await;
    world.switch_namespace(&second);
    world.create("egress", &world.connector("second")).await;
    world.reason("egress", "Available").await;
    world.switch_namespace(&third);
    let untouched = world.api.get("egress").await.unwrap();
    assert_eq!(untouched.status.and_then(|status| status.observed_generation), Some(-1));
    assert_eq!(untouched.metadata.finalizers, None);
}

#[tokio::test]
async fn secrets_never_reach_the_log() {
    let mut world = World::new().await;
    world.settings.environment.push(("APPRUNNER_OPERATOR_LOG".into(), "trace".into()));
    let operator = world.operator();
    world.claimed("egress").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(!operator.log().contains("not-a-secret"), "the secret key stands in the log");
}

#[test]
fn invalid_settings_are_refused_with_a_remedy() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"))
            .arg("run")
            .args(arguments)
            .env_clear()
            .env("KUBECONFIG", cluster().kubeconfig())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for (arguments, says) in [
        (&["--resync=soon"][..], "10m"),
        (&["--resync=10ms"], "at least 1s"),
        (&["--concurrency=0"], "at least 1"),
        (&["--cluster-id=a/b"], "cluster id"),
        (&["--regions=US"], "region"),
        (&["--log=nonsense=loud"], "--log"),
        (&["--ownership-tags=maybe"], "not a boolean"),
        (&["--default-deletion-policy=Orphan"], "Delete, Retain"),
        (&["--namespace=shop"], "--watch-namespace"),
    ] {
        let (success, error) = run(arguments);
        assert!(!success && error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn missing_cluster_is_an_error_with_a_remedy() {
    let output = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"))
        .arg("run")
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("KUBECONFIG"), "{error}");
}

/// Simulates a defect in one reconcile: the client panics for one object only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_in_one_reconcile_affects_one_object() {
    let world = World::new().await;
    world.create("unlucky", &world.connector("unlucky")).await;
    // A receipt in the status needs no AWS, and this operator serves no region.
    let names = ["healthy-a", "healthy-b", "healthy-c"];
    for name in names {
        let arn = world.connector(name);
        world.create_with(name, &arn, with_finalizer).await;
        world.merge_status(name, json!({"arn": arn, "status": "INACTIVE"})).await;
        world.delete(name).await;
    }

    let broken = Arc::new(AtomicBool::new(true));
    let client = panicking_client(&world, "unlucky", broken.clone());
    let stopping = CancellationToken::new();
    let (namespaces, stop) = ([world.namespace.clone()], stopping.clone());
    let running = tokio::spawn(async move {
        testing::run_controller(client, &namespaces, PACE, stop).await;
    });

    for name in names {
        world.until_deleted(name).await;
    }
    assert!(world.api.get("unlucky").await.unwrap().finalizer_index().is_none(), "it panicked before the finalizer");
    broken.store(false, Ordering::Relaxed);
    world.until("unlucky", "held", |object| object.finalizer_index().is_some()).await;
    stopping.cancel();
    running.await.unwrap();
}

fn panicking_client(world: &World, name: &str, broken: Arc<AtomicBool>) -> kube::Client {
    let (real, path) = (world.client.clone(), format!("/vpcconnectors/{name}"));
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (real, unlucky) = (real.clone(), request.uri().path().ends_with(&path));
        let panics = unlucky && request.method() == "PATCH" && broken.load(Ordering::Relaxed);
        async move {
            assert!(!panics, "a defect");
            real.send(request).await
        }
    });
    kube::Client::new(service, "default")
}
