//! Other writers of the same objects: the operator neither loses their changes nor waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apprunner_emulator::{Fault, FaultKind, Operation};
use apprunner_operator::api;
use futures::future::join_all;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;

use crate::support::World;
use crate::support::proxy::{Calls, Side};

#[tokio::test]
async fn constantly_changing_foreign_finalizers_do_not_stop_the_deletion() {
    let world = World::new().await;
    let _operator = world.operator();
    let names = ["a", "b", "c", "d", "e"];
    let arns = join_all(names.map(|name| world.connector(name.repeat(4).as_str())).map(async |arn| arn)).await;
    let stop = Arc::new(AtomicBool::new(false));
    for (name, arn) in names.iter().zip(&arns) {
        world.create(name, arn).await;
    }
    let churning: Vec<_> = names
        .iter()
        .map(|name| tokio::spawn(change_finalizers(world.api.clone(), (*name).into(), stop.clone())))
        .collect();
    for name in names {
        world.reason(name, "Available").await;
        world.delete(name).await;
        world.until_deleted_or(name, |object| object.finalizer_index().is_none()).await;
    }
    stop.store(true, Ordering::Relaxed);
    join_all(churning).await;
    for name in names {
        world.until_deleted(name).await;
    }
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    assert_eq!(world.deletes(), names.len());
}

/// Adds and removes a finalizer of its own in front of the others until it is stopped; leaves none behind.
async fn change_finalizers(api: kube::Api<api::VpcConnector>, name: String, stop: Arc<AtomicBool>) {
    const OTHER: &str = "example.com/churn";
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(object)) = api.get_opt(&name).await else { return };
        let mut finalizers = object.metadata.finalizers.unwrap_or_default();
        if finalizers.iter().any(|f| f == OTHER) {
            finalizers.retain(|f| f != OTHER);
        } else if object.metadata.deletion_timestamp.is_none() {
            finalizers.insert(0, OTHER.into());
        }
        let version = object.metadata.resource_version;
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
        let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    }
    let Ok(Some(object)) = api.get_opt(&name).await else { return };
    let rest: Vec<_> = object.metadata.finalizers.unwrap_or_default().into_iter().filter(|f| f != OTHER).collect();
    let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": rest}}))).await;
}

#[tokio::test]
async fn every_way_of_deleting_the_object_deletes_the_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    for policy in [PropagationPolicy::Foreground, PropagationPolicy::Orphan, PropagationPolicy::Background] {
        let name = format!("{policy:?}").to_lowercase();
        let arn = world.claimed(&name).await;
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        world.api.delete(&name, &params).await.unwrap();
        world.until_deleted(&name).await;
        assert!(world.inactive(&arn), "{name}");
    }
}

#[tokio::test]
async fn twenty_foreign_finalizers_and_large_metadata_are_not_changed() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    let foreign: Vec<String> = (0..20).map(|n| format!("example.com/f{n}")).collect();
    let (finalizers, note) = (foreign.clone(), "x".repeat(200_000));
    world
        .create_with("egress", &arn, |object| {
            object.metadata.finalizers = Some(finalizers);
            object.metadata.annotations = Some([("example.com/note".to_owned(), note.clone())].into());
            object.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
        })
        .await;
    world.reason("egress", "Available").await;
    world.delete("egress").await;
    let released = world.until("egress", "released", |object| object.finalizer_index().is_none()).await;
    assert_eq!(released.metadata.finalizers, Some(foreign));
    assert_eq!(released.annotation("example.com/note"), Some(note.as_str()));
    assert_eq!(released.metadata.labels.unwrap()["team"], "shop");
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn status_edited_during_a_deletion_does_not_delete_another_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    let (ours, other) = (world.claimed("egress").await, world.connector("other"));
    world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::throttling());
    world.delete("egress").await;
    world.reason("egress", "Throttled").await;
    world.merge_status("egress", json!({"arn": other})).await;
    world.emulator.clear_faults();
    world.until_deleted("egress").await;
    assert!(world.inactive(&ours) && !world.inactive(&other));
}

#[tokio::test]
async fn retain_set_during_a_delete_call_applies_after_that_call() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let hang = FaultKind::Delay { ms: 1_500 };
    world.fault(Operation::DeleteVpcConnector, hang);
    world
        .emulator
        .add_fault(Fault::new(FaultKind::InternalErrorBeforeEffect).on(Operation::DeleteVpcConnector).forever());
    world.delete("egress").await;
    assert!(crate::support::eventually(async || (world.deletes() == 1).then_some(())).await.is_some());
    world.policy("egress", "Retain").await;
    world.until_deleted("egress").await;
    // The delete call was in flight before the policy became Retain, and AWS carried it out: then there is a receipt.
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
    assert_eq!(world.history("egress").await.pop().unwrap().ready_reason(), Some("Deleted"));
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_connectors() {
    let world = World::new().await;
    let _operator = world.operator();
    let arns = [world.claimed("a").await, world.claimed("b").await];
    let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    for name in ["a", "b"] {
        world.until_deleted(name).await;
    }
    let gone = async || namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(());
    assert!(crate::support::eventually(gone).await.is_some(), "the namespace is still there");
    assert!(arns.iter().all(|arn| world.inactive(arn)));
}

#[tokio::test]
async fn object_created_again_under_the_same_name_is_a_new_object() {
    let world = World::new().await;
    let _operator = world.operator();
    let old = world.claimed("egress").await;
    world.fault(Operation::DeleteVpcConnector, FaultKind::LateAnswer { ms: 1_000 });
    world.delete("egress").await;
    assert!(crate::support::eventually(async || (world.deletes() == 1).then_some(())).await.is_some());
    // An impatient user removes the finalizer by hand and uses the name again while the call is in flight.
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    let new = world.connector("new-one");
    world.create("egress", &new).await;
    let object = world.reason("egress", "Available").await;
    assert_eq!(object.status.unwrap().arn.as_deref(), Some(new.as_str()));
    assert!(world.inactive(&old) && !world.inactive(&new));
    assert_eq!(world.deletes(), 1);
    let object = world.until("egress", "held", |object| object.finalizer_index().is_some()).await;
    assert!(object.metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn two_operators_on_the_same_objects_lose_nothing() {
    let world = World::new().await;
    let _operators = [world.operator(), world.operator()];
    let names: Vec<String> = (0..20).map(|n| format!("egress-{n}")).collect();
    let arns = join_all(names.iter().map(|name| world.claimed(name))).await;
    join_all(names.iter().map(|name| world.delete(name))).await;
    join_all(names.iter().map(|name| world.until_deleted(name))).await;
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    for arn in &arns {
        let deletes = world.deletes_of(arn);
        assert!(deletes <= 2, "{arn} was deleted {deletes} times");
    }
}

/// As at a handover without a Lease: the write of the one process was decided before the other process wrote the receipt.
#[tokio::test]
async fn late_status_of_another_operator_does_not_replace_the_receipt() {
    let world = World::new().await;
    let proxy = world.proxy().await;
    let _late = world.operator_through(&proxy);
    let arn = world.claimed("egress").await;
    let other = json!({"metadata": {"finalizers": [api::FINALIZER, "example.com/keep"]}});
    world.merge("egress", other).await;
    world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::throttling());
    let gate = proxy.hold(Side::BeforeEffect, Calls::status_patch(), 0);
    world.delete("egress").await;
    let held = gate.reached().await.number;

    world.emulator.clear_faults();
    let _operator = world.operator();
    world.until("egress", "released", |object| object.finalizer_index().is_none()).await;
    gate.release();
    let answered = async || proxy.requests()[held].status;
    assert!(crate::support::eventually(answered).await.is_some(), "the late write is never answered");
    let status = world.api.get("egress").await.unwrap().status.unwrap();
    assert_eq!((status.ready_reason(), status.status.as_deref()), (Some("Deleted"), Some("INACTIVE")));
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes_of(&arn), 2, "one was throttled");
}
