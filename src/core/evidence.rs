//! The evidence: everything that a decision is made from.
//!
//! It is gathered for each pass of a reconcile: the object, the state that the process keeps of it, what this attempt has
//! observed, and the time.

use std::sync::Arc;
use std::time::Duration;

use super::accounts::Accounts;
use super::arn::{AccountId, ArnError, ConnectorArn, Region};
use super::attempt::Attempt;
use super::blockers::Blockers;
use super::clock::{Moment, Now};
use super::flags::Unusual;
use super::intervals::Intervals;
use super::ownership::{ClusterId, OwnerTag};
use super::state::ObjectState;
use crate::api::{self, DeletionPolicy, Reason, VpcConnector, VpcConnectorStatus};

/// Everything that a decision is made from.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The object as the API server shows it.
    pub object: Object,
    /// The account of the credentials that the operator has for this object.
    pub caller: Caller,
    /// The state that the process keeps of the object.
    pub state: ObjectState,
    /// The observations of this reconcile.
    pub attempt: Attempt,
    /// The services that block the connector, once the service scan is subscribed to.
    pub blockers: Option<Blockers>,
    /// The operator's settings.
    pub rules: Arc<Rules>,
    pub now: Now,
    /// Drawn from 0 to 1; spreads waits.
    pub jitter: f64,
}

/// The operator's settings, as far as decisions depend on them.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Its intervals.
    pub intervals: Intervals,
    /// The accounts that it may use besides its own, and who may use them.
    pub accounts: Arc<Accounts>,
    /// The regions that it calls.
    pub regions: Vec<Region>,
    /// The deletion policy of objects that have none, in namespaces that set none.
    pub default_policy: DeletionPolicy,
    /// The name of this cluster in owner tags; `None` with `--ownership-tags=false`.
    pub cluster_id: Option<ClusterId>,
}

/// The account of the credentials for the object: those of its account's role, or the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// STS was not asked yet, or did not answer.
    Unknown,
    /// Credentials of this account.
    Account(AccountId),
}

/// The object: its metadata and spec, parsed, and its status as last written.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.generation`
    pub generation: Option<i64>,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    /// Our finalizer.
    pub finalizer: Finalizer,
    /// The connector that the spec names.
    pub target: Target,
    /// `spec.deletionPolicy`, or the default that the status records.
    pub policy: Option<DeletionPolicy>,
    /// The paused annotation holds it.
    pub paused: bool,
    /// The protected annotation holds its deletion.
    pub protected: bool,
    /// The values of these two annotations, where they are unusual.
    pub unusual: Unusual,
    /// The value of the reconcile-requested-at annotation.
    pub request: Option<String>,
    /// The status as last written.
    pub status: VpcConnectorStatus,
}

/// Our finalizer on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finalizer {
    /// The object does not have it.
    Absent,
    /// The object has it.
    Present,
    /// This process has removed it, and the watch does not show that yet.
    Removed,
}

/// The connector that the spec names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An existing connector, by `spec.arn`.
    Existing(ConnectorArn),
    /// `spec.arn` is not the ARN of a connector.
    Invalid(ArnError),
}

/// The phase of an object: with or without a claim, living or being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It owns no connector yet.
    #[default]
    Unclaimed,
    /// It owns its connector.
    Claimed,
    /// It is being deleted and owns no connector.
    DeletingUnclaimed,
    /// It is being deleted, and its connector with it.
    DeletingClaimed,
}

impl Phase {
    /// True if the object is being deleted.
    pub(crate) fn is_deleting(self) -> bool {
        match self {
            Self::DeletingUnclaimed | Self::DeletingClaimed => true,
            Self::Unclaimed | Self::Claimed => false,
        }
    }

    /// True if the object owns its connector.
    pub(crate) fn is_claimed(self) -> bool {
        match self {
            Self::Claimed | Self::DeletingClaimed => true,
            Self::Unclaimed | Self::DeletingUnclaimed => false,
        }
    }
}

impl Target {
    /// Parses `spec.arn`.
    pub(crate) fn of(arn: &str) -> Self {
        arn.parse().map_or_else(Self::Invalid, Self::Existing)
    }

    /// The ARN of the connector, if it has one.
    pub(crate) fn arn(&self) -> Option<&ConnectorArn> {
        match self {
            Self::Existing(arn) => Some(arn),
            Self::Invalid(_) => None,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Existing(arn) => arn.fmt(f),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl Rules {
    /// True if this operator calls the region of a connector, and as the partition that the ARN has.
    pub(crate) fn serves(&self, arn: &ConnectorArn) -> bool {
        self.regions.contains(arn.region()) && arn.partition() == arn.region().partition()
    }
}

impl Object {
    /// Reads an object. It cannot fail, since an object that cannot be acted on must still be reported on.
    pub(crate) fn read(object: &VpcConnector, finalizer_removed: bool) -> Self {
        let meta = &object.metadata;
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            generation: meta.generation,
            deleting: object.deleting(),
            finalizer: match object.finalizer_index() {
                None => Finalizer::Absent,
                Some(_) if finalizer_removed => Finalizer::Removed,
                Some(_) => Finalizer::Present,
            },
            target: Target::of(&object.spec.arn),
            policy: object.spec.deletion_policy.clone().or_else(|| object.status.as_ref()?.deletion_policy.clone()),
            paused: object.held_by(api::PAUSED).is_some(),
            protected: object.held_by(api::PROTECTED).is_some(),
            unusual: Unusual::read(object),
            request: object.annotation(api::RECONCILE_REQUESTED_AT).map(str::to_owned),
            status: object.status.clone().unwrap_or_default(),
        }
    }

    /// The connector that this object owns: recorded in its status, and still the one that its spec names.
    pub(crate) fn claimed(&self) -> Option<&ConnectorArn> {
        self.target.arn().filter(|arn| self.status.arn.as_deref() == Some(arn.as_str()))
    }

    /// The phase of the object.
    pub(crate) fn phase(&self) -> Phase {
        match (self.deleting, self.claimed()) {
            (false, None) => Phase::Unclaimed,
            (false, Some(_)) => Phase::Claimed,
            (true, None) => Phase::DeletingUnclaimed,
            (true, Some(_)) => Phase::DeletingClaimed,
        }
    }

    /// True if the status holds the receipt of the connector that this object owns.
    pub(crate) fn has_receipt(&self) -> bool {
        self.claimed().is_some() && self.status.says_inactive()
    }

    /// True if the status says Available for the current generation, and no attempt is requested.
    pub(crate) fn is_reported_available(&self) -> bool {
        let current = self.status.observed_generation == self.generation;
        self.status.says(Reason::Available) && current && !self.requested()
    }

    /// True if a user requested an attempt that was not answered yet.
    pub(crate) fn requested(&self) -> bool {
        self.request.is_some() && self.request.as_deref() != self.status.last_handled_reconcile_at.as_deref()
    }
}

impl Evidence {
    /// The tag that this object writes, unless ownership tags are off.
    pub(crate) fn owner_tag(&self) -> Option<OwnerTag> {
        let cluster = self.rules.cluster_id.clone()?;
        Some(OwnerTag::new(cluster, &self.object.namespace, &self.object.name))
    }

    /// The deletion policy in force, unless the object has none and its default was not read.
    pub(crate) fn policy(&self) -> Option<&DeletionPolicy> {
        let default = || self.attempt.default_policy.as_ref()?.as_ref().ok();
        self.object.policy.as_ref().or_else(default)
    }

    /// True if the object is being deleted and its connector is to remain.
    pub(crate) fn is_retained(&self) -> bool {
        self.object.deleting && self.policy() == Some(&DeletionPolicy::Retain)
    }

    /// Why this object may not use the account of its connector, if `--accounts` says so.
    pub(crate) fn denial(&self, arn: &ConnectorArn) -> Option<String> {
        self.rules.accounts.denial(&self.object.namespace, arn)
    }

    /// A time from now.
    pub(crate) fn moment_after(&self, wait: Duration) -> Moment {
        self.now.moment.after(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{FINALIZER, VpcConnectorSpec};

    #[test]
    fn the_finalizer_is_absent_present_or_removed_by_us() {
        let mut object = VpcConnector::new("egress", VpcConnectorSpec::default());
        assert_eq!(Object::read(&object, false).finalizer, Finalizer::Absent);
        assert_eq!(Object::read(&object, true).finalizer, Finalizer::Absent);
        object.metadata.finalizers = Some(vec!["another".into(), FINALIZER.into()]);
        assert_eq!(Object::read(&object, false).finalizer, Finalizer::Present);
        assert_eq!(Object::read(&object, true).finalizer, Finalizer::Removed);
    }

    #[test]
    fn each_phase_says_whether_the_object_is_deleted_and_claimed() {
        let phases = [Phase::Unclaimed, Phase::Claimed, Phase::DeletingUnclaimed, Phase::DeletingClaimed];
        assert_eq!(phases.map(Phase::is_deleting), [false, false, true, true]);
        assert_eq!(phases.map(Phase::is_claimed), [false, true, false, true]);
    }
}
