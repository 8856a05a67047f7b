//! The state that the process keeps of one object between reconciles.
//!
//! It may be lost in a restart without harm: AWS is then called once more. There is one for each object, so what few of
//! them have is boxed.

use super::arn::ConnectorArn;
use super::attempt::{Attempt, Trigger};
use super::clock::Moment;
use super::error_class::ErrorClass;
use super::evidence::{Object, Phase};
use super::flags::Unusual;
use super::outcome::{Connector, Failure, Operation};
use super::refusal::Refusals;
use crate::api::{Reason, VpcConnectorStatus};

/// The state that the process keeps of one object between reconciles.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectState {
    /// The deletion of the connector.
    pub deletion: Deletion,
    /// A claim whose owner tag has to be read back.
    pub pending_claim: Option<Box<PendingClaim>>,
    /// The last read of the owner tag, if it did not forbid a deletion.
    pub owner_checked_at: Option<Moment>,
    /// The last time that the missing owner tag of the claimed connector was written again.
    pub tag_restored_at: Option<Moment>,
    /// The wait that the last reconcile ended with.
    pub wait: Option<Wait>,
    /// Failed attempts since the last success.
    pub failures: Option<Failures>,
    /// Refusals of a write to the object since it last succeeded.
    pub refusals: Option<Refusals>,
    /// The last status write.
    pub status_written_at: Option<Moment>,
    /// The annotation values for which an Event was published.
    pub published: Unusual,
    /// The phase of the object in the last reconcile.
    pub phase: Phase,
}

/// The deletion of one connector. At most one request of ours is in flight.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Deletion {
    /// No request of ours can be in flight.
    #[default]
    NotSent,
    /// A request was sent and its outcome is unknown: describe the connector before sending another.
    Unanswered {
        /// The first of the refusals before it, if there were any.
        refused_since: Option<Moment>,
    },
    /// App Runner accepted the request and reported the connector ACTIVE.
    Accepted {
        /// The time of that reply.
        since: Moment,
        /// Describes since then.
        describes: u32,
    },
    /// App Runner refused the request because the connector is, or may be, in use.
    Refused(Box<RefusedDelete>),
    /// AWS confirmed that the connector is deleted; this is final.
    Confirmed {
        /// The connector.
        arn: ConnectorArn,
        /// The reply that confirmed it.
        by: Confirmation,
        /// The status shows it.
        recorded: bool,
    },
}

/// A reply that confirms a deletion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Confirmation {
    /// The connector was reported INACTIVE.
    Inactive(Box<Connector>),
    /// AWS does not know the connector.
    NotFound,
}

/// Refusals to delete a connector. Failures of other classes in between do not end them.
///
/// App Runner may say that the connector is in use, or refuse the request in other words: AWS documents neither. After
/// both, the service scan decides whether it is in use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefusedDelete {
    /// The time of the first refusal.
    pub since: Moment,
    /// The time of the last one.
    pub last: Moment,
    /// The last one, of class `InUse` or `InvalidRequest`.
    pub failure: Failure,
}

/// A claim whose owner tag has to be read back: another owner may have written its tag at the same time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PendingClaim {
    /// The connector, if it was described just before the tag was written.
    pub connector: Option<Connector>,
    /// The tag that was replaced, of an object that no longer names the connector.
    pub replaced_tag: Option<String>,
    /// The time of the write.
    pub written_at: Moment,
    /// Reads since then that showed no tag.
    pub unseen: u32,
}

/// Failed attempts since the last success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failures {
    /// Their number.
    pub attempts: u32,
    /// The class of the last one. A different class restarts the backoff.
    pub class: ErrorClass,
    /// Consecutive failures of that class.
    pub of_class: u32,
    /// The time of the first of those.
    pub since: Moment,
}

/// A wait: its reason and message in the Ready condition, and its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    /// The reason of the Ready condition.
    pub reason: Reason,
    /// The message of the Ready condition; it changes only with its meaning.
    pub message: String,
    /// The time of the next attempt.
    pub until: Moment,
    /// The failed call that caused it, if there is one.
    pub failure: Option<Box<Failure>>,
}

impl ObjectState {
    /// The state of an object that this process has not seen before.
    pub(crate) fn from_status(status: &VpcConnectorStatus) -> Self {
        let delete_failed =
            status.last_error.as_ref().is_some_and(|error| error.operation == Operation::DeleteVpcConnector.as_str());
        let unanswered = [Reason::ServiceError, Reason::Unreachable, Reason::Unproven];
        let unanswered = delete_failed && unanswered.into_iter().any(|reason| status.says(reason));
        let deletion = if unanswered { Deletion::Unanswered { refused_since: None } } else { Deletion::NotSent };
        Self { deletion, ..Self::default() }
    }

    /// Starts a reconcile, and says why it began.
    ///
    /// A wait of an adoption does not delay a deletion. A claim that was lost, for example because a user wiped the status,
    /// ends every wait: the operator claims the connector again. A claim that was given up to another owner is not lost.
    pub(crate) fn start_reconcile(&mut self, object: &Object, now: Moment) -> Attempt {
        let (before, phase) = (self.phase, object.phase());
        let deleting_changed = before.is_deleting() != phase.is_deleting();
        if deleting_changed {
            let published = std::mem::take(&mut self.published);
            let deletion = std::mem::take(&mut self.deletion).in_another_phase();
            *self = Self { deletion, published, ..Self::default() };
        }
        let given_up = self.wait.as_ref().is_some_and(|wait| wait.reason == Reason::OwnedByAnother);
        let lost = !deleting_changed && before.is_claimed() && !phase.is_claimed() && !given_up;
        self.phase = phase;
        Attempt::new(Trigger::requested(object).unwrap_or_else(|| match &self.wait {
            Some(wait) if now < wait.until && !lost => Trigger::Early,
            _ => Trigger::Due,
        }))
    }
}

impl Deletion {
    /// The refusals because of which the deletion waits for services to release the connector.
    pub(crate) fn refused(&self) -> Option<&RefusedDelete> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::NotSent | Self::Unanswered { .. } | Self::Accepted { .. } | Self::Confirmed { .. } => None,
        }
    }

    /// The confirmation that this connector is deleted, and whether the status shows it.
    pub(crate) fn confirmed(&self, of: &ConnectorArn) -> Option<(&Confirmation, bool)> {
        match self {
            Self::Confirmed { arn, by, recorded } if arn == of => Some((by, *recorded)),
            Self::Confirmed { .. }
            | Self::NotSent
            | Self::Unanswered { .. }
            | Self::Accepted { .. }
            | Self::Refused(_) => None,
        }
    }

    /// The first of the refusals that this deletion waits for, or waited for before a request remained unanswered.
    pub(crate) fn refused_since(&self) -> Option<Moment> {
        match self {
            Self::Refused(refused) => Some(refused.since),
            Self::Unanswered { refused_since } => *refused_since,
            Self::NotSent | Self::Accepted { .. } | Self::Confirmed { .. } => None,
        }
    }

    /// True if a request was sent whose effect is not known.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::Accepted { .. } => true,
            Self::NotSent | Self::Refused(_) | Self::Confirmed { .. } => false,
        }
    }

    /// The part that remains true when the watch shows the object in another phase. It may show an object as it was before its
    /// deletion, and then as it is.
    fn in_another_phase(self) -> Self {
        match self {
            Self::Refused(_) => Self::NotSent,
            Self::Unanswered { .. } => Self::Unanswered { refused_since: None },
            Self::NotSent | Self::Accepted { .. } | Self::Confirmed { .. } => self,
        }
    }
}

impl Confirmation {
    /// The connector as last described.
    pub(crate) fn connector(&self) -> Option<&Connector> {
        match self {
            Self::Inactive(connector) => Some(connector),
            Self::NotFound => None,
        }
    }
}

impl Failures {
    /// The failures after one more.
    #[must_use]
    pub(crate) fn after(before: Option<Self>, class: ErrorClass, now: Moment) -> Self {
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        match before {
            Some(Self { class: same, of_class, since, .. }) if same == class => {
                Self { attempts, class, of_class: of_class.saturating_add(1), since }
            }
            _ => Self { attempts, class, of_class: 1, since: now },
        }
    }
}
