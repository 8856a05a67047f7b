//! Stalls: when a wait asks a user to act.

use super::blocker::Blocker;
use super::blockers::Services;
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
    let at = match stall_of(wait.reason) {
        Stall::Never | Stall::AtOnce => return None,
        Stall::AfterAMinute => repeated_failure_at(evidence, wait)?,
        Stall::StuckService => stuck_service_at(evidence),
    };
    Some(at).filter(|at| evidence.now.moment < *at)
}

/// True if a wait counts as a stall. Once it does, it remains one as long as the reason stays the same; a connector in use,
/// as long as the services are not known to have come further.
pub(super) fn is_stalled(evidence: &Evidence, wait: &Wait) -> bool {
    let due = || stalls_at(evidence, wait).is_none_or(|at| evidence.now.moment >= at);
    let ended = || stall_of(wait.reason) == Stall::StuckService && knows_services(evidence);
    stalls(wait.reason) && (due() || (was_stalled(evidence, wait) && !ended()))
}

/// True if a stall begins long after the Event of its reason, which is an hour old at most.
pub(super) fn begins_late(evidence: &Evidence, wait: &Wait) -> bool {
    stall_of(wait.reason) == Stall::StuckService && !was_stalled(evidence, wait) && is_stalled(evidence, wait)
}

fn was_stalled(evidence: &Evidence, wait: &Wait) -> bool {
    let stalled = evidence.object.status.condition(condition::STALLED);
    stalled.is_some_and(|condition| condition.reason == wait.reason.as_str())
}

fn repeated_failure_at(evidence: &Evidence, wait: &Wait) -> Option<Moment> {
    let (failures, since) = if wait.reason == Reason::WriteRefused {
        evidence.state.refusals.as_ref().map(|refusals| (refusals.failures, refusals.since))?
    } else {
        evidence.state.failures.map(|failures| (failures.of_class, failures.since))?
    };
    Some(if failures < 2 { Moment::NEVER } else { since.after(evidence.rules.intervals.stall_after) })
}

/// The times of services are AWS's, so they are compared with the wall clock.
fn stuck_service_at(evidence: &Evidence) -> Moment {
    let Some(Services::Blocking(services)) = services(evidence) else { return Moment::NEVER };
    let since = services.iter().filter_map(Blocker::unfinished_since).min();
    let at = since.and_then(|since| since.checked_add(evidence.rules.intervals.stuck_after).ok());
    at.map_or(Moment::NEVER, |at| evidence.now.moment_at(at))
}

fn knows_services(evidence: &Evidence) -> bool {
    matches!(services(evidence), Some(Services::Blocking(_) | Services::None))
}

fn services(evidence: &Evidence) -> Option<&Services> {
    evidence.blockers.as_ref().map(|blockers| &blockers.services)
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
