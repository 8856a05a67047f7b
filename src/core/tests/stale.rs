//! Observations that something newer contradicts. The model checker found each of these cases.

use std::time::Duration;

use super::evidence::{
    NOW, claim, claimed, connector, described, failure, refused, tag, unanswered, unclaimed, written,
};
use crate::api::Reason;
use crate::core::attempt::Observed;
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Evidence, Finalizer};
use crate::core::outcome::Operation;
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{self, Refusal, WriteKind};
use crate::core::state::{Deletion, RefusedDelete};
use crate::core::status::status_while;
use crate::core::transition::drop_outdated;

fn reported(e: &Evidence) -> (Option<String>, Option<String>) {
    let (status, _) = status_while(e, &e.waits());
    (status.status.as_deref().map(str::to_owned), status.ready_reason().map(str::to_owned))
}

fn texts(word: &str, reason: Reason) -> (Option<String>, Option<String>) {
    (Some(word.to_owned()), Some(reason.to_string()))
}

#[test]
fn a_released_object_that_the_watch_shows_as_living_needs_no_action() {
    let before_its_deletion = claimed().with(|e| e.object.finalizer = Finalizer::Removed);
    assert_eq!(before_its_deletion.decision(), Decision::Nothing, "a resync would write the owner tag again");
    let unseen = unclaimed().with(|e| e.object.finalizer = Finalizer::Removed);
    assert_eq!(unseen.decision(), Decision::Nothing);
}

#[test]
fn a_description_from_before_the_deletion_does_not_replace_the_receipt() {
    let e = unclaimed().deleting().after_describe(described("ACTIVE")).ours().after_claim();
    let e = e.after_delete(described("INACTIVE")).after_write(StatusWrite::Receipt);
    assert_eq!(e.acts(), Proof::Receipt);
    let refusal = Refusal { write: WriteKind::RemoveFinalizer, code: 403, message: "denied".into() };
    let e = e.with(|e| refusal::refused(e, refusal));
    assert_eq!(reported(&e), texts("INACTIVE", Reason::WriteRefused));
}

#[test]
fn inactive_remains_after_aws_has_forgotten_the_connector() {
    let unknown = || refused(Operation::DescribeVpcConnector, ErrorClass::NotFound);
    let inactive = |e: Evidence| e.with(|e| e.object.status.status = Some("INACTIVE".into()));
    assert_eq!(reported(&inactive(claimed()).after_describe(unknown())), texts("INACTIVE", Reason::Gone));
    assert_eq!(reported(&inactive(unclaimed()).after_describe(unknown())), texts("INACTIVE", Reason::NotFound));
    let deleting = inactive(unclaimed()).deleting().after_describe(unknown()).after_write(StatusWrite::AlreadyGone);
    assert_eq!(deleting.object.status.status.as_deref(), Some("INACTIVE"));
    let active = claimed().deleting().deletion(unanswered()).after_describe(unknown());
    assert_eq!(active.after_write(StatusWrite::AlreadyGone).object.status.status, None, "only INACTIVE is final");
}

/// Another operator has recorded that the connector is INACTIVE.
fn recorded_by_another(e: Evidence) -> Evidence {
    e.with(|e| {
        e.object.status.status = Some("INACTIVE".into());
        drop_outdated(e);
    })
}

#[test]
fn a_connector_is_described_again_after_another_operator_saw_it_deleted() {
    let resync = claimed().next_attempt().after_describe(described("ACTIVE"));
    let again = recorded_by_another(resync);
    assert_eq!(again.acts(), AwsCall::Describe);
    assert_eq!(reported(&again.after_describe(described("INACTIVE"))), texts("INACTIVE", Reason::Gone));

    let tagged = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None)).after_tag_write(written());
    let read_back = recorded_by_another(tagged.next_attempt()).ours();
    assert_eq!(read_back.acts(), AwsCall::Describe, "the pending claim has an older description as well");
    assert_eq!(read_back.after_describe(described("ACTIVE")).acts(), claim());
}

#[test]
fn a_status_that_wrongly_says_inactive_is_corrected_by_a_description() {
    let edited = claimed().with(|e| {
        e.state.wait = None;
        e.object.status.status = Some("INACTIVE".into());
    });
    let e = edited.after_describe(described("ACTIVE")).with(drop_outdated).ours();
    assert_eq!(e.attempt.observed, Some(Observed::Active(connector("ACTIVE"))));
    assert_eq!(reported(&e), texts("ACTIVE", Reason::Available));
}

#[test]
fn the_minute_of_an_owner_tag_begins_when_the_tag_is_read() {
    let failure = failure(Operation::DeleteVpcConnector, ErrorClass::InUse);
    let refused = Deletion::Refused(Box::new(RefusedDelete { since: NOW, last: NOW, failure }));
    let e = claimed().deleting().deletion(refused).after_tags(tag(Some("c1/shop/other")));
    let e = e.later(50).after_other_object(OtherObjectState::Released);
    assert_eq!(e.state.owner_checked_at, Some(NOW));
    assert!(e.now.moment.since(NOW) == Duration::from_secs(50));
}

#[test]
fn a_connector_whose_tag_cannot_be_written_is_described_again() {
    let tagged = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None)).after_tag_write(written());
    let stripped = tagged.next_attempt().later(600).after_tags(tag(None));
    assert_eq!(stripped.acts(), AwsCall::WriteTag);
    for class in [ErrorClass::InvalidRequest, ErrorClass::NotFound] {
        let refused = stripped.clone().after_tag_write(refused(Operation::TagResource, class)).next_attempt();
        assert_eq!(refused.acts(), AwsCall::Describe, "another tool may have deleted it");
    }
}
