//! A status that another client wiped: the operator writes it again, and makes a lost claim again.

use super::evidence::{ARN, claimed, described, refused, tag, unclaimed, unknown};
use crate::api::{Reason, VpcConnectorStatus};
use crate::core::attempt::Trigger;
use crate::core::blocker::Blocker;
use crate::core::blockers::{Blockers, Services};
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::Evidence;
use crate::core::outcome::Operation;
use crate::core::status;

impl Evidence {
    /// Starts a reconcile because the conditions are missing.
    fn without_conditions(self) -> Self {
        self.with(|e| {
            e.object.status.conditions.clear();
            e.reconcile();
        })
    }

    /// Starts a reconcile because the status is missing.
    fn wiped(self) -> Self {
        self.with(|e| {
            e.object.status = VpcConnectorStatus::default();
            e.reconcile();
        })
    }
}

fn in_use() -> Evidence {
    let service = Blocker { name: "shop".into(), ..Blocker::default() };
    let e = claimed().deleting().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse));
    e.with(|e| e.blockers = Some(Blockers { services: Services::Blocking(vec![service]), ..Blockers::default() }))
        .reconciled_early()
}

fn owned_by_another() -> Evidence {
    let e = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress")));
    e.reconciled_early()
}

#[test]
fn a_wiped_status_is_written_again_without_a_call_to_aws() {
    assert_reported_again(&claimed().reconciled_early().without_conditions(), Reason::Available);
    assert_reported_again(&in_use().without_conditions(), Reason::InUse);
    assert_reported_again(&owned_by_another().without_conditions(), Reason::OwnedByAnother);
    assert_reported_again(&owned_by_another().wiped(), Reason::OwnedByAnother);
    let unreachable =
        claimed().deleting().after_delete(unknown(Operation::DeleteVpcConnector, ErrorClass::Unreachable));
    assert_reported_again(&unreachable.reconciled_early().without_conditions(), Reason::Unreachable);
    assert_reported_again(&claimed().deleting().with(|e| e.object.protected = true).wiped(), Reason::Protected);
    assert_reported_again(
        &claimed().of_account("999999999999").reconciled_early().without_conditions(),
        Reason::WrongAccount,
    );
}

fn assert_reported_again(e: &Evidence, reason: Reason) {
    let wait = e.waits();
    assert_eq!(wait.reason, reason);
    let (status, _) = status::status_while(e, &wait);
    assert_eq!(status.ready_reason(), Some(reason.to_string().as_str()));
    assert!(status::needs_write(e, &status), "{reason}");
}

#[test]
fn a_wiped_claim_is_made_again_at_once() {
    let adopting = claimed().reconciled_early().wiped();
    assert_eq!(adopting.acts(), StatusWrite::Adopting, "an attempt begins, and no tool takes it for a finished object");
    let adopting = adopting.after_write(StatusWrite::Adopting);
    let active = adopting.after_describe(described("ACTIVE")).after_tags(tag(Some("c1/shop/egress")));
    let again = active.after_claim();
    assert_eq!(again.object.status.arn.as_deref(), Some(ARN));
    assert_eq!(again.waits().reason, Reason::Available);
    let only_the_arn = claimed().reconciled_early().with(|e| {
        e.object.status.arn = None;
        e.reconcile();
    });
    assert_eq!(only_the_arn.acts(), AwsCall::Describe);
}

#[test]
fn a_wiped_claim_of_a_blocked_connector_sends_no_delete() {
    let wiped = in_use().wiped();
    assert_eq!(wiped.acts(), AwsCall::Describe);
    let active = wiped.after_describe(described("ACTIVE"));
    let again = active.after_tags(tag(Some("c1/shop/egress"))).after_claim();
    let wait = again.waits();
    assert_eq!(wait.reason, Reason::InUse);
    let (status, _) = status::status_while(&again, &wait);
    assert_eq!(status.blocked_by.len(), 1, "the blockers are named again");
}

#[test]
fn a_claim_lost_to_another_owner_makes_no_repeated_calls() {
    let wiped = claimed().reconciled_early().wiped().after_write(StatusWrite::Adopting);
    let theirs = wiped.after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress")));
    assert_eq!(theirs.waits().reason, Reason::OwnedByAnother);
    let early = theirs.reconciled_early();
    assert_eq!(early.attempt.trigger, Trigger::Early);
    assert!(matches!(early.decision(), Decision::Wait(_)));
}

#[test]
fn a_claim_wiped_right_after_it_was_made_is_made_again() {
    let active = unclaimed().without_tags().after_describe(described("ACTIVE"));
    let just_claimed = active.after_claim();
    let waiting = just_claimed.with(|e| e.state.wait = Some(e.waits()));
    assert_eq!(waiting.wiped().attempt.trigger, Trigger::Due);
}
