//! A connector in use: what is told of it, and when its deletion is tried again.

use super::evidence::{claimed, described, failure, refused, scan_services, unanswered};
use crate::core::blockers::{Blockers, Services};
use crate::core::decide::calls_of_attempt;
use crate::core::effect::{AwsCall, Effect, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::Evidence;
use crate::core::outcome::{Operation, Service};
use std::time::Duration;

use crate::api::Reason;
use crate::core::{status, wait};

const DELETE: Operation = Operation::DeleteVpcConnector;

fn in_use() -> Evidence {
    claimed().deleting().after_delete(refused(DELETE, ErrorClass::InUse))
}

fn service(name: &str, status: &str) -> Service {
    Service { arn: format!("arn:…:service/{name}/1"), name: name.into(), status: status.into(), updated_at: None }
}

fn held_by(names: &[&str]) -> Blockers {
    let services: Vec<_> = names.iter().map(|name| service(name, "RUNNING")).collect();
    let services = if services.is_empty() { Services::None } else { Services::Blocking(services) };
    Blockers { services, ..Blockers::default() }
}

fn unreadable() -> Blockers {
    let denied = failure(Operation::ListServices, ErrorClass::AccessDenied);
    Blockers { services: Services::Unreadable(denied), ..Blockers::default() }
}

impl Evidence {
    fn seen(self, blockers: Blockers) -> Self {
        self.with(|e| e.blockers = Some(blockers))
    }

    /// Woken so many seconds later, as the survey does when it has news.
    fn woken_after(self, seconds: u64) -> Self {
        self.with(|e| {
            e.state.wait = Some(e.waits());
            e.now = e.now.at(e.from_now(Duration::from_secs(seconds)));
            e.reconcile();
        })
    }

    /// Seconds between attempts that are refused again and again, as long as nothing new is seen.
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
fn its_users_are_looked_for_before_anything_is_waited_for() {
    let e = claimed().deleting().after_delete_only(refused(DELETE, ErrorClass::InUse));
    assert_eq!(e.acts(), scan_services());
    let told = e.after_scan_start().waits();
    assert_eq!(told.reason, Reason::InUse);
    assert!(told.message.contains("AWS's words") && told.message.contains("scanning for"), "{}", told.message);
}

#[test]
fn who_holds_it_is_named_in_the_status_the_message_and_the_column() {
    let e = in_use().seen(held_by(&["jobs", "web"]));
    let status = status::status_while(&e, &e.waits()).0;
    let message = &status.condition("Ready").unwrap().message;
    assert!(message.contains("services jobs (RUNNING) and web (RUNNING)"), "{message}");
    assert_eq!(status.blocked_by_summary.as_deref(), Some("jobs, web"));
    assert_eq!(status.blocked_by_count, Some(2));
    assert_eq!(status.blocked_by[0].name, "jobs");
    assert!(status.condition("Stalled").is_none(), "waiting for a service is no stall");
    let one = in_use().seen(held_by(&["web"])).waits().message;
    assert!(one.contains("used by App Runner service web (RUNNING)"), "{one}");
}

#[test]
fn of_many_holders_a_status_names_20_a_message_5_and_a_column_2() {
    let names: Vec<String> = (10..35).map(|n| format!("svc-{n}")).collect();
    let e = in_use().seen(held_by(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let status = status::status_while(&e, &e.waits()).0;
    assert_eq!((status.blocked_by.len(), status.blocked_by_count), (20, Some(25)));
    assert_eq!(status.blocked_by_summary.as_deref(), Some("svc-10, svc-11 +23"));
    assert!(status.condition("Ready").unwrap().message.contains("svc-14 (RUNNING) and 20 more"));
}

#[test]
fn names_that_were_told_stand_until_better_is_known_and_go_with_the_connector() {
    let held = in_use().seen(held_by(&["web"]));
    let named = status::status_while(&held, &held.waits()).0;
    let restarted = in_use().with(|e| e.object.status = named);
    let (status, _) = status::status_while(&restarted, &restarted.waits());
    assert_eq!(status.blocked_by_summary.as_deref(), Some("web"), "nothing is known yet after a restart");
    let free = restarted.clone().seen(held_by(&[]));
    let (status, _) = status::status_while(&free, &free.waits());
    assert_eq!((status.blocked_by_summary, status.blocked_by_count, status.blocked_by.len()), (None, None, 0));
    let accepted = restarted.clone().after_delete(described("ACTIVE"));
    assert_eq!(status::status_while(&accepted, &accepted.waits()).0.blocked_by_summary, None);
    let gone = restarted.after_delete(described("INACTIVE"));
    assert_eq!(status::status_after(&gone, &StatusWrite::Receipt).0.blocked_by_summary, None);
}

#[test]
fn while_services_hold_it_nothing_is_tried_but_now_and_then() {
    let held = in_use().seen(held_by(&["web"]));
    assert_eq!(held.clone().woken_after(59).waits().reason, Reason::InUse);
    assert_eq!(held.attempts(6), [60, 60, 120, 240, 300, 300]);
}

#[test]
fn as_soon_as_one_lets_go_or_changes_it_is_tried_at_once_and_only_once() {
    let held = in_use().seen(held_by(&["jobs", "web"])).woken_after(20);
    let released_at = Some(held.now.moment);
    let let_go = held.seen(Blockers { released_at, ..held_by(&["web"]) });
    assert_eq!(let_go.acts_if_ours(), AwsCall::Delete);
    let again = let_go.later(1).after_delete(refused(DELETE, ErrorClass::InUse));
    assert_eq!(again.waits_for(), (Reason::InUse, 60));
}

#[test]
fn a_delete_that_is_accepted_early_ends_the_wait_for_services() {
    let held = in_use().seen(held_by(&["web"])).woken_after(20);
    let released_at = Some(held.now.moment);
    let released = held.seen(Blockers { released_at, ..held_by(&[]) });
    assert_eq!(released.acts_if_ours(), AwsCall::Delete);
    assert_eq!(released.after_delete(described("ACTIVE")).waits_for(), (Reason::Deleting, 1));
}

/// App Runner refuses in words that nobody has documented, and the connector is ACTIVE.
fn unexplained() -> Evidence {
    let refused = claimed().deleting().ours().after_delete_only(refused(DELETE, ErrorClass::InvalidRequest));
    assert_eq!(refused.acts(), AwsCall::Describe, "it may be gone");
    let e = refused.after_describe(described("ACTIVE"));
    assert_eq!(e.acts(), scan_services());
    e.after_scan_start()
}

#[test]
fn after_any_refusal_of_an_active_connector_its_services_decide_whether_it_is_in_use() {
    let looking = unexplained().waits();
    assert_eq!(looking.reason, Reason::Deleting);
    assert!(looking.message.contains("AWS's words") && looking.message.contains("scanning for"));
    let used = unexplained().seen(held_by(&["web"]));
    assert_eq!(used.waits_for(), (Reason::InUse, 60));
    assert!(used.waits().message.contains("used by App Runner service web"));
    let unused = unexplained().seen(held_by(&[]));
    assert_eq!(unused.waits_for(), (Reason::InvalidRequest, 60));
    assert!(unused.waits().message.ends_with("AWS's words"), "{}", unused.waits().message);
    let hidden = unexplained().seen(unreadable()).waits();
    assert_eq!(hidden.reason, Reason::InvalidRequest);
    assert!(hidden.message.contains("apprunner:ListServices"), "{}", hidden.message);
}

#[test]
fn after_an_unexplained_refusal_a_release_or_any_change_of_a_service_brings_the_attempt_forward() {
    let used = unexplained().seen(held_by(&["web"])).woken_after(20);
    let now = Some(used.now.moment);
    assert_eq!(used.seen(Blockers { released_at: now, ..held_by(&[]) }).acts_if_ours(), AwsCall::Delete);
    let unused = || unexplained().seen(held_by(&[])).woken_after(20);
    assert_eq!(unused().seen(Blockers { changed_at: now, ..held_by(&[]) }).acts_if_ours(), AwsCall::Delete);
    let still = unused().seen(Blockers { unreferenced_at: now, ..held_by(&[]) });
    assert_eq!(still.waits().reason, Reason::InvalidRequest, "that none uses it is no news");
    let in_use = in_use().seen(held_by(&["web"])).woken_after(20);
    assert_eq!(in_use.seen(Blockers { changed_at: now, ..held_by(&["web"]) }).waits().reason, Reason::InUse);
}

#[test]
fn when_none_uses_it_any_more_it_is_tried_at_once_and_every_5_and_after_5_minutes_every_30_seconds() {
    let held = in_use().seen(held_by(&["web"])).woken_after(7);
    let released_at = Some(held.now.moment);
    let free = held.seen(Blockers { released_at, ..held_by(&[]) });
    assert_eq!(free.acts_if_ours(), AwsCall::Delete);
    let refused_again = free.after_delete(refused(DELETE, ErrorClass::InUse));
    assert!(refused_again.waits().message.contains("no service references it; waiting for App Runner to release it"));
    let waits = refused_again.attempts(64);
    assert!(waits[..60].iter().all(|wait| *wait == 5), "{waits:?}");
    assert!(waits[60..].iter().all(|wait| *wait == 30), "{waits:?}");
}

#[test]
fn where_nobody_can_be_seen_it_is_tried_every_10_and_after_5_minutes_every_30_seconds() {
    let blind = in_use().seen(unreadable());
    let message = blind.waits().message;
    assert!(message.contains("IAM does not allow apprunner:ListServices"), "{message}");
    let waits = blind.attempts(33);
    assert!(waits[..30].iter().all(|wait| *wait == 10), "{waits:?}");
    assert_eq!(waits[30..], [30, 30, 30]);
    assert_eq!(in_use().attempts(3), [5, 5, 5], "but while they are being looked for");
}

#[test]
fn in_a_crowd_each_tries_less_often_but_for_what_it_has_seen() {
    let crowded = |released_at| Blockers { min_interval: Duration::from_secs(40), released_at, ..held_by(&[]) };
    assert_eq!(in_use().seen(crowded(None)).waits_for().1, 40);
    let held = in_use().seen(held_by(&["web"])).woken_after(7);
    let released_at = Some(held.now.moment);
    assert_eq!(held.seen(crowded(released_at)).acts_if_ours(), AwsCall::Delete);
}

#[test]
fn what_is_seen_while_another_answer_is_waited_for_does_not_bring_it_forward() {
    let throttled = in_use().next_attempt().after_delete(refused(DELETE, ErrorClass::Throttled)).woken();
    let released_at = Some(throttled.from_now(Duration::from_millis(1)));
    assert_eq!(throttled.seen(Blockers { released_at, ..held_by(&[]) }).waits().reason, Reason::Throttled);
}

#[test]
fn a_claim_that_was_lost_meanwhile_is_established_anew() {
    let lost = in_use().with(|e| (e.blockers, e.object.status.arn) = (None, None));
    assert_eq!(lost.acts(), AwsCall::Describe);
}

#[test]
fn an_attempt_that_is_asked_for_is_made_whoever_holds_it() {
    assert_eq!(in_use().seen(held_by(&["web"])).woken_after(1).asked("now").acts_if_ours(), AwsCall::Delete);
}

#[test]
fn a_turn_that_is_waited_for_says_so_unless_something_else_was_waited_for() {
    let soon = Duration::from_secs(20);
    let first = wait::until_rate_limit(&claimed().deleting(), soon);
    assert_eq!((first.reason, first.until), (Reason::Deleting, claimed().from_now(soon)));
    assert!(first.message.contains("--aws-rate"), "{}", first.message);
    assert_eq!(wait::until_rate_limit(&super::evidence::unclaimed(), soon).reason, Reason::Adopting);
    assert_eq!(
        wait::until_rate_limit(&claimed(), soon).reason,
        Reason::Available,
        "a look that is late takes nothing back"
    );
    let held = in_use().seen(held_by(&["web"])).woken_after(1);
    assert_eq!(wait::until_rate_limit(&held, soon).reason, Reason::InUse);
}

#[test]
fn an_attempt_asks_for_all_the_calls_it_may_take() {
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
    assert_eq!(calls(&claimed().deleting().retained()), 2, "read the tags, take ours off");
    assert_eq!(calls_of_attempt(&unclaimed(), AwsCall::Identify), 0);
    assert_eq!(calls_of_attempt(&claimed(), AwsCall::Identify), 0, "STS has no rate limit of ours");
}
