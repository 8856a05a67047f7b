//! The purpose of the project: deleting the object deletes the connector, with a receipt.

use apprunner_emulator::{ConnectorIds, FaultKind, Operation};
use apprunner_operator::api::{self, VpcConnector, condition};
use serde_json::json;

use crate::support::{ACCOUNT, REGION, World, with_finalizer};

#[tokio::test]
async fn claimed_connector_is_deleted_with_two_calls_and_a_receipt() {
    let world = World::new().await;
    let operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.clear_calls();

    world.delete("egress").await;
    world.until_deleted("egress").await;

    assert!(world.inactive(&arn));
    let calls: Vec<_> = world.emulator.calls().into_iter().filter_map(|call| call.operation).collect();
    assert_eq!(calls, ["ListTagsForResource", "DeleteVpcConnector"]);
    let in_aws = world.emulator.connector(&arn).unwrap();
    let receipt = world.history("egress").await.pop().unwrap();
    assert_eq!(receipt.status.as_deref(), Some("INACTIVE"));
    assert_eq!(receipt.arn.as_deref(), Some(arn.as_str()));
    let deleted_at = receipt.deleted_at.unwrap().0;
    assert_eq!(deleted_at.as_second(), in_aws.deleted_at.unwrap().as_second());
    assert_eq!(receipt.created_at.unwrap().0.as_second(), in_aws.created_at.as_second());
    assert_eq!((receipt.name.as_deref(), receipt.revision), (Some(in_aws.name.as_str()), Some(1)));
    assert_eq!((receipt.subnets, receipt.security_groups), (in_aws.subnets, in_aws.security_groups));
    let note = format!("App Runner reports the connector INACTIVE: {arn}, DeletedAt {deleted_at}");
    assert_eq!(world.event("egress", "Deleted").await, note);
    let logged = operator.logged("released the object").pop().unwrap();
    assert_eq!(logged["arn"], arn.as_str());
}

#[tokio::test]
async fn connector_with_another_arn_ending_is_claimed_named_and_deleted() {
    let world = World::new().await;
    world.emulator.change_behaviors(|behaviors| behaviors.connector_ids = ConnectorIds::Uuid);
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    assert_eq!(arn.rsplit('/').next().unwrap().len(), 36, "{arn}");
    let web = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
    world.delete("egress").await;
    let named = |object: &VpcConnector| object.status.as_ref().is_some_and(|status| !status.blocked_by.is_empty());
    world.until("egress", "held", named).await;
    assert!(world.emulator.delete_service(&web));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.history("egress").await.pop().unwrap().ready_reason(), Some("Deleted"));
}

#[tokio::test]
async fn retain_releases_the_object_and_removes_the_owner_tag() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    assert!(world.owner_tag(&arn).is_some());
    world.policy("egress", "Retain").await;

    world.delete("egress").await;
    world.until_deleted("egress").await;

    assert!(!world.inactive(&arn));
    assert_eq!(world.deletes(), 0);
    assert_eq!(world.owner_tag(&arn), None);
    assert_eq!(world.event("egress", "Retained").await, format!("left in AWS: {arn}"));
}

#[tokio::test]
async fn retain_releases_a_paused_unclaimed_or_wrong_account_object() {
    let world = World::new().await;
    let claimed = {
        let _operator = world.operator();
        world.claimed("claimed").await
    };
    let unclaimed = world.connector("unclaimed");
    world.create_with("unclaimed", &unclaimed, with_finalizer).await;
    let _operator = world.operator_of_other_account();
    for name in ["claimed", "unclaimed"] {
        world.annotate(name, api::PAUSED, Some("true")).await;
        world.policy(name, "Retain").await;
        world.delete(name).await;
        world.until_deleted(name).await;
        assert!(world.event(name, "Retained").await.contains("left in AWS"));
    }
    assert!(!world.inactive(&claimed) && !world.inactive(&unclaimed));
    assert_eq!(world.calls(Operation::UntagResource).len(), 0, "the tags of another account are not removed");
}

#[tokio::test]
async fn retain_ends_a_stuck_deletion() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::InternalErrorBeforeEffect);
    world.lasting_fault(Operation::UntagResource, FaultKind::AccessDenied);
    world.delete("egress").await;
    world.reason("egress", "ServiceError").await;

    world.policy("egress", "Retain").await;
    world.until_deleted("egress").await;

    let note = world.event("egress", "Retained").await;
    assert_eq!(world.calls(Operation::UntagResource).len(), 1);
    assert!(note.contains(&arn) && note.contains("not known") && note.contains("could not be removed"), "{note}");
}

#[tokio::test]
async fn paused_object_is_left_alone_until_it_is_resumed() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.annotate("egress", api::PAUSED, Some("true")).await;
    world.until("egress", "Paused", |o| has_condition(o, condition::PAUSED)).await;
    let before = world.emulator.calls().len();

    world.delete("egress").await;
    // A second object completes its claim meanwhile, so the operator had time to reconcile the first one.
    world.claimed("other").await;
    world.delete("other").await;
    world.until_deleted("other").await;
    assert!(world.emulator.calls()[before..].iter().all(|call| call.arn.as_deref() != Some(&arn)));

    world.annotate("egress", api::PAUSED, None).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn protected_object_waits_until_its_protection_is_removed() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.annotate("egress", api::PROTECTED, Some("true")).await;
    world.delete("egress").await;
    world.reason("egress", "Protected").await;
    assert_eq!(world.deletes(), 0);

    world.annotate("egress", api::PROTECTED, Some("false")).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn receipt_in_the_status_needs_no_call() {
    let world = World::new().await;
    let arn = {
        let _operator = world.operator();
        world.claimed("egress").await
    };
    world.merge_status("egress", json!({"status": "INACTIVE"})).await;
    world.delete("egress").await;

    let _operator = world.operator_of_other_account();
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 0);
    assert!(!world.inactive(&arn), "the receipt was written by the test; writing a status needs a right of its own");
}

#[tokio::test]
async fn object_deleted_before_its_claim_is_claimed_and_deleted() {
    let world = World::new().await;
    let arn = world.connector("shop");
    world.create_with("egress", &arn, with_finalizer).await;
    world.delete("egress").await;

    let _operator = world.operator();
    world.until_deleted("egress").await;

    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
    assert_eq!(world.calls(Operation::TagResource).len(), 0, "a connector that is to be deleted is not tagged");
    assert_eq!(world.history("egress").await.pop().unwrap().status.as_deref(), Some("INACTIVE"));
}

#[tokio::test]
async fn unclaimed_object_without_a_connector_is_released() {
    let world = World::new().await;
    let (missing, inactive) = (world.connector("missing"), world.connector("inactive"));
    world.emulator.forget_connector(&missing);
    world.emulator.delete_connector(&inactive);
    for (name, arn) in [("missing", &missing), ("inactive", &inactive)] {
        world.create_with(name, arn, with_finalizer).await;
        world.delete(name).await;
    }

    let _operator = world.operator();
    for name in ["missing", "inactive"] {
        world.until_deleted(name).await;
        let last = world.history(name).await.pop().unwrap();
        assert_eq!(last.ready_reason(), Some("AlreadyGone"), "{name}");
        assert_eq!(last.arn, None, "{name}");
    }
    assert_eq!(world.deletes(), 0);
}

#[tokio::test]
async fn status_that_names_another_connector_deletes_neither() {
    let world = World::new().await;
    let (ours, other) = (world.connector("ours"), world.connector("other"));
    world.create_with("egress", &ours, with_finalizer).await;
    world.merge_status("egress", json!({"arn": other, "status": "INACTIVE"})).await;
    world.delete("egress").await;

    let _operator = world.operator();
    world.until_deleted("egress").await;
    assert!(world.inactive(&ours), "the spec names it");
    assert!(!world.inactive(&other), "the status was wrong");
    assert!(world.event("egress", "StatusCorrected").await.contains(&other));
}

#[tokio::test]
async fn other_finalizers_are_kept_and_not_waited_for() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    let foreign = "example.com/other";
    world.create_with("egress", &arn, |o| o.metadata.finalizers = Some(vec![foreign.into()])).await;
    let object = world.reason("egress", "Available").await;
    assert_eq!(object.metadata.finalizers.unwrap(), [foreign, api::FINALIZER]);

    world.delete("egress").await;
    let released = world.until("egress", "released", |o| o.finalizer_index().is_none()).await;
    assert_eq!(released.metadata.finalizers.unwrap(), [foreign]);
    assert!(world.inactive(&arn));
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 1);
}

fn has_condition(object: &VpcConnector, type_: &str) -> bool {
    object.status.as_ref().is_some_and(|status| status.condition(type_).is_some_and(|c| c.status == "True"))
}
