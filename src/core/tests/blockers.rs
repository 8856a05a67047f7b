//! Who uses a connector: what is asked of App Runner, and what the answers say.

use super::evidence::{ARN, NOW, OTHER_ARN, failure, refused};
use crate::core::blockers::{Blockers, CallTime, ScanCall, ScanOutcome, ServiceScan, Services, Step};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Operation, Outcome, Page, Service};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::arn::ConnectorArn;
use crate::core::clock::Moment;
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

/// A scan, the time, and an App Runner whose services it looks at.
#[derive(Clone)]
struct World {
    scan: ServiceScan,
    now: Moment,
    services: Vec<(Service, Option<&'static str>)>,
    asked: Vec<ScanCall>,
}

impl World {
    fn new() -> Self {
        Self { scan: ServiceScan::default(), now: NOW, services: Vec::new(), asked: Vec::new() }
    }

    fn with(mut self, name: &str, status: &str, uses: Option<&'static str>) -> Self {
        self.put(name, status, uses);
        self
    }

    fn waiting(mut self) -> Self {
        self.scan.watch(&arn(ARN), false, self.now);
        self
    }

    /// Creates a service, or changes it.
    fn put(&mut self, name: &str, status: &str, uses: Option<&'static str>) {
        self.remove(name);
        let arn = format!("arn:…:service/{name}/1");
        let updated_at = Timestamp::UNIX_EPOCH.checked_add(self.now.since(Moment::default())).ok();
        self.services.push((Service { arn, name: name.into(), status: status.into(), updated_at }, uses));
    }

    fn remove(&mut self, name: &str) {
        self.services.retain(|(service, _)| service.name != name);
    }

    fn next(&self) -> Step {
        self.scan.next(&Intervals::default(), 5.0, self.now)
    }

    fn later(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
    }

    /// Answers one call as App Runner does, with two services on a page, and returns the connectors that changed.
    fn answer(&mut self) -> Vec<String> {
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

    /// Fails one call.
    fn answer_with(&mut self, failure: Outcome<()>) -> Vec<String> {
        let Step::Call(call) = self.next() else { panic!("there is no call to answer") };
        let outcome = match call.clone() {
            ScanCall::List(token) => ScanOutcome::List { token, outcome: failure.map(|()| Page::default()) },
            ScanCall::Describe(arn) => ScanOutcome::Describe { arn, outcome: failure.map(|()| None) },
        };
        self.apply(call, outcome)
    }

    fn apply(&mut self, call: ScanCall, outcome: ScanOutcome) -> Vec<String> {
        let sent = self.now;
        self.later(10);
        let time = CallTime { sent, now: self.now, jitter: 0.0 };
        let changed = self.scan.apply(outcome, &Intervals::default(), time);
        self.asked.push(call);
        changed.into_iter().map(|arn| arn.to_string()).collect()
    }

    /// Answers until there is nothing more to ask, and gives what was asked: `L` a list, `D` a description.
    fn scan_all(&mut self) -> String {
        self.asked.clear();
        while !matches!(self.next(), Step::Rest(_) | Step::Done) {
            self.answer();
        }
        self.asked.iter().map(|step| if matches!(step, ScanCall::List(_)) { 'L' } else { 'D' }).collect()
    }

    fn next_sweep(&mut self) -> String {
        let Step::Rest(until) = self.next() else { panic!("it does not rest") };
        self.now = until;
        self.scan_all()
    }

    fn blockers(&self) -> Blockers {
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
fn nothing_is_asked_while_nobody_waits() {
    let mut world = World::new();
    assert_eq!(world.next(), Step::Done);
    world = world.waiting();
    assert_eq!(world.next(), list(None));
    world.scan.unwatch(&arn(ARN));
    assert_eq!(world.next(), Step::Done);
    assert_eq!(world.scan.blockers_of(&arn(ARN), &Intervals::default(), SHARE, NOW), None);
}

#[test]
fn every_service_that_references_the_connector_is_named_whatever_its_state() {
    let mut world = World::new()
        .with("web", "RUNNING", Some(ARN))
        .with("jobs", "PAUSED", Some(ARN))
        .with("other", "RUNNING", Some(OTHER_ARN))
        .with("public", "RUNNING", None)
        .with("api", "OPERATION_IN_PROGRESS", Some(ARN))
        .waiting();
    assert_eq!(world.scan_all(), "LLLDDDDD");
    assert_eq!(world.names(), ["api", "jobs", "web"], "sorted by ARN");
    assert_ne!(world.blockers().services, Services::Unknown);
}

#[test]
fn a_service_is_described_again_only_when_its_status_or_its_time_changed() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).with("jobs", "RUNNING", Some(ARN)).waiting();
    assert_eq!(world.scan_all(), "LDD");
    assert_eq!(world.next_sweep(), "L");
    world.put("web", "PAUSED", Some(ARN));
    assert_eq!(world.next_sweep(), "LD");
    world.put("jobs", "RUNNING", None);
    assert_eq!(world.next_sweep(), "LD", "the same status at another time");
    assert_eq!(world.names(), ["web"]);
}

#[test]
fn a_sweep_begins_every_five_seconds_also_while_services_are_still_to_be_described() {
    let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", None).waiting();
    world.answer();
    assert_eq!(world.next(), describe("arn:…:service/a/1"));
    world.later(5_000);
    assert_eq!(world.next(), list(None));
}

#[test]
fn many_pages_are_listed_less_often_so_that_half_of_the_rate_is_left() {
    let mut world = World::new().waiting();
    for n in 0..40 {
        world.put(&format!("s{n:02}"), "RUNNING", None);
    }
    world.scan_all();
    let begun = NOW;
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    assert_eq!(until.since(begun).as_secs(), 8, "20 pages at 5 a second, twice over");
}

#[test]
fn letting_go_and_changing_are_reasons_to_try_again_and_coming_is_none() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).with("jobs", "RUNNING", Some(ARN)).waiting();
    world.scan_all();
    assert_eq!(world.blockers().released_at, None, "what holds it was there all along");
    world.put("new", "RUNNING", Some(ARN));
    world.next_sweep();
    assert_eq!((world.names().len(), world.blockers().released_at), (3, None));
    world.put("web", "PAUSED", Some(ARN));
    world.next_sweep();
    let changed = world.blockers().released_at.expect("a status that changed");
    world.remove("jobs");
    world.next_sweep();
    let went = world.blockers().released_at.expect("a service that went");
    assert!(went > changed);
    world.put("new", "RUNNING", None);
    world.next_sweep();
    assert!(world.blockers().released_at.expect("a service that goes another way now") > went);
    assert_eq!(world.names(), ["web"]);
}

#[test]
fn a_connector_that_nobody_references_is_found_so_by_the_first_whole_look_that_began_after_it_was_asked_for() {
    let mut world = World::new().with("web", "RUNNING", None).waiting();
    world.answer();
    assert_eq!(world.blockers().services, Services::Unknown, "one service is still to be described");
    assert_eq!(world.answer(), [ARN]);
    assert_eq!(world.blockers().services, Services::None);
    assert!(world.blockers().unreferenced_at.is_some());

    world.later(1_000);
    world.scan.watch(&arn(OTHER_ARN), false, world.now);
    let other =
        |world: &World| world.scan.blockers_of(&arn(OTHER_ARN), &Intervals::default(), SHARE, world.now).unwrap();
    assert_eq!(other(&world).services, Services::Unknown, "the last list is older than the subscription");
    world.next_sweep();
    assert_eq!(other(&world).services, Services::None);
    assert!(other(&world).unreferenced_at.is_some());
}

#[test]
fn what_is_known_already_is_told_at_once() {
    let mut world = World::new().with("web", "RUNNING", Some(OTHER_ARN)).waiting();
    world.scan_all();
    world.scan.watch(&arn(OTHER_ARN), false, world.now);
    let other = world.scan.blockers_of(&arn(OTHER_ARN), &Intervals::default(), SHARE, world.now).unwrap();
    assert!(matches!(other.services, Services::Blocking(services) if services[0].name == "web"));
}

#[test]
fn only_those_are_told_for_whom_something_changed() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.scan.watch(&arn(OTHER_ARN), false, world.now);
    assert!(world.answer().is_empty(), "a list without descriptions says nothing");
    assert_eq!(world.answer().len(), 2, "one has a user, and the other is known to have none");
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    assert!(world.answer().is_empty(), "nothing changed");
}

#[test]
fn after_an_unexplained_refusal_any_change_of_a_service_is_news() {
    let mut world = World::new().with("web", "RUNNING", None).with("jobs", "RUNNING", None);
    world.scan.watch(&arn(ARN), true, world.now);
    world.scan.watch(&arn(OTHER_ARN), false, world.now);
    world.scan_all();
    assert_eq!(world.blockers().changed_at, None, "the first list changes nothing");
    assert_eq!(world.blockers().retry_since(true), None, "and being unused is no reason to try again");
    let changes: [fn(&mut World); 3] = [
        |world| world.put("web", "PAUSED", None),
        |world| world.remove("jobs"),
        |world| world.put("new", "RUNNING", None),
    ];
    for change in changes {
        let before = world.blockers().changed_at;
        change(&mut world);
        let Step::Rest(until) = world.next() else { panic!("it rests") };
        world.now = until;
        assert_eq!(world.answer(), [ARN], "only to the one that asked for it");
        assert!(
            world.blockers().changed_at > before && world.blockers().retry_since(true) == world.blockers().changed_at
        );
        world.scan_all();
    }
}

#[test]
fn a_service_that_is_deleted_uses_nothing_even_if_it_is_still_listed() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.scan_all();
    for word in ["DELETED", "deleted"] {
        let mut world = world.clone();
        world.put("web", word, Some(ARN));
        assert_eq!(world.next_sweep(), "L");
        assert!(world.names().is_empty() && world.blockers().released_at.is_some(), "{word}");
    }
}

#[test]
fn a_service_that_vanishes_between_list_and_look_is_no_error() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.answer();
    world.remove("web");
    assert_eq!(world.scan_all(), "D");
    assert_eq!(world.blockers().services, Services::None);
}

#[test]
fn a_missing_right_hides_the_users_until_it_is_given() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.scan_all();
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    assert_eq!(world.answer_with(refused(LIST, ErrorClass::AccessDenied)), [ARN], "that is news");
    assert!(world.names().is_empty());
    assert_eq!(world.blockers().services, Services::Unreadable(failure(LIST, ErrorClass::AccessDenied)));
    let retry = world.blockers().retry_since(false);
    assert_eq!(world.next_sweep(), "L", "tried again after a while");
    assert_eq!(world.names(), ["web"]);
    assert_eq!(world.blockers().retry_since(false), retry, "not seeing is not letting go");
}

#[test]
fn being_allowed_to_list_is_not_being_allowed_to_describe() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::AccessDenied));
    let Step::Rest(until) = world.next() else { panic!("it waits") };
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
fn what_could_not_be_described_and_is_gone_stands_in_nobodys_way() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::AccessDenied));
    world.remove("web");
    assert_eq!(world.next_sweep(), "L");
    assert_eq!(world.blockers().services, Services::None);
}

#[test]
fn a_hiccup_in_the_middle_of_a_list_is_tried_again_from_there() {
    let mut world = World::new().with("a", "RUNNING", Some(ARN)).with("b", "RUNNING", None).with("c", "RUNNING", None);
    world = world.waiting();
    world.answer();
    assert_eq!(world.next(), list(Some("2".into())));
    world.answer_with(refused(LIST, ErrorClass::Throttled));
    let Step::Rest(until) = world.next() else { panic!("it waits") };
    assert_eq!(until.since(world.now).as_secs(), 1);
    world.now = until;
    assert_eq!(world.next(), list(Some("2".into())));
    world.scan_all();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn a_token_that_is_refused_and_a_page_that_fails_three_times_begin_the_list_anew() {
    for (class, times) in [(ErrorClass::InvalidRequest, 1), (ErrorClass::ServiceError, 3)] {
        let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", None).with("c", "RUNNING", None);
        world = world.waiting();
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
fn one_service_that_cannot_be_described_does_not_hold_up_the_others() {
    let mut world = World::new().with("a", "RUNNING", None).with("b", "RUNNING", Some(ARN)).waiting();
    world.answer();
    world.answer_with(refused(DESCRIBE, ErrorClass::ServiceError));
    world.later(1_000);
    assert_eq!(world.next(), describe("arn:…:service/b/1"));
    world.answer();
    assert_eq!(world.names(), ["b"]);
    assert_eq!(world.next(), describe("arn:…:service/a/1"), "and is described again");
}

#[test]
fn what_was_seen_counts_through_a_hiccup_and_not_for_ever() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.scan_all();
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    world.answer_with(refused(LIST, ErrorClass::ServiceError));
    assert_eq!(world.names(), ["web"]);
    world.later(30_000);
    assert!(world.names().is_empty(), "after half a minute nobody knows any more");
    assert_eq!(world.answer_with(refused(LIST, ErrorClass::ServiceError)), [ARN], "and that is news");
    world.later(1_000);
    assert!(world.answer_with(refused(LIST, ErrorClass::ServiceError)).is_empty(), "once");
    assert_eq!(world.blockers().services, Services::Unreadable(failure(LIST, ErrorClass::ServiceError)));
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let mut world = World::new().waiting();
    for _ in 0..=500 {
        let page = Page { items: Vec::new(), next: Some("again".into()) };
        let Step::Call(ScanCall::List(token)) = world.next() else { panic!("not a list") };
        world.apply(ScanCall::List(token.clone()), ScanOutcome::List { token, outcome: Outcome::Done(page) });
    }
    assert!(matches!(world.next(), Step::Rest(_)));
    world.later(1_000);
    assert_eq!(world.next(), list(None), "and begun anew");
}

#[test]
fn an_object_that_needs_any_change_keeps_that_when_another_subscribes() {
    let mut world = World::new().with("web", "RUNNING", None);
    world.scan.watch(&arn(ARN), true, world.now);
    world.scan.watch(&arn(ARN), false, world.now);
    world.scan_all();
    world.later(1_000);
    world.put("web", "PAUSED", None);
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    assert_eq!(world.answer(), [ARN]);
}

#[test]
fn a_service_in_place_of_another_is_a_change() {
    let mut world = World::new().with("web", "RUNNING", None).waiting();
    world.scan_all();
    world.remove("web");
    world.put("new", "RUNNING", None);
    let Step::Rest(until) = world.next() else { panic!("it rests") };
    world.now = until;
    world.answer();
    assert_eq!(world.blockers().changed_at, Some(world.now));
    let before = world.blockers().changed_at;
    world.scan_all();
    world.next_sweep();
    assert_eq!(world.blockers().changed_at, before, "the same list again is none");
}

#[test]
fn a_connector_is_unreferenced_from_the_first_time_that_this_is_certain() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).waiting();
    world.scan_all();
    assert_eq!(world.blockers().unreferenced_at, None, "it is used");
    world.remove("web");
    world.next_sweep();
    assert_eq!(world.blockers().services, Services::None);
    assert_eq!(world.blockers().unreferenced_at, None, "it was released, which is another reason");
    assert!(world.blockers().released_at.is_some());
}
