//! The Events that are published about an object: their reasons and notes.

use super::attempt::{Ownership, Untag};
use super::effect::{AwsOutcome, Completed, Proof};
use super::evidence::Evidence;
use super::outcome::Outcome;
use super::text;
use crate::api::Reason;

/// An Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingEvent {
    /// Its type is Warning rather than Normal.
    pub warning: bool,
    /// Its reason.
    pub reason: EventReason,
    /// Its note; private, so that every note is made by [`PendingEvent::new`].
    note: Box<str>,
}

/// The API server refuses a note of more bytes.
const MAX_NOTE_BYTES: usize = 1024;

/// The reasons of Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventReason {
    /// The Ready condition took this reason, or the object was released for it.
    State(Reason),
    /// The connector carried the tag of an object that released it.
    OwnershipTaken,
    /// The owner tag of a claimed connector was missing, and was written again.
    OwnerTagRestored,
    /// The status named another connector than the spec.
    StatusCorrected,
    /// The object was released because another owner has the connector.
    NotOwned,
    /// The object does not parse.
    Malformed,
    /// An annotation that should be true or false is neither.
    UnknownAnnotationValue,
}

impl EventReason {
    /// The name that users see.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::State(reason) => reason.as_str(),
            Self::OwnershipTaken => "OwnershipTaken",
            Self::OwnerTagRestored => "OwnerTagRestored",
            Self::StatusCorrected => "StatusCorrected",
            Self::NotOwned => "NotOwned",
            Self::Malformed => "Malformed",
            Self::UnknownAnnotationValue => "UnknownAnnotationValue",
        }
    }

    /// True if the object is gone when users read the Event, so that nothing else tells them.
    pub(crate) fn is_last(self) -> bool {
        match self {
            Self::State(Reason::Deleted | Reason::AlreadyGone | Reason::Retained) | Self::NotOwned => true,
            Self::State(_)
            | Self::OwnershipTaken
            | Self::OwnerTagRestored
            | Self::StatusCorrected
            | Self::Malformed
            | Self::UnknownAnnotationValue => false,
        }
    }
}

impl std::fmt::Display for EventReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PendingEvent {
    /// An Event with a note in one line, which is cut to the length that the API server accepts.
    pub(crate) fn new(warning: bool, reason: EventReason, note: &str) -> Self {
        let mut note = text::one_line(note, MAX_NOTE_BYTES);
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        Self { warning, reason, note: note.into() }
    }

    pub(crate) fn normal(reason: EventReason, note: &str) -> Self {
        Self::new(false, reason, note)
    }

    pub(crate) fn warning(reason: EventReason, note: &str) -> Self {
        Self::new(true, reason, note)
    }

    /// Its note.
    pub(crate) fn note(&self) -> &str {
        &self.note
    }
}

/// The Event for an object that is released although its connector was not deleted.
pub(crate) fn release_event(evidence: &Evidence, proof: &Proof) -> Option<PendingEvent> {
    let (target, sent) = (&evidence.object.target, unconfirmed_delete(evidence));
    match proof {
        Proof::Receipt | Proof::NotFound => None,
        Proof::AnotherOwner { tag } => {
            let note = format!("released without deleting anything: {target} is owned by {tag}{sent}");
            Some(PendingEvent::warning(EventReason::NotOwned, &note))
        }
        Proof::Retained => {
            let note = format!("left in AWS: {target}{sent}{}", owner_tag_result(evidence));
            Some(PendingEvent::normal(EventReason::State(Reason::Retained), &note))
        }
    }
}

/// The Event for an owner tag that was written to a claimed connector: it was missing, or named an object that released it.
pub(crate) fn tag_event(evidence: &Evidence, completed: &Completed) -> Option<PendingEvent> {
    let arn = evidence.object.claimed()?;
    let Completed::Aws(AwsOutcome::WriteTag(Outcome::Done(())), _) = completed else { return None };
    if let Ownership::Released { tag } = &evidence.attempt.ownership {
        return Some(taken_over(tag));
    }
    let note =
        format!("the owner tag of {arn} was missing and is written again; if another tool removes it, see the runbook");
    Some(PendingEvent::warning(EventReason::OwnerTagRestored, &note))
}

fn unconfirmed_delete(evidence: &Evidence) -> &'static str {
    if evidence.state.deletion.is_unconfirmed() {
        "; a DeleteVpcConnector was sent before, and its result is not known"
    } else {
        ""
    }
}

fn owner_tag_result(evidence: &Evidence) -> String {
    let attempt = &evidence.attempt;
    let acts_here = evidence.rules.cluster_id.is_some() && evidence.object.claimed().is_some();
    match (&attempt.untag, &attempt.ownership, attempt.failure()) {
        (Untag::Failed(failure), ..) => {
            format!("; its owner tag could not be removed: {}", failure.code_and_message())
        }
        (_, Ownership::OfObject { .. } | Ownership::Another { .. }, _) => {
            "; its owner tag names another owner and remains".to_owned()
        }
        (Untag::NotTried, Ownership::Unread, Some(failure)) if failure.hides_the_owner() => {
            format!("; its owner tag could not be read and remains: {}", failure.code_and_message())
        }
        (Untag::NotTried, Ownership::Unread, _) if acts_here => {
            "; its owner tag remains: this operator does not act for its account and region".to_owned()
        }
        _ => String::new(),
    }
}

pub(super) fn taken_over(tag: &str) -> PendingEvent {
    PendingEvent::normal(EventReason::OwnershipTaken, &format!("taken over from {tag}, which released it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_that_the_api_server_accepts() {
        let event = PendingEvent::warning(EventReason::Malformed, &"ä\n".repeat(100_000));
        assert!(event.note().len() <= MAX_NOTE_BYTES && event.note().starts_with("ä ä "), "{}", event.note());
    }
}
