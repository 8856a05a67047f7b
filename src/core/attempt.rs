//! One reconcile: its trigger and its observations. It is a local of the reconcile loop and is never stored.

use super::clock::Moment;
use super::evidence::Object;
use super::outcome::{Connector, Failure};
use super::ownership::{OtherObjectState, Owner};
use crate::api::DeletionPolicy;

/// The observations of one reconcile; the next one starts without them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    /// Its trigger.
    pub trigger: Trigger,
    /// The connector was described in the course of a deletion, whatever the outcome.
    pub described: bool,
    /// The connector.
    pub observed: Option<Observed>,
    /// The status of the object said INACTIVE already when the connector was described.
    pub over_inactive: bool,
    /// The time at which the owner tag was read.
    pub tag_read_at: Option<Moment>,
    /// The meaning of the owner tag.
    pub ownership: Ownership,
    /// Removal of the owner tag.
    pub untag: Untag,
    /// The default of the deletion policy, or why it is not known.
    pub default_policy: Option<Result<DeletionPolicy, String>>,
    /// The end of the attempt.
    pub end: End,
}

/// The trigger of a reconcile, settled once when it begins: an attempt that has begun runs to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Its time has come.
    #[default]
    Due,
    /// A user requested an attempt, with this value of the reconcile-requested-at annotation.
    Requested(String),
    /// The object was woken before its time, and no user requested it: AWS is not called.
    Early,
}

/// The connector as described in this attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Observed {
    /// It can be used.
    Active(Connector),
    /// It was deleted.
    Inactive(Connector),
    /// AWS does not know it.
    NotFound,
}

/// The meaning of the owner tag for an object, as far as this attempt knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The tag has not been read.
    #[default]
    Unread,
    /// This attempt wrote the tag, and it has to be read back.
    Written,
    /// The tag names another object of this cluster, which has to be read.
    OfObject {
        namespace: String,
        name: String,
        /// The tag's value.
        tag: String,
    },
    /// The tag names this object.
    Ours {
        /// The tag that it replaced, of an object that no longer names the connector.
        replaced: Option<String>,
    },
    /// There is no tag.
    Untagged,
    /// The tag names an object that no longer names the connector.
    Released {
        /// The tag's value.
        tag: String,
    },
    /// The tag names another owner.
    Another {
        /// The tag's value.
        tag: String,
    },
}

/// Removal of the owner tag with Retain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Untag {
    /// It was not tried.
    #[default]
    NotTried,
    /// The tag is removed.
    Done,
    /// The tag remains.
    Failed(Failure),
}

/// The end of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing yet.
    #[default]
    Open,
    /// A call to AWS that failed.
    Failed(Failure),
    /// A write to the object that the API server refused; it ends the reconcile as well.
    WriteRefused,
}

impl Attempt {
    /// An attempt that begins now.
    pub(crate) fn new(trigger: Trigger) -> Self {
        Self { trigger, ..Self::default() }
    }

    /// The failure that ended it.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match &self.end {
            End::Failed(failure) => Some(failure),
            End::Open | End::WriteRefused => None,
        }
    }

    /// True if a write to the object was refused.
    pub(crate) fn write_refused(&self) -> bool {
        self.end == End::WriteRefused
    }

    /// The value of the annotation that this attempt answers.
    pub(crate) fn answers(&self) -> Option<&str> {
        match &self.trigger {
            Trigger::Requested(value) => Some(value),
            Trigger::Due | Trigger::Early => None,
        }
    }
}

impl Trigger {
    /// A request of a user, if the object has one that was not answered yet.
    pub(crate) fn requested(object: &Object) -> Option<Self> {
        object.request.clone().filter(|_| object.requested()).map(Self::Requested)
    }
}

impl Ownership {
    /// True if the connector is ours, or no owner claims it.
    pub(crate) fn is_ours_or_free(&self) -> bool {
        match self {
            Self::Ours { .. } | Self::Untagged | Self::Released { .. } => true,
            Self::Unread | Self::Written | Self::OfObject { .. } | Self::Another { .. } => false,
        }
    }

    /// The meaning once the other object that the tag names has been read.
    #[must_use]
    pub(crate) fn with_other_object(self, state: OtherObjectState) -> Self {
        match (self, state) {
            (Self::OfObject { tag, .. }, OtherObjectState::Released) => Self::Released { tag },
            (Self::OfObject { tag, .. }, OtherObjectState::Claims | OtherObjectState::Unreadable) => {
                Self::Another { tag }
            }
            (ownership, _) => ownership,
        }
    }
}

impl From<Owner> for Ownership {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Nobody => Self::Untagged,
            Owner::Us => Self::Ours { replaced: None },
            Owner::OtherObject { namespace, name, tag } => Self::OfObject { namespace, name, tag },
            Owner::OtherCluster { tag } => Self::Another { tag },
        }
    }
}
