//! The operator's behaviour on one page: an ordered list of guards, of which the first that applies wins, and one match on
//! the phase of the object.
//!
//! Each guard is a small function of the [`Evidence`]. Together with the match they are total: for all evidence there is
//! one next step, either one [`Effect`], which is one call, or a wait. The outcome of an effect is applied to the evidence
//! (see [`super::transition`]), and `decide` is called again.
//!
//! The order matters. The ways out that a user has (Retain, paused) come first; then deletions that AWS has confirmed;
//! then everything that holds a deletion. The second list begins once `spec.arn` is parsed. No call that names an ARN is
//! decided above the account check, except those of Retain, which checks the account itself. The rules about the owner tag
//! are in [`super::claims`].
//!
//! The comments on the two lists and on the match are the table in `docs/contributing/design.md`; a test compares them.

use super::arn::ConnectorArn;
use super::attempt::{Observed, Ownership, Trigger, Untag};
use super::claims::{
    confirm_claim, delete_if_owned, establish_ownership, keep_ownership, next_resync, owner_checked_recently,
};
use super::effect::{AwsCall, Effect, KubeWrite, Proof, StatusWrite};
use super::error_class::ErrorClass;
use super::evidence::{Caller, Evidence, Finalizer, Phase, Target};
use super::outcome::{Failure, Operation};
use super::refusal::{self, write_refused};
use super::state::{Confirmation, Deletion, RefusedDelete, Wait};
use super::{text, wait};
use crate::api::{DeletionPolicy, PROTECTED, Reason, condition};

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Nothing, until the object changes.
    Nothing,
    /// One call.
    Act(Effect),
    /// Nothing while the object is paused; its status keeps what is known.
    Pause,
    /// Nothing while the object and the operator's account stay as they are.
    Blocked(Wait),
    /// Nothing until a time, or until a user requests an attempt.
    Wait(Wait),
}

pub(super) type Guard = fn(&Evidence) -> Option<Decision>;
pub(super) type ArnGuard = fn(&Evidence, &ConnectorArn) -> Option<Decision>;

/// The guards that apply whether or not `spec.arn` can be parsed.
#[rustfmt::skip]
pub(super) const GUARDS: [Guard; 10] = [
    already_released,       // our finalizer is removed, or absent while deleting -> nothing; a WriteRefused in the status is corrected
    write_refused,          // a write to the object was refused in this reconcile -> waits 1 to 60 s: WriteRefused
    policy_unset,           // adopted next or deleting, without a policy in spec and status -> reads the namespace's default: InvalidRequest if it cannot
    retain,                 // deleting, Retain -> reads the owner tag and removes it if it is ours, then removes the finalizer: Retained
    paused,                 // paused -> nothing
    without_finalizer,      // no finalizer -> adds it, before any call to AWS
    not_yet_reported,       // no Ready condition yet -> writes Adopting
    confirmed_deletion,     // deleting, and a receipt or AWS confirmed it -> records it, then removes the finalizer: Deleted, AlreadyGone
    protected,              // deleting, protected -> is blocked: Protected
    status_of_another,      // .status.arn is not spec.arn -> removes it from the status: the object is unclaimed
];

/// The guards that need the ARN.
#[rustfmt::skip]
pub(super) const ARN_GUARDS: [ArnGuard; 9] = [
    unknown_policy,         // deleting, with a policy that this version does not know -> is blocked: InvalidRequest
    blockers_unknown,       // App Runner refused the delete, and no scan looks for the blockers -> subscribes to the service scan
    attempt_failed,         // the call of this attempt failed -> waits, by its error class; after a refusal, by the state of the services
    still_refused,          // App Runner refused the delete, and no service changed since -> waits: InUse, InvalidRequest
    region_not_served,      // the region is not served -> is blocked, without a call: WrongAccount
    account_denied,         // --accounts denies the namespace or the region the account -> is blocked, without a call: WrongAccount
    account_unknown,        // the account of the credentials is not known, and the object is due -> asks STS, before any other call
    other_account,          // the credentials are of another account -> is blocked, without a call: WrongAccount
    not_due,                // not due, and not requested -> waits on
];

/// Decides the next step.
pub(crate) fn decide(evidence: &Evidence) -> Decision {
    decide_by(evidence, &GUARDS, &ARN_GUARDS)
}

/// Decides by these guards. The model checker leaves one out, to show that it notices the loss.
pub(super) fn decide_by(evidence: &Evidence, guards: &[Guard], arn_guards: &[ArnGuard]) -> Decision {
    if let Some(decision) = guards.iter().find_map(|guard| guard(evidence)) {
        return decision;
    }
    let arn = match &evidence.object.target {
        Target::Existing(arn) => arn,
        // spec.arn is not the ARN of a connector -> is blocked: InvalidRequest
        Target::Invalid(error) => return invalid_arn(evidence, error),
    };
    if let Some(decision) = arn_guards.iter().find_map(|guard| guard(evidence, arn)) {
        return decision;
    }
    match evidence.object.phase() {
        // deleting, unclaimed -> describes it; ACTIVE: claims it, unless another owner has it: removes the finalizer
        Phase::DeletingUnclaimed => claim_before_deleting(evidence, arn),
        // deleting, claimed -> reads the owner tag and deletes it, unless another owner has it; after an unknown outcome, describes it first: Deleting
        Phase::DeletingClaimed => delete(evidence, arn),
        // unclaimed -> describes it, reads the tag, writes it, waits 0.3 to 0.8 s, reads it, claims: Available, NotFound, Inactive, OwnedByAnother
        Phase::Unclaimed => claim(evidence, arn),
        // claimed -> describes it and reads the tag every resync, and writes a missing tag again: Available, Gone, OwnedByAnother
        Phase::Claimed => resync(evidence, arn),
    }
}

/// The watch may still show an object that this process has released as it was before its deletion.
fn already_released(evidence: &Evidence) -> Option<Decision> {
    let released = match evidence.object.finalizer {
        Finalizer::Removed => true,
        Finalizer::Absent => evidence.object.deleting,
        Finalizer::Present => false,
    };
    let next = if refusal::outlived(evidence) { write_status(StatusWrite::Released) } else { Decision::Nothing };
    released.then_some(next)
}

/// The default is recorded with the first status, so that an object keeps the policy that it was adopted with.
fn policy_unset(evidence: &Evidence) -> Option<Decision> {
    let object = &evidence.object;
    let adopted_next = object.finalizer == Finalizer::Present && !object.paused;
    if evidence.policy().is_some() || !(object.deleting || adopted_next) {
        return None;
    }
    let Some(Err(error)) = &evidence.attempt.default_policy else {
        return Some(Decision::Act(Effect::ReadDefaultPolicy));
    };
    let message = format!("spec.deletionPolicy is not set, and its default is not known: {error}");
    Some(blocked(evidence, Reason::InvalidRequest, message))
}

/// With Retain nothing but the owner tag is touched in AWS, and only where it was read and is ours.
fn retain(evidence: &Evidence) -> Option<Decision> {
    if !evidence.is_retained() {
        return None;
    }
    // With Retain set after AWS confirmed the deletion there is nothing left to retain, and the receipt is the truth.
    if let Some(confirmed) = confirmed_deletion(evidence) {
        return Some(confirmed);
    }
    let attempt = &evidence.attempt;
    let tag_unreadable = attempt.failure().is_some_and(Failure::hides_the_owner);
    let untaggable = evidence.rules.cluster_id.is_some() && attempt.untag == Untag::NotTried && !tag_unreadable;
    let may_untag = |arn: &&ConnectorArn| untaggable && evidence.rules.serves(arn) && evidence.denial(arn).is_none();
    let arn = evidence.object.target.arn().filter(may_untag);
    Some(match (arn, &evidence.caller, &attempt.ownership) {
        (Some(arn), Caller::Unknown, _) => call(AwsCall::Identify, arn),
        (Some(arn), Caller::Account(account), Ownership::Unread) if account == arn.account() => {
            call(AwsCall::ReadTags, arn)
        }
        (Some(arn), Caller::Account(account), Ownership::Ours { .. }) if account == arn.account() => {
            call(AwsCall::RemoveTag, arn)
        }
        _ => release(Proof::Retained),
    })
}

fn paused(evidence: &Evidence) -> Option<Decision> {
    evidence.object.paused.then_some(Decision::Pause)
}

fn without_finalizer(evidence: &Evidence) -> Option<Decision> {
    let absent = evidence.object.finalizer == Finalizer::Absent;
    absent.then_some(Decision::Act(Effect::Kube(KubeWrite::AddFinalizer)))
}

/// Tools that follow kstatus take an object without conditions for a finished one.
///
/// With a wait in the state the status was wiped by hand, and the wait is written again without this.
fn not_yet_reported(evidence: &Evidence) -> Option<Decision> {
    let reported = evidence.object.deleting || evidence.object.status.condition(condition::READY).is_some();
    (!reported && is_due(evidence)).then(|| write_status(StatusWrite::Adopting))
}

fn confirmed_deletion(evidence: &Evidence) -> Option<Decision> {
    if !evidence.object.deleting {
        return None;
    }
    if evidence.object.has_receipt() {
        return Some(release(Proof::Receipt));
    }
    Some(match evidence.state.deletion.confirmed(evidence.object.target.arn()?)? {
        (Confirmation::Inactive(_), false) => write_status(StatusWrite::Receipt),
        (Confirmation::NotFound, false) => write_status(StatusWrite::AlreadyGone),
        (Confirmation::Inactive(_), true) => release(Proof::Receipt),
        (Confirmation::NotFound, true) => release(Proof::NotFound),
    })
}

fn protected(evidence: &Evidence) -> Option<Decision> {
    let annotation = evidence.object.unusual.named(PROTECTED);
    let message = format!("deletion is held by the annotation {annotation}; remove it to continue");
    (evidence.object.deleting && evidence.object.protected).then(|| blocked(evidence, Reason::Protected, message))
}

fn status_of_another(evidence: &Evidence) -> Option<Decision> {
    let of_another = evidence.object.status.arn.is_some() && evidence.object.claimed().is_none();
    of_another.then(|| write_status(StatusWrite::Correction))
}

fn invalid_arn(evidence: &Evidence, error: &impl std::fmt::Display) -> Decision {
    let message = format!("spec.arn cannot be acted on: {error}. With deletionPolicy Retain the object can be deleted");
    blocked(evidence, Reason::InvalidRequest, message)
}

fn unknown_policy(evidence: &Evidence, _: &ConnectorArn) -> Option<Decision> {
    let Some(DeletionPolicy::Other(word)) = evidence.policy() else { return None };
    let word = text::excerpt(word);
    let message = format!("spec.deletionPolicy '{word}' is not known to this version; it knows Delete and Retain");
    evidence.object.deleting.then(|| blocked(evidence, Reason::InvalidRequest, message))
}

/// After a refusal the services show whether the connector is in use, and which of them block it.
fn blockers_unknown(evidence: &Evidence, arn: &ConnectorArn) -> Option<Decision> {
    let unknown = evidence.blockers.is_none() && !needs_describe(evidence);
    refused_delete(evidence).filter(|_| unknown)?;
    Some(Decision::Act(Effect::ScanServices(arn.clone())))
}

fn attempt_failed(evidence: &Evidence, _: &ConnectorArn) -> Option<Decision> {
    let failure = evidence.attempt.failure()?;
    if needs_describe(evidence) {
        return None;
    }
    if failure.refuses_the_delete() {
        return refused_delete(evidence).and_then(|refused| wait_for_services(evidence, refused));
    }
    Some(Decision::Wait(wait::after_failure(evidence, failure)))
}

/// A change of the services may bring the next attempt forward.
fn still_refused(evidence: &Evidence, _: &ConnectorArn) -> Option<Decision> {
    let waits = evidence.state.wait.as_ref().is_some_and(waits_after_refusal);
    let requested = matches!(evidence.attempt.trigger, Trigger::Requested(_));
    let holds = waits && !requested && !needs_describe(evidence);
    refused_delete(evidence).filter(|_| holds).and_then(|refused| wait_for_services(evidence, refused))
}

fn region_not_served(evidence: &Evidence, arn: &ConnectorArn) -> Option<Decision> {
    let message = format!("region {} is not one this operator serves (--regions)", arn.region());
    (!evidence.rules.serves(arn)).then(|| blocked(evidence, Reason::WrongAccount, message))
}

fn account_denied(evidence: &Evidence, arn: &ConnectorArn) -> Option<Decision> {
    evidence.denial(arn).map(|message| blocked(evidence, Reason::WrongAccount, message))
}

fn account_unknown(evidence: &Evidence, arn: &ConnectorArn) -> Option<Decision> {
    let unknown = evidence.caller == Caller::Unknown;
    (unknown && is_due(evidence)).then(|| call(AwsCall::Identify, arn))
}

/// With another account's credentials nothing is called and no reply is believed: to them every ARN is not found.
fn other_account(evidence: &Evidence, arn: &ConnectorArn) -> Option<Decision> {
    match &evidence.caller {
        Caller::Account(account) if account != arn.account() => {
            Some(blocked(evidence, Reason::WrongAccount, wait::of_another_account(evidence, account, arn)))
        }
        Caller::Account(_) | Caller::Unknown => None,
    }
}

fn not_due(evidence: &Evidence, _: &ConnectorArn) -> Option<Decision> {
    if is_due(evidence) { None } else { evidence.state.wait.clone().map(Decision::Wait) }
}

fn claim_before_deleting(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    match &evidence.attempt.observed {
        Some(Observed::Active(_)) => establish_ownership(evidence, arn),
        Some(Observed::Inactive(_) | Observed::NotFound) | None => call(AwsCall::Describe, arn),
    }
}

fn delete(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    let described = evidence.attempt.described;
    match &evidence.state.deletion {
        Deletion::Accepted { since, describes } if evidence.now.moment < wait::delete_retry_at(evidence, *since) => {
            if described {
                Decision::Wait(wait::until_deleted(evidence, *since, *describes))
            } else {
                call(AwsCall::Describe, arn)
            }
        }
        Deletion::Unanswered { .. } if !described => call(AwsCall::Describe, arn),
        _ if needs_describe(evidence) => call(AwsCall::Describe, arn),
        Deletion::NotSent
        | Deletion::Unanswered { .. }
        | Deletion::Accepted { .. }
        | Deletion::Refused(_)
        | Deletion::Confirmed { .. } => delete_if_owned(evidence, arn),
    }
}

fn claim(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    if let Some(pending) = &evidence.state.pending_claim {
        return confirm_claim(evidence, arn, pending);
    }
    match &evidence.attempt.observed {
        None => call(AwsCall::Describe, arn),
        Some(Observed::Active(_)) => establish_ownership(evidence, arn),
        Some(Observed::Inactive(_)) => {
            needs_user(evidence, Reason::Inactive, "the connector was deleted before this object claimed it")
        }
        Some(Observed::NotFound) => {
            needs_user(evidence, Reason::NotFound, "the account and region of spec.arn have no such connector")
        }
    }
}

fn resync(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    match &evidence.attempt.observed {
        // After a restart every object would be due at once.
        None if evidence.state.wait.is_none() && evidence.object.is_reported_available() => {
            Decision::Wait(wait::available(next_resync(evidence, 0.0, 1.0)))
        }
        None => call(AwsCall::Describe, arn),
        Some(Observed::Active(_)) => keep_ownership(evidence, arn),
        Some(Observed::Inactive(_)) => {
            needs_user(evidence, Reason::Gone, "the connector was deleted in AWS, and not by this object")
        }
        Some(Observed::NotFound) => needs_user(evidence, Reason::Gone, "the connector no longer exists in AWS"),
    }
}

fn blocked(evidence: &Evidence, reason: Reason, message: String) -> Decision {
    Decision::Blocked(wait::until_user_acts(evidence, reason, message))
}

fn needs_user(evidence: &Evidence, reason: Reason, message: &str) -> Decision {
    Decision::Wait(wait::until_user_acts(evidence, reason, message.to_owned()))
}

pub(super) fn call(call: AwsCall, arn: &ConnectorArn) -> Decision {
    Decision::Act(Effect::Aws(call, arn.clone()))
}

pub(super) fn release(proof: Proof) -> Decision {
    Decision::Act(Effect::Kube(KubeWrite::RemoveFinalizer(proof)))
}

pub(super) fn write_status(write: StatusWrite) -> Decision {
    Decision::Act(Effect::Kube(KubeWrite::Status(write)))
}

/// The refusals because of which the object waits for services to release its connector.
fn refused_delete(evidence: &Evidence) -> Option<&RefusedDelete> {
    evidence.state.deletion.refused().filter(|_| evidence.object.phase() == Phase::DeletingClaimed)
}

pub(super) fn waits_after_refusal(wait: &Wait) -> bool {
    wait.failure.as_deref().is_some_and(Failure::refuses_the_delete)
}

fn wait_for_services(evidence: &Evidence, refused: &RefusedDelete) -> Option<Decision> {
    let wait = wait::after_refusal(evidence, refused, evidence.blockers.as_ref()?);
    (evidence.now.moment < wait.until).then_some(Decision::Wait(wait))
}

/// True if AWS may be called now.
fn is_due(evidence: &Evidence) -> bool {
    let outlived = |wait: &Wait| match wait.reason {
        // A status restored from a backup has lost its claim; the wait of the claim does not delay the new one.
        Reason::Available => evidence.object.claimed().is_none(),
        // `still_refused` waits as long as the refusals last; they end when a delete is accepted.
        _ => waits_after_refusal(wait),
    };
    evidence.attempt.trigger != Trigger::Early || evidence.state.wait.as_ref().is_none_or(outlived)
}

/// The calls to App Runner that an attempt may make which begins with this call.
///
/// They are taken from the rate limit together, so that an attempt that has begun can run to its end.
pub(crate) fn calls_of_attempt(evidence: &Evidence, call: AwsCall) -> u32 {
    let tags = u32::from(evidence.rules.cluster_id.is_some());
    match (call, evidence.object.phase()) {
        // STS has no rate limit of ours.
        (AwsCall::Identify, _) => 0,
        // The tag is read, and then removed with Retain, or the connector is deleted.
        (AwsCall::ReadTags, phase) => 1 + u32::from(phase.is_deleting()),
        (AwsCall::Describe, Phase::DeletingClaimed) => 2 + if owner_checked_recently(evidence) { 0 } else { tags },
        (AwsCall::Describe, Phase::Claimed) => 1 + tags,
        (AwsCall::Describe, Phase::DeletingUnclaimed) => 2 + tags,
        (AwsCall::Describe, Phase::Unclaimed) => 1 + 2 * tags,
        (AwsCall::WriteTag | AwsCall::RemoveTag | AwsCall::Delete, _) => 1,
    }
}

/// True if the connector may be deleted already, because a delete was refused as invalid or its tags were not found: one
/// describe in the same attempt shows it.
fn needs_describe(evidence: &Evidence) -> bool {
    let doubtful = |failure: &Failure| match failure.operation {
        Operation::DeleteVpcConnector => failure.class == ErrorClass::InvalidRequest,
        Operation::ListTagsForResource => matches!(failure.class, ErrorClass::InvalidRequest | ErrorClass::NotFound),
        Operation::DescribeVpcConnector
        | Operation::TagResource
        | Operation::UntagResource
        | Operation::ListVpcConnectors
        | Operation::ListServices
        | Operation::DescribeService
        | Operation::ListVpcIngressConnections
        | Operation::DescribeVpcIngressConnection
        | Operation::DescribeCustomDomains
        | Operation::ListAutoScalingConfigurations
        | Operation::ListConnections
        | Operation::ListObservabilityConfigurations
        | Operation::GetCallerIdentity
        | Operation::AssumeRole
        | Operation::ResolveCredentials => false,
    };
    let deleting = evidence.object.phase() == Phase::DeletingClaimed;
    deleting && !evidence.attempt.described && evidence.attempt.failure().is_some_and(doubtful)
}
