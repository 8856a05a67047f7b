//! A connector in use: its status, and the times of the next deletes.

use super::evidence::{claimed, described, failure, refused, scan_services, unanswered, unknown};
use crate::core::attempt::End;
use crate::core::blocker::Blocker;
use crate::core::blockers::{Blockers, Services};
use crate::core::decide::calls_of_attempt;
use crate::core::effect::{AwsCall, Effect, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence};
use crate::core::outcome::Operation;
use crate::core::state::Deletion;
use std::time::Duration;

use crate::api::Reason;
use crate::core::{status, wait};

const DELETE: Operation = Operation::DeleteVpcConnector;

pub(super) fn in_use() -> Evidence {
    claimed().deleting().after_delete(refused(DELETE, ErrorClass::InUse))
}

fn service(name: &str, status: &str) -> Blocker {
    let arn = format!("arn:…:service/{name}/1");
    Blocker { arn, name: name.into(), status: status.into(), since: None, arrival: None }
}

fn blocked_by(names: &[&str]) -> Blockers {
    let services: Vec<_> = names.iter().map(|name| service(name, "RUNNING")).collect();
    let services = if services.is_empty() { Services::None } else { Services::Blocking(services) };
    Blockers { services, ..Blockers::default() }
}

fn unreadable() -> Blockers {
    let denied = failure(Operation::ListServices, ErrorClass::AccessDenied);
    Blockers { services: Services::Unreadable(denied), ..Blockers::default() }
}

impl Evidence {
    pub(super) fn with_blockers(self, blockers: Blockers) -> Self {
        self.with(|e| e.blockers = Some(blockers))
    }

    /// Starts a reconcile this many seconds later, as the service scan does when blockers change.
    fn reconciled_after(self, seconds: u64) -> Self {
        self.with(|e| {
            e.state.wait = Some(e.waits());
            e.now = e.now.at(e.moment_after(Duration::from_secs(seconds)));
            e.reconcile();
        })
    }

    /// Seconds between refused deletes while the blockers do not change.
    fn attempts(mut self, how_many: usize) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..how_many {
            waits.push(self.waits_for().1);
            self = self.next_attempt();
            if self.acts() == AwsCall::ReadTags {
                self = self.ours();
            }
            assert_eq!(self.acts(), AwsCall::Delete);
            self = self.after_delete(refused(DELETE, ErrorClass::InUse));
        }
        waits
    }
}

#[test]
fn the_service_scan_begins_before_the_wait() {
    let e = claimed().deleting().after_delete_only(refused(DELETE, ErrorClass::InUse));
    assert_eq!(e.acts(), scan_services());
    let wait = e.after_scan_start().waits();
    assert_eq!(wait.reason, Reason::InUse);
    assert!(wait.message.contains("AWS's words") && wait.message.contains("scanning for"), "{}", wait.message);
}

#[test]
fn blockers_are_named_in_the_status_the_message_and_the_column() {
    let e = in_use().with_blockers(blocked_by(&["jobs", "web"]));
    let status = status::status_while(&e, &e.waits()).0;
    let message = &status.condition("Ready").unwrap().message;
    assert!(message.contains("services jobs (RUNNING) and web (RUNNING)"), "{message}");
    assert_eq!(status.blocked_by_summary.as_deref(), Some("jobs, web"));
    assert_eq!(status.blocked_by_count, Some(2));
    assert_eq!(status.blocked_by[0].name, "jobs");
    assert!(status.condition("Stalled").is_none(), "waiting for a service is no stall");
    let one = in_use().with_blockers(blocked_by(&["web"])).waits().message;
    assert!(one.contains("used by App Runner service web (RUNNING)"), "{one}");
}

#[test]
fn of_many_blockers_a_status_names_20_a_message_5_and_a_column_2() {
    let names: Vec<String> = (10..35).map(|n| format!("svc-{n}")).collect();
    let e = in_use().with_blockers(blocked_by(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let status = status::status_while(&e, &e.waits()).0;
    assert_eq!((status.blocked_by.len(), status.blocked_by_count), (20, Some(25)));
    assert_eq!(status.blocked_by_summary.as_deref(), Some("svc-10, svc-11 +23"));
    assert!(status.condition("Ready").unwrap().message.contains("svc-14 (RUNNING) and 20 more"));
}

#[test]
fn reported_blockers_stay_until_a_newer_scan_or_the_deletion() {
    let blocked = in_use().with_blockers(blocked_by(&["web"]));
    let named = status::status_while(&blocked, &blocked.waits()).0;
    let restarted = in_use().with(|e| e.object.status = named);
    let (status, _) = status::status_while(&restarted, &restarted.waits());
    assert_eq!(status.blocked_by_summary.as_deref(), Some("web"), "the blockers are unknown after a restart");
    let free = restarted.clone().with_blockers(blocked_by(&[]));
    let (status, _) = status::status_while(&free, &free.waits());
    assert_eq!((status.blocked_by_summary, status.blocked_by_count, status.blocked_by.len()), (None, None, 0));
    let accepted = restarted.clone().after_delete(described("ACTIVE"));
    assert_eq!(status::status_while(&accepted, &accepted.waits()).0.blocked_by_summary, None);
    let gone = restarted.after_delete(described("INACTIVE"));
    assert_eq!(status::status_after(&gone, &StatusWrite::Receipt).0.blocked_by_summary, None);
}

#[test]
fn blockers_are_not_named_while_nothing_looks_for_them() {
    let blocked = in_use().with_blockers(blocked_by(&["web"]));
    let named = status::status_while(&blocked, &blocked.waits()).0;
    let held = |change: fn(&mut Evidence)| {
        let e = blocked.clone().with(|e| e.object.status = named.clone()).with(change).with(|e| e.blockers = None);
        let status = status::status_while(&e, &e.waits()).0;
        (e.waits().reason, status.blocked_by_summary, status.blocked_by_count, status.blocked_by.len())
    };
    assert_eq!(held(|e| e.object.protected = true), (Reason::Protected, None, None, 0));
    let other_account = |e: &mut Evidence| {
        e.caller = Caller::Account("444455556666".parse().unwrap());
        e.attempt.end = End::Open;
        e.state.deletion = Deletion::NotSent;
    };
    assert_eq!(held(other_account), (Reason::WrongAccount, None, None, 0));
}

#[test]
fn with_blockers_the_delete_is_repeated_with_backoff() {
    let blocked = in_use().with_blockers(blocked_by(&["web"]));
    assert_eq!(blocked.clone().reconciled_after(59).waits().reason, Reason::InUse);
    assert_eq!(blocked.attempts(6), [60, 60, 120, 240, 300, 300]);
}

#[test]
fn a_released_blocker_leads_to_one_delete_at_once() {
    let blocked = in_use().with_blockers(blocked_by(&["jobs", "web"])).reconciled_after(20);
    let released_at = Some(blocked.now.moment);
    let released = blocked.with_blockers(Blockers { released_at, ..blocked_by(&["web"]) });
    assert_eq!(released.acts_if_ours(), AwsCall::Delete);
    let again = released.later(1).after_delete(refused(DELETE, ErrorClass::InUse));
    assert_eq!(again.waits_for(), (Reason::InUse, 60));
}

#[test]
fn a_delete_that_is_accepted_early_ends_the_wait_for_services() {
    let blocked = in_use().with_blockers(blocked_by(&["web"])).reconciled_after(20);
    let released_at = Some(blocked.now.moment);
    let released = blocked.with_blockers(Blockers { released_at, ..blocked_by(&[]) });
    assert_eq!(released.acts_if_ours(), AwsCall::Delete);
    assert_eq!(released.after_delete(described("ACTIVE")).waits_for(), (Reason::Deleting, 1));
}

/// App Runner refused the delete with an undocumented message, and the connector is ACTIVE.
fn unexplained() -> Evidence {
    let refused = claimed().deleting().ours().after_delete_only(refused(DELETE, ErrorClass::InvalidRequest));
    assert_eq!(refused.acts(), AwsCall::Describe, "it may be deleted");
    let e = refused.after_describe(described("ACTIVE"));
    assert_eq!(e.acts(), scan_services());
    e.after_scan_start()
}

#[test]
fn after_a_refused_delete_the_service_scan_decides_the_reason() {
    let looking = unexplained().waits();
    assert_eq!(looking.reason, Reason::Deleting);
    assert!(looking.message.contains("AWS's words") && looking.message.contains("scanning for"));
    let used = unexplained().with_blockers(blocked_by(&["web"]));
    assert_eq!(used.waits_for(), (Reason::InUse, 60));
    assert!(used.waits().message.contains("used by App Runner service web"));
    let unused = unexplained().with_blockers(blocked_by(&[]));
    assert_eq!(unused.waits_for(), (Reason::InvalidRequest, 60));
    assert!(unused.waits().message.ends_with("AWS's words"), "{}", unused.waits().message);
    let hidden = unexplained().with_blockers(unreadable()).waits();
    assert_eq!(hidden.reason, Reason::InvalidRequest);
    assert!(hidden.message.contains("apprunner:ListServices"), "{}", hidden.message);
}

#[test]
fn after_an_unexplained_refusal_a_changed_service_leads_to_a_delete_at_once() {
    let used = unexplained().with_blockers(blocked_by(&["web"])).reconciled_after(20);
    let now = Some(used.now.moment);
    assert_eq!(used.with_blockers(Blockers { released_at: now, ..blocked_by(&[]) }).acts_if_ours(), AwsCall::Delete);
    let unused = || unexplained().with_blockers(blocked_by(&[])).reconciled_after(20);
    assert_eq!(unused().with_blockers(Blockers { changed_at: now, ..blocked_by(&[]) }).acts_if_ours(), AwsCall::Delete);
    let still = unused().with_blockers(Blockers { unreferenced_at: now, ..blocked_by(&[]) });
    assert_eq!(still.waits().reason, Reason::InvalidRequest, "an unused connector is no reason to retry");
    let in_use = in_use().with_blockers(blocked_by(&["web"])).reconciled_after(20);
    assert_eq!(
        in_use.with_blockers(Blockers { changed_at: now, ..blocked_by(&["web"]) }).waits().reason,
        Reason::InUse
    );
}

/// The describe after the first refusal may have failed; the connector may be deleted all the same.
#[test]
fn after_every_unexplained_refusal_the_connector_is_described() {
    let again = unexplained().with_blockers(blocked_by(&[])).next_attempt().ours();
    let refused = again.after_delete_only(refused(DELETE, ErrorClass::InvalidRequest));
    assert_eq!(refused.acts(), AwsCall::Describe);
    assert_eq!(refused.clone().after_describe(described("INACTIVE")).acts(), StatusWrite::Receipt);
    let failed = refused.after_describe(unknown(Operation::DescribeVpcConnector, ErrorClass::Unreachable));
    assert_eq!(failed.waits().reason, Reason::InvalidRequest, "once in an attempt");
}

#[test]
fn without_blockers_the_delete_is_repeated_every_5_and_later_30_seconds() {
    let blocked = in_use().with_blockers(blocked_by(&["web"])).reconciled_after(7);
    let released_at = Some(blocked.now.moment);
    let free = blocked.with_blockers(Blockers { released_at, ..blocked_by(&[]) });
    assert_eq!(free.acts_if_ours(), AwsCall::Delete);
    let refused_again = free.after_delete(refused(DELETE, ErrorClass::InUse));
    assert!(refused_again.waits().message.contains("no service references it; waiting for App Runner to release it"));
    let waits = refused_again.attempts(64);
    assert!(waits[..60].iter().all(|wait| *wait == 5), "{waits:?}");
    assert!(waits[60..].iter().all(|wait| *wait == 30), "{waits:?}");
}

#[test]
fn with_unreadable_blockers_it_is_repeated_every_10_and_later_30_seconds() {
    let blind = in_use().with_blockers(unreadable());
    let message = blind.waits().message;
    assert!(message.contains("IAM does not allow apprunner:ListServices"), "{message}");
    let waits = blind.attempts(33);
    assert!(waits[..30].iter().all(|wait| *wait == 10), "{waits:?}");
    assert_eq!(waits[30..], [30, 30, 30]);
    assert_eq!(in_use().attempts(3), [5, 5, 5], "during the service scan");
}

#[test]
fn among_many_waiting_objects_each_retries_less_often_unless_released() {
    let crowded = |released_at| Blockers { min_interval: Duration::from_secs(40), released_at, ..blocked_by(&[]) };
    assert_eq!(in_use().with_blockers(crowded(None)).waits_for().1, 40);
    let blocked = in_use().with_blockers(blocked_by(&["web"])).reconciled_after(7);
    let released_at = Some(blocked.now.moment);
    assert_eq!(blocked.with_blockers(crowded(released_at)).acts_if_ours(), AwsCall::Delete);
}

#[test]
fn a_release_does_not_shorten_the_backoff_of_another_failure() {
    let throttled = in_use().next_attempt().after_delete(refused(DELETE, ErrorClass::Throttled)).reconciled_early();
    let released_at = Some(throttled.moment_after(Duration::from_millis(1)));
    assert_eq!(throttled.with_blockers(Blockers { released_at, ..blocked_by(&[]) }).waits().reason, Reason::Throttled);
}

#[test]
fn a_claim_lost_during_the_wait_is_made_again() {
    let lost = in_use().with(|e| (e.blockers, e.object.status.arn) = (None, None));
    assert_eq!(lost.acts(), AwsCall::Describe);
}

#[test]
fn a_requested_delete_is_sent_even_with_blockers() {
    assert_eq!(
        in_use().with_blockers(blocked_by(&["web"])).reconciled_after(1).requested_with("now").acts_if_ours(),
        AwsCall::Delete
    );
}

#[test]
fn a_wait_for_the_rate_limit_keeps_the_reason_of_an_earlier_wait() {
    let soon = Duration::from_secs(20);
    let first = wait::until_rate_limit(&claimed().deleting(), soon);
    assert_eq!((first.reason, first.until), (Reason::Deleting, claimed().moment_after(soon)));
    assert!(first.message.contains("--aws-rate"), "{}", first.message);
    assert_eq!(wait::until_rate_limit(&super::evidence::unclaimed(), soon).reason, Reason::Adopting);
    assert_eq!(
        wait::until_rate_limit(&claimed(), soon).reason,
        Reason::Available,
        "a late describe does not change the reason"
    );
    let blocked = in_use().with_blockers(blocked_by(&["web"])).reconciled_after(1);
    let delayed = wait::until_rate_limit(&blocked, soon);
    assert_eq!((delayed.reason, delayed.until), (Reason::InUse, blocked.moment_after(soon)));
}

#[test]
fn an_attempt_reserves_all_the_calls_that_it_may_make() {
    use super::evidence::unclaimed;
    let calls = |e: &Evidence| {
        let Effect::Aws(call, _) = e.acts() else { panic!("not a call to AWS") };
        calls_of_attempt(e, call)
    };
    assert_eq!(calls(&unclaimed()), 3, "describe, read the tags, write ours");
    assert_eq!(calls(&unclaimed().without_tags()), 1);
    assert_eq!(calls(&unclaimed().deleting()), 3, "describe, read the tags, delete");
    assert_eq!(calls(&unclaimed().deleting().without_tags()), 2);
    assert_eq!(calls(&claimed().next_attempt()), 2, "describe, read the tags");
    assert_eq!(calls(&claimed().next_attempt().without_tags()), 1);
    assert_eq!(calls(&claimed().deleting()), 2, "read the tags, delete");
    assert_eq!(calls(&claimed().deleting().without_tags()), 1);
    let unknown = || claimed().deleting().deletion(unanswered());
    assert_eq!(calls(&unknown()), 3, "describe, read the tags, delete");
    assert_eq!(calls(&unknown().without_tags()), 2);
    assert_eq!(calls(&claimed().deleting().ours().after_delete(refused(DELETE, ErrorClass::InUse)).next_attempt()), 1);
    assert_eq!(calls(&claimed().deleting().retained()), 2, "read the tags, remove ours");
    assert_eq!(calls_of_attempt(&unclaimed(), AwsCall::Identify), 0);
    assert_eq!(calls_of_attempt(&claimed(), AwsCall::Identify), 0, "STS has no rate limit of ours");
}
