//! Statuses, Events, and the rule when a status is written.

use super::evidence::{
    ARN, claim, claimed, connector, described, failure, refused, tag, unanswered, unclaimed, unknown, written,
};
use crate::core::attempt::{End, Observed};
use crate::core::effect::{Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence};
use crate::core::outcome::{Connector, Operation, Outcome};
use crate::core::ownership::OtherObjectState;
use crate::core::stall;
use std::time::Duration;

use jiff::ToSpan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{Reason, VpcConnectorStatus, condition};
use crate::core::event::{self, PendingEvent};
use crate::core::status::{self};

fn reported(e: &Evidence) -> (VpcConnectorStatus, Vec<PendingEvent>) {
    status::status_while(e, &e.waits())
}

fn denied() -> Evidence {
    claimed().deleting().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::AccessDenied))
}

#[test]
fn the_status_shows_a_failure_in_the_words_of_aws() {
    let (status, events) = reported(&denied());
    let error = status.last_error.unwrap();
    assert_eq!(error.operation, "DeleteVpcConnector");
    assert_eq!((error.code.as_str(), error.message.as_str()), ("AccessDeniedException", "AWS's words"));
    assert_eq!(error.request_id.as_deref(), Some("r-1"));
    assert_eq!(status.attempts, Some(1));
    assert!(status.next_attempt_time.is_some());
    assert_eq!(status.observed_generation, Some(2));
    assert!(events[0].warning);
}

#[test]
fn an_event_is_published_once_for_each_reason() {
    let e = denied();
    let (status, first) = reported(&e);
    assert_eq!(first.len(), 1);
    let (_, again) = reported(&e.with(|e| e.object.status = status));
    assert_eq!(again, []);
}

#[test]
fn a_success_clears_the_reported_failure() {
    let status = reported(&denied()).0;
    let e = claimed().deleting().with(|e| e.object.status = status).after_delete(described("INACTIVE"));
    let (status, _) = status::status_after(&e, &StatusWrite::Receipt);
    assert_eq!((status.last_error, status.attempts, status.next_attempt_time), (None, None, None));
    assert!(status.conditions.iter().all(|c| c.type_ == condition::READY));
}

#[test]
fn a_missing_right_stalls_after_two_refusals_and_a_minute() {
    let stalled = |e: &Evidence| reported(e).0.condition(condition::STALLED).is_some();
    let first = denied();
    assert!(!stalled(&first));
    let second = first.after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::AccessDenied));
    assert!(!stalled(&second), "the second refusal, but not yet a minute");
    assert_eq!(stall::stalls_at(&second, &second.waits()), Some(second.moment_after(Duration::from_mins(1))));
    let late = second.later(60);
    assert!(stalled(&late));
    let restarted = denied().with(|e| e.object.status = reported(&late).0);
    assert!(stalled(&restarted), "a restart does not end a stall");
}

#[test]
fn a_first_failure_after_many_of_another_class_is_no_stall() {
    let mut e = claimed().deleting();
    for _ in 0..20 {
        e = e.after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse)).next_attempt();
    }
    let e = e.after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::AccessDenied));
    let (status, _) = reported(&e);
    assert_eq!(status.condition(condition::STALLED), None);
    assert_eq!(status.attempts, Some(21));
    assert_eq!(e.waits_for(), (Reason::AccessDenied, 45), "with its own backoff");
}

#[test]
fn a_wait_for_a_user_is_a_stall_from_the_start_to_its_end() {
    let missing = unclaimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    let (status, _) = reported(&missing);
    assert_eq!(status.condition(condition::STALLED).unwrap().status, "True");
    assert_eq!(status.ready_reason(), Some("NotFound"));
    let found = missing.with(|e| (e.object.status, e.attempt.observed) = (status, None));
    let claim = found.after_describe(described("ACTIVE")).without_tags().after_claim();
    assert_eq!(claim.object.status.condition(condition::STALLED), None);
}

#[test]
fn a_pause_keeps_the_ready_condition_and_removes_its_own_at_the_end() {
    let e = claimed().with(|e| e.object.paused = true);
    let paused = status::status_while_paused(&e);
    assert_eq!(paused.condition(condition::PAUSED).unwrap().status, "True");
    assert_eq!(paused.ready_reason(), Some("Available"));
    let resumed = claimed().with(|e| e.object.status = paused);
    assert_eq!(reported(&resumed).0.condition(condition::PAUSED), None);
}

#[test]
fn the_transition_time_changes_only_with_the_condition() {
    let first = reported(&claimed()).0;
    assert_eq!(first.condition(condition::READY).unwrap().last_transition_time.0.as_second(), 0);
    let waiting = reported(&denied()).0;
    assert!(waiting.condition(condition::READY).unwrap().last_transition_time.0.as_second() > 0);
}

#[test]
fn the_transition_time_of_a_stall_is_that_of_its_beginning() {
    let since =
        |status: &VpcConnectorStatus| status.condition(condition::STALLED).unwrap().last_transition_time.clone();
    let missing = || unclaimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    let first = reported(&missing()).0;
    let later = missing().with(|e| e.object.status = first.clone()).later(300);
    assert_eq!(since(&reported(&later).0), since(&first));
    assert!(!status::needs_write(&later.with(|e| e.state.status_written_at = Some(e.now.moment)), &first));
}

#[test]
fn changes_of_only_numbers_and_times_are_written_every_30_seconds() {
    let in_use = |e: Evidence| e.after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse));
    let first = in_use(claimed().deleting());
    let status = reported(&first).0;
    assert!(status::needs_write(&first, &status));
    let again = in_use(first.with(|e| {
        e.object.status = status.clone();
        e.state.status_written_at = Some(e.now.moment);
    }));
    let next = reported(&again).0;
    assert_ne!(next, status);
    assert!(!status::needs_write(&again, &next));
    let later = again.clone().later(30);
    assert!(status::needs_write(&later, &next));
    let other =
        again.with(|e| e.attempt.end = End::Failed(failure(Operation::DeleteVpcConnector, ErrorClass::Throttled)));
    assert!(status::needs_write(&other, &reported(&other).0), "another reason is written at once");
    assert!(!status::needs_write(&later, &later.object.status), "an unchanged status is not written");
}

#[test]
fn a_requested_attempt_is_acknowledged_in_the_status() {
    let e = claimed().reconciled_early().requested_with("t1").after_describe(described("ACTIVE")).ours();
    assert!(e.object.requested());
    let (status, _) = reported(&e);
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("t1"));
    assert!(!e.with(|e| e.object.status = status).object.requested());
}

#[test]
fn the_event_of_a_retained_connector_names_everything_that_is_unknown() {
    let e = claimed().deleting().retained().deletion(unanswered()).ours();
    let e = e.after_untag(unknown(Operation::UntagResource, ErrorClass::Unreachable));
    let note = event::release_event(&e, &Proof::Retained).unwrap().note().to_owned();
    assert!(note.contains(ARN) && note.contains("not known") && note.contains("could not be removed"), "{note}");
    let refused = refused(Operation::GetCallerIdentity, ErrorClass::Unreachable);
    let unknown_caller = claimed().deleting().retained().with(|e| e.caller = Caller::Unknown);
    let note =
        event::release_event(&unknown_caller.after_identify(refused), &Proof::Retained).unwrap().note().to_owned();
    assert!(note.contains("could not be read and remains"), "{note}");
    let other_account = claimed().deleting().retained().of_account("999999999999");
    let note = event::release_event(&other_account, &Proof::Retained).unwrap().note().to_owned();
    assert!(note.contains("its owner tag remains"), "{note}");
    let theirs = claimed().deleting().retained().after_tags(tag(Some("c2/shop/egress")));
    let note = event::release_event(&theirs, &Proof::Retained).unwrap().note().to_owned();
    assert!(note.ends_with("names another owner and remains"), "{note}");
    let unread = |e: Evidence| event::release_event(&e, &Proof::Retained).unwrap().note().to_owned();
    for silent in [claimed().without_tags(), unclaimed(), unclaimed().without_tags()] {
        let note = unread(silent.deleting().retained());
        assert!(!note.contains("owner tag"), "the note names no tag, because it cannot be ours: {note}");
    }
    let throttled = claimed().deleting().after_delete(refused_delete(ErrorClass::Throttled)).retained();
    assert!(unread(throttled).contains("does not act"), "a failure of another call hides no tag");
    let plain = claimed().deleting().retained().ours().after_untag(written());
    assert_eq!(event::release_event(&plain, &Proof::Retained).unwrap().note(), format!("left in AWS: {ARN}"));
}

#[test]
fn the_release_of_anothers_connector_names_its_owner_and_arn() {
    let event = event::release_event(&unclaimed().deleting(), &Proof::AnotherOwner { tag: "c2/a/b".into() }).unwrap();
    assert_eq!(event.reason.to_string(), "NotOwned");
    assert!(event.note().contains(ARN) && event.note().contains("c2/a/b"));
}

#[test]
fn a_connector_deleted_by_others_is_reported_with_awss_status() {
    let e = claimed().with(|e| e.state.wait = None).after_describe(described("INACTIVE"));
    let (status, _) = reported(&e);
    assert_eq!((status.status.as_deref(), status.ready_reason()), (Some("INACTIVE"), Some("Gone")));
    let e = claimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    let (status, _) = reported(&e);
    assert_eq!((status.status, status.arn.as_deref()), (None, Some(ARN)), "no receipt, and the claim remains");
    assert_eq!(e.waits().reason, Reason::Gone);
}

#[test]
fn a_transient_reason_is_no_stall() {
    use Reason::{
        Available, Deleting, Gone, Inactive, InvalidRequest, NotFound, OwnedByAnother, Protected, ServiceError,
        SubscriptionRequired, Throttled, Unproven, Unreachable, UntrustedCertificate, WriteRefused, WrongAccount,
    };
    for reason in [Available, Deleting, Protected, ServiceError, Throttled, Unproven, Unreachable] {
        assert!(!stall::stalls(reason), "{reason}");
    }
    let stalling = [
        Gone,
        Inactive,
        InvalidRequest,
        NotFound,
        OwnedByAnother,
        SubscriptionRequired,
        UntrustedCertificate,
        WriteRefused,
        WrongAccount,
    ];
    for reason in stalling {
        assert!(stall::stalls(reason), "{reason}");
    }
}

#[test]
fn a_status_shows_the_next_attempt_unless_the_object_is_available() {
    let accepted = claimed().deleting().after_delete(described("ACTIVE"));
    let (status, _) = reported(&accepted);
    assert_eq!((status.ready_reason(), status.attempts), (Some("Deleting"), Some(0)));
    let next = status.next_attempt_time.unwrap().0;
    assert_eq!(next, accepted.now.wall.checked_add(1.seconds()).unwrap());
    let (available, _) = reported(&claimed().next_attempt().after_describe(described("ACTIVE")).ours());
    assert_eq!(available.ready_reason(), Some("Available"));
    assert_eq!((available.attempts, available.next_attempt_time), (None, None));
}

#[test]
fn failures_and_waits_for_a_user_are_warning_events() {
    let warns = |e: &Evidence| reported(e).1[0].warning;
    assert!(warns(&claimed().deleting().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse))));
    assert!(warns(&unclaimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound))));
    assert!(!warns(&claimed().deleting().after_delete(described("ACTIVE"))));
}

#[test]
fn a_claim_is_published_unless_the_object_is_being_deleted() {
    let claim = |e: Evidence| {
        let e = e.without_tags().after_describe(described("ACTIVE"));
        status::status_after(&e, &claim())
    };
    let (status, events) = claim(unclaimed());
    assert_eq!(status.ready_reason(), Some("Available"));
    assert_eq!(
        events.iter().map(|n| (n.warning, n.reason.to_string())).collect::<Vec<_>>(),
        [(false, "Available".into())]
    );
    let (status, events) = claim(unclaimed().deleting());
    assert_eq!((status.ready_reason(), events), (Some("Deleting"), Vec::new()));
}

#[test]
fn one_refusal_is_no_stall_and_a_stall_has_no_later_start() {
    let once = denied().later(3_600);
    assert_eq!(reported(&once).0.condition(condition::STALLED), None);
    let twice = denied().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::AccessDenied));
    let twice = twice.later(60);
    assert_eq!(stall::stalls_at(&twice, &twice.waits()), None);
}

fn refused_delete(class: ErrorClass) -> Outcome<Connector> {
    refused(Operation::DeleteVpcConnector, class)
}

#[test]
fn the_connector_of_a_claim_in_progress_is_not_written() {
    let waiting = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None)).after_tag_write(written());
    let shown = waiting.next_attempt().after_tags(tag(None));
    let described_again = shown.with(|e| e.attempt.observed = Some(Observed::Active(connector("ACTIVE"))));
    let (status, _) = reported(&described_again);
    assert_eq!((status.name, status.arn), (None, None), "the claim writes them together");
    let another = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(Some("c2/a/b")));
    assert_eq!(reported(&another).0.name.as_deref(), Some("shop"));
}

#[test]
fn a_claim_that_waits_for_its_tag_rewrites_no_other_status() {
    let pending = || {
        let e = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None)).after_tag_write(written());
        e.with(|e| e.object.generation = Some(3))
    };
    assert_eq!(reported(&pending()).0.observed_generation, None, "the reason is Adopting already");
    let other = pending().with(|e| e.object.status.conditions[0].reason = Reason::NotFound.to_string());
    assert_eq!(reported(&other).0.observed_generation, Some(3));
}

#[test]
fn the_next_attempt_time_changes_only_by_more_than_a_second() {
    let first = denied();
    let written = reported(&first).0;
    let at = |seconds: i64| {
        let old = written.next_attempt_time.clone().unwrap().0.checked_add(seconds.seconds()).unwrap();
        let e = first.clone().with(|e| {
            e.object.status = written.clone();
            e.object.status.next_attempt_time = Some(Time(old));
        });
        (old, reported(&e).0.next_attempt_time.unwrap().0)
    };
    for kept in [-1, 0, 1] {
        let (old, new) = at(kept);
        assert_eq!(old, new, "{kept}");
    }
    for replaced in [-2, 2] {
        let (old, new) = at(replaced);
        assert_ne!(old, new, "{replaced}");
    }
}

#[test]
fn a_claim_of_a_released_connector_is_published_during_a_deletion_too() {
    let read = unclaimed().deleting().after_describe(described("ACTIVE")).after_tags(tag(Some("c1/shop/other")));
    let released = read.after_other_object(OtherObjectState::Released);
    let (_, events) = status::status_after(&released, &claim());
    assert_eq!(events.iter().map(|event| event.reason.as_str()).collect::<Vec<_>>(), ["OwnershipTaken"]);
}
