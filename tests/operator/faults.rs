//! Every fault the emulator can play, at every operation of a claim and of a delete, once and three times in a row.

use std::time::Instant;

use apprunner_emulator::{Fault, FaultKind, Operation};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;

use crate::support::World;

/// Worlds at once; each is an emulator and an operator.
const SIDE_BY_SIDE: usize = 8;
const CLAIM: [Operation; 3] = [Operation::DescribeVpcConnector, Operation::ListTagsForResource, Operation::TagResource];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_operation_ends_with_the_connector_gone() {
    let kinds = stream::iter(FaultKind::catalogue());
    kinds.for_each_concurrent(SIDE_BY_SIDE, async |(name, kind)| play(name, &kind).await).await;
}

/// One world for one kind of fault: an object for each operation and count, and a healthy one beside them.
async fn play(kind_name: &str, kind: &FaultKind) {
    let world = World::new().await;
    let _operator = world.operator();
    let cases: Vec<_> =
        CLAIM.into_iter().chain([Operation::DeleteVpcConnector]).flat_map(|op| [(op, 1), (op, 3)]).collect();
    let faulty = join_all(cases.iter().map(|(operation, count)| one(&world, kind, *operation, *count)));
    let healthy = async {
        let arn = world.claimed("healthy").await;
        world.delete("healthy").await;
        world.gone("healthy").await;
        assert!(world.inactive(&arn));
    };
    let started = Instant::now();
    tokio::join!(faulty, healthy);
    eprintln!("{kind_name}: {:.1} s", started.elapsed().as_secs_f32());
}

async fn one(world: &World, kind: &FaultKind, operation: Operation, count: u32) {
    let name = format!("{}-{count}", operation.name().to_lowercase());
    let arn = world.connector(&name);
    let fault = Fault::new(kind.clone()).on(operation).arn(&arn).times(count);
    if CLAIM.contains(&operation) {
        world.emulator.add_fault(fault);
        world.create(&name, &arn).await;
        world.reason(&name, "Available").await;
    } else {
        world.create(&name, &arn).await;
        world.reason(&name, "Available").await;
        world.emulator.add_fault(fault);
    }
    world.delete(&name).await;
    world.gone(&name).await;
    assert!(world.inactive(&arn), "{kind:?} at {name}: the object is gone and its connector is not");
    let deletes = world.deletes_of(&arn);
    assert!(deletes <= 1 + count as usize, "{kind:?} at {name}: {deletes} deletes");
}

#[tokio::test]
async fn a_fault_while_the_account_is_asked_for_holds_everything_and_heals() {
    for kind in [FaultKind::ClosedAfterEffect, FaultKind::EmptyBody, FaultKind::Html200 { after_effect: true }] {
        let world = World::new().await;
        let arn = world.connector("shop");
        world.emulator.add_fault(Fault::new(kind).on(Operation::GetCallerIdentity).times(1));
        let _operator = world.operator();
        world.create("egress", &arn).await;
        world.reason("egress", "Available").await;
        world.delete("egress").await;
        world.gone("egress").await;
        assert!(world.inactive(&arn));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_refuses_connections_is_come_back_to() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.refuse_connections_until_allowed().await;
    world.delete("egress").await;
    world.reason("egress", "Unreachable").await;
    world.emulator.allow_connections().await;
    world.gone("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1, "what was never sent has no second look and no second delete");
}
