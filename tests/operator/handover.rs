//! The owner tag moves while objects are claimed: to another cluster, to another object, or off the connector.

use std::collections::BTreeMap;

use apprunner_emulator::{Behaviors, Call, FaultKind, Operation};
use apprunner_operator::api::{self, VpcConnector};
use futures::future::join_all;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::{World, eventually};

const A: &str = "--cluster-id=a";
const B: &str = "--cluster-id=b";
/// Divided like every interval of the tests, so a resync takes place twice a second.
const RESYNC: &str = "--resync=10s";

/// Two clusters that share one App Runner, and a connector that the first has claimed.
struct Clusters {
    a: World,
    b: World,
    arn: String,
    _operators: [Operator; 2],
}

impl Clusters {
    async fn new() -> Self {
        let a = World::new().await;
        let b = a.with_same_emulator().await;
        let operators = [a.operator_with(&[A, RESYNC]), b.operator_with(&[B, RESYNC])];
        let arn = a.claimed("egress").await;
        Self { a, b, arn, _operators: operators }
    }

    /// Moves the tag to the second cluster's object, which waits for it.
    async fn move_tag(&self) {
        self.b.create("egress", &self.arn).await;
        self.b.reason("egress", "OwnedByAnother").await;
        self.a.emulator.set_tags(&self.arn, &[(api::OWNER_TAG, &format!("b/{}/egress", self.b.namespace))]);
        self.b.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("now")).await;
        self.b.reason("egress", "Available").await;
    }
}

#[tokio::test]
async fn object_whose_connector_moved_to_another_owner_deletes_nothing() {
    let clusters = Clusters::new().await;
    clusters.move_tag().await;
    let Clusters { a, b, arn, .. } = &clusters;
    let lost = a.reason("egress", "OwnedByAnother").await;
    let status = lost.status.unwrap();
    assert!(status.condition("Stalled").is_some());
    assert_eq!(status.arn, None, "the claim is released");
    a.delete("egress").await;
    a.until_deleted("egress").await;
    assert!(a.event("egress", "NotOwned").await.contains(&format!("b/{}/egress", b.namespace)));
    assert_eq!(a.deletes(), 0);
    b.reason("egress", "Available").await;
    b.delete("egress").await;
    b.until_deleted("egress").await;
    assert!(b.inactive(arn));
}

#[tokio::test]
async fn connector_moved_before_the_next_resync_is_not_deleted() {
    let a = World::new().await;
    let b = a.with_same_emulator().await;
    let _operators = [a.operator_with(&[A, "--resync=24h"]), b.operator_with(&[B])];
    let arn = a.claimed("egress").await;
    // The command that the condition of B prints.
    a.emulator.set_tags(&arn, &[]);
    b.create("egress", &arn).await;
    b.reason("egress", "Available").await;
    assert_eq!(
        a.reason("egress", "Available").await.status.unwrap().arn.as_deref(),
        Some(arn.as_str()),
        "the operator has not read the tag yet"
    );
    a.delete("egress").await;
    a.until_deleted("egress").await;
    a.event("egress", "NotOwned").await;
    assert_eq!(a.deletes(), 0);
    assert!(!a.inactive(&arn));
}

#[tokio::test]
async fn retain_leaves_the_tag_of_another_owner() {
    let clusters = Clusters::new().await;
    clusters.move_tag().await;
    let Clusters { a, b, arn, .. } = &clusters;
    a.policy("egress", "Retain").await;
    a.delete("egress").await;
    a.until_deleted("egress").await;
    assert!(a.event("egress", "Retained").await.contains("its owner tag names another owner and remains"));
    assert_eq!(a.owner_tag(arn), Some(format!("b/{}/egress", b.namespace)));
    assert_eq!(a.calls(Operation::UntagResource).len(), 0);
}

#[tokio::test]
async fn tag_moved_to_another_object_of_the_cluster_moves_the_connector() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--cluster-id=blue", RESYNC]);
    let arn = world.claimed("first").await;
    world.create("second", &arn).await;
    world.reason("second", "OwnedByAnother").await;
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, &format!("blue/{}/second", world.namespace))]);
    world.reason("first", "OwnedByAnother").await;
    world.delete("first").await;
    world.until_deleted("first").await;
    world.event("first", "NotOwned").await;
    assert_eq!(world.deletes(), 0);
    world.annotate("second", api::RECONCILE_REQUESTED_AT, Some("now")).await;
    world.reason("second", "Available").await;
    world.delete("second").await;
    world.until_deleted("second").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn tag_of_a_deleted_object_is_replaced_at_resync_and_blocks_no_deletion() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--cluster-id=blue", RESYNC]);
    let arn = world.claimed("egress").await;
    let gone = format!("blue/{}/gone", world.namespace);
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, &gone)]);
    let restored = async || (world.owner_tag(&arn)? != gone).then_some(());
    assert!(eventually(restored).await.is_some(), "the tag is never written again");
    assert!(world.event("egress", "OwnershipTaken").await.contains(&gone));
    world.annotate("egress", api::PROTECTED, Some("true")).await;
    world.delete("egress").await;
    world.reason("egress", "Protected").await;
    world.emulator.set_tags(&arn, &[(api::OWNER_TAG, &gone)]);
    world.annotate("egress", api::PROTECTED, None).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn stripped_tag_is_written_again_once_and_not_at_every_resync() {
    let world = World::new().await;
    let _operator = world.operator_with(&[RESYNC]);
    let arn = world.claimed("egress").await;
    let tag = world.owner_tag(&arn).unwrap();
    world.emulator.set_tags(&arn, &[("team", "checkout")]);
    assert!(eventually(async || (world.owner_tag(&arn)? == tag).then_some(())).await.is_some());
    assert!(world.event("egress", "OwnerTagRestored").await.contains(&arn));
    assert_eq!(world.emulator.tags(&arn).unwrap().get("team").map(String::as_str), Some("checkout"));

    world.emulator.set_tags(&arn, &[]);
    let before = world.calls(Operation::ListTagsForResource).len();
    let resyncs = async || (world.calls(Operation::ListTagsForResource).len() >= before + 4).then_some(());
    assert!(eventually(resyncs).await.is_some());
    assert_eq!(world.calls(Operation::TagResource).len(), 2, "one for the claim, one after the tag was stripped");
    let object = world.reason("egress", "Available").await;
    assert_eq!(object.status.unwrap().arn.as_deref(), Some(arn.as_str()));
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn), "a missing tag does not block the deletion");
}

#[tokio::test]
async fn tag_that_app_runner_shows_late_is_awaited_and_written_once() {
    let world = World::with_behaviors(Behaviors { tags_visible_after_ms: 2_000, ..Behaviors::default() }).await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    world.reason("egress", "Available").await;
    assert_eq!(world.calls(Operation::TagResource).len(), 1);
    assert!(world.calls(Operation::ListTagsForResource).len() > 2, "the tag was read again until App Runner showed it");
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn deletion_waits_while_the_owner_tag_cannot_be_read() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.lasting_fault(Operation::ListTagsForResource, FaultKind::AccessDenied);
    world.delete("egress").await;
    let held = world.reason("egress", "AccessDenied").await;
    assert_eq!(held.status.unwrap().last_error.unwrap().operation, "ListTagsForResource");
    world.until("egress", "stalled", |o| o.status.as_ref().is_some_and(|s| s.condition("Stalled").is_some())).await;
    assert_eq!(world.deletes(), 0);
    world.emulator.clear_faults();
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

/// As after etcd was restored from a snapshot that is older than the move of the tag: the object has its finalizer and
/// status.
#[tokio::test]
async fn retained_object_restored_from_a_backup_deletes_nothing() {
    let a = World::new().await;
    let b = a.with_same_emulator().await;
    let operator = a.operator_with(&[A]);
    let arn = a.claimed("egress").await;
    let backup = a.api.get("egress").await.unwrap();
    a.policy("egress", "Retain").await;
    a.delete("egress").await;
    a.until_deleted("egress").await;
    drop(operator);
    let _b = b.operator_with(&[B]);
    b.create("egress", &arn).await;
    b.reason("egress", "Available").await;

    restore(&a, &backup).await;
    let _a = a.operator_with(&[A]);
    a.delete("egress").await;
    a.until_deleted("egress").await;
    assert!(!a.inactive(&arn));
    assert_eq!(a.deletes(), 0);
}

async fn restore(world: &World, backup: &VpcConnector) {
    let mut object = backup.clone();
    (object.metadata.uid, object.metadata.resource_version) = (None, None);
    let name = object.metadata.name.clone().unwrap();
    world.api.create(&PostParams::default(), &object).await.unwrap();
    world.replace_status(&name, json!(backup.status)).await;
}

const CONNECTORS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_claiming_forty_connectors_never_delete_each_others() {
    let a = World::new().await;
    let b = a.with_same_emulator().await;
    // The first claims of both begin together, long before any resync.
    let slow = [a.operator_with(&[A, "--resync=1h"]), b.operator_with(&[B, "--resync=1h"])];
    let arns: Vec<String> = (0..CONNECTORS).map(|n| a.connector(&format!("conn-{n}"))).collect();
    let create = async |(n, arn): (usize, &String)| {
        let name = format!("egress-{n}");
        tokio::join!(a.create(&name, arn), b.create(&name, arn));
    };
    join_all(arns.iter().enumerate().map(create)).await;
    until_settled(&a).await;
    until_settled(&b).await;
    let (first, second) = (claims(&a).await, claims(&b).await);
    let twice = arns.iter().filter(|arn| first.contains_key(*arn) && second.contains_key(*arn)).count();
    eprintln!("{twice} of {CONNECTORS} connectors were claimed twice");
    assert!(twice <= CONNECTORS / 4, "{twice} claims were not kept apart");
    drop(slow);

    // After the resync each connector belongs to the operator whose tag it has.
    let _operators = [a.operator_with(&[A, RESYNC]), b.operator_with(&[B, RESYNC])];
    let apart = async || {
        let (first, second) = (claims(&a).await, claims(&b).await);
        let one_each = arns.iter().all(|arn| first.contains_key(arn) != second.contains_key(arn));
        one_each.then_some(())
    };
    assert!(eventually(apart).await.is_some(), "some connectors are claimed twice or not at all");
    a.delete_all().await;
    b.delete_all().await;
    for world in [&a, &b] {
        let left = async || world.api.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(());
        assert!(eventually(left).await.is_some());
    }
    // Only the operator whose tag a connector had at its deletion has deleted it.
    for arn in &arns {
        assert!(a.inactive(arn), "{arn} is left without an object");
        let deletes = a.calls(Operation::DeleteVpcConnector).into_iter();
        let deletes: Vec<Call> = deletes.filter(|call| call.arn.as_deref() == Some(arn)).collect();
        assert_eq!(deletes.len(), 1, "{arn}");
    }
}

/// Waits until every object of a namespace is claimed or refused.
async fn until_settled(world: &World) {
    let is_settled = |object: &VpcConnector| {
        let reason = object.status.as_ref().and_then(|status| status.ready_reason());
        matches!(reason, Some("Available" | "OwnedByAnother"))
    };
    let all = async || {
        let objects = world.api.list(&ListParams::default()).await.unwrap().items;
        (objects.len() == CONNECTORS && objects.iter().all(is_settled)).then_some(())
    };
    assert!(eventually(all).await.is_some(), "not all claims came to an end");
}

/// The objects that claim a connector, by its ARN.
async fn claims(world: &World) -> BTreeMap<String, String> {
    let objects = world.api.list(&ListParams::default()).await.unwrap().items;
    let claim = |object: VpcConnector| Some((object.status?.arn?.into(), object.metadata.name?));
    objects.into_iter().filter_map(claim).collect()
}
