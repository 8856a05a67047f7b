//! Everything a decision is made from.
//!
//! `Evidence` is gathered anew for each turn. What an object says stands in [`Object`]; what this process remembers of it
//! stands in [`Memory`], and may be lost in a restart without harm: AWS is then asked once more.

use std::sync::Arc;
use std::time::Duration;

use super::arn::{AccountId, ArnError, ConnectorArn, Region};
use super::blockers::Blockers;
use super::clock::{Moment, Now};
use super::error_class::ErrorClass;
use super::flags::Unusual;
use super::intervals::Intervals;
use super::outcome::{Connector, ConnectorState, ConnectorStatus, Failure, Operation};
use super::ownership::{ClusterId, OtherObjectState, Owner, OwnerTag};
use super::refusal::Refusals;
use crate::api::{self, DeletionPolicy, Reason, VpcConnector, VpcConnectorStatus};

/// Everything a decision is made from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the object says.
    pub object: Object,
    /// Whose credentials the operator has.
    pub caller: Caller,
    /// What this process remembers.
    pub memory: Memory,
    /// Who uses the connector, once somebody looks for them.
    pub blockers: Option<Blockers>,
    /// How the operator was started.
    pub rules: Arc<Rules>,
    /// The time.
    pub now: Now,
    /// Drawn from 0 to 1; spreads waits.
    pub jitter: f64,
}

/// How the operator was started, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Its intervals.
    pub intervals: Intervals,
    /// The regions it calls.
    pub regions: Vec<Region>,
    /// The name of this cluster in owner tags; `None` when ownership tags are off.
    pub cluster_id: Option<ClusterId>,
}

/// Whose credentials the operator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Not known: not asked yet, or asked in vain.
    Unknown,
    /// Credentials of this account.
    Account(AccountId),
}

/// What the object says: its metadata and spec, parsed, and its status as last written.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and every combination occurs")]
pub struct Object {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.generation`
    pub generation: Option<i64>,
    /// Deletion was asked for.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// This process has taken the finalizer off already, and the watch does not show it yet.
    pub released: bool,
    /// `spec.arn`, parsed.
    pub target: Result<ConnectorArn, ArnError>,
    /// `spec.deletionPolicy`
    pub policy: DeletionPolicy,
    /// The paused annotation.
    pub paused: bool,
    /// The protected annotation.
    pub protected: bool,
    /// What these two say, where that is unusual.
    pub unusual: Unusual,
    /// The value of the reconcile-requested-at annotation.
    pub request: Option<String>,
    /// The status as last written.
    pub status: VpcConnectorStatus,
}

/// What this process remembers of an object.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What is known of the deletion under way.
    pub deletion: Deletion,
    /// App Runner's refusals to delete a connector that is, or may be, in use.
    pub refused_delete: Option<RefusedDelete>,
    /// The owner tag that this object wrote and has not read back yet.
    pub pending_claim: Option<PendingClaim>,
    /// When the owner tag was last read and did not forbid a deletion.
    pub owner_checked_at: Option<Moment>,
    /// When the owner tag of a claimed connector was last written again.
    pub tag_restored_at: Option<Moment>,
    /// What AWS said that allows the object to go; a connector once gone stays gone.
    pub gone: Option<Gone>,
    /// What the object waits for.
    pub wait: Option<Wait>,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// Those of them at the end that failed in the same way.
    pub streak: Option<FailureStreak>,
    /// Refusals of a write to the object, since it last succeeded.
    pub refusals: Option<Refusals>,
    /// When the status was last written.
    pub status_written_at: Option<Moment>,
    /// The values of annotations that an Event has told of.
    pub told: Unusual,
    /// The phase the above belongs to; the wait of an adoption does not hold up a deletion.
    pub deleting: bool,
    /// The object owned its connector when it was last looked at.
    pub claimed: bool,
    /// What was seen in this reconcile.
    pub seen: Seen,
}

/// Failures of one class in a row; another class is another trouble, with a patience of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureStreak {
    /// Their class.
    pub class: ErrorClass,
    /// How many.
    pub failures: u32,
    /// When the first of them was.
    pub since: Moment,
}

/// Refusals to delete a connector, since the last other answer.
///
/// App Runner may say that the connector is in use, or refuse the request in other words: nobody has confirmed which.
/// After either, the services decide whether it is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedDelete {
    /// When the first attempt began that was refused so.
    pub since: Moment,
    /// When the last one began.
    pub last: Moment,
    /// What App Runner said to it: of class `InUse` or `InvalidRequest`.
    pub failure: Failure,
}

/// A claim that waits for its owner tag to be read back: another owner may have written theirs in the same moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingClaim {
    /// The connector, if it was described just before the tag was written.
    pub connector: Option<Connector>,
    /// The tag that was there before, of an object that no longer names the connector.
    pub released_tag: Option<String>,
    /// When the tag was written.
    pub written_at: Moment,
    /// How often App Runner has shown no tag since then.
    pub unseen: u32,
}

/// What is known of the deletion under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Deletion {
    /// No request of ours can be on its way.
    #[default]
    NotUnderWay,
    /// One was sent and no answer came, or one that proves nothing: look before sending another.
    Unknown,
    /// App Runner answered 200 and ACTIVE: it has begun, or so it seems.
    Accepted {
        /// When it answered so.
        since: Moment,
        /// How often it was looked at since.
        looks: u32,
    },
}

/// What AWS said that allows an object being deleted to go.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// The ARN it was said of.
    pub arn: String,
    /// The connector as INACTIVE, or nothing where AWS no longer knows it.
    pub connector: Option<Connector>,
    /// Whether the status shows it by now.
    pub recorded: bool,
}

/// Why a reconcile began, settled when it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// It is time.
    #[default]
    Due,
    /// Somebody asked for an attempt.
    Requested,
    /// The object was woken before its time, and nobody asked: AWS is not called.
    Early,
}

/// What was seen in this reconcile; the next one looks afresh.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Why this reconcile began.
    pub trigger: Trigger,
    /// The reconcile-requested-at annotation, as it was when this reconcile began: what it answers.
    pub request: Option<String>,
    /// The connector.
    pub connector: Option<Observed>,
    /// The owner tag.
    pub owner: Option<Owner>,
    /// The other_object that the owner tag names.
    pub other_object: Option<OtherObjectState>,
    /// The owner tag was written.
    pub tagged: bool,
    /// The tag that was on the connector before, of an object that no longer names it.
    pub released_tag: Option<String>,
    /// Taking the tag off was tried, and with what failure.
    pub untagged: Option<Option<Failure>>,
    /// The connector was looked at in the course of a deletion, whatever came of it.
    pub looked: bool,
    /// The call that failed; ends the attempt.
    pub failure: Option<Failure>,
    /// A write to the object was refused; ends the reconcile.
    pub write_refused: bool,
}

/// The connector as last described.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// It can be used.
    Active(Connector),
    /// It was deleted.
    Inactive(Connector),
    /// AWS does not know it.
    NotFound,
}

/// Why nothing is done now, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The reason of the Ready condition.
    pub reason: Reason,
    /// The message of the Ready condition; holds no time.
    pub message: String,
    /// The next look.
    pub until: Moment,
    /// The failed call behind it, if there is one.
    pub failure: Option<Failure>,
}

/// What the owner tag means for an object, as far as this attempt has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership<'a> {
    /// The tag has not been read.
    Unread,
    /// The tag names another object of this cluster, which has to be looked at.
    OfObject {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// The tag names this object.
    Ours,
    /// There is no tag.
    Untagged,
    /// The tag names an object that no longer names the connector.
    Released {
        /// The tag's value.
        tag: &'a str,
    },
    /// The tag names another owner.
    Another {
        /// The tag's value.
        tag: &'a str,
    },
}

impl Seen {
    /// What the owner tag means for the object.
    pub fn ownership(&self) -> Ownership<'_> {
        match (&self.owner, self.other_object) {
            (None, _) => Ownership::Unread,
            (Some(Owner::Us), _) => Ownership::Ours,
            (Some(Owner::Nobody), _) => Ownership::Untagged,
            (Some(Owner::OtherObject { namespace, name, .. }), None) => Ownership::OfObject { namespace, name },
            (Some(Owner::OtherObject { tag, .. }), Some(OtherObjectState::Released)) => Ownership::Released { tag },
            (Some(Owner::OtherObject { tag, .. } | Owner::OtherCluster { tag }), _) => Ownership::Another { tag },
        }
    }
}

impl Rules {
    /// Whether this operator calls the region of a connector, as the partition it is of.
    pub fn serves(&self, arn: &ConnectorArn) -> bool {
        self.regions.contains(arn.region()) && arn.partition() == arn.region().partition()
    }
}

impl Object {
    /// Reads an object; never fails, since an object that can't be acted on must still be answered.
    pub fn read(object: &VpcConnector, released: bool) -> Self {
        let meta = &object.metadata;
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            generation: meta.generation,
            deleting: object.deleting(),
            finalizer: object.finalizer_index().is_some(),
            released,
            target: object.spec.arn.parse(),
            policy: object.spec.deletion_policy.clone(),
            paused: object.held_by(api::PAUSED).is_some(),
            protected: object.held_by(api::PROTECTED).is_some(),
            unusual: Unusual::read(object),
            request: object.annotation(api::RECONCILE_REQUESTED_AT).map(str::to_owned),
            status: object.status.clone().unwrap_or_default(),
        }
    }

    /// The connector this object owns: recorded in its status, and still the one its spec names.
    pub fn claimed(&self) -> Option<&ConnectorArn> {
        let target = self.target.as_ref().ok()?;
        (self.status.arn.as_deref() == Some(target.as_str())).then_some(target)
    }

    /// Whether the status holds the receipt of the connector this object owns.
    pub fn has_receipt(&self) -> bool {
        let state = self.status.status.as_deref().map(|word| ConnectorStatus::from(word).state());
        self.claimed().is_some() && state == Some(ConnectorState::Inactive)
    }

    /// Whether the status says that the connector is well.
    pub fn was_available(&self) -> bool {
        self.status.ready_reason() == Some("Available")
    }

    /// Whether that is all there is to say.
    pub fn shown_available(&self) -> bool {
        self.was_available() && self.status.observed_generation == self.generation && !self.requested()
    }

    /// Whether somebody asked for an attempt that has not been answered yet.
    pub fn requested(&self) -> bool {
        self.request.is_some() && self.request != self.status.last_handled_reconcile_at
    }
}

impl Memory {
    /// What a process that has never seen the object takes from its status.
    pub fn recall(status: &VpcConnectorStatus) -> Self {
        let delete_failed =
            status.last_error.as_ref().is_some_and(|e| e.operation == Operation::DeleteVpcConnector.to_string());
        let unanswered = [Reason::ServiceError, Reason::Unreachable, Reason::Unproven].map(|r| r.to_string());
        let unknown =
            delete_failed && status.ready_reason().is_some_and(|reason| unanswered.iter().any(|u| u == reason));
        Self { deletion: if unknown { Deletion::Unknown } else { Deletion::NotUnderWay }, ..Self::default() }
    }

    /// Begins a reconcile: nothing is seen yet, and a wait of the other phase is over.
    ///
    /// Whether it is due is settled here, once: an attempt that has begun runs to its end, also when on its way it answers
    /// the request that it was begun for. A claim that is lost, as by a status that was wiped by hand, ends every wait: it
    /// is established anew. A claim that was given up to another owner is none of these.
    pub fn begin(&mut self, object: &Object, now: Moment) {
        if self.deleting != object.deleting {
            let told = std::mem::take(&mut self.told);
            *self = Self { gone: self.gone.take(), deletion: self.deletion.clone(), told, ..Self::default() };
            self.deleting = object.deleting;
        }
        let given_up = self.wait.as_ref().is_some_and(|wait| wait.reason == Reason::OwnedByAnother);
        let lost = self.claimed && object.claimed().is_none() && !given_up;
        self.claimed = object.claimed().is_some();
        let trigger = match &self.wait {
            _ if object.requested() => Trigger::Requested,
            Some(wait) if now < wait.until && !lost => Trigger::Early,
            _ => Trigger::Due,
        };
        self.seen = Seen { trigger, request: object.request.clone(), ..Seen::default() };
    }

    /// Ends an attempt: what was seen in it is seen anew in the next, and need not be kept until then.
    pub fn end(&mut self) {
        self.seen = Seen::default();
    }
}

impl Evidence {
    /// The tag this object writes, unless ownership tags are off.
    pub fn owner_tag(&self) -> Option<OwnerTag> {
        let cluster = self.rules.cluster_id.clone()?;
        Some(OwnerTag::new(cluster, &self.object.namespace, &self.object.name))
    }

    /// A time from now.
    pub fn from_now(&self, wait: Duration) -> Moment {
        self.now.moment.after(wait)
    }
}
