//! Owners of connectors.

use apprunner_emulator::{FaultKind, Operation};
use apprunner_operator::api;
use serde_json::json;

use crate::support::{ACCOUNT, REGION, World, create_namespace, message, with_finalizer};

#[tokio::test]
async fn connector_of_another_cluster_is_left_alone() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
    world.create("egress", &arn).await;
    let held = world.reason("egress", "OwnedByAnother").await;
    let message = message(&held);
    assert!(message.contains("another-cluster/shop/egress"), "{message}");
    assert!(message.contains(&format!("aws apprunner untag-resource --resource-arn {arn}")), "{message}");

    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(!world.inactive(&arn));
    assert_eq!(world.deletes(), 0);
    let note = world.event("egress", "NotOwned").await;
    assert!(note.contains(&arn) && note.contains("another-cluster/shop/egress"), "{note}");
}

#[tokio::test]
async fn untagged_connector_is_claimed_on_request() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
    world.create("egress", &arn).await;
    world.reason("egress", "OwnedByAnother").await;
    world.emulator.set_tags(&arn, &[]);
    world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("now")).await;
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn first_of_two_objects_owns_the_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("first").await;
    world.create("second", &arn).await;
    world.reason("second", "OwnedByAnother").await;
    world.delete("second").await;
    world.until_deleted("second").await;
    assert_eq!(world.deletes(), 0);
    world.delete("first").await;
    world.until_deleted("first").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn one_of_two_objects_created_at_once_owns_the_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    tokio::join!(world.create("a", &arn), world.create("b", &arn));
    let settled = |o: &api::VpcConnector| {
        let reason = o.status.as_ref().and_then(|s| s.ready_reason().map(str::to_owned));
        matches!(reason.as_deref(), Some("Available" | "OwnedByAnother"))
    };
    let a = world.until("a", "settled", settled).await.status.unwrap();
    let b = world.until("b", "settled", settled).await.status.unwrap();
    assert_ne!(a.ready_reason(), b.ready_reason());
}

#[tokio::test]
async fn connector_released_by_its_owner_is_claimed_by_the_next() {
    let world = World::new().await;
    let arn = {
        let _operator = world.operator();
        world.claimed("first").await
    };
    // Without an operator the first object ends as if a user had removed its finalizer by hand: the tag stays.
    world.merge("first", json!({"metadata": {"finalizers": null}})).await;
    world.delete("first").await;
    world.until_deleted("first").await;

    let _operator = world.operator();
    world.create("second", &arn).await;
    world.reason("second", "Available").await;
    assert!(world.owner_tag(&arn).unwrap().ends_with("/second"));
    assert!(world.event("second", "OwnershipTaken").await.contains("/first"));
}

#[tokio::test]
async fn recreated_object_is_the_same_owner() {
    let world = World::new().await;
    let arn = {
        let _operator = world.operator();
        world.claimed("egress").await
    };
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    world.delete("egress").await;
    world.until_deleted("egress").await;

    let _operator = world.operator();
    world.create("egress", &arn).await;
    world.reason("egress", "Available").await;
    assert_eq!(world.calls(Operation::TagResource).len(), 1, "the tag of the first is the tag of the second");
}

#[tokio::test]
async fn object_in_another_namespace_owns_the_connector_while_it_names_it() {
    let mut world = World::new().await;
    let other = create_namespace(&world.client).await;
    let _operator = world.operator_with(&[&format!("--watch-namespace={other}")]);
    let arn = world.claimed("egress").await;
    world.switch_namespace(&other);
    world.create("egress", &arn).await;
    world.reason("egress", "OwnedByAnother").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 0);
}

#[tokio::test]
async fn without_ownership_tags_no_tag_is_read_or_written() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--ownership-tags=false"]);
    let arn = world.claimed("egress").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
    for operation in [Operation::ListTagsForResource, Operation::TagResource, Operation::UntagResource] {
        assert_eq!(world.calls(operation).len(), 0, "{operation:?}");
    }
}

#[tokio::test]
async fn configured_cluster_id_is_in_the_owner_tag() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--cluster-id=blue"]);
    let arn = world.claimed("egress").await;
    assert_eq!(world.owner_tag(&arn).unwrap(), format!("blue/{}/egress", world.namespace));
}

#[tokio::test]
async fn malformed_tag_list_proves_no_owner() {
    let world = World::new().await;
    let arn = world.connector("shop");
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
    world.create_with("egress", &arn, with_finalizer).await;
    world.delete("egress").await;
    world.fault(Operation::ListTagsForResource, FaultKind::without("/Tags"));
    let _operator = world.operator();
    world.until_deleted("egress").await;
    let history = world.history("egress").await;
    assert!(history.iter().any(|status| status.ready_reason() == Some("Unproven")));
    assert!(!world.inactive(&arn));
    assert_eq!(world.deletes(), 0);
}

#[tokio::test]
async fn unreadable_other_object_keeps_its_connector() {
    let world = World::new().await;
    let _operator = world.operator_confined(&["--cluster-id=blue"]);
    world.claimed("ours").await;
    let arn = world.connector("theirs");
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, "blue/elsewhere/egress")]);
    world.create("egress", &arn).await;
    world.reason("egress", "OwnedByAnother").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(!world.inactive(&arn));
}

#[tokio::test]
async fn confined_operator_without_a_cluster_id_is_an_error_with_a_remedy() {
    let world = World::new().await;
    let mut operator = world.operator_confined(&[]);
    assert!(!operator.ended().await.success());
    let error = operator.log();
    assert!(error.contains("kube-system") && error.contains("--cluster-id"), "{error}");
}

#[tokio::test]
async fn retained_connector_is_claimed_again() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.policy("egress", "Retain").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    world.create("egress", &arn).await;
    world.reason("egress", "Available").await;
    assert!(world.owner_tag(&arn).is_some());
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn finalizer_removed_by_hand_is_added_again() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    world.until("egress", "with its finalizer again", |o| o.finalizer_index().is_some()).await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn lost_status_is_restored() {
    let world = World::new().await;
    let (kept, deleted) = {
        let _operator = world.operator();
        (world.claimed("kept").await, world.claimed("deleted").await)
    };
    // As if both had been restored from a backup, which has no status.
    for name in ["kept", "deleted"] {
        world.replace_status(name, json!(null)).await;
    }
    world.delete("deleted").await;
    let _operator = world.operator();
    world.until_deleted("deleted").await;
    assert!(world.inactive(&deleted));
    let object = world.reason("kept", "Available").await;
    assert_eq!(object.status.unwrap().arn.as_deref(), Some(kept.as_str()));
}

/// The operator would reconcile none of these objects by itself during the test: no interval is divided.
#[tokio::test]
async fn status_cleared_by_hand_is_restored_at_once() {
    let mut world = World::new().await;
    world.settings.pace = 1;
    let _operator = world.operator_with(&["--resync=24h"]);
    let well = world.claimed("well").await;
    let held = world.claimed("held").await;
    let foreign = world.connector("foreign");
    world.emulator.set_tags(&foreign, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
    world.create("foreign", &foreign).await;
    world.emulator.create_service(ACCOUNT, REGION, "shop", Some(&held));
    world.delete("held").await;
    let blocked = |object: &api::VpcConnector| object.status.as_ref().is_some_and(|s| s.blocked_by.len() == 1);
    world.until("held", "blocked by a service", blocked).await;
    world.reason("foreign", "OwnedByAnother").await;
    let described = || world.calls(Operation::DescribeVpcConnector).len();

    // A state in memory needs no call.
    let before = described();
    for (name, reason) in [("well", "Available"), ("held", "InUse"), ("foreign", "OwnedByAnother")] {
        world.merge_status(name, json!({"conditions": null})).await;
        world.reason(name, reason).await;
    }
    world.replace_status("foreign", json!({})).await;
    world.reason("foreign", "OwnedByAnother").await;
    assert_eq!(described(), before);

    // The operator claims the connector again.
    for status in [json!(null), json!({}), json!({"arn": foreign})] {
        for (name, reason, arn) in [("well", "Available", &well), ("held", "InUse", &held)] {
            world.replace_status(name, status.clone()).await;
            let restored = world.reason(name, reason).await.status.unwrap();
            assert_eq!(restored.arn.as_deref(), Some(arn.as_str()), "{name} {status}");
            assert!(restored.name.is_some(), "{name} {status}");
        }
    }
    world.merge_status("well", json!({"arn": null})).await;
    world.until("well", "claimed again", |object| object.status.as_ref().is_some_and(|s| s.arn.is_some())).await;
    assert_eq!(world.deletes(), 1, "restoring the status sent no second delete");
    assert!(!world.inactive(&well) && !world.inactive(&held));
}

#[tokio::test]
async fn second_object_claims_the_connector_once_the_first_retains_it() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("first").await;
    world.create("second", &arn).await;
    world.reason("second", "OwnedByAnother").await;
    world.policy("first", "Retain").await;
    world.delete("first").await;
    world.until_deleted("first").await;
    world.annotate("second", api::RECONCILE_REQUESTED_AT, Some("now")).await;
    world.reason("second", "Available").await;
    assert_eq!(world.deletes(), 0);
    world.delete("second").await;
    world.until_deleted("second").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn connector_with_too_many_tags_is_claimed_once_there_is_room() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    let full: Vec<_> = (0..50).map(|n| (format!("key-{n}"), "value".to_owned())).collect();
    let full: Vec<_> = full.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    world.emulator.set_tags(&arn, &full);
    world.create("egress", &arn).await;
    let held = world.reason("egress", "InvalidRequest").await;
    assert_eq!(held.status.unwrap().last_error.unwrap().operation, "TagResource");
    world.emulator.set_tags(&arn, &full[1..]);
    world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("now")).await;
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn other_cluster_id_does_not_claim_the_connectors_of_the_first() {
    let world = World::new().await;
    let arn = {
        let _blue = world.operator_with(&["--cluster-id=blue"]);
        world.claimed("egress").await
    };
    let _green = world.operator_with(&["--cluster-id=green"]);
    world.create("other", &arn).await;
    let held = world.reason("other", "OwnedByAnother").await;
    let message = message(&held);
    assert!(message.contains(&format!("blue/{}/egress", world.namespace)), "{message}");
}
