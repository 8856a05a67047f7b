//! Writes to the object that the API server refuses.

use super::evidence::{claimed, described, refused as aws_refuses, tag, unclaimed, written};
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, KubeWrite, Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Evidence, Finalizer};
use crate::core::outcome::Operation;
use crate::core::refusal::{self, Refusal, Write};
use crate::core::state::{ObjectState, Wait};
use std::time::Duration;

use crate::api::{Reason, condition};
use crate::core::status;

const WORDS: &str = "ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: label team is missing";

fn refusal(write: Write) -> Refusal {
    Refusal { write, code: 422, message: WORDS.into() }
}

impl Evidence {
    /// Takes a refused write in, as the reconciler does.
    pub(super) fn after_refusal(self, write: Write) -> Self {
        self.with(|e| refusal::refused(e, refusal(write)))
    }

    /// Takes in what was told of it, and begins the reconcile after it.
    fn told_and_again(self) -> Self {
        self.with(|e| {
            let wait = e.waits();
            e.object.status = status::status_while(e, &wait).0;
            refusal::succeeded(e, Write::WriteStatus);
            e.now = e.now.at(wait.until);
            e.reconcile();
        })
    }
}

/// Deleted in AWS, with the receipt, and held by our finalizer.
fn receipt() -> Evidence {
    claimed().deleting().after_delete(described("INACTIVE")).after_write(StatusWrite::Receipt)
}

#[test]
fn a_refused_write_is_told_in_the_servers_words_and_not_tried_again_at_once() {
    for (e, write) in [
        (receipt(), Write::RemoveFinalizer),
        (unclaimed().with(|e| e.object.finalizer = Finalizer::Absent), Write::AddFinalizer),
        (unclaimed().with(|e| e.object.status.conditions.clear()), Write::WriteStatus),
        (claimed().deleting().retained(), Write::RemoveFinalizer),
        (claimed().with(|e| e.object.paused = true), Write::WriteStatus),
    ] {
        let e = e.after_refusal(write);
        assert!(matches!(e.decision(), Decision::Blocked(_)), "{write:?}");
        let Wait { reason, message, .. } = e.waits();
        assert_eq!(reason, Reason::WriteRefused);
        assert!(message.contains(WORDS) && message.contains(write.in_words()) && message.contains("422"), "{message}");
        let (status, events) = status::status_while(&e, &e.waits());
        assert_eq!(status.attempts, Some(1));
        assert!(status.next_attempt_time.is_some());
        assert!(events[0].warning && events[0].note.contains(WORDS));
    }
}

#[test]
fn the_receipt_stays_while_the_finalizer_does_not_come_off() {
    let e = receipt().after_refusal(Write::RemoveFinalizer);
    let (status, _) = status::status_while(&e, &e.waits());
    assert_eq!((status.status.as_deref(), status.deleted_at.is_some()), (Some("INACTIVE"), true));
    let again = e.told_and_again();
    assert_eq!(again.acts(), Proof::Receipt, "and AWS is not asked again");
}

#[test]
fn a_refused_write_is_tried_again_at_its_time_and_whenever_the_object_is_looked_at() {
    let e = unclaimed().with(|e| e.object.finalizer = Finalizer::Absent).after_refusal(Write::AddFinalizer);
    assert_eq!(e.waits_for(), (Reason::WriteRefused, 1));
    let woken = e.clone().with(Evidence::reconcile);
    assert_eq!(woken.acts(), KubeWrite::AddFinalizer);
    let second = e.told_and_again().after_refusal(Write::AddFinalizer);
    assert_eq!(second.waits_for(), (Reason::WriteRefused, 2));
    let tenth = (0..8).fold(second, |e, _| e.told_and_again().after_refusal(Write::AddFinalizer));
    assert_eq!(tenth.waits_for(), (Reason::WriteRefused, 30), "half of the longest: the jitter is drawn at its middle");
}

#[test]
fn a_refusal_does_not_bring_the_next_call_to_aws_forward() {
    let in_use = claimed().deleting().after_delete(aws_refuses(Operation::DeleteVpcConnector, ErrorClass::InUse));
    let waiting = in_use.woken();
    let again = waiting.clone().after_refusal(Write::WriteStatus).told_and_again();
    assert_eq!(again.waits().reason, Reason::InUse, "the status is written again, and AWS is not asked");
}

#[test]
fn a_lasting_refusal_stalls_from_the_second_one_and_after_a_minute() {
    let stalled = |e: &Evidence| status::status_while(e, &e.waits()).0.condition(condition::STALLED).is_some();
    let once = receipt().after_refusal(Write::RemoveFinalizer);
    assert!(!stalled(&once.clone().later(3_600)), "one hiccup is no stall");
    let due = once.from_now(Duration::from_mins(1));
    let twice = once.told_and_again().after_refusal(Write::RemoveFinalizer);
    assert!(!stalled(&twice));
    assert_eq!(status::stalls_at(&twice, &twice.waits()), Some(due));
    assert!(stalled(&twice.later(60)));
}

#[test]
fn a_write_that_succeeds_ends_its_own_refusals_and_no_others() {
    let refused = receipt().after_refusal(Write::RemoveFinalizer);
    assert!(refused.clone().told_and_again().state.refusals.is_some(), "telling it is no end of it");
    let again = refused.told_and_again();
    assert!(again.clone().after_write(StatusWrite::Receipt).state.refusals.is_some());
    let let_go = again.after_write(Proof::Receipt);
    assert_eq!(let_go.state.refusals, None);
    let other = receipt().after_refusal(Write::RemoveFinalizer).told_and_again().after_refusal(Write::WriteStatus);
    assert_eq!(other.state.refusals.unwrap().failures, 1, "each write has a patience of its own");
}

#[test]
fn what_the_status_cannot_tell_is_told_by_an_event_now_and_then() {
    let mut e = receipt();
    let mut told = Vec::new();
    for attempt in 1..=9 {
        e = e.after_refusal(Write::RemoveFinalizer);
        if let Some(event) = refusal::unreported(&e.state) {
            assert!(event.warning && event.reason.to_string() == "WriteRefused" && event.note.contains(WORDS));
            told.push(attempt);
        }
        e = e.with(Evidence::reconcile);
    }
    assert_eq!(told, [1, 2, 4, 8]);
}

#[test]
fn once_it_has_healed_the_object_goes_on_where_it_was() {
    let again = unclaimed()
        .with(|e| e.object.finalizer = Finalizer::Absent)
        .after_refusal(Write::AddFinalizer)
        .told_and_again();
    let held = again.after_write(KubeWrite::AddFinalizer);
    assert_eq!(held.acts(), AwsCall::Describe);
    let active = held.after_describe(described("ACTIVE")).after_tags(tag(Some("c1/shop/egress")));
    let claimed = active.after_claim();
    assert_eq!(claimed.object.status.ready_reason(), Some("Available"));
}

#[test]
fn a_status_that_tells_of_a_refusal_is_corrected_where_others_still_hold_the_object() {
    let off = |e: Evidence| {
        e.told_and_again().with(|e| {
            e.object.finalizer = Finalizer::Absent;
            e.reconcile();
        })
    };
    let deleted = off(receipt().after_refusal(Write::RemoveFinalizer));
    let forgotten = deleted.clone().with(|e| e.state = ObjectState::default());
    let missing = aws_refuses(Operation::DeleteVpcConnector, ErrorClass::NotFound);
    let missing = claimed().deleting().after_delete(missing).after_write(StatusWrite::AlreadyGone);
    let retained = claimed().deleting().retained().after_untag(written());
    for (e, reason) in [
        (deleted, "Deleted"),
        (forgotten, "Deleted"),
        (off(missing.after_refusal(Write::RemoveFinalizer)), "AlreadyGone"),
        (off(retained.after_refusal(Write::RemoveFinalizer)), "Retained"),
    ] {
        assert_eq!(e.acts(), StatusWrite::Released, "{reason}");
        let corrected = e.clone().after_write(StatusWrite::Released);
        assert_eq!(corrected.object.status.ready_reason(), Some(reason));
        assert_eq!(corrected.object.status.condition(condition::STALLED), None);
        assert_eq!(corrected.decision(), Decision::Nothing);
        assert_eq!(e.after_refusal(Write::WriteStatus).decision(), Decision::Nothing, "that is no reason to go on");
    }
}

#[test]
fn a_refusal_names_the_write() {
    let said =
        [Write::AddFinalizer, Write::RemoveFinalizer, Write::WriteStatus].map(|write| refusal(write).to_string());
    for (said, words) in said.iter().zip(["add the finalizer", "remove the finalizer", "write the status"]) {
        assert!(said.starts_with(&format!("the API server refused to {words} (422): ")), "{said}");
    }
}
