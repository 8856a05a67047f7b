//! Claiming a connector, and the errors on the way.

use apprunner_emulator::{FaultKind, Operation};
use apprunner_operator::api;

use crate::support::{World, message};

#[tokio::test]
async fn connector_is_claimed_tagged_and_described() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    let object = world.reason("egress", "Available").await;
    let status = object.status.unwrap();
    assert_eq!(status.arn.as_deref(), Some(arn.as_str()));
    assert_eq!((status.name.as_deref(), status.revision), (Some("shop"), Some(1)));
    assert_eq!(status.status.as_deref(), Some("ACTIVE"));
    assert_eq!(status.observed_generation, object.metadata.generation);
    let tag = world.owner_tag(&arn).unwrap();
    assert!(tag.ends_with(&format!("/{}/egress", world.namespace)), "{tag}");
    assert!(world.event("egress", "Available").await.contains("ACTIVE"));
    let calls = |operation| world.calls(operation).len();
    assert_eq!((calls(Operation::DescribeVpcConnector), calls(Operation::TagResource)), (1, 1));
    assert_eq!(calls(Operation::ListTagsForResource), 2, "once before the tag is written, and once after");
}

#[tokio::test]
async fn new_object_never_looks_finished() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    world.delete("egress").await;
    let history = world.history("egress").await;
    let first = history.iter().position(|status| status.ready_reason().is_some()).unwrap();
    assert_eq!(history[first].ready_reason(), Some("Adopting"), "the operator's first status");
    assert!(
        history[..first].iter().all(|status| status.observed_generation == Some(-1)),
        "before that, the CRD's default"
    );
}

#[tokio::test]
async fn missing_connector_is_claimed_on_request_once_it_exists() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.fault(Operation::DescribeVpcConnector, FaultKind::error("ResourceNotFoundException", 400, "none such"));
    world.create("egress", &arn).await;
    let object = world.reason("egress", "NotFound").await;
    assert!(object.status.unwrap().condition("Stalled").is_some());
    world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("t1")).await;
    let object = world.reason("egress", "Available").await;
    assert!(object.status.as_ref().unwrap().condition("Stalled").is_none());
    assert_eq!(object.status.unwrap().last_handled_reconcile_at.as_deref(), Some("t1"));
    world.delete("egress").await;
    let history = world.history("egress").await;
    let reasons: Vec<_> = history.iter().filter_map(|status| status.ready_reason()).collect();
    let available = reasons.iter().position(|reason| *reason == "Available").unwrap();
    assert!(!reasons[available..].contains(&"NotFound"), "the answer was withdrawn: {reasons:?}");
}

#[tokio::test]
async fn inactive_connector_is_not_claimed() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.emulator.delete_connector(&arn);
    world.create("egress", &arn).await;
    let object = world.reason("egress", "Inactive").await;
    let status = object.status.unwrap();
    assert_eq!((status.arn, status.status.as_deref()), (None, Some("INACTIVE")));
}

#[tokio::test]
async fn connector_deleted_outside_the_operator_is_reported_gone() {
    let world = World::new().await;
    let _operator = world.operator();
    let (inactive, forgotten) = (world.claimed("inactive").await, world.claimed("forgotten").await);
    world.emulator.delete_connector(&inactive);
    world.emulator.forget_connector(&forgotten);
    for name in ["inactive", "forgotten"] {
        world.annotate(name, api::RECONCILE_REQUESTED_AT, Some("now")).await;
        world.reason(name, "Gone").await;
        world.delete(name).await;
        world.until_deleted(name).await;
    }
    assert_eq!(world.deletes(), 0, "one has its receipt in the status; the other has no tags and is described");
    let looked =
        world.calls(Operation::DescribeVpcConnector).into_iter().filter(|call| call.arn.as_deref() == Some(&forgotten));
    assert_eq!(looked.count(), 3, "for the claim, on request, and for the deletion");
}

#[tokio::test]
async fn claimed_connector_is_described_every_resync() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--resync=2s"]);
    let arn = world.claimed("egress").await;
    world.emulator.delete_connector(&arn);
    world.reason("egress", "Gone").await;
}

#[tokio::test]
async fn refused_call_during_a_claim_names_the_iam_action() {
    let world = World::new().await;
    let _operator = world.operator();
    for (operation, name) in [
        (Operation::DescribeVpcConnector, "describe"),
        (Operation::ListTagsForResource, "list-tags"),
        (Operation::TagResource, "write-tag"),
    ] {
        let arn = world.connector(name);
        world.fault(operation, FaultKind::AccessDenied);
        world.create(name, &arn).await;
        let held = world.reason(name, "AccessDenied").await;
        assert!(message(&held).contains(&format!("apprunner:{}", operation.name())), "{}", message(&held));
        world.reason(name, "Available").await;
    }
}
