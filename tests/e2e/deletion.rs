//! A connector from its claim to its deletion.

use apprunner_emulator::{ConnectorStatus, DEFAULT_ACCOUNT, Fault, FaultKind, Operation, ServiceStatus};
use libtest_mimic::Trial;

use crate::world::{REGION, World, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("deletion", deleted_with_its_object),
        scenario("in-use", blockers_are_named_until_the_object_is_released),
        scenario("retain", retained_connector_stays_in_aws_without_its_tag),
        scenario("one-owner", first_of_two_objects_owns_the_connector),
    ]
}

async fn deleted_with_its_object(world: &World) {
    world.install(&[]);
    let arn = world.claimed("shop-egress");
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
    assert_eq!((world.status(&arn), world.deletes(&arn)), (ConnectorStatus::Inactive, 1));
    world.uninstall();
}

async fn blockers_are_named_until_the_object_is_released(world: &World) {
    world.install(&[]);
    let arn = world.claimed("jobs-egress");
    let service = world.emulator.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&arn));
    world.kubectl(&["delete", "vpcc/jobs-egress", "--wait=false"]);
    let named = "--for=jsonpath={.status.blockedBySummary}=jobs";
    world.kubectl(&["wait", "vpcc/jobs-egress", named, "--timeout=60s"]);
    // A changed service makes the operator try again. A repeated Event with the same words is counted in the first
    // Event, which takes another right than creating one.
    let failure = || Fault::new(FaultKind::InternalErrorBeforeEffect).on(Operation::DeleteVpcConnector);
    world.emulator.add_fault(failure());
    assert!(world.emulator.set_service_status(&service, ServiceStatus::Paused));
    world.until_reason("vpcc/jobs-egress", "ServiceError");
    world.until_reason("vpcc/jobs-egress", "InUse");
    world.emulator.add_fault(failure());
    world.kubectl(&["annotate", "vpcc/jobs-egress", "apprunner-operator.dev/reconcile-requested-at=now"]);
    world.until_reason("vpcc/jobs-egress", "ServiceError");
    world.until_reason("vpcc/jobs-egress", "InUse");
    assert!(world.emulator.delete_service(&service));
    world.kubectl(&["wait", "vpcc/jobs-egress", "--for=delete", "--timeout=60s"]);
    assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
    world.uninstall();
}

async fn retained_connector_stays_in_aws_without_its_tag(world: &World) {
    world.install(&[]);
    let arn = world.claimed("kept-egress");
    assert_eq!(world.emulator.tags(&arn).unwrap().len(), 1);
    world.kubectl(&["patch", "vpcc/kept-egress", "--type=merge", r#"--patch={"spec":{"deletionPolicy":"Retain"}}"#]);
    world.kubectl(&["delete", "vpcc/kept-egress", "--wait", "--timeout=60s"]);
    assert_eq!((world.status(&arn), world.deletes(&arn)), (ConnectorStatus::Active, 0));
    assert!(world.emulator.tags(&arn).unwrap().is_empty(), "a released connector must not have our tag");
    world.uninstall();
}

async fn first_of_two_objects_owns_the_connector(world: &World) {
    world.install(&[]);
    let arn = world.claimed("shop-egress");
    world.object_of("again", &arn);
    world.until_reason("vpcc/again", "OwnedByAnother");
    world.kubectl(&["delete", "vpcc/again", "--wait", "--timeout=60s"]);
    assert_eq!((world.status(&arn), world.deletes(&arn)), (ConnectorStatus::Active, 0));
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
    world.uninstall();
}
