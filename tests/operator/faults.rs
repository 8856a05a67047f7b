//! Every fault of the emulator, at every operation that the operator calls.

mod reasons;

use std::time::Instant;

use apprunner_emulator::{Call, Fault, FaultKind, Operation};
use apprunner_operator::api::VpcConnector;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;

use crate::support::{ACCOUNT, REGION, World};

/// Worlds that run at once; each has an emulator and an operator.
const SIDE_BY_SIDE: usize = 8;
/// Worlds that run at once if each has one object, which mostly waits.
const IDLE_SIDE_BY_SIDE: usize = 12;

/// The task of an object when a fault occurs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Claim,
    Deletion,
}

/// Every call of each task.
const CALLS: [(Work, Operation); 5] = [
    (Work::Claim, Operation::DescribeVpcConnector),
    (Work::Claim, Operation::ListTagsForResource),
    (Work::Claim, Operation::TagResource),
    (Work::Deletion, Operation::ListTagsForResource),
    (Work::Deletion, Operation::DeleteVpcConnector),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_operation_is_reported_and_the_deletion_completes() {
    let kinds = stream::iter(FaultKind::catalogue());
    kinds.for_each_concurrent(SIDE_BY_SIDE, async |(name, kind)| run_fault(name, &kind).await).await;
}

/// One world for one kind of fault: an object for each call and count, a retained object, and one without a fault.
async fn run_fault(kind_name: &str, kind: &FaultKind) {
    let world = World::new().await;
    let _operator = world.operator();
    let cases = CALLS.into_iter().flat_map(|call| [(call, 1), (call, 3)]);
    let faulty_objects = join_all(cases.map(|(call, count)| faulty(&world, kind_name, kind, call, count)));
    let started = Instant::now();
    tokio::join!(faulty_objects, retained(&world, kind_name, kind), healthy(&world, kind_name, kind));
    reasons::assert_plain(&world, kind_name).await;
    eprintln!("{kind_name}: {:.1} s", started.elapsed().as_secs_f32());
}

async fn faulty(world: &World, kind_name: &str, kind: &FaultKind, (work, operation): (Work, Operation), count: u32) {
    let name = format!("{work:?}-{}-{count}", operation.name()).to_lowercase();
    // A foreign tag makes the answer that lists tags as long as other answers.
    let arn = world.emulator.create_connector_with_tags(ACCOUNT, REGION, &name, &[("team", "checkout")]);
    let fault = Fault::new(kind.clone()).on(operation).arn(&arn).times(count);
    if work == Work::Claim {
        world.emulator.add_fault(fault);
        world.create(&name, &arn).await;
        world.reason(&name, "Available").await;
    } else {
        world.create(&name, &arn).await;
        world.reason(&name, "Available").await;
        world.emulator.add_fault(fault);
    }
    world.delete(&name).await;
    world.until_deleted(&name).await;
    assert!(world.inactive(&arn), "{kind_name} at {name}: the object is deleted and its connector is not");
    let deletes = world.deletes_of(&arn);
    assert!(deletes <= 1 + count as usize, "{kind_name} at {name}: {deletes} deletes");
    let calls = world.calls(operation).into_iter().filter(|call| call.arn.as_deref() == Some(&arn));
    assert_ne!(calls.filter(|call| call.fault.is_some()).count(), 0, "{kind_name} at {name} never occurred");
    reasons::assert_reasons(world, &name, reasons::expected(kind_name, operation), kind_name).await;
}

/// With Retain the object is released and the connector stays, whatever the result of the untag call; an Event reports
/// the result.
async fn retained(world: &World, kind_name: &str, kind: &FaultKind) {
    let arn = world.claimed("retained").await;
    world.policy("retained", "Retain").await;
    world.emulator.add_fault(Fault::new(kind.clone()).on(Operation::UntagResource).arn(&arn));
    world.delete("retained").await;
    world.until_deleted("retained").await;
    assert!(!world.inactive(&arn), "{kind_name}: the connector is deleted");
    assert_eq!(world.deletes_of(&arn), 0, "{kind_name}");
    assert_eq!(world.owner_tag(&arn).is_none(), kind.takes_effect(), "{kind_name}");
    let note = world.event("retained", "Retained").await;
    let failed = reasons::expected(kind_name, Operation::UntagResource).is_some();
    // If connections are refused, the read before the untag call may be refused as well.
    assert_eq!(note.contains("its owner tag could not be"), failed, "{kind_name}: {note}");
}

async fn healthy(world: &World, kind_name: &str, kind: &FaultKind) {
    let arn = world.claimed("healthy").await;
    world.delete("healthy").await;
    world.until_deleted("healthy").await;
    assert!(world.inactive(&arn));
    // Refused connections affect every object.
    if !matches!(kind, FaultKind::ConnectionRefused { .. }) {
        reasons::assert_reasons(world, "healthy", None, kind_name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_sts_delays_all_calls_and_recovers() {
    let kinds = stream::iter(FaultKind::catalogue());
    kinds.for_each_concurrent(IDLE_SIDE_BY_SIDE, async |(name, kind)| fail_identity(name, kind).await).await;
}

/// One world for one kind of fault, with which STS answers three times in a row when the operator starts.
async fn fail_identity(kind_name: &str, kind: FaultKind) {
    let started = Instant::now();
    let world = World::new().await;
    world.emulator.add_fault(Fault::new(kind).on(Operation::GetCallerIdentity).times(3));
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn), "{kind_name}");
    assert_eq!(world.deletes(), 1, "{kind_name}");
    let expected = reasons::expected(kind_name, Operation::GetCallerIdentity);
    let asked = if expected.is_some() { 4 } else { 1 };
    assert_identity_first(&world.emulator.calls(), asked, kind_name);
    reasons::assert_reasons(&world, "egress", expected, kind_name).await;
    reasons::assert_plain(&world, kind_name).await;
    eprintln!("{kind_name} of STS: {:.1} s", started.elapsed().as_secs_f32());
}

/// Checks that no call named an ARN before STS had answered, and that STS was called `asked` times until then.
fn assert_identity_first(calls: &[Call], asked: usize, context: &str) {
    let first = calls.iter().position(|call| call.arn.is_some()).unwrap();
    let (before, after) = calls.split_at(first);
    let operations: Vec<_> = before.iter().map(|call| call.operation.as_deref().unwrap_or_default()).collect();
    assert_eq!(operations, vec!["GetCallerIdentity"; asked], "{context}");
    let answer = before.last().unwrap();
    assert_eq!(answer.status, Some(200), "{context}");
    assert!(answer.answered_at.unwrap() <= after[0].received_at, "{context}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_during_a_service_scan_delays_only_the_blockers() {
    let kinds = stream::iter(FaultKind::catalogue());
    kinds.for_each_concurrent(IDLE_SIDE_BY_SIDE, async |(name, kind)| fail_service_scan(name, kind).await).await;
}

/// One world for one kind of fault, which occurs three times in a row for the list and once for each service's
/// description.
async fn fail_service_scan(kind_name: &str, kind: FaultKind) {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let service = world.emulator.create_service(ACCOUNT, REGION, "shop", Some(&arn));
    world.emulator.add_fault(Fault::new(kind.clone()).on(Operation::ListServices).times(3));
    world.emulator.add_fault(Fault::new(kind).on(Operation::DescribeService).arn(&service));
    world.delete("egress").await;
    let named = |object: &VpcConnector| object.status.as_ref().is_some_and(|status| !status.blocked_by.is_empty());
    world.until("egress", kind_name, named).await;
    assert!(world.emulator.delete_service(&service));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn), "{kind_name}");
    reasons::assert_plain(&world, kind_name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_that_refused_connections_is_called_again() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.refuse_connections_until_allowed().await;
    world.delete("egress").await;
    world.reason("egress", "Unreachable").await;
    world.emulator.allow_connections().await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1, "a call that was never sent needs no describe and no second delete");
}
