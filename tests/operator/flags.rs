//! The annotations `paused` and `protected`: unknown values count as true, and an Event reports them.

use apprunner_operator::api::{self, condition};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::support::{World, eventually, message};

impl World {
    /// The Events about unknown values: each note with its count.
    async fn unknown_values(&self) -> Vec<(String, i32)> {
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await.unwrap().items.into_iter();
        let events = all.filter(|event| event.reason.as_deref() == Some("UnknownAnnotationValue"));
        let notes = events.map(|event| {
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            (event.note.unwrap_or_default(), event.series.map_or(1, |series| series.count))
        });
        notes.collect()
    }

    /// Waits for `count` Events about unknown values, and returns the one that quotes `value`.
    async fn unknown_value(&self, count: usize, value: &str) -> String {
        let published = async || {
            let notes = self.unknown_values().await;
            assert!(notes.len() <= count && notes.iter().all(|(_, times)| *times == 1), "{notes:?}");
            let note = notes.iter().find(|(note, _)| note.contains(&format!("{value:?}")))?.0.clone();
            (notes.len() == count).then_some(note)
        };
        eventually(published).await.unwrap_or_else(|| panic!("no Event quotes {value}"))
    }
}

#[tokio::test]
async fn any_value_of_protected_except_false_protects_the_object() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.annotate("egress", api::PROTECTED, Some("yes")).await;
    let note = world.unknown_value(1, "yes").await;
    assert!(note.contains(api::PROTECTED) && note.contains("neither true nor false"), "{note}");

    world.delete("egress").await;
    let says = async |value: &str, quoted: &str| {
        world.annotate("egress", api::PROTECTED, Some(value)).await;
        let held = format!("held by the annotation {}{quoted};", api::PROTECTED);
        world.until("egress", value, |o| o.status.as_ref().unwrap().ready_reason() == Some("Protected")).await;
        world.until("egress", value, |o| message(o).contains(&held)).await;
    };
    says("yes", r#" ("yes")"#).await;
    says("1", r#" ("1")"#).await;
    world.unknown_value(2, "1").await;
    says("True", r#" ("True")"#).await;
    says("true", "").await;
    assert_eq!(world.deletes(), 0);

    world.annotate("egress", api::PROTECTED, Some("False")).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.unknown_values().await.len(), 2, "the others are known");
}

#[tokio::test]
async fn any_value_of_paused_except_false_pauses_the_object() {
    let world = World::new().await;
    let operator = world.operator();
    let arn = world.claimed("egress").await;
    let paused = async |quoted: &str| {
        let held = format!("held by the annotation {}{quoted}", api::PAUSED);
        let says = |o: &api::VpcConnector| {
            let paused = o.status.as_ref().unwrap().condition(condition::PAUSED);
            paused.is_some_and(|paused| paused.message == held)
        };
        world.until("egress", &held, says).await;
    };
    world.annotate("egress", api::PAUSED, Some("TRUE")).await;
    paused(r#" ("TRUE")"#).await;
    world.annotate("egress", api::PAUSED, Some("on")).await;
    paused(r#" ("on")"#).await;
    world.unknown_value(1, "on").await;
    world.delete("egress").await;
    // The operator reconciles the object again and again, and completes the claims of other objects meanwhile.
    for value in ["1", "2"] {
        world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some(value)).await;
        world.claimed(&format!("other-{value}")).await;
    }
    world.unknown_value(1, "on").await;
    assert!(!world.inactive(&arn));
    assert_eq!(operator.log().matches("UnknownAnnotationValue").count(), 0, "an Event was refused");

    world.annotate("egress", api::PAUSED, Some("")).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}
