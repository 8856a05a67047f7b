//! Applies the outcome of each effect to the evidence.
//!
//! Total: every outcome of every effect changes the evidence, so that [`super::decide`] cannot return the same call twice
//! in a row. A property test in `core/tests/laws.rs` holds that.

use super::arn::ConnectorArn;
use super::attempt::{End, Observed, Ownership, Untag};
use super::blockers::Blockers;
use super::effect::{AwsOutcome, Completed, KubeWrite, StatusWrite};
use super::error_class::ErrorClass;
use super::evidence::{Caller, Evidence, Phase};
use super::outcome::{Connector, Failure, Operation, Outcome};
use super::refusal;
use super::state::{Confirmation, Deletion, Failures, PendingClaim, RefusedDelete};
use crate::api::ConnectorState;

/// Applies the outcome of an effect to the evidence.
pub(crate) fn apply(evidence: &mut Evidence, completed: Completed) {
    match completed {
        Completed::Kube(write) => apply_write(evidence, &write),
        Completed::OtherObject(state) => {
            let attempt = &mut evidence.attempt;
            attempt.ownership = std::mem::take(&mut attempt.ownership).with_other_object(state);
            note_owner_check(evidence);
        }
        Completed::DefaultPolicy(default) => evidence.attempt.default_policy = Some(default),
        Completed::ScanServices => {
            evidence.blockers.get_or_insert_with(Blockers::default);
        }
        Completed::Aws(outcome, arn) => apply_aws(evidence, outcome, &arn),
    }
}

/// Drops a description of the connector as ACTIVE if the status, which is read before every pass, says INACTIVE since then:
/// another operator has seen it deleted. The connector is then described again.
pub(crate) fn drop_outdated(evidence: &mut Evidence) {
    if evidence.attempt.over_inactive || !evidence.object.status.says_inactive() {
        return;
    }
    evidence.attempt.observed.take_if(|observed| matches!(observed, Observed::Active(_)));
    if let Some(pending) = &mut evidence.state.pending_claim {
        pending.connector = None;
    }
}

fn apply_write(evidence: &mut Evidence, write: &KubeWrite) {
    refusal::succeeded(evidence, write.kind());
    match write {
        KubeWrite::Status(StatusWrite::Receipt | StatusWrite::AlreadyGone) => {
            if let Deletion::Confirmed { recorded, .. } = &mut evidence.state.deletion {
                *recorded = true;
            }
        }
        KubeWrite::Status(StatusWrite::Claim(_)) => {
            evidence.state.phase = if evidence.object.deleting { Phase::DeletingClaimed } else { Phase::Claimed };
            succeed(evidence);
        }
        KubeWrite::AddFinalizer
        | KubeWrite::RemoveFinalizer(_)
        | KubeWrite::Status(StatusWrite::Adopting | StatusWrite::Correction | StatusWrite::Released) => {}
    }
}

fn apply_aws(evidence: &mut Evidence, outcome: AwsOutcome, arn: &ConnectorArn) {
    match outcome {
        AwsOutcome::Identify(Outcome::Done(account)) => evidence.caller = Caller::Account(account),
        AwsOutcome::Describe(outcome) => apply_describe(evidence, outcome, arn),
        AwsOutcome::ReadTags(Outcome::Done(tag)) => apply_owner_tag(evidence, tag.as_deref()),
        AwsOutcome::ReadTags(outcome) => fail_tag_call(evidence, outcome),
        AwsOutcome::WriteTag(Outcome::Done(())) => apply_written_tag(evidence),
        AwsOutcome::RemoveTag(outcome) => {
            evidence.attempt.untag = outcome.into_failure().map_or(Untag::Done, Untag::Failed);
        }
        AwsOutcome::Delete(outcome) => apply_delete(evidence, outcome, arn),
        AwsOutcome::Identify(outcome) => fail_with(evidence, outcome),
        AwsOutcome::WriteTag(outcome) => fail_tag_call(evidence, outcome),
    }
}

fn apply_delete(evidence: &mut Evidence, outcome: Outcome<Connector>, arn: &ConnectorArn) {
    let now = evidence.now.moment;
    let refused_since = evidence.state.deletion.refused_since();
    match outcome {
        Outcome::Done(connector) => match observe(connector, arn, Operation::DeleteVpcConnector) {
            Ok(Observed::Inactive(connector)) => confirm(evidence, arn, Confirmation::Inactive(Box::new(connector))),
            Ok(Observed::Active(_) | Observed::NotFound) => {
                evidence.state.deletion = Deletion::Accepted { since: now, describes: 0 };
                evidence.attempt.described = true;
                succeed(evidence);
            }
            Err(unproven) => {
                evidence.state.deletion = Deletion::Unanswered { refused_since };
                fail(evidence, unproven);
            }
        },
        Outcome::Refused(failure) if failure.class == ErrorClass::NotFound => {
            confirm(evidence, arn, Confirmation::NotFound);
        }
        Outcome::Refused(failure) => {
            if failure.refuses_the_delete() {
                let since = refused_since.unwrap_or(now);
                let refused = RefusedDelete { since, last: now, failure: failure.clone() };
                evidence.state.deletion = Deletion::Refused(Box::new(refused));
            }
            fail(evidence, failure);
        }
        Outcome::Unknown(failure) => {
            evidence.state.deletion = Deletion::Unanswered { refused_since };
            fail(evidence, failure);
        }
        // Nothing was sent, so the deletion is where it was.
        Outcome::NotSent(failure) => fail(evidence, failure),
    }
}

fn apply_describe(evidence: &mut Evidence, outcome: Outcome<Connector>, arn: &ConnectorArn) {
    evidence.attempt.over_inactive = evidence.object.status.says_inactive();
    let observed = match outcome {
        Outcome::Done(connector) => observe(connector, arn, Operation::DescribeVpcConnector),
        Outcome::Refused(failure) if failure.class == ErrorClass::NotFound => Ok(Observed::NotFound),
        Outcome::Refused(failure) | Outcome::NotSent(failure) | Outcome::Unknown(failure) => Err(failure),
    };
    match evidence.object.phase() {
        Phase::DeletingClaimed => apply_describe_of_deletion(evidence, observed.ok(), arn),
        Phase::DeletingUnclaimed => match observed {
            Ok(Observed::Inactive(connector)) => confirm(evidence, arn, Confirmation::Inactive(Box::new(connector))),
            Ok(Observed::NotFound) => confirm(evidence, arn, Confirmation::NotFound),
            Ok(Observed::Active(connector)) => evidence.attempt.observed = Some(Observed::Active(connector)),
            Err(failure) => fail(evidence, failure),
        },
        phase @ (Phase::Unclaimed | Phase::Claimed) => match observed {
            Ok(observed) => {
                // An ACTIVE connector is not the whole answer while its owner tag is still to be read.
                let complete = phase == Phase::Claimed && evidence.rules.cluster_id.is_none();
                if complete || !matches!(observed, Observed::Active(_)) {
                    succeed(evidence);
                }
                evidence.attempt.observed = Some(observed);
            }
            Err(failure) => fail(evidence, failure),
        },
    }
}

/// A describe in the course of a deletion confirms it, or changes nothing: a failure of it does not delay the delete.
fn apply_describe_of_deletion(evidence: &mut Evidence, observed: Option<Observed>, arn: &ConnectorArn) {
    evidence.attempt.described = true;
    if let Deletion::Accepted { describes, .. } = &mut evidence.state.deletion {
        *describes = describes.saturating_add(1);
    }
    match observed {
        Some(Observed::Inactive(connector)) => confirm(evidence, arn, Confirmation::Inactive(Box::new(connector))),
        Some(Observed::NotFound) => confirm(evidence, arn, Confirmation::NotFound),
        Some(Observed::Active(_)) | None => {}
    }
}

fn apply_owner_tag(evidence: &mut Evidence, tag: Option<&str>) {
    // App Runner may still show the tag that ours has replaced.
    let replaced = evidence.state.pending_claim.as_ref().and_then(|pending| pending.replaced_tag.as_deref());
    let tag = tag.filter(|shown| Some(*shown) != replaced);
    let ownership =
        evidence.owner_tag().map_or(Ownership::Ours { replaced: None }, |ours| Ownership::from(ours.read(tag)));
    evidence.attempt.ownership = ownership;
    evidence.attempt.tag_read_at = Some(evidence.now.moment);
    match (&mut evidence.state.pending_claim, &evidence.attempt.ownership) {
        (Some(pending), Ownership::Untagged) => pending.unseen = pending.unseen.saturating_add(1),
        (Some(_), _) => resume_claim(evidence),
        (None, _) => {}
    }
    note_owner_check(evidence);
    let settled = matches!(evidence.attempt.ownership, Ownership::Ours { .. } | Ownership::Another { .. });
    if settled && evidence.object.phase() == Phase::Claimed {
        succeed(evidence);
    }
}

fn fail_tag_call<T>(evidence: &mut Evidence, outcome: Outcome<T>) {
    // The connector may have been deleted, so the next attempt describes it.
    if let Outcome::Refused(Failure { class: ErrorClass::NotFound | ErrorClass::InvalidRequest, .. }) = &outcome {
        evidence.state.pending_claim = None;
    }
    fail_with(evidence, outcome);
}

/// Continues a claim from the connector as it was described before the tag was written, unless that is too long ago.
fn resume_claim(evidence: &mut Evidence) {
    let Some(pending) = evidence.state.pending_claim.take() else { return };
    if is_recent(evidence, &pending) {
        evidence.attempt.observed = pending.connector.map(Observed::Active);
    }
    if let Ownership::Ours { replaced } = &mut evidence.attempt.ownership {
        *replaced = pending.replaced_tag;
    }
}

fn is_recent(evidence: &Evidence, pending: &PendingClaim) -> bool {
    evidence.now.moment < pending.written_at.after(evidence.rules.intervals.claim_described)
}

fn note_owner_check(evidence: &mut Evidence) {
    let allowed = evidence.attempt.ownership.is_ours_or_free();
    // The other object that the tag names may have been read long after the tag.
    evidence.state.owner_checked_at = evidence.attempt.tag_read_at.filter(|_| allowed);
}

/// The tag of a claimed connector was written again. The tag of a claim has to be read back before it counts.
fn apply_written_tag(evidence: &mut Evidence) {
    if evidence.object.claimed().is_some() {
        evidence.state.tag_restored_at = Some(evidence.now.moment);
        evidence.attempt.ownership = Ownership::Ours { replaced: None };
        return succeed(evidence);
    }
    // A tag that did not become visible is written once more; the claim stays the same.
    let before = evidence.state.pending_claim.take();
    let connector = match evidence.attempt.observed.take() {
        Some(Observed::Active(connector)) => Some(connector),
        Some(Observed::Inactive(_) | Observed::NotFound) | None => None,
    };
    let replaced = before.and_then(|pending| pending.replaced_tag);
    let replaced_tag = match std::mem::replace(&mut evidence.attempt.ownership, Ownership::Written) {
        Ownership::Released { tag } => Some(tag),
        Ownership::Unread
        | Ownership::Written
        | Ownership::Ours { .. }
        | Ownership::OfObject { .. }
        | Ownership::Untagged
        | Ownership::Another { .. } => replaced,
    };
    let written_at = evidence.now.moment;
    evidence.state.pending_claim = Some(Box::new(PendingClaim { connector, replaced_tag, written_at, unseen: 0 }));
}

/// Reads a description; only the ARN that was asked for, with a Status of the API model, proves anything.
fn observe(connector: Connector, arn: &ConnectorArn, operation: Operation) -> Result<Observed, Failure> {
    let unproven = |why: &str| Err(Failure::unproven(operation, why));
    match (&connector.arn, connector.status.as_ref().map(|status| (status.state(), status.as_str()))) {
        (Some(other), _) if other != arn.as_str() => {
            unproven(&format!("the answer describes another connector, {other}"))
        }
        (None, None) => unproven("the answer has no VpcConnector"),
        (None, _) => unproven("the answer has no VpcConnector.VpcConnectorArn"),
        (_, None) => unproven("the answer has no VpcConnector.Status"),
        (_, Some((ConnectorState::Unknown, word))) => unproven(&format!("the answer has the unknown Status '{word}'")),
        (_, Some((ConnectorState::Active, _))) => Ok(Observed::Active(connector)),
        (_, Some((ConnectorState::Inactive, _))) => Ok(Observed::Inactive(connector)),
    }
}

fn confirm(evidence: &mut Evidence, arn: &ConnectorArn, by: Confirmation) {
    evidence.state.deletion = Deletion::Confirmed { arn: arn.clone(), by, recorded: false };
    evidence.attempt.end = End::Open;
    // A description from before the deletion must not replace the receipt in the status.
    evidence.attempt.observed = None;
    succeed(evidence);
}

fn succeed(evidence: &mut Evidence) {
    evidence.state.failures = None;
}

fn fail(evidence: &mut Evidence, failure: Failure) {
    evidence.state.failures = Some(Failures::after(evidence.state.failures, failure.class, evidence.now.moment));
    evidence.attempt.end = End::Failed(failure);
}

fn fail_with<T>(evidence: &mut Evidence, outcome: Outcome<T>) {
    if let Some(failure) = outcome.into_failure() {
        fail(evidence, failure);
    }
}
