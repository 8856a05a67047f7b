//! Stalls: when a wait asks a user to act.

use super::clock::Moment;
use super::error_class::{ErrorClass, Stall};
use super::evidence::Evidence;
use super::state::Wait;
use crate::api::{Reason, condition};

/// True if a reason can count as a stall, which asks a user to act.
pub(crate) fn stalls(reason: Reason) -> bool {
    stall_of(reason) != Stall::Never
}

/// The moment at which a wait will count as a stall, if that is still to come.
pub(crate) fn stalls_at(evidence: &Evidence, wait: &Wait) -> Option<Moment> {
    if stall_of(wait.reason) != Stall::AfterAMinute {
        return None;
    }
    let (failures, since) = if wait.reason == Reason::WriteRefused {
        evidence.state.refusals.as_ref().map(|refusals| (refusals.failures, refusals.since))?
    } else {
        evidence.state.failures.map(|failures| (failures.of_class, failures.since))?
    };
    if failures < 2 {
        return Some(Moment::NEVER);
    }
    Some(since.after(evidence.rules.intervals.stall_after)).filter(|at| evidence.now.moment < *at)
}

/// True if a wait counts as a stall. Once it does, it remains one as long as the reason stays the same.
pub(super) fn is_stalled(evidence: &Evidence, wait: &Wait) -> bool {
    let stalled = evidence.object.status.condition(condition::STALLED);
    let before = stalled.is_some_and(|condition| condition.reason == wait.reason.as_str());
    let due = || stalls_at(evidence, wait).is_none_or(|at| evidence.now.moment >= at);
    stalls(wait.reason) && (before || due())
}

fn stall_of(reason: Reason) -> Stall {
    match reason {
        Reason::Inactive | Reason::Gone | Reason::OwnedByAnother | Reason::WrongAccount => Stall::AtOnce,
        Reason::WriteRefused => Stall::AfterAMinute,
        Reason::Available
        | Reason::Adopting
        | Reason::Deleting
        | Reason::Deleted
        | Reason::AlreadyGone
        | Reason::Protected
        | Reason::Retained => Stall::Never,
        Reason::NotFound
        | Reason::InUse
        | Reason::InvalidRequest
        | Reason::Throttled
        | Reason::AccessDenied
        | Reason::CredentialsRejected
        | Reason::SubscriptionRequired
        | Reason::ServiceError
        | Reason::Unreachable
        | Reason::UntrustedCertificate
        | Reason::Unproven => ErrorClass::with_reason(reason).map_or(Stall::Never, |class| class.handling().stall),
    }
}
