//! Writes that the API server refuses: by a policy, a webhook or a quota, for want of a right, or because of their size.
//!
//! Such a refusal is not transient, and the object is as it was read: an administrator decided that the operator may not
//! write this. So it becomes the reason `WriteRefused`, and the write is tried again with backoff, since an administrator
//! who corrects it need not touch the object. A refusal ends the reconcile in which it happens.

use super::attempt::End;
use super::clock::Moment;
use super::decide::Decision;
use super::effect::KubeWrite;
use super::event::{EventReason, PendingEvent};
use super::evidence::{Evidence, Finalizer};
use super::state::{ObjectState, Wait};
use super::text;
use crate::api::Reason;

/// The writes that are made to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// Puts our finalizer on.
    AddFinalizer,
    /// Takes our finalizer off.
    RemoveFinalizer,
    /// Writes the status.
    WriteStatus,
}

impl WriteKind {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddFinalizer => "AddFinalizer",
            Self::RemoveFinalizer => "RemoveFinalizer",
            Self::WriteStatus => "WriteStatus",
        }
    }

    /// The write in a sentence.
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
    /// The refused write.
    pub write: WriteKind,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The message of the answer.
    pub message: String,
}

impl Refusal {
    /// A refusal with a text of the API server, which is made fit to be shown.
    pub(crate) fn new(write: WriteKind, code: u16, message: &str) -> Self {
        Self { write, code, message: text::message(message) }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { write, code, message } = self;
        write!(f, "the API server refused to {} ({code}): {}", write.in_words(), message)
    }
}

/// The refusals of one write in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusals {
    /// The last of them.
    pub last: Refusal,
    /// Their number.
    pub failures: u32,
    /// The time of the first one.
    pub since: Moment,
}

impl KubeWrite {
    /// The kind of write, by which refusals are counted.
    pub(crate) fn kind(&self) -> WriteKind {
        match self {
            Self::AddFinalizer => WriteKind::AddFinalizer,
            Self::RemoveFinalizer(_) => WriteKind::RemoveFinalizer,
            Self::Status(_) => WriteKind::WriteStatus,
        }
    }
}

/// Applies a refused write to the evidence.
pub(crate) fn refused(evidence: &mut Evidence, refusal: Refusal) {
    let before = evidence.state.refusals.take().filter(|before| before.last.write == refusal.write);
    let (failures, since) = before.map_or((0, evidence.now.moment), |before| (before.failures, before.since));
    evidence.state.refusals = Some(Refusals { last: refusal, failures: failures.saturating_add(1), since });
    evidence.attempt.end = End::WriteRefused;
}

/// Applies a successful write to the evidence: the refusals of that kind of write are over.
///
/// The status that says `WriteRefused` is written in the reconcile of the refusal, and does not end it.
pub(crate) fn succeeded(evidence: &mut Evidence, write: WriteKind) {
    if !evidence.attempt.write_refused() {
        evidence.state.refusals.take_if(|refusals| refusals.last.write == write);
    }
}

/// The guard of `decide`: after a refusal nothing more is tried in the same reconcile.
pub(super) fn write_refused(evidence: &Evidence) -> Option<Decision> {
    let refusals = evidence.state.refusals.as_ref().filter(|_| evidence.attempt.write_refused())?;
    Some(Decision::Blocked(Wait {
        reason: Reason::WriteRefused,
        message: refusals.last.to_string(),
        until: evidence.moment_after(evidence.rules.intervals.retry.jittered(refusals.failures, evidence.jitter)),
        failure: None,
    }))
}

/// True if a status that says `WriteRefused` has to be corrected: our finalizer was removed after all, and another one
/// still holds the object.
pub(super) fn outlived(evidence: &Evidence) -> bool {
    let absent = evidence.object.finalizer == Finalizer::Absent;
    absent && evidence.object.status.says(Reason::WriteRefused) && !evidence.attempt.write_refused()
}

/// The Event for a refusal that the status cannot report, because status writes are refused as well.
///
/// It is published again after 1, 2, 4, 8 … refusals, because the API server keeps Events for an hour.
pub(crate) fn unreported(state: &ObjectState) -> Option<PendingEvent> {
    let refusals = state.refusals.as_ref().filter(|refusals| refusals.failures.is_power_of_two())?;
    let note = refusals.last.to_string();
    Some(PendingEvent::warning(EventReason::State(Reason::WriteRefused), &note))
}
