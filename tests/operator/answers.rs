//! Every answer to a delete, over HTTP.

use apprunner_emulator::{DeleteAgain, DeleteReply, Fault, FaultKind, Operation};
use apprunner_operator::api::VpcConnector;

use crate::support::{ACCOUNT, REGION, World, message};

const DELETE: Operation = Operation::DeleteVpcConnector;

/// Deletes a claimed object while one fault is queued, and checks that the deletion completes.
async fn deleted_despite(kind: FaultKind, reason: &str) -> World {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.fault(DELETE, kind);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    let reported = world.history("egress").await.iter().any(|status| status.ready_reason() == Some(reason));
    assert!(reported, "{reason} was never reported");
    world
}

/// Deletes an object during a lasting fault, ends the fault, and returns the object as it was while it waited.
async fn waits_until_fault_ends(kind: FaultKind, reason: &str) -> VpcConnector {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.lasting_fault(DELETE, kind);
    world.delete("egress").await;
    let held = world.reason("egress", reason).await;
    world.emulator.clear_faults();
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    held
}

#[tokio::test]
async fn connector_deleted_already_is_recorded_as_such() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.forget_connector(&arn);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    let last = world.history("egress").await.pop().unwrap();
    assert_eq!(last.ready_reason(), Some("AlreadyGone"));
    assert_eq!(last.deleted_at, None);
    assert_eq!(world.deletes(), 0, "its tags are not found, and a describe proves that it no longer exists");
}

#[tokio::test]
async fn delete_answered_active_is_polled_until_inactive() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.change_behaviors(|b| {
        b.delete_reply = DeleteReply::Eventual;
        b.delete_settles_after_ms = 3_000;
    });
    world.delete("egress").await;
    world.reason("egress", "Deleting").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
    assert_eq!(world.history("egress").await.pop().unwrap().status.as_deref(), Some("INACTIVE"));
}

#[tokio::test]
async fn delete_is_sent_again_when_the_connector_stays_active() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--pace-divisor=240"]);
    let arn = world.claimed("egress").await;
    world.emulator.change_behaviors(|b| b.delete_reply = DeleteReply::Eventual);
    // AWS loses the first delete: it answers ACTIVE, and the connector stays.
    world.fault(DELETE, FaultKind::with("/VpcConnector/Status", "ACTIVE"));
    world.emulator.change_behaviors(|b| b.delete_settles_after_ms = 3_000);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert!(world.deletes() >= 2);
}

#[tokio::test]
async fn error_before_the_effect_leads_to_a_describe_and_a_retry() {
    let world = deleted_despite(FaultKind::InternalErrorBeforeEffect, "ServiceError").await;
    assert_eq!(world.deletes(), 2);
    assert_eq!(world.calls(Operation::DescribeVpcConnector).len(), 2, "one for the claim, one after the delete");
}

#[tokio::test]
async fn error_after_the_effect_leads_to_a_describe_and_a_receipt() {
    for kind in [FaultKind::InternalErrorAfterEffect, FaultKind::ClosedAfterEffect] {
        let reason = if kind == FaultKind::ClosedAfterEffect { "Unreachable" } else { "ServiceError" };
        let world = deleted_despite(kind, reason).await;
        assert_eq!(world.deletes(), 1);
        let last = world.history("egress").await.pop().unwrap();
        assert_eq!(last.ready_reason(), Some("Deleted"));
        assert!(last.deleted_at.is_some());
    }
}

#[tokio::test]
async fn connection_closed_before_the_effect_leads_to_a_retry() {
    let world = deleted_despite(FaultKind::ClosedBeforeEffect, "Unreachable").await;
    assert_eq!(world.deletes(), 2);
}

#[tokio::test]
async fn answer_after_the_deadline_leads_to_a_describe() {
    let world = deleted_despite(FaultKind::LateAnswer { ms: 11_000 }, "Unreachable").await;
    assert_eq!(world.deletes(), 1);
}

#[tokio::test]
async fn unavailable_service_leads_to_a_retry() {
    deleted_despite(FaultKind::error("ServiceUnavailable", 503, "try later"), "ServiceError").await;
}

#[tokio::test]
async fn reply_without_proof_does_not_release_the_object() {
    let rewrites = [
        FaultKind::without("/VpcConnector"),
        FaultKind::without("/VpcConnector/Status"),
        FaultKind::with("/VpcConnector/Status", "DELETING"),
        FaultKind::with(
            "/VpcConnector/VpcConnectorArn",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/else/1/fedcba9876543210fedcba9876543210",
        ),
    ];
    for rewrite in rewrites {
        let world = deleted_despite(rewrite, "Unproven").await;
        assert_eq!(world.deletes(), 1, "the describe that follows proves the deletion");
        assert!(world.history("egress").await.pop().unwrap().deleted_at.is_some());
    }
}

#[tokio::test]
async fn implausible_time_is_left_out_of_the_receipt() {
    let world = World::new().await;
    let operator = world.operator();
    world.claimed("egress").await;
    world.fault(DELETE, FaultKind::with("/VpcConnector/DeletedAt", 32_503_680_000_u64));
    world.delete("egress").await;
    world.until_deleted("egress").await;
    let receipt = world.history("egress").await.pop().unwrap();
    assert_eq!((receipt.status.as_deref(), receipt.deleted_at), (Some("INACTIVE"), None));
    assert_eq!(operator.logged("AWS gave a time outside 2020 to 2100; it is left out").len(), 1);
}

#[tokio::test]
async fn failed_connection_is_reported_unreachable_and_recovers() {
    let mut world = World::new().await;
    let arn = {
        let _operator = world.operator();
        world.claimed("egress").await
    };
    let good = std::mem::replace(&mut world.settings.endpoint, "http://127.0.0.1:1".to_owned());
    {
        let _operator = world.operator();
        world.delete("egress").await;
        let held = world.reason("egress", "Unreachable").await;
        let error = held.status.unwrap().last_error.unwrap();
        let reported = (error.code.as_str(), error.message.as_str());
        assert_eq!(reported, ("NoConnection", "cannot connect to 127.0.0.1:1: connection refused"));
    }
    world.settings.endpoint = good;
    let _operator = world.operator();
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
}

#[tokio::test]
async fn connector_in_use_waits_and_is_deleted_after_its_service() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let service = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
    world.delete("egress").await;
    let held = world.reason("egress", "InUse").await;
    let status = held.status.as_ref().unwrap();
    assert!(status.last_error.as_ref().unwrap().message.contains("being used by"));
    assert!(status.attempts.is_some() && status.next_attempt_time.is_some());
    assert!(status.condition("Stalled").is_none(), "waiting for a service is no stall");
    assert!(world.event("egress", "InUse").await.contains("being used by"));

    assert!(world.emulator.delete_service(&service));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn unexplained_refusal_shows_the_error_of_aws() {
    let kind = FaultKind::error("InvalidRequestException", 400, "The moon is in the wrong phase.");
    let held = waits_until_fault_ends(kind, "InvalidRequest").await;
    assert!(message(&held).contains("The moon is in the wrong phase."));
    assert!(held.status.unwrap().condition("Stalled").is_some());
    waits_until_fault_ends(FaultKind::error("SomethingNewException", 418, "teapot"), "InvalidRequest").await;
}

#[tokio::test]
async fn refusal_of_an_already_deleted_connector_leads_to_a_receipt() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.emulator.change_behaviors(|b| b.delete_again = DeleteAgain::InvalidRequest);
    world.emulator.delete_connector(&arn);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert_eq!(world.history("egress").await.pop().unwrap().ready_reason(), Some("Deleted"));
    assert_eq!(world.deletes(), 1);
}

#[tokio::test]
async fn throttling_backs_off_and_recovers() {
    let world = deleted_despite(FaultKind::throttling(), "Throttled").await;
    assert_eq!(world.deletes(), 2);
}

#[tokio::test]
async fn missing_permissions_are_named_and_recover() {
    let held = waits_until_fault_ends(FaultKind::AccessDenied, "AccessDenied").await;
    assert!(message(&held).contains("apprunner:DeleteVpcConnector"), "{}", message(&held));
    let status = held.status.unwrap();
    assert_eq!(status.last_error.unwrap().operation, "DeleteVpcConnector");
}

#[tokio::test]
async fn rejected_credentials_and_a_wrong_clock_are_reported_and_recover() {
    let expired =
        FaultKind::error("ExpiredTokenException", 403, "The security token included in the request is expired");
    let held = waits_until_fault_ends(expired, "CredentialsRejected").await;
    assert!(message(&held).contains("token"), "{}", message(&held));
    let skewed = FaultKind::error("InvalidSignatureException", 403, "Signature expired: 1 is now earlier than 2");
    let held = waits_until_fault_ends(skewed, "CredentialsRejected").await;
    assert!(message(&held).contains("clock"), "{}", message(&held));
}

#[tokio::test]
async fn missing_subscription_is_reported() {
    let kind = FaultKind::error("SubscriptionRequiredException", 400, "The AWS Access Key Id needs a subscription");
    waits_until_fault_ends(kind, "SubscriptionRequired").await;
}

#[tokio::test]
async fn message_of_a_lasting_failure_changes_only_its_numbers() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    world.emulator.add_fault(Fault::new(FaultKind::InternalErrorBeforeEffect).on(DELETE).times(6));
    world.delete("egress").await;
    world.until_deleted("egress").await;
    let history = world.history("egress").await;
    let failing: Vec<_> = history.iter().filter(|s| s.ready_reason() == Some("ServiceError")).collect();
    assert!(failing.len() < 6, "each attempt wrote a status: {failing:#?}");
    assert_eq!(world.deletes(), 7);
}
