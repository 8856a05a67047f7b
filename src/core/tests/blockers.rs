//! The service scan: its calls to App Runner, and the blockers that follow from the replies.

use super::evidence::{ARN, NOW, OTHER_ARN, WALL, failure, refused};
use crate::core::blockers::{Blockers, CallTime, ScanCall, ScanOutcome, ServiceScan, Services, Step};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Operation, Outcome, Page, Service};
use std::time::Duration;

use crate::core::arn::ConnectorArn;
use crate::core::clock::{Moment, Now};
use crate::core::intervals::Intervals;

const LIST: Operation = Operation::ListServices;
const DESCRIBE: Operation = Operation::DescribeService;
const SHARE: Duration = Duration::from_secs(2);

fn arn(text: &str) -> ConnectorArn {
    text.parse().unwrap()
}

fn list(token: Option<String>) -> Step {
    Step::Call(ScanCall::List(token))
}

fn describe(arn: &str) -> Step {
    Step::Call(ScanCall::Describe(arn.into()))
}

/// A failed call of another kind.
fn retyped<T>(failure: Outcome<()>) -> Outcome<T> {
    match failure {
        Outcome::Done(()) => panic!("not a failure"),
        Outcome::Refused(failure) => Outcome::Refused(failure),
        Outcome::NotSent(failure) => Outcome::NotSent(failure),
        Outcome::Unknown(failure) => Outcome::Unknown(failure),
    }
}

/// A scan, the time, and the services of App Runner.
#[derive(Clone)]
pub(super) struct World {
    pub(super) scan: ServiceScan,
    now: Moment,
    pub(super) services: Vec<(Service, Option<&'static str>)>,
    calls: Vec<ScanCall>,
}

impl World {
    pub(super) fn new() -> Self {
        Self { scan: ServiceScan::default(), now: NOW, services: Vec::new(), calls: Vec::new() }
    }

    pub(super) fn with(mut self, name: &str, status: &str, uses: Option<&'static str>) -> Self {
        self.put(name, status, uses);
        self
    }

    pub(super) fn subscribed(mut self) -> Self {
        self.scan.watch(&arn(ARN), false, self.time());
        self
    }

    /// Creates or changes a service.
    pub(super) fn put(&mut self, name: &str, status: &str, uses: Option<&'static str>) {
        self.remove(name);
        let arn = format!("arn:…:service/{name}/1");
        let updated_at = Some(self.time().wall);
        self.services.push((Service { arn, name: name.into(), status: status.into(), updated_at }, uses));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.services.retain(|(service, _)| service.name != name);
    }

    fn next(&self) -> Step {
        self.scan.next(&Intervals::default(), 5.0, self.now)
    }

    /// The time by both clocks; `updated_at` of the services is by the same wall clock.
    pub(super) fn time(&self) -> Now {
        Now { moment: NOW, wall: WALL }.at(self.now)
    }

    pub(super) fn later(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
    }

    /// Answers one call as App Runner does, with two services per page, and returns the connectors whose blockers changed.
    pub(super) fn answer(&mut self) -> Vec<String> {
        let Step::Call(call) = self.next() else { panic!("there is no call to answer") };
        let outcome = match &call {
            ScanCall::List(token) => {
                let from: usize = token.as_ref().map_or(0, |token| token.parse().unwrap());
                let items = self.services.iter().skip(from).take(2).map(|(service, _)| service.clone()).collect();
                let next = (from + 2 < self.services.len()).then(|| (from + 2).to_string());
                ScanOutcome::List { token: token.clone(), outcome: Outcome::Done(Page { items, next }) }
            }
            ScanCall::Describe(arn) => {
                let found = self.services.iter().find(|(service, _)| service.arn == *arn);
                let missing = refused(DESCRIBE, ErrorClass::NotFound);
                let outcome = found.map_or(missing, |(_, uses)| Outcome::Done(uses.map(str::to_owned)));
                ScanOutcome::Describe { arn: arn.clone(), outcome }
            }
        };
        self.apply(call, outcome)
    }

    /// Answers one call with a failure.
    pub(super) fn answer_with(&mut self, failure: Outcome<()>) -> Vec<String> {
        let Step::Call(call) = self.next() else { panic!("there is no call to answer") };
        let outcome = match call.clone() {
            ScanCall::List(token) => ScanOutcome::List { token, outcome: retyped(failure) },
            ScanCall::Describe(arn) => ScanOutcome::Describe { arn, outcome: retyped(failure) },
        };
        self.apply(call, outcome)
    }

    fn apply(&mut self, call: ScanCall, outcome: ScanOutcome) -> Vec<String> {
        let sent = self.now;
        self.later(10);
        let time = CallTime { sent, now: self.time(), jitter: 0.0 };
        let changed = self.scan.apply(outcome, &Intervals::default(), time);
        self.calls.push(call);
        changed.into_iter().map(|arn| arn.to_string()).collect()
    }

    /// Answers calls until the scan rests, and returns the calls: `L` for a page of a list, `D` for a describe.
    pub(super) fn scan_all(&mut self) -> String {
        self.calls.clear();
        while !matches!(self.next(), Step::Rest(_) | Step::Done) {
            self.answer();
        }
        self.calls.iter().map(|step| if matches!(step, ScanCall::List(_)) { 'L' } else { 'D' }).collect()
    }

    pub(super) fn next_scan(&mut self) -> String {
        let Step::Rest(until) = self.next() else { panic!("the scan does not rest") };
        self.now = until;
        self.scan_all()
    }

    pub(super) fn blockers(&self) -> Blockers {
        self.scan.blockers_of(&arn(ARN), &Intervals::default(), SHARE, self.now).unwrap()
    }

    fn names(&self) -> Vec<String> {
        match self.blockers().services {
            Services::Blocking(services) => services.into_iter().map(|service| service.name).collect(),
            Services::Unknown | Services::Unreadable(_) | Services::None => Vec::new(),
        }
    }
}

#[test]
fn no_service_is_listed_without_a_subscription() {
    let mut world = World::new();
    assert_eq!(world.next(), Step::Done);
    world = world.subscribed();
    assert_eq!(world.next(), list(None));
    world.scan.unwatch(&arn(ARN));
    assert_eq!(world.next(), Step::Done);
    assert_eq!(world.scan.blockers_of(&arn(ARN), &Intervals::default(), SHARE, NOW), None);
}

#[test]
fn blockers_are_named_in_every_state_of_the_service() {
    let mut world = World::new()
        .with("web", "RUNNING", Some(ARN))
        .with("jobs", "PAUSED", Some(ARN))
        .with("other", "RUNNING", Some(OTHER_ARN))
        .with("public", "RUNNING", None)
        .with("api", "OPERATION_IN_PROGRESS", Some(ARN))
        .subscribed();
    assert_eq!(world.scan_all(), "LLLDDDDD");
    assert_eq!(world.names(), ["api", "jobs", "web"], "sorted by ARN");
    assert_ne!(world.blockers().services, Services::Unknown);
}

#[test]
fn a_service_is_described_again_only_when_its_status_or_its_time_changed() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).with("jobs", "RUNNING", Some(ARN)).subscribed();
    assert_eq!(world.scan_all(), "LDD");
    assert_eq!(world.next_scan(), "L");
    world.put("web", "PAUSED", Some(ARN));
    assert_eq!(world.next_scan(), "LD");
    world.put("jobs", "RUNNING", None);
    assert_eq!(world.next_scan(), "LD", "the same status at another time");
    assert_eq!(world.names(), ["web"]);
}

#[test]
fn a_list_begins_every_five_seconds_even_if_describes_are_due() {
    let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", None).subscribed();
    world.answer();
    assert_eq!(world.next(), describe("arn:…:service/a/1"));
    world.later(5_000);
    assert_eq!(world.next(), list(None));
}

#[test]
fn a_list_of_many_pages_uses_at_most_half_of_the_rate() {
    let mut world = World::new().subscribed();
    for n in 0..40 {
        world.put(&format!("s{n:02}"), "RUNNING", None);
    }
    world.scan_all();
    let begun = NOW;
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    assert_eq!(until.since(begun).as_secs(), 8, "20 pages at 5 a second, twice over");
}

#[test]
fn released_and_changed_blockers_are_reasons_to_retry_and_new_ones_are_not() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).with("jobs", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    assert_eq!(world.blockers().released_at, None, "the blockers were there from the start");
    world.put("new", "RUNNING", Some(ARN));
    world.next_scan();
    assert_eq!((world.names().len(), world.blockers().released_at), (3, None));
    world.put("web", "PAUSED", Some(ARN));
    world.next_scan();
    let changed = world.blockers().released_at.expect("a status that changed");
    world.remove("jobs");
    world.next_scan();
    let deleted = world.blockers().released_at.expect("a deleted service");
    assert!(deleted > changed);
    world.put("new", "RUNNING", None);
    world.next_scan();
    assert!(world.blockers().released_at.expect("a service that no longer uses the connector") > deleted);
    assert_eq!(world.names(), ["web"]);
}

#[test]
fn first_complete_scan_after_the_request_reports_no_blockers() {
    let mut world = World::new().with("web", "RUNNING", None).subscribed();
    world.answer();
    assert_eq!(world.blockers().services, Services::Unknown, "one service is still to be described");
    assert_eq!(world.answer(), [ARN]);
    assert_eq!(world.blockers().services, Services::None);
    assert!(world.blockers().unreferenced_at.is_some());

    world.later(1_000);
    world.scan.watch(&arn(OTHER_ARN), false, world.time());
    let other =
        |world: &World| world.scan.blockers_of(&arn(OTHER_ARN), &Intervals::default(), SHARE, world.now).unwrap();
    assert_eq!(other(&world).services, Services::Unknown, "the last list is older than the subscription");
    world.next_scan();
    assert_eq!(other(&world).services, Services::None);
    assert!(other(&world).unreferenced_at.is_some());
}

#[test]
fn known_blockers_are_reported_at_the_subscription() {
    let mut world = World::new().with("web", "RUNNING", Some(OTHER_ARN)).subscribed();
    world.scan_all();
    world.scan.watch(&arn(OTHER_ARN), false, world.time());
    let other = world.scan.blockers_of(&arn(OTHER_ARN), &Intervals::default(), SHARE, world.now).unwrap();
    assert!(matches!(other.services, Services::Blocking(services) if services[0].name == "web"));
}

#[test]
fn only_subscribers_whose_blockers_changed_are_triggered() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan.watch(&arn(OTHER_ARN), false, world.time());
    assert!(world.answer().is_empty(), "a list without descriptions changes nothing");
    assert_eq!(world.answer().len(), 2, "one has a blocker, and the other is known to have none");
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    world.now = until;
    assert!(world.answer().is_empty(), "nothing changed");
}

#[test]
fn after_an_unexplained_refusal_any_change_of_a_service_is_reported() {
    let mut world = World::new().with("web", "RUNNING", None).with("jobs", "RUNNING", None);
    world.scan.watch(&arn(ARN), true, world.time());
    world.scan.watch(&arn(OTHER_ARN), false, world.time());
    world.scan_all();
    assert_eq!(world.blockers().changed_at, None, "the first list changes nothing");
    assert_eq!(world.blockers().retry_since(true), None, "an unused connector is no reason to retry");
    let changes: [fn(&mut World); 3] = [
        |world| world.put("web", "PAUSED", None),
        |world| world.remove("jobs"),
        |world| world.put("new", "RUNNING", None),
    ];
    for change in changes {
        let before = world.blockers().changed_at;
        change(&mut world);
        let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
        world.now = until;
        assert_eq!(world.answer(), [ARN], "only the subscriber that waits for any change");
        assert!(
            world.blockers().changed_at > before && world.blockers().retry_since(true) == world.blockers().changed_at
        );
        world.scan_all();
    }
}

#[test]
fn a_deleted_service_that_is_still_listed_blocks_nothing() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    for word in ["DELETED", "deleted"] {
        let mut world = world.clone();
        world.put("web", word, Some(ARN));
        assert_eq!(world.next_scan(), "L");
        assert!(world.names().is_empty() && world.blockers().released_at.is_some(), "{word}");
    }
}

#[test]
fn a_service_deleted_between_list_and_describe_is_no_error() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.answer();
    world.remove("web");
    assert_eq!(world.scan_all(), "D");
    assert_eq!(world.blockers().services, Services::None);
}

#[test]
fn blockers_are_unreadable_while_a_right_is_missing() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    world.now = until;
    assert_eq!(world.answer_with(refused(LIST, ErrorClass::AccessDenied)), [ARN], "the failure is reported");
    assert!(world.names().is_empty());
    assert_eq!(world.blockers().services, Services::Unreadable(failure(LIST, ErrorClass::AccessDenied)));
    let retry = world.blockers().retry_since(false);
    assert_eq!(world.next_scan(), "L", "the list is repeated");
    assert_eq!(world.names(), ["web"]);
    assert_eq!(world.blockers().retry_since(false), retry, "an unreadable blocker is not a released one");
}

#[test]
fn blockers_are_unreadable_without_the_right_to_describe() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::AccessDenied));
    let Step::Rest(until) = world.next() else { panic!("the scan does not wait") };
    world.now = until;
    world.answer();
    assert_eq!(
        world.blockers().services,
        Services::Unreadable(failure(DESCRIBE, ErrorClass::AccessDenied)),
        "a list changes nothing"
    );
    world.answer();
    assert_eq!(world.names(), ["web"]);
}

#[test]
fn a_deleted_service_that_could_not_be_described_is_forgotten() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::AccessDenied));
    world.remove("web");
    assert_eq!(world.next_scan(), "L");
    assert_eq!(world.blockers().services, Services::None);
}

#[test]
fn a_transient_failure_repeats_only_the_failed_page_of_a_list() {
    let mut world = World::new().with("a", "RUNNING", Some(ARN)).with("b", "RUNNING", None).with("c", "RUNNING", None);
    world = world.subscribed();
    world.answer();
    assert_eq!(world.next(), list(Some("2".into())));
    world.answer_with(refused(LIST, ErrorClass::Throttled));
    let Step::Rest(until) = world.next() else { panic!("the scan does not wait") };
    assert_eq!(until.since(world.now).as_secs(), 1);
    world.now = until;
    assert_eq!(world.next(), list(Some("2".into())));
    world.scan_all();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn a_refused_token_or_three_failures_of_a_page_restart_the_list() {
    for (class, times) in [(ErrorClass::InvalidRequest, 1), (ErrorClass::ServiceError, 3)] {
        let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", None).with("c", "RUNNING", None);
        world = world.subscribed();
        world.answer();
        for _ in 0..times {
            assert_eq!(world.next(), list(Some("2".into())));
            world.answer_with(refused(LIST, class));
            world.later(60_000);
        }
        assert_eq!(world.next(), list(None), "{class:?}");
        world.scan_all();
        assert_ne!(world.blockers().services, Services::Unknown);
    }
}

#[test]
fn a_failed_describe_does_not_delay_the_other_services() {
    let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", Some(ARN)).subscribed();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::ServiceError));
    world.later(1_000);
    assert_eq!(world.next(), describe("arn:…:service/b/1"));
    world.answer();
    assert_eq!(world.names(), ["b"]);
    assert_eq!(world.next(), describe("arn:…:service/a/1"), "and is described again");
}

#[test]
fn known_blockers_count_for_half_a_minute_of_failures() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    world.now = until;
    world.answer_with(refused(LIST, ErrorClass::ServiceError));
    assert_eq!(world.names(), ["web"]);
    world.later(30_000);
    assert!(world.names().is_empty(), "after half a minute the blockers are unknown");
    assert_eq!(world.answer_with(refused(LIST, ErrorClass::ServiceError)), [ARN], "the failure is reported");
    world.later(1_000);
    assert!(world.answer_with(refused(LIST, ErrorClass::ServiceError)).is_empty(), "once");
    assert_eq!(world.blockers().services, Services::Unreadable(failure(LIST, ErrorClass::ServiceError)));
}

#[test]
fn an_endless_list_is_restarted() {
    let mut world = World::new().subscribed();
    for _ in 0..=500 {
        let page = Page { items: Vec::new(), next: Some("again".into()) };
        let Step::Call(ScanCall::List(token)) = world.next() else { panic!("not a list") };
        world.apply(ScanCall::List(token.clone()), ScanOutcome::List { token, outcome: Outcome::Done(page) });
    }
    assert!(matches!(world.next(), Step::Rest(_)));
    world.later(1_000);
    assert_eq!(world.next(), list(None), "the list starts again");
}

#[test]
fn a_second_subscription_keeps_the_wait_for_any_change() {
    let mut world = World::new().with("web", "RUNNING", None);
    world.scan.watch(&arn(ARN), true, world.time());
    world.scan.watch(&arn(ARN), false, world.time());
    world.scan_all();
    world.later(1_000);
    world.put("web", "PAUSED", None);
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    world.now = until;
    assert_eq!(world.answer(), [ARN]);
}

#[test]
fn a_service_that_replaces_another_is_a_change() {
    let mut world = World::new().with("web", "RUNNING", None).subscribed();
    world.scan_all();
    world.remove("web");
    world.put("new", "RUNNING", None);
    let Step::Rest(until) = world.next() else { panic!("the scan does not rest") };
    world.now = until;
    world.answer();
    assert_eq!(world.blockers().changed_at, Some(world.now));
    let before = world.blockers().changed_at;
    world.scan_all();
    world.next_scan();
    assert_eq!(world.blockers().changed_at, before, "an unchanged list is no change");
}

#[test]
fn a_released_connector_is_not_reported_as_unreferenced() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    assert_eq!(world.blockers().unreferenced_at, None, "it is used");
    world.remove("web");
    world.next_scan();
    assert_eq!(world.blockers().services, Services::None);
    assert_eq!(world.blockers().unreferenced_at, None, "it was released, so `released_at` is set instead");
    assert!(world.blockers().released_at.is_some());
}

#[test]
fn a_new_time_of_a_blocker_alone_changes_no_blocker() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).subscribed();
    world.scan_all();
    let before = world.blockers();
    world.later(1_000);
    world.put("web", "RUNNING", Some(ARN));
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    assert!(world.answer().is_empty(), "the list");
    assert!(world.answer().is_empty(), "the description");
    assert_eq!(world.blockers().services, before.services);
    assert_eq!(world.blockers().released_at, None);
}
