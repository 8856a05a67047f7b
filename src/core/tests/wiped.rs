//! A status that somebody wiped: what it said is written again, and a claim that it held is established anew.

use super::evidence::{ARN, claimed, described, refused, tag, unclaimed, unknown};
use crate::api::{Reason, VpcConnectorStatus};
use crate::core::attempt::Trigger;
use crate::core::blockers::{Blockers, Services};
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::Evidence;
use crate::core::outcome::{Operation, Service};
use crate::core::status;

impl Evidence {
    /// Woken because its conditions are gone.
    fn without_conditions(self) -> Self {
        self.with(|e| {
            e.object.status.conditions.clear();
            e.reconcile();
        })
    }

    /// Woken because its whole status is gone.
    fn wiped(self) -> Self {
        self.with(|e| {
            e.object.status = VpcConnectorStatus::default();
            e.reconcile();
        })
    }
}

fn in_use() -> Evidence {
    let service = Service { name: "shop".into(), ..Service::default() };
    let e = claimed().deleting().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse));
    e.with(|e| e.blockers = Some(Blockers { services: Services::Blocking(vec![service]), ..Blockers::default() }))
        .woken()
}

fn anothers() -> Evidence {
    let e = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress")));
    e.woken()
}

#[test]
fn what_is_remembered_is_told_again_without_a_call_to_aws() {
    is_told_again(&claimed().woken().without_conditions(), Reason::Available);
    is_told_again(&in_use().without_conditions(), Reason::InUse);
    is_told_again(&anothers().without_conditions(), Reason::OwnedByAnother);
    is_told_again(&anothers().wiped(), Reason::OwnedByAnother);
    let unreachable =
        claimed().deleting().after_delete(unknown(Operation::DeleteVpcConnector, ErrorClass::Unreachable));
    is_told_again(&unreachable.woken().without_conditions(), Reason::Unreachable);
    is_told_again(&claimed().deleting().with(|e| e.object.protected = true).wiped(), Reason::Protected);
    is_told_again(&claimed().of_account("999999999999").woken().without_conditions(), Reason::WrongAccount);
}

fn is_told_again(e: &Evidence, reason: Reason) {
    let wait = e.waits();
    assert_eq!(wait.reason, reason);
    let (status, _) = status::status_while(e, &wait);
    assert_eq!(status.ready_reason(), Some(reason.to_string().as_str()));
    assert!(status::needs_write(e, &status), "{reason}");
}

#[test]
fn a_claim_that_was_wiped_is_established_anew_at_once() {
    let adopting = claimed().woken().wiped();
    assert_eq!(adopting.acts(), StatusWrite::Adopting, "an attempt begins, and nobody takes it for a finished one");
    let adopting = adopting.after_write(StatusWrite::Adopting);
    let active = adopting.after_describe(described("ACTIVE")).after_tags(tag(Some("c1/shop/egress")));
    let again = active.after_claim();
    assert_eq!(again.object.status.arn.as_deref(), Some(ARN));
    assert_eq!(again.waits().reason, Reason::Available);
    let only_the_arn = claimed().woken().with(|e| {
        e.object.status.arn = None;
        e.reconcile();
    });
    assert_eq!(only_the_arn.acts(), AwsCall::Describe);
}

#[test]
fn a_claim_that_was_wiped_while_services_hold_it_is_no_reason_to_delete_again() {
    let wiped = in_use().wiped();
    assert_eq!(wiped.acts(), AwsCall::Describe);
    let looked = wiped.after_describe(described("ACTIVE"));
    let again = looked.after_tags(tag(Some("c1/shop/egress"))).after_claim();
    let wait = again.waits();
    assert_eq!(wait.reason, Reason::InUse);
    let (status, _) = status::status_while(&again, &wait);
    assert_eq!(status.blocked_by.len(), 1, "and they are named again");
}

#[test]
fn a_claim_that_is_lost_for_good_is_no_reason_to_ask_again_and_again() {
    let wiped = claimed().woken().wiped().after_write(StatusWrite::Adopting);
    let theirs = wiped.after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress")));
    assert_eq!(theirs.waits().reason, Reason::OwnedByAnother);
    let woken = theirs.woken();
    assert_eq!(woken.attempt.trigger, Trigger::Early);
    assert!(matches!(woken.decision(), Decision::Wait(_)));
}

#[test]
fn a_claim_of_this_reconcile_that_is_wiped_at_once_is_noticed() {
    let active = unclaimed().without_tags().after_describe(described("ACTIVE"));
    let just_claimed = active.after_claim();
    let waiting = just_claimed.with(|e| e.state.wait = Some(e.waits()));
    assert_eq!(waiting.wiped().attempt.trigger, Trigger::Due);
}
