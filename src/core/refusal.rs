//! Writes that the API server refuses: by a policy, a webhook or a quota, for want of a right, or because of their size.
//!
//! Such a refusal is no passing fault of the connection, and the object is as it was read: somebody decided that the
//! operator may not write this. So it becomes the reason `WriteRefused`, and the write is tried again by itself, since
//! whoever mends it has no reason to touch the object. A refusal ends the reconcile that it happened in.

use super::clock::Moment;
use super::decide::{Decision, Effect};
use super::evidence::{Evidence, Memory, Wait};
use super::outcome::sanitize;
use super::status::{EventReason, PendingEvent};
use crate::api::Reason;

/// The writes that are made to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Puts our finalizer on.
    AddFinalizer,
    /// Takes our finalizer off.
    RemoveFinalizer,
    /// Writes the status.
    WriteStatus,
}

impl Write {
    /// The write that an effect makes, if it makes one.
    pub fn of(effect: &Effect) -> Option<Self> {
        match effect {
            Effect::AddFinalizer => Some(Self::AddFinalizer),
            Effect::RemoveFinalizer(_) => Some(Self::RemoveFinalizer),
            Effect::CorrectStatus
            | Effect::RecordAdopting
            | Effect::RecordClaim
            | Effect::RecordReceipt
            | Effect::RecordAlreadyGone
            | Effect::RecordLetGo => Some(Self::WriteStatus),
            Effect::ReadOtherObject { .. }
            | Effect::ScanServices
            | Effect::Identify
            | Effect::Describe
            | Effect::ReadTags
            | Effect::WriteTag
            | Effect::RemoveTag
            | Effect::Delete => None,
        }
    }

    /// The write in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::AddFinalizer => "add the finalizer",
            Self::RemoveFinalizer => "remove the finalizer",
            Self::WriteStatus => "write the status",
        }
    }
}

/// A refusal, in the API server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was to be written.
    pub write: Write,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The message of the answer.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { write, code, message } = self;
        write!(f, "the API server refused to {} ({code}): {}", write.in_words(), sanitize(message))
    }
}

/// The refusals of one write in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// The last of them.
    pub last: Refusal,
    /// How many there were.
    pub failures: u32,
    /// When the first of them was.
    pub since: Moment,
}

/// Takes a refusal into the evidence.
pub fn refused(e: &mut Evidence, refusal: Refusal) {
    let before = e.memory.refusals.take().filter(|before| before.last.write == refusal.write);
    let (failures, since) = before.map_or((0, e.now.moment), |before| (before.failures, before.since));
    e.memory.refusals = Some(Refusals { last: refusal, failures: failures.saturating_add(1), since });
    e.memory.seen.write_refused = true;
}

/// Takes note of a write that succeeded.
///
/// The status that says `WriteRefused` is written too, in the reconcile of the refusal, and is no end of it.
pub fn written(memory: &mut Memory, write: Write) {
    if !memory.seen.write_refused {
        memory.refusals.take_if(|refusals| refusals.last.write == write);
    }
}

/// The row of the table: after a refusal nothing more is tried in the same reconcile.
pub(super) fn write_refused(e: &Evidence) -> Option<Decision> {
    let refusals = e.memory.refusals.as_ref().filter(|_| e.memory.seen.write_refused)?;
    Some(Decision::Blocked(Wait {
        reason: Reason::WriteRefused,
        message: refusals.last.to_string(),
        until: e.from_now(e.rules.intervals.retry.jittered(refusals.failures, e.jitter)),
        failure: None,
    }))
}

/// Whether a status that says `WriteRefused` is all that is left to correct: the finalizer came off, and somebody else's
/// still holds the object.
pub(super) fn outlived(e: &Evidence) -> bool {
    !e.object.finalizer && e.object.status.says(Reason::WriteRefused) && !e.memory.seen.write_refused
}

/// What to tell of a refusal when the status can't tell it, being refused as well.
///
/// It is repeated after twice as many attempts each time: Events are kept for an hour only.
pub fn untold(memory: &Memory) -> Option<PendingEvent> {
    let refusals = memory.refusals.as_ref().filter(|refusals| refusals.failures.is_power_of_two())?;
    let note = refusals.last.to_string();
    Some(PendingEvent { warning: true, reason: EventReason::State(Reason::WriteRefused), note })
}
