//! What an outcome teaches: every answer AWS can give, turned into what is known of the object.
//!
//! Total, like the table: there is no outcome of any effect that leaves the evidence as it was and lets the same call be
//! made again at once. A property test holds it to that.

use super::blockers::Blockers;
use super::decide::Effect;
use super::error_class::ErrorClass;
use super::evidence::{
    Caller, Deletion, Evidence, FailureStreak, Gone, Observed, Ownership, PendingClaim, RefusedDelete,
};
use super::outcome::{Connector, ConnectorState, Failure, Operation, Outcome, Reply};
use super::ownership::{OtherObjectState, Owner};
use super::refusal::{self, Write};

const WRONG_KIND: &str = "the answer is of another kind";

/// Takes the outcome of an effect into the evidence.
pub fn apply(e: &mut Evidence, effect: &Effect, outcome: Outcome) {
    if let Some(write) = Write::of(effect) {
        refusal::written(&mut e.memory, write);
    }
    match effect {
        Effect::Delete => apply_delete(e, outcome),
        Effect::Describe => apply_describe(e, outcome),
        Effect::ReadTags => match outcome {
            Outcome::Done(Reply::OwnerTag(tag)) => apply_owner_tag(e, tag.as_deref()),
            other => {
                // The connector may be gone, so the next attempt describes it.
                if let Outcome::Refused(Failure { class: ErrorClass::NotFound | ErrorClass::InvalidRequest, .. }) =
                    &other
                {
                    e.memory.pending_claim = None;
                }
                fail(e, Operation::ListTagsForResource, other);
            }
        },
        Effect::WriteTag => match outcome {
            Outcome::Done(Reply::Written) => apply_tag_written(e),
            other => fail(e, Operation::TagResource, other),
        },
        Effect::RemoveTag => e.memory.seen.untagged = Some(failure_of(Operation::UntagResource, outcome)),
        Effect::Identify => match outcome {
            Outcome::Done(Reply::Caller(account)) => e.caller = Caller::Account(account),
            other => fail(e, Operation::GetCallerIdentity, other),
        },
        Effect::ReadOtherObject { .. } => {
            let found = if let Outcome::Done(Reply::OtherObject(found)) = outcome {
                found
            } else {
                OtherObjectState::Unreadable
            };
            e.memory.seen.other_object = Some(found);
            note_owner_check(e);
        }
        Effect::RecordReceipt | Effect::RecordAlreadyGone => {
            if let Some(gone) = &mut e.memory.gone {
                gone.recorded = true;
            }
        }
        Effect::RecordClaim => {
            e.memory.claimed = true;
            succeed(e);
        }
        Effect::ScanServices => e.blockers = e.blockers.take().or_else(|| Some(Blockers::default())),
        Effect::AddFinalizer
        | Effect::RemoveFinalizer(_)
        | Effect::CorrectStatus
        | Effect::RecordAdopting
        | Effect::RecordLetGo => {}
    }
}

fn apply_delete(e: &mut Evidence, outcome: Outcome) {
    match outcome {
        Outcome::Done(Reply::Connector(connector)) => match read_description(e, connector) {
            Ok(Observed::Inactive(connector)) => gone(e, Some(connector)),
            Ok(_) => {
                e.memory.deletion = Deletion::Accepted { since: e.now.moment, looks: 0 };
                e.memory.refused_delete = None;
                e.memory.seen.looked = true;
                succeed(e);
            }
            Err(unproven) => {
                e.memory.deletion = Deletion::Unknown;
                failed(e, Failure { operation: Operation::DeleteVpcConnector, ..unproven });
            }
        },
        Outcome::Refused(failure) if failure.class == ErrorClass::NotFound => gone(e, None),
        Outcome::Refused(failure) => {
            // Only "in use" says that the connector is still there, and so that no earlier request took effect.
            if failure.class == ErrorClass::InUse {
                e.memory.deletion = Deletion::NotUnderWay;
            }
            if failure.refuses_the_delete() {
                let since = e.memory.refused_delete.as_ref().map_or(e.now.moment, |before| before.since);
                e.memory.refused_delete = Some(RefusedDelete { since, last: e.now.moment, failure: failure.clone() });
            }
            failed(e, failure);
        }
        Outcome::Unknown(failure) => {
            e.memory.deletion = Deletion::Unknown;
            failed(e, failure);
        }
        other => fail(e, Operation::DeleteVpcConnector, other),
    }
}

fn apply_owner_tag(e: &mut Evidence, tag: Option<&str>) {
    // App Runner may go on to show the tag that ours has replaced.
    let replaced = e.memory.pending_claim.as_ref().and_then(|pending| pending.released_tag.as_deref());
    let tag = tag.filter(|shown| Some(*shown) != replaced);
    e.memory.seen.owner = Some(e.owner_tag().map_or(Owner::Us, |ours| ours.read(tag)));
    match (&mut e.memory.pending_claim, &e.memory.seen.owner) {
        (Some(pending), Some(Owner::Nobody)) => pending.unseen = pending.unseen.saturating_add(1),
        (Some(_), Some(_)) => resume_claim(e),
        _ => {}
    }
    note_owner_check(e);
    let resync = e.object.claimed().is_some() && !e.object.deleting;
    if resync && matches!(e.memory.seen.ownership(), Ownership::Ours | Ownership::Another { .. }) {
        succeed(e);
    }
}

/// Goes on with a claim from the connector as it was described before the tag was written, unless that is long ago.
fn resume_claim(e: &mut Evidence) {
    let Some(pending) = e.memory.pending_claim.take() else { return };
    if e.now.moment < pending.written_at.after(e.rules.intervals.tag_settle.max * 2) {
        e.memory.seen.connector = pending.connector.map(Observed::Active);
    }
    e.memory.seen.released_tag = pending.released_tag;
}

fn note_owner_check(e: &mut Evidence) {
    let free = matches!(e.memory.seen.ownership(), Ownership::Ours | Ownership::Untagged | Ownership::Released { .. });
    e.memory.owner_checked_at = free.then_some(e.now.moment);
}

/// A tag on a claimed connector was put back; one on the way to a claim has to be read before it counts.
fn apply_tag_written(e: &mut Evidence) {
    e.memory.seen.tagged = true;
    if e.object.claimed().is_some() {
        e.memory.tag_restored_at = Some(e.now.moment);
        e.memory.seen.owner = Some(Owner::Us);
        return succeed(e);
    }
    // A tag that was never shown is written once more.
    resume_claim(e);
    if let Ownership::Released { tag } = e.memory.seen.ownership() {
        e.memory.seen.released_tag = Some(tag.to_owned());
    }
    let seen = &mut e.memory.seen;
    let connector = match seen.connector.take() {
        Some(Observed::Active(connector)) => Some(connector),
        _ => None,
    };
    (seen.owner, seen.other_object) = (None, None);
    let (released_tag, written_at) = (seen.released_tag.take(), e.now.moment);
    e.memory.pending_claim = Some(PendingClaim { connector, released_tag, written_at, unseen: 0 });
}

fn apply_describe(e: &mut Evidence, outcome: Outcome) {
    let seen = match outcome {
        Outcome::Done(Reply::Connector(connector)) => read_description(e, connector),
        Outcome::Refused(failure) if failure.class == ErrorClass::NotFound => Ok(Observed::NotFound),
        other => Err(failure_of(Operation::DescribeVpcConnector, other).unwrap_or_else(|| unproven(WRONG_KIND))),
    };
    if e.object.deleting && e.object.claimed().is_some() {
        apply_describe_while_deleting(e, seen.ok());
    } else {
        apply_description(e, seen);
    }
}

/// A look in the course of a deletion: it proves the connector gone, or it is no obstacle to asking again.
fn apply_describe_while_deleting(e: &mut Evidence, seen: Option<Observed>) {
    e.memory.seen.looked = true;
    if let Deletion::Accepted { looks, .. } = &mut e.memory.deletion {
        *looks = looks.saturating_add(1);
    }
    match seen {
        Some(Observed::Inactive(connector)) => gone(e, Some(connector)),
        Some(Observed::NotFound) => gone(e, None),
        Some(Observed::Active(_)) | None => {}
    }
}

fn apply_description(e: &mut Evidence, seen: Result<Observed, Failure>) {
    match seen {
        Err(failure) => failed(e, failure),
        Ok(Observed::Inactive(connector)) if e.object.deleting => gone(e, Some(connector)),
        Ok(Observed::NotFound) if e.object.deleting => gone(e, None),
        Ok(observed) => {
            // An ACTIVE connector is not enough where its owner tag is still to be read.
            let ends = e.object.claimed().is_some() && e.rules.cluster_id.is_none();
            if ends || !matches!(observed, Observed::Active(_)) {
                succeed(e);
            }
            e.memory.seen.connector = Some(observed);
        }
    }
}

/// Reads a description; only our own ARN with a Status the API's model knows proves anything.
fn read_description(e: &Evidence, connector: Connector) -> Result<Observed, Failure> {
    let target = e.object.target.as_ref().map(super::arn::ConnectorArn::as_str).unwrap_or_default();
    match (&connector.arn, connector.status.as_ref().map(|status| (status.state(), status.as_str()))) {
        (Some(arn), _) if arn != target => Err(unproven(&format!("the answer describes another connector, {arn}"))),
        (None, None) => Err(unproven("the answer has no VpcConnector")),
        (None, _) => Err(unproven("the answer has no VpcConnector.VpcConnectorArn")),
        (_, None) => Err(unproven("the answer has no VpcConnector.Status")),
        (_, Some((ConnectorState::Unknown, word))) => {
            Err(unproven(&format!("the answer has the unknown Status '{word}'")))
        }
        (_, Some((ConnectorState::Active, _))) => Ok(Observed::Active(connector)),
        (_, Some((ConnectorState::Inactive, _))) => Ok(Observed::Inactive(connector)),
    }
}

fn gone(e: &mut Evidence, connector: Option<Connector>) {
    let arn = e.object.target.as_ref().map(ToString::to_string).unwrap_or_default();
    e.memory.gone = Some(Gone { arn, connector, recorded: false });
    e.memory.deletion = Deletion::NotUnderWay;
    e.memory.seen.failure = None;
    succeed(e);
}

fn succeed(e: &mut Evidence) {
    e.memory.attempts = 0;
    e.memory.streak = None;
}

fn failed(e: &mut Evidence, failure: Failure) {
    e.memory.attempts = e.memory.attempts.saturating_add(1);
    let begun = FailureStreak { class: failure.class, failures: 0, since: e.now.moment };
    let streak = e.memory.streak.filter(|streak| streak.class == failure.class).unwrap_or(begun);
    e.memory.streak = Some(FailureStreak { failures: streak.failures.saturating_add(1), ..streak });
    e.memory.seen.failure = Some(failure);
}

fn fail(e: &mut Evidence, operation: Operation, outcome: Outcome) {
    let failure = failure_of(operation, outcome).unwrap_or_else(|| Failure { operation, ..unproven(WRONG_KIND) });
    failed(e, failure);
}

/// The failure in an outcome; an answer of the wrong kind is one as well.
fn failure_of(operation: Operation, outcome: Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Done(Reply::Written) => None,
        Outcome::Done(_) => Some(Failure { operation, ..unproven(WRONG_KIND) }),
        other => other.into_failure(),
    }
}

fn unproven(why: &str) -> Failure {
    Failure::new(Operation::DescribeVpcConnector, ErrorClass::Unproven, "Unproven", why)
}
