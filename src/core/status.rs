//! The status of an object, and the Events that are published with it.
//!
//! A status is computed from evidence only, so that it reports nothing that was not observed. Two rules limit the writes: a
//! condition changes only when its meaning changes, and counters and times alone are written at most every 30 seconds.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::arn::ConnectorArn;
use super::attempt::{Observed, Ownership};
use super::blocker::Blocker;
use super::blockers::Services;
use super::clock::Moment;
use super::effect::StatusWrite;
use super::event::{EventReason, PendingEvent, taken_over};
use super::evidence::Evidence;
use super::outcome::{Connector, Failure};
use super::stall::{begins_late, is_stalled, stalls};
use super::state::{Confirmation, Deletion, Wait};
use super::text;
use super::wait::AVAILABLE;
use crate::api::{self, BlockingService, LastError, Reason, VpcConnectorStatus, condition, whole_seconds};

/// The services that a status names.
const MAX_BLOCKERS: usize = 20;
/// The services that the column of `kubectl get` names.
const IN_SUMMARY: usize = 2;
/// The reasons whose messages contain no text of AWS.
const OUR_WORDS: [&str; 3] = ["InUse", "Protected", "Paused"];

/// Tools that follow kstatus take an object without a Ready condition for a finished one, so there is always one.
const LOOKED_UP: &str = "the connector is being looked up";

/// The status that a status write makes, and the Events to publish once it is written.
pub(crate) fn status_after(evidence: &Evidence, write: &StatusWrite) -> (VpcConnectorStatus, Vec<PendingEvent>) {
    let mut status = base_status(evidence);
    let events = match write {
        StatusWrite::Adopting => {
            set_ready(evidence, &mut status, Reason::Adopting, LOOKED_UP);
            Vec::new()
        }
        StatusWrite::Correction => correct(evidence, &mut status),
        StatusWrite::Claim(arn) => record_claim(evidence, &mut status, arn),
        StatusWrite::Receipt | StatusWrite::AlreadyGone => record_deletion(evidence, &mut status),
        StatusWrite::Released => {
            record_release(evidence, &mut status);
            Vec::new()
        }
    };
    (status, events)
}

/// The status of an object that waits, and the Events to publish once it is written.
pub(crate) fn status_while(evidence: &Evidence, wait: &Wait) -> (VpcConnectorStatus, Vec<PendingEvent>) {
    if claim_is_recent(evidence, wait) {
        return (evidence.object.status.clone(), Vec::new());
    }
    let mut status = base_status(evidence);
    match &evidence.attempt.observed {
        // The claim writes the fields of the connector together with its ARN.
        _ if wait.reason == Reason::Adopting => {}
        Some(Observed::Active(connector) | Observed::Inactive(connector)) => {
            set_connector_fields(&mut status, connector);
        }
        Some(Observed::NotFound) => forget_connector(&mut status),
        None => {}
    }
    // The owner that the tag names owns the connector, whatever the status recorded before.
    if wait.reason == Reason::OwnedByAnother {
        status.arn = None;
    }
    set_blocked_by(evidence, wait, &mut status);
    let refusals = evidence.state.refusals.as_ref().filter(|_| wait.reason == Reason::WriteRefused);
    let settled = wait.failure.is_none() && refusals.is_none() && wait.reason != Reason::Deleting;
    if !settled {
        let failures = evidence.state.failures.map_or(0, |failures| failures.attempts);
        let attempts = refusals.map_or(failures, |refusals| refusals.failures);
        status.attempts = Some(i32::try_from(attempts).unwrap_or(i32::MAX));
        status.next_attempt_time = next_attempt_time(evidence, wait.until);
    }
    status.last_error = wait.failure.as_deref().map(|failure| Box::new(last_error(failure)));
    set_ready(evidence, &mut status, wait.reason, &wait.message);
    if is_stalled(evidence, wait) {
        status.clear_condition(condition::RECONCILING);
        set(evidence, &mut status, condition::STALLED, "True", wait.reason, &wait.message);
    }
    let events = if evidence.object.status.says(wait.reason) && !begins_late(evidence, wait) {
        Vec::new()
    } else {
        let warning = wait.failure.is_some() || stalls(wait.reason);
        vec![PendingEvent::new(warning, EventReason::State(wait.reason), &wait.message)]
    };
    (status, events)
}

/// The status of a paused object, which keeps what is known.
pub(crate) fn status_while_paused(evidence: &Evidence) -> VpcConnectorStatus {
    let mut status = evidence.object.status.clone();
    if status.condition(condition::READY).is_none() {
        let reason = if evidence.object.deleting { Reason::Deleting } else { Reason::Adopting };
        set_ready(evidence, &mut status, reason, "paused; the connector has not been looked up yet");
    }
    status.set_condition(Condition {
        type_: condition::PAUSED.into(),
        status: "True".into(),
        reason: "Paused".into(),
        message: format!("held by the annotation {}", evidence.object.unusual.named(api::PAUSED)),
        last_transition_time: whole_seconds(evidence.now.wall),
        observed_generation: evidence.object.generation,
    });
    status
}

/// True if a status is worth a write: it has a new meaning, or the last write is long enough ago.
pub(crate) fn needs_write(evidence: &Evidence, new: &VpcConnectorStatus) -> bool {
    let old = &evidence.object.status;
    if old == new {
        return false;
    }
    let refresh = evidence.rules.intervals.status_refresh;
    let due = evidence.state.status_written_at.is_none_or(|at| evidence.now.moment >= at.after(refresh));
    due || semantic_part(old) != semantic_part(new)
}

/// The time of the next attempt. It stays as it was written while it differs by less than a second: the two clocks do not
/// run exactly alike.
fn next_attempt_time(evidence: &Evidence, until: Moment) -> Option<Time> {
    let new = evidence.now.wall_at(until);
    let written = evidence.object.status.next_attempt_time.clone();
    let same = |old: &Time| old.0.duration_since(new).abs() <= SignedDuration::from_secs(1);
    written.filter(same).or_else(|| Some(whole_seconds(new)))
}

/// True if an object that says Adopting waits for the tag that it has just written: the claim follows within a second.
fn claim_is_recent(evidence: &Evidence, wait: &Wait) -> bool {
    let recent = evidence.state.pending_claim.as_ref().is_some_and(|pending| pending.unseen == 0);
    recent && wait.reason == Reason::Adopting && evidence.object.status.says(Reason::Adopting)
}

/// Writes the services that block the deletion. Those of the status remain until the scan knows more.
///
/// No scan looks for the services of a protected object or one of another account, so their names would stay for ever.
fn set_blocked_by(evidence: &Evidence, wait: &Wait, status: &mut VpcConnectorStatus) {
    let unscanned = matches!(wait.reason, Reason::Protected | Reason::WrongAccount);
    if unscanned || matches!(evidence.state.deletion, Deletion::Accepted { .. }) {
        return clear_blocked_by(status);
    }
    match evidence.blockers.as_ref().map(|blockers| &blockers.services) {
        None | Some(Services::Unknown) => {}
        Some(Services::None | Services::Unreadable(_)) => clear_blocked_by(status),
        Some(Services::Blocking(services)) => {
            status.blocked_by = services.iter().take(MAX_BLOCKERS).map(blocking_service).collect();
            status.blocked_by_count = Some(i32::try_from(services.len()).unwrap_or(i32::MAX));
            status.blocked_by_summary = Some(summary(services).into());
        }
    }
}

fn blocking_service(service: &Blocker) -> BlockingService {
    BlockingService { arn: service.arn.clone(), name: service.name.clone(), status: service.status.clone() }
}

/// The first two names and the number of the others, for the column of `kubectl get`.
fn summary(services: &[Blocker]) -> String {
    let names: Vec<_> = services.iter().take(IN_SUMMARY).map(|service| service.name.as_str()).collect();
    match services.len().saturating_sub(IN_SUMMARY) {
        0 => names.join(", "),
        more => format!("{} +{more}", names.join(", ")),
    }
}

fn clear_blocked_by(status: &mut VpcConnectorStatus) {
    status.blocked_by.clear();
    status.blocked_by_count = None;
    status.blocked_by_summary = None;
}

/// A status without the fields that change with every attempt.
fn semantic_part(status: &VpcConnectorStatus) -> VpcConnectorStatus {
    let mut part = status.clone();
    part.attempts = None;
    part.next_attempt_time = None;
    part.last_error = None;
    // AWS may word a message differently each time; the names of services and annotations are ours.
    for condition in part.conditions.iter_mut().filter(|c| !OUR_WORDS.contains(&c.reason.as_str())) {
        condition.message.clear();
    }
    part
}

fn correct(evidence: &Evidence, status: &mut VpcConnectorStatus) -> Vec<PendingEvent> {
    let other = status.arn.take().unwrap_or_default();
    set_connector_fields(status, &Connector::default());
    clear_blocked_by(status);
    status.conditions.clear();
    if !evidence.object.deleting {
        set_ready(evidence, status, Reason::Adopting, LOOKED_UP);
    }
    let note =
        format!("the status named {}, which is not the connector of spec.arn; it was removed", text::excerpt(&other));
    vec![PendingEvent::warning(EventReason::StatusCorrected, &note)]
}

fn record_claim(evidence: &Evidence, status: &mut VpcConnectorStatus, arn: &ConnectorArn) -> Vec<PendingEvent> {
    if let Some(Observed::Active(connector)) = &evidence.attempt.observed {
        set_connector_fields(status, connector);
    }
    status.arn = Some(arn.as_str().into());
    let replaced = match &evidence.attempt.ownership {
        Ownership::Released { tag } => Some(tag),
        Ownership::Ours { replaced } => replaced.as_ref(),
        Ownership::Unread
        | Ownership::Written
        | Ownership::OfObject { .. }
        | Ownership::Untagged
        | Ownership::Another { .. } => None,
    };
    let mut events: Vec<_> = replaced.map(|tag| taken_over(tag)).into_iter().collect();
    if evidence.object.deleting {
        set_ready(evidence, status, Reason::Deleting, "the connector is owned by this object and is deleted next");
    } else {
        set_ready(evidence, status, Reason::Available, AVAILABLE);
        events.push(PendingEvent::normal(EventReason::State(Reason::Available), AVAILABLE));
    }
    events
}

fn record_deletion(evidence: &Evidence, status: &mut VpcConnectorStatus) -> Vec<PendingEvent> {
    let connector = match &evidence.state.deletion {
        Deletion::Confirmed { by, .. } => by.connector(),
        Deletion::NotSent | Deletion::Unanswered { .. } | Deletion::Accepted { .. } | Deletion::Refused(_) => None,
    };
    let (reason, message) = deletion_result(evidence, connector.is_some());
    match connector {
        Some(connector) => set_connector_fields(status, connector),
        None => forget_connector(status),
    }
    clear_blocked_by(status);
    set_ready(evidence, status, reason, message);
    let note = deletion_note(evidence, message, status.deleted_at.as_ref().filter(|_| connector.is_some()));
    vec![PendingEvent::normal(EventReason::State(reason), &note)]
}

/// The Event outlives the object, so it contains the ARN and the time of the deletion, as the receipt in the status does.
fn deletion_note(evidence: &Evidence, message: &str, deleted_at: Option<&Time>) -> String {
    let target = &evidence.object.target;
    match deleted_at {
        Some(at) => format!("{message}: {target}, DeletedAt {}", at.0),
        None => format!("{message}: {target}"),
    }
}

fn deletion_result(evidence: &Evidence, reported_inactive: bool) -> (Reason, &'static str) {
    // Without a claim the connector was INACTIVE when it was first described, so another party deleted it.
    match (reported_inactive, evidence.object.claimed()) {
        (true, Some(_)) => (Reason::Deleted, "App Runner reports the connector INACTIVE"),
        (true, None) => (Reason::AlreadyGone, "the connector was INACTIVE already"),
        (false, _) => (Reason::AlreadyGone, "App Runner no longer knows the connector"),
    }
}

/// Corrects a status that says `WriteRefused`: our finalizer was removed, and another one still holds the object.
fn record_release(evidence: &Evidence, status: &mut VpcConnectorStatus) {
    let (reason, message) = match &evidence.state.deletion {
        Deletion::Confirmed { by, .. } => deletion_result(evidence, matches!(by, Confirmation::Inactive(_))),
        Deletion::NotSent | Deletion::Unanswered { .. } | Deletion::Accepted { .. } | Deletion::Refused(_)
            if evidence.object.has_receipt() =>
        {
            deletion_result(evidence, true)
        }
        Deletion::NotSent | Deletion::Unanswered { .. } | Deletion::Accepted { .. } | Deletion::Refused(_) => {
            (Reason::Retained, "the operator has released the object, and another finalizer holds it")
        }
    };
    set_ready(evidence, status, reason, message);
}

/// The status to start from: it keeps the fields of the connector and drops those of the last attempt.
fn base_status(evidence: &Evidence) -> VpcConnectorStatus {
    let mut status = evidence.object.status.clone();
    status.observed_generation = evidence.object.generation;
    status.deletion_policy = evidence.policy().cloned();
    let arn = evidence.object.target.arn();
    status.account = arn.map(|arn| arn.account().as_str().into());
    status.region = arn.map(|arn| arn.region().as_str().into());
    if let Some(request) = evidence.attempt.answers() {
        status.last_handled_reconcile_at = Some(request.into());
    }
    status.attempts = None;
    status.next_attempt_time = None;
    status.last_error = None;
    for ended in [condition::RECONCILING, condition::STALLED, condition::PAUSED] {
        status.clear_condition(ended);
    }
    status
}

fn set_connector_fields(status: &mut VpcConnectorStatus, connector: &Connector) {
    status.name = connector.name.as_deref().map(Into::into);
    status.revision = connector.revision;
    status.subnets.clone_from(&connector.subnets);
    status.security_groups.clone_from(&connector.security_groups);
    status.status.clone_from(&connector.status);
    status.created_at = connector.created_at.map(whole_seconds);
    status.deleted_at = connector.deleted_at.map(whole_seconds);
}

/// AWS no longer knows the connector. INACTIVE is final and remains: AWS forgets every deleted connector.
fn forget_connector(status: &mut VpcConnectorStatus) {
    if !status.says_inactive() {
        status.status = None;
    }
}

fn set_ready(evidence: &Evidence, status: &mut VpcConnectorStatus, reason: Reason, message: &str) {
    let ready = if reason == Reason::Available { "True" } else { "False" };
    set(evidence, status, condition::READY, ready, reason, message);
    if works_towards_ready(reason) {
        set(evidence, status, condition::RECONCILING, "True", reason, message);
    }
}

/// True if the operator continues by itself, and not before a user has acted.
fn works_towards_ready(reason: Reason) -> bool {
    match reason {
        Reason::Available
        | Reason::Deleted
        | Reason::AlreadyGone
        | Reason::Retained
        | Reason::Protected
        | Reason::NotFound
        | Reason::Inactive
        | Reason::Gone
        | Reason::OwnedByAnother
        | Reason::WrongAccount => false,
        Reason::Adopting
        | Reason::Deleting
        | Reason::InUse
        | Reason::AccessDenied
        | Reason::CredentialsRejected
        | Reason::SubscriptionRequired
        | Reason::InvalidRequest
        | Reason::Throttled
        | Reason::ServiceError
        | Reason::Unreachable
        | Reason::UntrustedCertificate
        | Reason::Unproven
        | Reason::WriteRefused => true,
    }
}

fn set(evidence: &Evidence, status: &mut VpcConnectorStatus, type_: &str, value: &str, reason: Reason, message: &str) {
    // `base_status` has cleared Stalled, so the time is that of the status as last written.
    let before = evidence.object.status.condition(type_).filter(|before| before.status == value);
    let since = before.map_or_else(|| whole_seconds(evidence.now.wall), |before| before.last_transition_time.clone());
    status.set_condition(Condition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: evidence.object.generation,
    });
}

fn last_error(failure: &Failure) -> LastError {
    LastError {
        operation: failure.operation.as_str().to_owned(),
        code: failure.code.clone(),
        message: failure.message.clone(),
        request_id: failure.request_id.clone(),
    }
}
