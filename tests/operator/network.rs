//! A network between the operator and the API server that loses, refuses, delays and repeats messages.

use std::time::{Duration, Instant};

use apprunner_operator::api;
use kube::ResourceExt;

use crate::support::operator::Operator;
use crate::support::proxy::{Calls, Fault, FaultKind, Proxy};
use crate::support::{World, eventually};

struct Proxied {
    world: World,
    proxy: Proxy,
    _operator: Operator,
}

/// An operator that reaches the API server through a proxy.
async fn proxied() -> Proxied {
    let world = World::new().await;
    let proxy = world.proxy().await;
    let operator = world.operator_through(&proxy);
    Proxied { world, proxy, _operator: operator }
}

impl Proxied {
    async fn deletes(&self, name: &str, arn: &str) {
        self.world.delete(name).await;
        self.world.until_deleted(name).await;
        assert!(self.world.inactive(arn));
    }
}

#[tokio::test]
async fn refused_write_is_retried_without_a_second_delete() {
    let Proxied { world, proxy, _operator } = &proxied().await;
    let mut deleted = 0;
    for code in [401, 403, 409, 410, 422, 429, 500, 503, 504] {
        for (what, calls) in [("status", Calls::status_patch as fn() -> Calls), ("finalizer", Calls::finalizer_removed)]
        {
            let name = format!("egress-{code}-{what}");
            let arn = world.claimed(&name).await;
            let fault = proxy.fault(Fault::new(FaultKind::status(code)).on(calls().name(&name)).times(3));
            world.delete(&name).await;
            world.until_deleted(&name).await;
            proxy.clear_fault(fault);
            deleted += 1;
            assert!(world.inactive(&arn), "{name}");
            assert_eq!(world.deletes(), deleted, "{name}");
            let receipt = world.history(&name).await.pop().unwrap();
            assert_eq!(receipt.status.as_deref(), Some("INACTIVE"), "{name}");
            // The status reports a refusal to remove the finalizer; a conflict or a temporary error is only retried.
            let reported = what == "finalizer" && [401, 403, 410, 422].contains(&code);
            assert_eq!(receipt.ready_reason(), Some(if reported { "WriteRefused" } else { "Deleted" }), "{name}");
        }
    }
}

#[tokio::test]
async fn refused_write_during_a_claim_is_retried() {
    let Proxied { world, proxy, _operator } = &proxied().await;
    for (n, calls) in [Calls::finalizer_added as fn() -> Calls, Calls::status_patch].into_iter().enumerate() {
        let name = format!("egress-{n}");
        proxy.fault(Fault::new(FaultKind::status(503)).on(calls().name(&name)).times(3));
        world.claimed(&name).await;
    }
}

#[tokio::test]
async fn cut_ended_or_expired_watches_miss_nothing() {
    let proxied = proxied().await;
    for (n, breaks) in
        [Proxy::cut_watches as fn(&Proxy), Proxy::end_watches, Proxy::expire_watches].into_iter().enumerate()
    {
        let name = format!("egress-{n}");
        let arn = proxied.world.claimed(&name).await;
        breaks(&proxied.proxy);
        proxied.deletes(&name, &arn).await;
    }
}

#[tokio::test]
async fn watch_with_an_expired_version_is_started_from_a_new_list() {
    let proxied = proxied().await;
    let arn = proxied.world.claimed("egress").await;
    // The watch is refused for ever with the same resource version, so only a new list recovers.
    let fault = proxied.proxy.fault(Fault::new(FaultKind::status(410)).on(Calls::verb("watch")).forever());
    proxied.proxy.cut_watches();
    proxied.world.delete("egress").await;
    proxied.world.until_deleted("egress").await;
    proxied.proxy.clear_fault(fault);
    assert!(proxied.world.inactive(&arn));
}

#[tokio::test]
async fn next_list_makes_up_for_a_lost_event() {
    let proxied = proxied().await;
    let arn = proxied.world.claimed("egress").await;
    proxied.proxy.drop_events(5, |event| event.kind == "MODIFIED");
    proxied.deletes("egress", &arn).await;
}

#[tokio::test]
async fn operator_reconnects_after_refused_or_silent_connections() {
    let proxied = proxied().await;
    let (refused, dark) = (proxied.world.claimed("refused").await, proxied.world.claimed("dark").await);
    proxied.proxy.refuse_for(Duration::from_secs(2)).await;
    proxied.deletes("refused", &refused).await;
    proxied.proxy.stop_answering();
    proxied.world.delete("dark").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxied.proxy.resume_answering();
    proxied.world.until_deleted("dark").await;
    assert!(proxied.world.inactive(&dark));
}

#[tokio::test]
async fn repeated_watch_events_do_not_delete_a_retained_connector() {
    let Proxied { world, proxy, _operator } = &proxied().await;
    let arn = world.claimed("egress").await;
    let uid = world.api.get("egress").await.unwrap().metadata.uid.unwrap();
    world.annotate("egress", api::PROTECTED, Some("true")).await;
    world.delete("egress").await;
    world.reason("egress", "Protected").await;
    world.policy("egress", "Retain").await;
    world.until_deleted("egress").await;
    world.create("egress", &arn).await;
    world.reason("egress", "Available").await;

    // The watch repeats the old object: being deleted, with the policy still Delete.
    assert!(proxy.replay(&uid) > 2);
    world.claimed("other").await;
    assert_eq!(world.deletes(), 0);
    assert!(!world.inactive(&arn));
    assert!(world.api.get("egress").await.unwrap().finalizer_index().is_some());
}

#[tokio::test]
async fn dead_connection_is_noticed_long_before_the_watch_restarts() {
    let mut world = World::new().await;
    world.settings.pace = 1;
    let proxy = world.proxy().await;
    let _operator = world.operator_through(&proxy);
    let arn = world.claimed("egress").await;
    proxy.strand_watches();
    let started = Instant::now();
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    // The operator gives a watch up after 65 s of silence; a watch is restarted after 240 s at the earliest.
    assert!(started.elapsed() < Duration::from_mins(2), "{:?}", started.elapsed());
}

async fn lost_answer_causes_no_second_delete(calls: Calls) {
    let Proxied { world, proxy, _operator } = &proxied().await;
    let arn = world.claimed("egress").await;
    assert_eq!(proxy.requests_matching(&Calls::finalizer_added()).len(), 1);
    proxy.fault(Fault::new(FaultKind::ClosedAfterEffect).on(calls));

    world.delete("egress").await;
    world.until_deleted("egress").await;

    // The object may be deleted before the proxy has the answer that it is going to lose.
    let answered = async || {
        let lost: Vec<_> = proxy.requests().into_iter().filter(|request| request.fault.is_some()).collect();
        lost.iter().all(|request| request.effect.is_some()).then_some(lost)
    };
    let lost = eventually(answered).await.unwrap();
    assert_eq!((lost.len(), lost[0].effect, lost[0].status), (1, Some(200), None));
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
    let receipt = world.history("egress").await.pop().unwrap();
    assert_eq!((receipt.status.as_deref(), receipt.arn.as_deref()), (Some("INACTIVE"), Some(arn.as_str())));
    // Another object is claimed and deleted: the lost answer delays no other object.
    world.claimed("other").await;
    world.delete("other").await;
    world.until_deleted("other").await;
    assert_eq!(world.deletes(), 2);
}

#[tokio::test]
async fn receipt_write_with_a_lost_answer_causes_no_second_delete() {
    lost_answer_causes_no_second_delete(Calls::status_patch()).await;
}

#[tokio::test]
async fn finalizer_write_with_a_lost_answer_causes_no_second_delete() {
    lost_answer_causes_no_second_delete(Calls::finalizer_removed()).await;
}

#[tokio::test]
async fn new_object_of_the_same_name_is_left_alone_while_the_watch_is_stale() {
    let Proxied { world, proxy, _operator } = &proxied().await;
    let old = world.claimed("egress").await;
    let uid = world.api.get("egress").await.unwrap().uid().unwrap();
    proxy.show_events_late(Duration::from_secs(5));

    world.delete("egress").await;
    world.until_deleted("egress").await;
    let new = world.connector("conn-new");
    world.create("egress", &new).await;
    world.reason("egress", "Available").await;
    assert!(world.inactive(&old) && !world.inactive(&new));

    proxy.show_events_late(Duration::ZERO);
    assert!(proxy.replay(&uid) > 2);
    // The claim after the replay shows that the operator has processed the replayed events.
    world.claimed("other").await;
    let namesake = world.api.get("egress").await.unwrap();
    assert!(namesake.finalizer_index().is_some());
    assert_eq!(namesake.status.unwrap().ready_reason(), Some("Available"));
    assert!(!world.inactive(&new) && world.owner_tag(&new).is_some());
    assert_eq!(world.deletes(), 1);
    let uids = proxy.requests_matching(&Calls::finalizer_removed());
    assert!(uids.iter().all(|request| request.body[0]["value"] == *uid), "only the old object was released");
}
