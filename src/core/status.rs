//! What is told: the status, and the Events that go with it.
//!
//! A status is made from evidence only, so that it cannot claim what nobody saw. Two things keep it quiet: a condition
//! changes only when what it says changes, and counters and times alone are written at most every 30 seconds.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::clock::Moment;
use super::decide::{Effect, Proof};
use super::error_class::{ErrorClass, Stall};
use super::evidence::{Deletion, Evidence, Observed, Ownership, Wait};
use super::outcome::{Connector, Failure, Outcome, Service};
use super::wait::AVAILABLE;
use crate::api::{BlockingService, LastError, Reason, VpcConnectorStatus, condition, whole_seconds};

/// No more services than this are named in a status.
const MOST_BLOCKERS: usize = 20;
/// And no more than this in a column.
const IN_SUMMARY: usize = 2;
/// The reasons whose messages are no words of AWS.
const OUR_WORDS: [&str; 3] = ["InUse", "Protected", "Paused"];

/// Tools that follow kstatus take an object without a Ready condition for a finished one, so there is always one.
const LOOKED_UP: &str = "the connector is being looked up";

/// Something to tell as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEvent {
    /// Warning rather than Normal.
    pub warning: bool,
    /// Its reason.
    pub reason: EventReason,
    /// Its note.
    pub note: String,
}

/// The reasons an Event may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventReason {
    /// The Ready condition took this reason, or the object was let go for it.
    State(Reason),
    /// The connector carried the tag of an object that let go of it.
    OwnershipTaken,
    /// The owner tag of a claimed connector was missing, and was written again.
    OwnerTagRestored,
    /// The status named another connector than the spec.
    StatusCorrected,
    /// The object was let go because the connector is another's.
    NotOwned,
    /// The object does not parse.
    Malformed,
    /// An annotation that is to be true or false is neither.
    UnknownAnnotationValue,
}

impl std::fmt::Display for EventReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(reason) => reason.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

/// The status that one of the recording effects writes, and what to tell once it is written.
pub fn status_after(e: &Evidence, effect: &Effect) -> (VpcConnectorStatus, Vec<PendingEvent>) {
    let mut status = base_status(e);
    let mut events = Vec::new();
    match effect {
        Effect::CorrectStatus => {
            let other = status.arn.take().unwrap_or_default();
            set_connector_fields(&mut status, &Connector::default());
            clear_blocked_by(&mut status);
            status.conditions.clear();
            if !e.object.deleting {
                set_ready(e, &mut status, Reason::Adopting, LOOKED_UP);
            }
            let note = format!("status named {other}, which is not the connector of spec.arn; it was taken out");
            events.push(PendingEvent { warning: true, reason: EventReason::StatusCorrected, note });
        }
        Effect::RecordClaim => record_claim(e, &mut status, &mut events),
        Effect::RecordReceipt | Effect::RecordAlreadyGone => record_gone(e, &mut status, &mut events),
        Effect::RecordLetGo => record_let_go(e, &mut status),
        _ => set_ready(e, &mut status, Reason::Adopting, LOOKED_UP),
    }
    (status, events)
}

/// The status of an object that waits, and what to tell about it.
pub fn status_while(e: &Evidence, wait: &Wait) -> (VpcConnectorStatus, Vec<PendingEvent>) {
    if claim_is_recent(e, wait) {
        return (e.object.status.clone(), Vec::new());
    }
    let mut status = base_status(e);
    match &e.memory.seen.connector {
        // A claim on its way writes them with its record.
        _ if wait.reason == Reason::Adopting => {}
        Some(Observed::Active(connector) | Observed::Inactive(connector)) => {
            set_connector_fields(&mut status, connector)
        }
        Some(Observed::NotFound) => status.status = None,
        None => {}
    }
    // Whoever's tag the connector carries owns it, whatever was recorded before.
    if wait.reason == Reason::OwnedByAnother {
        status.arn = None;
    }
    set_blocked_by(e, &mut status);
    let refusals = e.memory.refusals.as_ref().filter(|_| wait.reason == Reason::WriteRefused);
    let answered = wait.failure.is_none() && refusals.is_none() && wait.reason != Reason::Deleting;
    if !answered {
        let attempts = refusals.map_or(e.memory.attempts, |refusals| refusals.failures);
        status.attempts = Some(i32::try_from(attempts).unwrap_or(i32::MAX));
        status.next_attempt_time = next_attempt_time(e, wait.until);
    }
    status.last_error = wait.failure.as_ref().map(last_error);
    set_ready(e, &mut status, wait.reason, &wait.message);
    if stalled(e, wait) {
        set(e, &mut status, condition::STALLED, "True", wait.reason, &wait.message);
    }
    let events = if e.object.status.ready_reason() == Some(&wait.reason.to_string()) {
        Vec::new()
    } else {
        let warning = wait.failure.is_some() || stalls(wait.reason);
        vec![PendingEvent { warning, reason: EventReason::State(wait.reason), note: wait.message.clone() }]
    };
    (status, events)
}

/// The time of the next attempt for people to read, who get the one they have read already while it is as good.
///
/// A moment of the one clock is a slightly different time of the other at each look.
fn next_attempt_time(e: &Evidence, until: Moment) -> Option<Time> {
    let new = e.now.wall_at(until);
    let written = e.object.status.next_attempt_time.clone();
    let same = |old: &Time| old.0.duration_since(new).abs() <= SignedDuration::from_secs(1);
    written.filter(same).or_else(|| Some(whole_seconds(new)))
}

/// Whether an object that says Adopting waits for the tag that it has just written: a second or two later it says more.
fn claim_is_recent(e: &Evidence, wait: &Wait) -> bool {
    let written = e.memory.pending_claim.as_ref().is_some_and(|pending| pending.unseen == 0);
    let adopting = Reason::Adopting.to_string();
    written && wait.reason == Reason::Adopting && e.object.status.ready_reason() == Some(&adopting)
}

/// Names who holds the deletion; what was said of them before stands until something better is known.
fn set_blocked_by(e: &Evidence, status: &mut VpcConnectorStatus) {
    if matches!(e.memory.deletion, Deletion::Accepted { .. }) {
        return clear_blocked_by(status);
    }
    let Some(blockers) = &e.blockers else { return };
    if blockers.services.is_empty() && !blockers.complete && blockers.unreadable.is_none() {
        return;
    }
    let named = |service: &Service| BlockingService {
        arn: service.arn.clone(),
        name: service.name.clone(),
        status: service.status.clone(),
    };
    status.blocked_by = blockers.services.iter().take(MOST_BLOCKERS).map(named).collect();
    status.blocked_by_count =
        (!blockers.services.is_empty()).then(|| i32::try_from(blockers.services.len()).unwrap_or(i32::MAX));
    status.blocked_by_summary = summary(&blockers.services);
}

/// The first two by name, and how many more: what fits into a column.
fn summary(services: &[Service]) -> Option<String> {
    let names: Vec<_> = services.iter().take(IN_SUMMARY).map(|service| service.name.as_str()).collect();
    match services.len().saturating_sub(IN_SUMMARY) {
        _ if names.is_empty() => None,
        0 => Some(names.join(", ")),
        more => Some(format!("{} +{more}", names.join(", "))),
    }
}

fn clear_blocked_by(status: &mut VpcConnectorStatus) {
    status.blocked_by.clear();
    status.blocked_by_count = None;
    status.blocked_by_summary = None;
}

/// The status of a paused object: what is known stays as it stands.
pub fn status_while_paused(e: &Evidence) -> VpcConnectorStatus {
    let mut status = e.object.status.clone();
    if status.condition(condition::READY).is_none() {
        let reason = if e.object.deleting { Reason::Deleting } else { Reason::Adopting };
        set_ready(e, &mut status, reason, "paused; the connector has not been looked up yet");
    }
    status.set_condition(Condition {
        type_: condition::PAUSED.into(),
        status: "True".into(),
        reason: "Paused".into(),
        message: format!("held by the annotation {}", e.object.unusual.named(crate::api::PAUSED)),
        last_transition_time: whole_seconds(e.now.wall),
        observed_generation: e.object.generation,
    });
    status
}

/// What to tell when an object is let go without its connector having been deleted.
pub fn release_event(e: &Evidence, proof: &Proof) -> Option<PendingEvent> {
    let arn = e.object.target.as_ref().map_or_else(ToString::to_string, ToString::to_string);
    match proof {
        Proof::Receipt | Proof::NotFound => None,
        Proof::AnotherOwner { tag } => {
            let note = format!("let go without deleting anything: {arn} is owned by {tag}{}", unconfirmed_delete(e));
            Some(PendingEvent { warning: true, reason: EventReason::NotOwned, note })
        }
        Proof::Retained => {
            let note = format!("left in AWS: {arn}{}{}", unconfirmed_delete(e), owner_tag_result(e));
            Some(PendingEvent { warning: false, reason: EventReason::State(Reason::Retained), note })
        }
    }
}

fn unconfirmed_delete(e: &Evidence) -> &'static str {
    match e.memory.deletion {
        Deletion::NotUnderWay => "",
        _ => "; a DeleteVpcConnector was sent before, and what became of it is not known",
    }
}

fn owner_tag_result(e: &Evidence) -> String {
    let seen = &e.memory.seen;
    match (&seen.untagged, seen.ownership(), &seen.failure) {
        (Some(Some(failure)), ..) => format!("; its owner tag could not be taken off: {}", failure.said()),
        (_, Ownership::OfObject { .. } | Ownership::Another { .. }, _) => {
            "; its owner tag names another owner and stays".to_owned()
        }
        (None, Ownership::Unread, Some(failure)) if failure.hides_the_owner() => {
            format!("; its owner tag could not be read and stays: {}", failure.said())
        }
        (None, Ownership::Unread, _) if e.rules.cluster_id.is_some() && e.object.claimed().is_some() => {
            "; its owner tag stays: this operator does not act for its account and region".to_owned()
        }
        _ => String::new(),
    }
}

/// What to tell when the owner tag of a claimed connector was written: it was missing, or of an object that released it.
pub fn tag_event(e: &Evidence, effect: &Effect, outcome: &Outcome) -> Option<PendingEvent> {
    let arn = e.object.claimed()?;
    if *effect != Effect::WriteTag || !matches!(outcome, Outcome::Done(_)) {
        return None;
    }
    if let Ownership::Released { tag } = e.memory.seen.ownership() {
        return Some(taken_over(tag));
    }
    let note = format!(
        "the owner tag of {arn} was missing and is written again; if another tool takes it off, see the runbook"
    );
    Some(PendingEvent { warning: true, reason: EventReason::OwnerTagRestored, note })
}

fn taken_over(tag: &str) -> PendingEvent {
    let note = format!("taken over from {tag}, which let go of it");
    PendingEvent { warning: false, reason: EventReason::OwnershipTaken, note }
}

/// Whether a status is worth a write: yes if it says something new, or if it was last written long enough ago.
pub fn needs_write(e: &Evidence, new: &VpcConnectorStatus) -> bool {
    let old = &e.object.status;
    if old == new {
        return false;
    }
    let refresh_due =
        e.memory.status_written_at.is_none_or(|at| e.now.moment >= at.after(e.rules.intervals.status_refresh));
    refresh_due || semantic_part(old) != semantic_part(new)
}

/// A status without what changes with every attempt.
fn semantic_part(status: &VpcConnectorStatus) -> VpcConnectorStatus {
    let mut said = status.clone();
    said.attempts = None;
    said.next_attempt_time = None;
    said.last_error = None;
    // AWS's words may differ each time; who uses a connector, and which annotation holds it, is ours to say.
    for condition in said.conditions.iter_mut().filter(|c| !OUR_WORDS.contains(&c.reason.as_str())) {
        condition.message.clear();
    }
    said
}

fn record_claim(e: &Evidence, status: &mut VpcConnectorStatus, events: &mut Vec<PendingEvent>) {
    if let Some(Observed::Active(connector)) = &e.memory.seen.connector {
        set_connector_fields(status, connector);
    }
    status.arn = e.object.target.as_ref().ok().map(ToString::to_string);
    let released = match e.memory.seen.ownership() {
        Ownership::Released { tag } => Some(tag),
        _ => e.memory.seen.released_tag.as_deref(),
    };
    events.extend(released.map(taken_over));
    let (reason, message) = if e.object.deleting {
        (Reason::Deleting, "the connector is owned by this object and is deleted next")
    } else {
        (Reason::Available, AVAILABLE)
    };
    set_ready(e, status, reason, message);
    if reason == Reason::Available {
        events.push(PendingEvent { warning: false, reason: EventReason::State(reason), note: message.to_owned() });
    }
}

fn record_gone(e: &Evidence, status: &mut VpcConnectorStatus, events: &mut Vec<PendingEvent>) {
    let connector = e.memory.gone.as_ref().and_then(|gone| gone.connector.as_ref());
    let (reason, message) = deletion_result(e, connector.is_some());
    match connector {
        Some(connector) => set_connector_fields(status, connector),
        None => status.status = None,
    }
    clear_blocked_by(status);
    set_ready(e, status, reason, message);
    let note = deletion_note(e, message, status.deleted_at.as_ref().filter(|_| connector.is_some()));
    events.push(PendingEvent { warning: false, reason: EventReason::State(reason), note });
}

/// The Event outlives the object, so it names the connector and when it was deleted, as the receipt in the status does.
fn deletion_note(e: &Evidence, message: &str, deleted_at: Option<&Time>) -> String {
    let arn = e.object.target.as_ref().map_or("", |arn| arn.as_str());
    match deleted_at {
        Some(at) => format!("{message}: {arn}, DeletedAt {}", at.0),
        None => format!("{message}: {arn}"),
    }
}

fn deletion_result(e: &Evidence, reported_inactive: bool) -> (Reason, &'static str) {
    // Without a claim the connector was INACTIVE when it was first looked at: it is not this object that deleted it.
    match (reported_inactive, e.object.claimed()) {
        (true, Some(_)) => (Reason::Deleted, "App Runner reports the connector INACTIVE"),
        (true, None) => (Reason::AlreadyGone, "the connector was INACTIVE already"),
        (false, _) => (Reason::AlreadyGone, "App Runner does not know the connector any more"),
    }
}

/// The refusal that the status tells of is over: the finalizer is off, and another one holds the object.
fn record_let_go(e: &Evidence, status: &mut VpcConnectorStatus) {
    let (reason, message) = match &e.memory.gone {
        Some(gone) => deletion_result(e, gone.connector.is_some()),
        None if e.object.has_receipt() => deletion_result(e, true),
        None => (Reason::Retained, "the operator has let go of the object, and another finalizer holds it"),
    };
    set_ready(e, status, reason, message);
}

/// The status to start from: what it recorded of the connector stays, what it said of the last attempt goes.
fn base_status(e: &Evidence) -> VpcConnectorStatus {
    let mut status = e.object.status.clone();
    status.observed_generation = e.object.generation;
    status.last_handled_reconcile_at = e.memory.seen.request.clone().or(status.last_handled_reconcile_at);
    status.attempts = None;
    status.next_attempt_time = None;
    status.last_error = None;
    status.clear_condition(condition::STALLED);
    status.clear_condition(condition::PAUSED);
    status
}

fn set_connector_fields(status: &mut VpcConnectorStatus, connector: &Connector) {
    status.name.clone_from(&connector.name);
    status.revision = connector.revision;
    status.subnets.clone_from(&connector.subnets);
    status.security_groups.clone_from(&connector.security_groups);
    status.status = connector.status.as_ref().map(|word| word.as_str().to_owned());
    status.created_at = connector.created_at.map(whole_seconds);
    status.deleted_at = connector.deleted_at.map(whole_seconds);
}

fn set_ready(e: &Evidence, status: &mut VpcConnectorStatus, reason: Reason, message: &str) {
    let ready = if reason == Reason::Available { "True" } else { "False" };
    set(e, status, condition::READY, ready, reason, message);
}

fn set(e: &Evidence, status: &mut VpcConnectorStatus, type_: &str, value: &str, reason: Reason, message: &str) {
    status.set_condition(Condition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: reason.to_string(),
        message: message.to_owned(),
        last_transition_time: whole_seconds(e.now.wall),
        observed_generation: e.object.generation,
    });
}

/// Whether a wait counts as a stall; once it does, it stays one as long as the reason does.
fn stalled(e: &Evidence, wait: &Wait) -> bool {
    let before = e.object.status.condition(condition::STALLED).is_some_and(|c| c.reason == wait.reason.to_string());
    stalls(wait.reason) && (before || stalls_at(e, wait).is_none_or(|at| e.now.moment >= at))
}

/// Whether a reason can count as a stall, which asks a user to act.
pub fn stalls(reason: Reason) -> bool {
    stall_of(reason) != Stall::Never
}

/// When a reason counts as a stall.
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

/// The moment at which a wait will count as a stall, if that is still to come.
pub fn stalls_at(e: &Evidence, wait: &Wait) -> Option<Moment> {
    if stall_of(wait.reason) != Stall::AfterAMinute {
        return None;
    }
    let (failures, since) = if wait.reason == Reason::WriteRefused {
        e.memory.refusals.as_ref().map(|refusals| (refusals.failures, refusals.since))?
    } else {
        e.memory.streak.map(|streak| (streak.failures, streak.since))?
    };
    if failures < 2 {
        return Some(Moment::NEVER);
    }
    Some(since.after(e.rules.intervals.stall_after)).filter(|at| e.now.moment < *at)
}

fn last_error(failure: &Failure) -> LastError {
    LastError {
        operation: failure.operation.to_string(),
        code: failure.code.clone(),
        message: failure.message.clone(),
        request_id: failure.request_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error_class::ErrorClass;
    use super::super::outcome::Operation;
    use super::*;

    #[test]
    fn an_unanswered_delete_is_recognised_in_what_was_reported() {
        let failure =
            Failure::new(Operation::DeleteVpcConnector, ErrorClass::Unreachable, "Timeout", "no answer within 10 s");
        let mut status = VpcConnectorStatus { last_error: Some(last_error(&failure)), ..VpcConnectorStatus::default() };
        status.set_condition(Condition {
            type_: condition::READY.into(),
            status: "False".into(),
            reason: failure.class.reason().to_string(),
            message: String::new(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        });
        assert_eq!(super::super::evidence::Memory::recall(&status).deletion, Deletion::Unknown);
    }
}
