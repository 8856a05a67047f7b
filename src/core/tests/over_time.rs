//! Services that block a deletion for long, or come back: what the scan knows of their times, the message, and the stall.

use super::blockers::World;
use super::evidence::{ARN, WALL, refused};
use super::in_use::in_use;
use crate::api::condition;
use crate::core::blocker::{Arrival, Blocker};
use crate::core::blockers::{Blockers, ServiceScan, Services};
use crate::core::error_class::ErrorClass;
use crate::core::event::EventReason;
use crate::core::evidence::Evidence;
use crate::core::outcome::Operation;
use crate::core::state::Deletion;
use crate::core::{stall, status};

use jiff::{SignedDuration, Timestamp};

use crate::api::{Reason, VpcConnectorStatus};

const IN_PROGRESS: &str = "OPERATION_IN_PROGRESS";

impl World {
    /// The services that use the connector, and whether they are known at all.
    fn blocking(&self) -> Vec<Blocker> {
        match self.blockers().services {
            Services::Blocking(blockers) => blockers,
            Services::None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn blocker(&self, name: &str) -> Blocker {
        self.blocking().into_iter().find(|blocker| blocker.name == name).unwrap()
    }

    /// What the object says of these blockers.
    fn message(&self) -> String {
        blocked_by(self.blocking()).waits().message
    }

    /// Changes a service after a minute, and scans.
    fn changed(&mut self, name: &str, status: &str, uses: Option<&'static str>) {
        self.later(60_000);
        self.put(name, status, uses);
        self.scan_all();
    }

    /// App Runner lists the services with another `UpdatedAt`, or without one.
    fn updated_at(&mut self, at: Option<Timestamp>) {
        self.services.iter_mut().for_each(|(service, _)| service.updated_at = at);
    }
}

impl Evidence {
    /// The evidence this many seconds later, when App Runner has just refused the delete again.
    fn refused_after(self, seconds: u64) -> Self {
        self.later(seconds).with(|e| match &mut e.state.deletion {
            Deletion::Refused(refused) => refused.last = e.now.moment,
            other => panic!("{other:?}"),
        })
    }
}

fn scanned(name: &str, status: &str) -> World {
    let mut world = World::new().with(name, status, Some(ARN)).subscribed();
    world.scan_all();
    world
}

#[test]
fn a_status_lasts_since_the_update_that_brought_it_and_not_since_later_ones() {
    let mut world = scanned("web", IN_PROGRESS);
    let began = world.services[0].0.updated_at;
    assert_eq!((world.blocker("web").since, began), (began, Some(WALL)), "from AWS, also in the first list");
    let before = world.blocking();
    world.changed("web", IN_PROGRESS, Some(ARN));
    assert_eq!(world.blocking(), before, "a new time alone");
    world.changed("web", "operation_in_progress", Some(ARN));
    assert_eq!(world.blocker("web").since, began, "the case of a word is no change of the status");
    world.changed("web", "DELETE_FAILED", Some(ARN));
    assert_eq!(world.blocker("web").since, world.services[0].0.updated_at);
    assert!(world.blocker("web").since > began);
}

#[test]
fn without_a_time_of_aws_only_a_change_that_was_seen_has_a_time() {
    for impossible in [None, Some(Timestamp::UNIX_EPOCH), Some(Timestamp::MAX)] {
        let mut world = World::new().with("web", IN_PROGRESS, Some(ARN)).subscribed();
        world.updated_at(impossible);
        world.scan_all();
        assert_eq!(world.blocker("web").since, None);
        assert!(world.message().contains("web (OPERATION_IN_PROGRESS);"), "{}", world.message());
        world.changed("web", IN_PROGRESS, Some(ARN));
        assert_eq!(world.blocker("web").since, None, "the status may be older than its last update");
        world.later(60_000);
        world.put("web", "DELETE_FAILED", Some(ARN));
        world.updated_at(impossible);
        let before = world.time().wall;
        world.scan_all();
        let since = world.blocker("web").since.unwrap();
        assert!(since > before && since <= world.time().wall, "{since}");
    }
}

#[test]
fn a_service_that_uses_the_connector_again_says_since_when() {
    let mut world = scanned("web", "RUNNING");
    assert_eq!(world.blocker("web").arrival, None);
    world.changed("web", "RUNNING", None);
    assert_eq!(world.blocking(), []);
    world.changed("web", "RUNNING", Some(ARN));
    let since = world.services[0].0.updated_at.unwrap();
    let expected =
        format!("used by App Runner service web (RUNNING, uses it again since {})", since.strftime("%FT%RZ"));
    assert!(world.message().starts_with(&expected), "{}", world.message());
    world.changed("web", IN_PROGRESS, Some(ARN));
    world.changed("web", "RUNNING", Some(ARN));
    assert!(world.message().starts_with(&expected), "{}", world.message());
}

#[test]
fn a_service_that_begins_to_use_the_connector_during_the_wait_says_since_when() {
    let mut world = World::new().with("web", "RUNNING", Some(ARN)).with("jobs", "RUNNING", None).subscribed();
    world.scan_all();
    world.changed("jobs", "RUNNING", Some(ARN));
    let of_jobs = Arrival { again: false, since: world.time().wall };
    world.changed("new", "PAUSED", Some(ARN));
    let [jobs, new, web] = ["jobs", "new", "web"].map(|name| world.blocker(name).arrival);
    assert_eq!((jobs.map(|it| it.again), new.map(|it| it.again), web), (Some(false), Some(false), None));
    assert!(jobs.unwrap().since <= of_jobs.since && new.unwrap().since > of_jobs.since);
    assert!(world.message().contains("jobs (RUNNING, uses it since 20"), "{}", world.message());
    world.scan = ServiceScan::default();
    world = world.subscribed();
    world.scan_all();
    let message = world.message();
    assert!(message.contains("services jobs (RUNNING), new (PAUSED) and web (RUNNING);"), "{message}");
}

#[test]
fn a_service_that_is_described_late_in_the_first_scan_is_not_new() {
    let mut world = World::new().with("a", "RUNNING", Some(ARN)).with("b", "RUNNING", Some(ARN)).subscribed();
    world.answer();
    world.answer();
    assert_eq!(world.blocking().len(), 1);
    world.later(60_000);
    world.scan_all();
    assert_eq!(world.blocking().iter().map(|blocker| blocker.arrival).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_service_that_app_runner_does_not_know_for_a_moment_has_not_come_back() {
    let mut world = scanned("holder", "RUNNING");
    world.later(60_000);
    world.put("holder", "PAUSED", Some(ARN));
    // The list shows the change, and the describe answers that there is no such service.
    world.answer();
    world.answer_with(refused(Operation::DescribeService, ErrorClass::NotFound));
    assert_eq!(world.blocking(), [], "it may have been deleted");
    world.next_scan();
    assert_eq!(world.blocker("holder").arrival, None, "it used the connector all the time");
    world.changed("holder", "RUNNING", None);
    world.changed("holder", "RUNNING", Some(ARN));
    assert!(world.blocker("holder").arrival.is_some_and(|arrival| arrival.again), "now it has come back");
}

#[test]
fn a_deleted_service_is_forgotten_and_another_of_its_name_is_new() {
    let mut world = scanned("web", "RUNNING");
    world.changed("web", "RUNNING", None);
    world.remove("web");
    world.next_scan();
    world.changed("web", "RUNNING", Some(ARN));
    assert_eq!(world.blocker("web").arrival.map(|arrival| arrival.again), Some(false));
}

fn service(name: &str, status: &str) -> Blocker {
    Blocker { arn: format!("arn:…:service/{name}/1"), name: name.into(), status: status.into(), ..Blocker::default() }
}

/// A service in a status for this long.
fn lasting(name: &str, status: &str, hours: i64) -> Blocker {
    Blocker { since: WALL.checked_sub(SignedDuration::from_hours(hours)).ok(), ..service(name, status) }
}

fn blocked_by(services: Vec<Blocker>) -> Evidence {
    in_use().with_blockers(Blockers { services: Services::Blocking(services), ..Blockers::default() })
}

fn reported(e: &Evidence) -> VpcConnectorStatus {
    status::status_while(e, &e.waits()).0
}

#[test]
fn the_message_has_the_times_that_matter_and_no_others() {
    let at = "2026-11-26T14:05:59Z".parse().ok();
    let since = |name: &str, status: &str| Blocker { since: at, ..service(name, status) };
    let message = blocked_by(vec![since("jobs", "RUNNING"), since("web", IN_PROGRESS)]).waits().message;
    assert_eq!(
        message,
        "used by App Runner services web (OPERATION_IN_PROGRESS since 2026-11-26T14:05Z) and jobs (RUNNING); the \
         connector is deleted as soon as they release it"
    );
    let again = Some(Arrival { again: true, since: at.unwrap() });
    let back = Blocker { arrival: again, ..since("web", "DELETE_FAILED") };
    assert_eq!(
        blocked_by(vec![back]).waits().message,
        "used by App Runner service web (DELETE_FAILED since 2026-11-26T14:05Z, uses it again since 2026-11-26T14:05Z); \
         the connector is deleted as soon as it releases it"
    );
    for status in ["RUNNING", "PAUSED", "CREATE_FAILED", "SOMETHING_NEW"] {
        let message = blocked_by(vec![since("web", status)]).waits().message;
        assert!(message.contains(&format!("web ({status});")), "{message}");
    }
}

#[test]
fn of_many_services_those_that_matter_are_named() {
    let mut services: Vec<_> = (10..35).map(|n| service(&format!("svc-{n}"), "RUNNING")).collect();
    services[20].status = IN_PROGRESS.into();
    services[22].arrival = Some(Arrival { again: false, since: WALL });
    let message = blocked_by(services).waits().message;
    let named = "services svc-30 (OPERATION_IN_PROGRESS), svc-32 (RUNNING, uses it since 2026-11-18T11:06Z), \
                 svc-10 (RUNNING), svc-11 (RUNNING), svc-12 (RUNNING) and 20 more;";
    assert!(message.contains(named), "{message}");
}

#[test]
fn the_message_is_not_written_again_while_its_meaning_is_the_same() {
    let e = blocked_by(vec![lasting("web", IN_PROGRESS, 1)]);
    let first = reported(&e);
    let later = e.with(|e| (e.object.status, e.state.status_written_at) = (first, Some(e.now.moment))).later(29);
    let again = reported(&later);
    assert!(!status::needs_write(&later, &again), "{again:#?}");
}

#[test]
fn a_connector_in_use_stalls_once_a_service_is_stuck_for_three_hours() {
    for status in [IN_PROGRESS, "DELETE_FAILED", "delete_failed"] {
        let e = blocked_by(vec![service("jobs", "RUNNING"), lasting("web", status, 2)]);
        assert_eq!(reported(&e).condition(condition::STALLED), None);
        let at = stall::stalls_at(&e, &e.waits()).unwrap();
        assert_eq!(at.since(e.now.moment).as_secs(), 3_600, "the object is reconciled then");
        let late = e.refused_after(3_600);
        assert_eq!(stall::stalls_at(&late, &late.waits()), None);
        let stalled = reported(&late);
        let condition = stalled.condition(condition::STALLED).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "InUse"));
        assert!(condition.message.contains(&format!("web ({status} since ")), "{}", condition.message);
    }
    for blocker in [lasting("web", "RUNNING", 99), lasting("web", "PAUSED", 99), service("web", IN_PROGRESS)] {
        assert_eq!(reported(&blocked_by(vec![blocker])).condition(condition::STALLED), None);
    }
}

#[test]
fn a_stall_in_use_is_published_once_and_ends_with_the_stuck_service() {
    let published = |e: &Evidence| {
        let events = status::status_while(e, &e.waits()).1;
        events.iter().map(|event| (event.warning, event.reason)).collect::<Vec<_>>()
    };
    let waiting = blocked_by(vec![lasting("web", IN_PROGRESS, 1)]);
    let waiting = waiting.clone().with(|e| e.object.status = reported(&waiting));
    assert_eq!(published(&waiting), [], "the reason was published before");
    let stuck = waiting.refused_after(7_200);
    assert_eq!(published(&stuck), [(true, EventReason::State(Reason::InUse))]);
    let stalled = stuck.clone().with(|e| e.object.status = reported(&stuck)).refused_after(60);
    assert_eq!(published(&stalled), []);
    let since =
        |status: &VpcConnectorStatus| status.condition(condition::STALLED).unwrap().last_transition_time.clone();
    assert_eq!(since(&reported(&stalled)), since(&stalled.object.status), "the stall is as old as before");

    let unknown = stalled.clone().with_blockers(Blockers::default());
    assert!(reported(&unknown).condition(condition::STALLED).is_some(), "as after a restart");
    for services in [Services::None, Services::Blocking(vec![lasting("web", "RUNNING", 0)])] {
        let moved = stalled.clone().with_blockers(Blockers { services, ..Blockers::default() });
        assert_eq!(reported(&moved).condition(condition::STALLED), None);
    }
}
