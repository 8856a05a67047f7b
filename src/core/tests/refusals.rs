//! Writes to the object that the API server refuses.

use super::evidence::{claimed, described, refused as aws_refuses, tag, unclaimed, written};
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, KubeWrite, Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Evidence, Finalizer};
use crate::core::outcome::Operation;
use crate::core::refusal::{self, Refusal, WriteKind};
use crate::core::stall;
use crate::core::state::{ObjectState, Wait};
use std::time::Duration;

use crate::api::{Reason, condition};
use crate::core::status;

const WORDS: &str = "ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: label team is missing";

fn refusal(write: WriteKind) -> Refusal {
    Refusal { write, code: 422, message: WORDS.into() }
}

impl Evidence {
    /// Applies a refused write, as the reconciler does.
    pub(super) fn after_refusal(self, write: WriteKind) -> Self {
        self.with(|e| refusal::refused(e, refusal(write)))
    }

    /// Writes the status that reports the refusal, and starts the next reconcile at its time.
    fn reported_and_reconciled(self) -> Self {
        self.with(|e| {
            let wait = e.waits();
            e.object.status = status::status_while(e, &wait).0;
            refusal::succeeded(e, WriteKind::WriteStatus);
            e.now = e.now.at(wait.until);
            e.reconcile();
        })
    }
}

/// An object whose status has the receipt, and that still has our finalizer.
fn receipt() -> Evidence {
    claimed().deleting().after_delete(described("INACTIVE")).after_write(StatusWrite::Receipt)
}

#[test]
fn a_refused_write_is_reported_in_the_servers_words_and_backs_off() {
    for (e, write) in [
        (receipt(), WriteKind::RemoveFinalizer),
        (unclaimed().with(|e| e.object.finalizer = Finalizer::Absent), WriteKind::AddFinalizer),
        (unclaimed().with(|e| e.object.status.conditions.clear()), WriteKind::WriteStatus),
        (claimed().deleting().retained(), WriteKind::RemoveFinalizer),
        (claimed().with(|e| e.object.paused = true), WriteKind::WriteStatus),
    ] {
        let e = e.after_refusal(write);
        assert!(matches!(e.decision(), Decision::Blocked(_)), "{write:?}");
        let Wait { reason, message, .. } = e.waits();
        assert_eq!(reason, Reason::WriteRefused);
        assert!(message.contains(WORDS) && message.contains(write.in_words()) && message.contains("422"), "{message}");
        let (status, events) = status::status_while(&e, &e.waits());
        assert_eq!(status.attempts, Some(1));
        assert!(status.next_attempt_time.is_some());
        assert!(events[0].warning && events[0].note().contains(WORDS));
    }
}

#[test]
fn the_receipt_stays_while_the_finalizer_cannot_be_removed() {
    let e = receipt().after_refusal(WriteKind::RemoveFinalizer);
    let (status, _) = status::status_while(&e, &e.waits());
    assert_eq!((status.status.as_deref(), status.deleted_at.is_some()), (Some("INACTIVE"), true));
    let again = e.reported_and_reconciled();
    assert_eq!(again.acts(), Proof::Receipt, "without a call to AWS");
}

#[test]
fn a_refused_write_is_repeated_at_its_time_and_at_every_reconcile() {
    let e = unclaimed().with(|e| e.object.finalizer = Finalizer::Absent).after_refusal(WriteKind::AddFinalizer);
    assert_eq!(e.waits_for(), (Reason::WriteRefused, 1));
    let early = e.clone().with(Evidence::reconcile);
    assert_eq!(early.acts(), KubeWrite::AddFinalizer);
    let second = e.reported_and_reconciled().after_refusal(WriteKind::AddFinalizer);
    assert_eq!(second.waits_for(), (Reason::WriteRefused, 2));
    let tenth = (0..8).fold(second, |e, _| e.reported_and_reconciled().after_refusal(WriteKind::AddFinalizer));
    assert_eq!(tenth.waits_for(), (Reason::WriteRefused, 30), "half of the maximum: the jitter is in its middle");
}

#[test]
fn a_refused_write_does_not_shorten_the_wait_for_aws() {
    let in_use = claimed().deleting().after_delete(aws_refuses(Operation::DeleteVpcConnector, ErrorClass::InUse));
    let waiting = in_use.reconciled_early();
    let again = waiting.clone().after_refusal(WriteKind::WriteStatus).reported_and_reconciled();
    assert_eq!(again.waits().reason, Reason::InUse, "the status is written again, without a call to AWS");
}

#[test]
fn a_write_stalls_after_two_refusals_and_a_minute() {
    let stalled = |e: &Evidence| status::status_while(e, &e.waits()).0.condition(condition::STALLED).is_some();
    let once = receipt().after_refusal(WriteKind::RemoveFinalizer);
    assert!(!stalled(&once.clone().later(3_600)), "one refusal is no stall");
    let due = once.moment_after(Duration::from_mins(1));
    let twice = once.reported_and_reconciled().after_refusal(WriteKind::RemoveFinalizer);
    assert!(!stalled(&twice));
    assert_eq!(stall::stalls_at(&twice, &twice.waits()), Some(due));
    assert!(stalled(&twice.later(60)));
}

#[test]
fn a_successful_write_ends_only_its_own_refusals() {
    let refused = receipt().after_refusal(WriteKind::RemoveFinalizer);
    assert!(refused.clone().reported_and_reconciled().state.refusals.is_some(), "reporting it does not end it");
    let again = refused.reported_and_reconciled();
    assert!(again.clone().after_write(StatusWrite::Receipt).state.refusals.is_some());
    let released = again.after_write(Proof::Receipt);
    assert_eq!(released.state.refusals, None);
    let other = receipt()
        .after_refusal(WriteKind::RemoveFinalizer)
        .reported_and_reconciled()
        .after_refusal(WriteKind::WriteStatus);
    assert_eq!(other.state.refusals.unwrap().failures, 1, "each write has its own backoff");
}

#[test]
fn a_refused_status_write_is_reported_by_events_with_backoff() {
    let mut e = receipt();
    let mut published = Vec::new();
    for attempt in 1..=9 {
        e = e.after_refusal(WriteKind::RemoveFinalizer);
        if let Some(event) = refusal::unreported(&e.state) {
            assert!(event.warning && event.reason.to_string() == "WriteRefused" && event.note().contains(WORDS));
            published.push(attempt);
        }
        e = e.with(Evidence::reconcile);
    }
    assert_eq!(published, [1, 2, 4, 8]);
}

#[test]
fn after_the_last_refusal_the_object_continues_where_it_stopped() {
    let again = unclaimed()
        .with(|e| e.object.finalizer = Finalizer::Absent)
        .after_refusal(WriteKind::AddFinalizer)
        .reported_and_reconciled();
    let added = again.after_write(KubeWrite::AddFinalizer);
    assert_eq!(added.acts(), AwsCall::Describe);
    let active = added.after_describe(described("ACTIVE")).after_tags(tag(Some("c1/shop/egress")));
    let claimed = active.after_claim();
    assert_eq!(claimed.object.status.ready_reason(), Some("Available"));
}

#[test]
fn a_reported_refusal_is_corrected_if_another_finalizer_remains() {
    let off = |e: Evidence| {
        e.reported_and_reconciled().with(|e| {
            e.object.finalizer = Finalizer::Absent;
            e.reconcile();
        })
    };
    let deleted = off(receipt().after_refusal(WriteKind::RemoveFinalizer));
    let forgotten = deleted.clone().with(|e| e.state = ObjectState::default());
    let missing = aws_refuses(Operation::DeleteVpcConnector, ErrorClass::NotFound);
    let missing = claimed().deleting().after_delete(missing).after_write(StatusWrite::AlreadyGone);
    let retained = claimed().deleting().retained().after_untag(written());
    for (e, reason) in [
        (deleted, "Deleted"),
        (forgotten, "Deleted"),
        (off(missing.after_refusal(WriteKind::RemoveFinalizer)), "AlreadyGone"),
        (off(retained.after_refusal(WriteKind::RemoveFinalizer)), "Retained"),
    ] {
        assert_eq!(e.acts(), StatusWrite::Released, "{reason}");
        let corrected = e.clone().after_write(StatusWrite::Released);
        assert_eq!(corrected.object.status.ready_reason(), Some(reason));
        assert_eq!(corrected.object.status.condition(condition::STALLED), None);
        assert_eq!(corrected.decision(), Decision::Nothing);
        assert_eq!(e.after_refusal(WriteKind::WriteStatus).decision(), Decision::Nothing, "no further action");
    }
}

#[test]
fn a_refusal_names_the_write() {
    let names = [WriteKind::AddFinalizer, WriteKind::RemoveFinalizer, WriteKind::WriteStatus].map(WriteKind::as_str);
    assert_eq!(names, ["AddFinalizer", "RemoveFinalizer", "WriteStatus"]);
    let said = [WriteKind::AddFinalizer, WriteKind::RemoveFinalizer, WriteKind::WriteStatus]
        .map(|write| refusal(write).to_string());
    for (said, words) in said.iter().zip(["add the finalizer", "remove the finalizer", "write the status"]) {
        assert!(said.starts_with(&format!("the API server refused to {words} (422): ")), "{said}");
    }
}
