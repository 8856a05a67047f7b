//! A connector in use: the object names its blockers, and the operator deletes the connector as soon as they release
//! it.

use std::time::Duration;

use apprunner_emulator::{Behaviors, Fault, FaultKind, Operation, ServiceStatus};
use apprunner_operator::api::{VpcConnector, VpcConnectorStatus};
use jiff::Timestamp;
use serde_json::json;

use crate::support::operator::DEFAULTS;
use crate::support::{ACCOUNT, REGION, World, eventually, message};

const LIST: Operation = Operation::ListServices;
const DESCRIBE: Operation = Operation::DescribeService;

impl World {
    /// Creates a service whose outgoing traffic goes through a connector.
    fn service(&self, name: &str, connector: &str) -> String {
        self.emulator.create_service(ACCOUNT, REGION, name, Some(connector))
    }

    /// Creates services that use no connector.
    fn other_services(&self, count: usize) {
        for n in 0..count {
            self.emulator.create_service(ACCOUNT, REGION, &format!("other-{n:02}"), None);
        }
    }

    /// Creates services that use a claimed object's connector, deletes the object, and waits until its status names
    /// them.
    async fn deleting_while_used_by(&self, services: &[&str]) -> (String, Vec<String>) {
        let arn = self.claimed("egress").await;
        let held: Vec<_> = services.iter().map(|name| self.service(name, &arn)).collect();
        self.delete("egress").await;
        self.until_blocked_by("egress", services).await;
        (arn, held)
    }

    /// Waits until the status names these services and no others.
    async fn until_blocked_by(&self, name: &str, services: &[&str]) -> VpcConnector {
        let what = format!("held by {services:?}");
        self.until(name, &what, |object| object.status.as_ref().is_some_and(|status| names(status) == services)).await
    }

    async fn until_message_contains(&self, name: &str, words: &str) -> VpcConnector {
        self.until(name, words, |object| object.status.is_some() && message(object).contains(words)).await
    }

    /// Seconds by the emulator's clock from a moment to the deletion of a connector.
    fn deleted_after(&self, arn: &str, moment: Timestamp) -> f64 {
        let deleted_at = self.emulator.connector(arn).and_then(|connector| connector.deleted_at).unwrap();
        deleted_at.duration_since(moment).as_secs_f64()
    }

    fn ended_at(&self, service: &str) -> Timestamp {
        self.emulator.service(service).and_then(|service| service.deleted_at).unwrap()
    }
}

fn names(status: &VpcConnectorStatus) -> Vec<&str> {
    status.blocked_by.iter().map(|service| service.name.as_str()).collect()
}

#[tokio::test]
async fn one_scan_names_three_services_and_the_last_ones_end_frees_the_object() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let api = world.service("api", &arn);
    world.other_services(25);
    let (jobs, web) = (world.service("jobs", &arn), world.service("web", &arn));
    world.emulator.set_service_status(&jobs, ServiceStatus::Paused);
    world.emulator.set_service_status(&web, ServiceStatus::OperationInProgress);
    world.delete("egress").await;

    let held = world.until_blocked_by("egress", &["api", "jobs", "web"]).await;
    let status = held.status.as_ref().unwrap();
    let shown: Vec<_> = status.blocked_by.iter().map(|s| (s.arn.as_str(), s.status.as_str())).collect();
    assert_eq!(shown, [(api.as_str(), "RUNNING"), (&jobs, "PAUSED"), (&web, "OPERATION_IN_PROGRESS")]);
    assert_eq!((status.blocked_by_count, status.blocked_by_summary.as_deref()), (Some(3), Some("api, jobs +1")));
    let since = changed_at(&world, &web);
    let named = format!("services web (OPERATION_IN_PROGRESS since {since}), api (RUNNING) and jobs (PAUSED);");
    assert!(message(&held).contains(&named), "{}", message(&held));
    assert!(status.condition("Stalled").is_none() && status.next_attempt_time.is_some());
    assert_eq!(world.calls(DESCRIBE).len(), 28, "each service once");

    assert!(world.emulator.delete_service(&jobs));
    world.until_blocked_by("egress", &["api", "web"]).await;
    assert!(world.emulator.delete_service(&api));
    world.until_blocked_by("egress", &["web"]).await;
    assert!(world.emulator.delete_service(&web));
    world.until_deleted("egress").await;
    assert!(world.deleted_after(&arn, world.ended_at(&web)) >= 0.0);
    let receipt = world.history("egress").await.pop().unwrap();
    assert_eq!((receipt.ready_reason(), receipt.blocked_by.len()), (Some("Deleted"), 0));
    assert!(world.event("egress", "InUse").await.contains("being used by"));
}

#[tokio::test]
async fn in_use_after_the_last_service_is_reported_and_ends_within_ten_seconds() {
    let mut world = World::new().await;
    world.settings.pace = 1;
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["web"]).await;
    world.emulator.change_behaviors(|b| b.in_use_after_release_ms = 30_000);
    assert!(world.emulator.delete_service(&services[0]));
    world.until_message_contains("egress", "no service references it; waiting for App Runner to release it").await;
    world.until_deleted("egress").await;
    let late = world.deleted_after(&arn, world.ended_at(&services[0])) - 30.0;
    assert!((0.0..10.0).contains(&late), "{late} s after App Runner would have taken it");
}

#[tokio::test]
async fn end_of_a_long_wait_is_noticed_within_one_scan() {
    let world = World::new().await;
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["web"]).await;
    // These scans take ten minutes at the default intervals.
    let scans = async || (world.calls(LIST).len() > 120).then_some(());
    assert!(eventually(scans).await.is_some(), "the scans ended");
    assert!(world.emulator.delete_service(&services[0]));
    world.until_deleted("egress").await;
    let (from, until) = (world.ended_at(&services[0]), world.emulator.connector(&arn).unwrap().deleted_at.unwrap());
    let between = world.calls(LIST).iter().filter(|call| call.received_at >= from && call.received_at <= until).count();
    // One list notices the end; on a busy machine another may begin before the delete is sent.
    assert!(between <= 2, "{between} lists before the deletion");
}

#[tokio::test]
async fn service_added_during_the_wait_is_named_too() {
    let world = World::new().await;
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["web"]).await;
    let jobs = world.service("jobs", &arn);
    world.until_blocked_by("egress", &["jobs", "web"]).await;
    assert!(world.emulator.delete_service(&services[0]));
    world.until_blocked_by("egress", &["jobs"]).await;
    assert!(world.emulator.delete_service(&jobs));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn service_state_that_does_not_block_is_noticed_despite_the_reference() {
    let world = World::new().await;
    world.emulator.change_behaviors(|b| b.holding_statuses = vec![ServiceStatus::Running]);
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["web"]).await;
    assert!(world.emulator.set_service_status(&services[0], ServiceStatus::Paused));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn deleted_service_that_is_still_listed_does_not_block() {
    let world = World::new().await;
    world.emulator.change_behaviors(|b| b.list_deleted_services = true);
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["web"]).await;
    world.emulator.change_behaviors(|b| b.in_use_after_release_ms = 2_000);
    assert!(world.emulator.delete_service(&services[0]));
    world.until_message_contains("egress", "waiting for App Runner to release it").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn service_scan_recovers_after_its_permissions_were_removed() {
    for (operation, action) in [(LIST, "apprunner:ListServices"), (DESCRIBE, "apprunner:DescribeService")] {
        let world = World::new().await;
        let _operator = world.operator();
        let (arn, services) = world.deleting_while_used_by(&["web"]).await;
        world.lasting_fault(operation, FaultKind::AccessDenied);
        let jobs = world.service("jobs", &arn);
        let blind = world.until_message_contains("egress", action).await;
        assert_eq!(names(blind.status.as_ref().unwrap()), Vec::<&str>::new(), "unreadable services are not named");
        world.emulator.clear_faults();
        world.until_blocked_by("egress", &["jobs", "web"]).await;

        world.lasting_fault(operation, FaultKind::AccessDenied);
        assert!(world.emulator.delete_service(&services[0]) && world.emulator.delete_service(&jobs));
        world.until_deleted("egress").await;
        assert!(world.inactive(&arn), "it is deleted without a scan too");
    }
}

#[tokio::test]
async fn throttling_during_a_scan_loses_nothing() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.other_services(25);
    let web = world.service("web", &arn);
    world.emulator.add_fault(Fault::new(FaultKind::throttling()).on(LIST).skip(1).times(2));
    world.emulator.add_fault(Fault::new(FaultKind::throttling()).on(DESCRIBE).skip(3).times(2));
    world.delete("egress").await;
    world.until_blocked_by("egress", &["web"]).await;
    assert!(world.emulator.delete_service(&web));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn service_deleted_between_list_and_describe_is_no_error() {
    let mut world = World::new().await;
    // Slow enough that no second delete is sent before the list has been answered.
    world.settings.pace = 2;
    world.emulator.change_behaviors(|b| b.deleted_service_kept_ms = 0);
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let web = world.service("web", &arn);
    world.emulator.add_fault(Fault::new(FaultKind::LateAnswer { ms: 1_000 }).on(LIST));
    world.delete("egress").await;
    let listed = async || world.calls(LIST).first().map(|_| ());
    assert!(eventually(listed).await.is_some(), "no list was requested");
    assert!(world.emulator.delete_service(&web));
    world.until_deleted("egress").await;
    let refused: Vec<_> = world.calls(DESCRIBE).into_iter().filter_map(|call| call.error).collect();
    assert_eq!(refused, ["ResourceNotFoundException"]);
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn restarted_operator_names_the_same_blockers_again() {
    let world = World::new().await;
    let operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["jobs", "web"]).await;
    drop(operator);
    let before = world.calls(DESCRIBE).len();
    let _operator = world.operator();
    let described_again = async || (world.calls(DESCRIBE).len() == before + 2).then_some(());
    assert!(eventually(described_again).await.is_some(), "the services were not described again");
    world.until_blocked_by("egress", &["jobs", "web"]).await;
    for service in &services {
        assert!(world.emulator.delete_service(service));
    }
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    let forgotten = world.history("egress").await.into_iter().filter(|status| status.ready_reason() == Some("InUse"));
    assert!(forgotten.skip_while(|s| names(s).is_empty()).all(|s| names(&s) != ["jobs"]), "never half of them");
}

#[tokio::test]
async fn scans_end_with_the_last_waiting_object() {
    let world = World::new().await;
    let _operator = world.operator();
    world.deleting_while_used_by(&["web"]).await;
    world.policy("egress", "Retain").await;
    world.until_deleted("egress").await;
    world.emulator.clear_calls();
    world.claimed("other").await;
    // Half a minute at the default intervals, in which six scans would have begun.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(world.calls(LIST).is_empty(), "no object waits");
}

/// The worst case of the bound: the service ends before the scan of a hundred services has described it.
#[tokio::test]
async fn service_that_ends_before_its_first_describe_delays_at_most_ten_seconds() {
    let mut world = World::new().await;
    (world.settings.pace, world.settings.limits) = (1, DEFAULTS);
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.other_services(99);
    let last = world.service("zzzz", &arn);
    world.delete("egress").await;
    world.reason("egress", "InUse").await;
    assert!(world.emulator.delete_service(&last));
    world.until_deleted("egress").await;
    let late = world.deleted_after(&arn, world.ended_at(&last));
    assert!((0.0..10.0).contains(&late), "{late} s after App Runner would have taken it");
}

/// The service's last change, as a message shows it.
fn changed_at(world: &World, service: &str) -> String {
    minute(world.emulator.service(service).unwrap().updated_at)
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

fn is_stalled(object: &VpcConnector) -> bool {
    object.status.as_ref().is_some_and(|status| status.condition("Stalled").is_some())
}

#[tokio::test]
async fn stuck_service_stalls_the_object_until_its_operation_ends() {
    let world = World::new().await;
    let operator = world.operator();
    let (_, services) = world.deleting_while_used_by(&["web"]).await;
    assert!(world.emulator.set_service_status(&services[0], ServiceStatus::OperationInProgress));
    let since = format!("web (OPERATION_IN_PROGRESS since {})", changed_at(&world, &services[0]));
    let waits = world.until_message_contains("egress", &since).await;
    assert!(!is_stalled(&waits));

    // A restarted operator, to which the operation is older than three hours at its pace.
    drop(operator);
    let began = Timestamp::now() - Duration::from_mins(20);
    world.lasting_fault(LIST, FaultKind::with("/ServiceSummaryList/0/UpdatedAt", began.as_second()));
    let _operator = world.operator();
    let stuck = world.until("egress", "stalled", is_stalled).await;
    let status = stuck.status.as_ref().unwrap();
    let stalled = status.condition("Stalled").unwrap();
    let since = format!("web (OPERATION_IN_PROGRESS since {})", minute(began));
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InUse"));
    assert!(stalled.message.contains(&since) && message(&stuck) == stalled.message, "{}", stalled.message);
    let published = async || world.events("egress").await.remove("InUse").filter(|note| note.contains(&since));
    assert!(eventually(published).await.is_some(), "{:?}", world.events("egress").await);

    world.emulator.clear_faults();
    assert!(world.emulator.set_service_status(&services[0], ServiceStatus::Running));
    let runs = world.until_message_contains("egress", "web (RUNNING);").await;
    assert!(!is_stalled(&runs), "{runs:#?}");
    assert!(world.emulator.delete_service(&services[0]));
    world.until_deleted("egress").await;
}

#[tokio::test]
async fn service_that_comes_back_is_reported_with_the_time() {
    let world = World::new().await;
    let operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["jobs", "web"]).await;
    let egress = "/Service/NetworkConfiguration/EgressConfiguration";
    let public = FaultKind::with(egress, json!({"EgressType": "DEFAULT"}));
    world.emulator.add_fault(Fault::new(public).on(DESCRIBE).arn(services[1].clone()).forever());
    assert!(world.emulator.set_service_status(&services[1], ServiceStatus::Running));
    world.until_blocked_by("egress", &["jobs"]).await;
    world.emulator.clear_faults();
    assert!(world.emulator.set_service_status(&services[1], ServiceStatus::Running));
    let again = format!("web (RUNNING, uses it again since {}) and jobs (RUNNING);", changed_at(&world, &services[1]));
    world.until_message_contains("egress", &again).await;

    let new = world.service("new", &arn);
    let new = format!("new (RUNNING, uses it since {})", changed_at(&world, &new));
    world.until_message_contains("egress", &new).await;
    // After its restart the operator does not know who came back.
    drop(operator);
    let _operator = world.operator();
    world.until_message_contains("egress", "services jobs (RUNNING), new (RUNNING) and web (RUNNING);").await;
}

/// AWS documents no wording for "in use"; this is a wording that the operator does not know.
const OTHER_WORDS: &str = "The VPC connector is associated with running services and can't be removed.";

#[tokio::test]
async fn blockers_prove_in_use_for_any_wording_of_the_refusal() {
    let world =
        World::with_behaviors(Behaviors { in_use_message: Some(OTHER_WORDS.to_owned()), ..Behaviors::default() }).await;
    let _operator = world.operator();
    let (arn, services) = world.deleting_while_used_by(&["jobs", "web"]).await;
    let held = world.reason("egress", "InUse").await;
    assert!(message(&held).contains("services jobs (RUNNING) and web (RUNNING)"), "{}", message(&held));
    let status = held.status.unwrap();
    assert_eq!(status.condition("Stalled"), None);
    assert_eq!(status.last_error.unwrap().message, OTHER_WORDS, "lastError has AWS's own words");
    assert!(services.iter().all(|service| world.emulator.delete_service(service)));
    let released = world.ended_at(&services[1]);
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert!(world.deleted_after(&arn, released) < 10.0);
    let history = world.history("egress").await;
    assert!(history.iter().all(|status| status.condition("Stalled").is_none()), "the object was never stalled");
}

#[tokio::test]
async fn refusal_without_blockers_stalls_and_is_retried_when_a_service_changes() {
    let mut world = World::new().await;
    // At the default intervals the next attempt would come after a minute at the earliest.
    world.settings.pace = 1;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let other = world.emulator.create_service(ACCOUNT, REGION, "other", None);
    world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::error("InvalidRequestException", 400, "not today"));
    world.delete("egress").await;
    let held = world.reason("egress", "InvalidRequest").await;
    assert!(message(&held).contains("not today"), "{}", message(&held));
    assert!(held.status.unwrap().condition("Stalled").is_some());
    assert_eq!(world.deletes(), 1);
    world.emulator.clear_faults();
    world.emulator.set_service_status(&other, ServiceStatus::Paused);
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 2);
}
