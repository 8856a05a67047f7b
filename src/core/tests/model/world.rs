//! The world: the objects at the API server, the connector in AWS, and two operators of one cluster.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::evidence::{ARN, NOW, WALL};
use crate::api::{DeletionPolicy, VpcConnector, VpcConnectorSpec, VpcConnectorStatus};
use crate::core::attempt::Attempt;
use crate::core::blockers::Blockers;
use crate::core::clock::Now;
use crate::core::state::ObjectState;

/// The most events that a watch is behind: within four, an object is released, and the next one of its name is created, gets
/// its finalizer and is deleted.
pub(super) const MAX_BEHIND: usize = 4;
/// The objects that use the name, one after the other.
pub(super) const OBJECTS: usize = 2;
pub(super) const NOW_BY_BOTH: Now = Now { moment: NOW, wall: WALL };

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation(pub String);

/// The whole state of the model.
#[derive(Clone)]
pub(super) struct World {
    pub api: Api,
    pub aws: Aws,
    pub operators: [Shared<Operator>; 2],
    pub left: Budget,
}

/// A part of a world, which worlds share until one of them changes it.
#[derive(Clone)]
pub(super) struct Shared<T>(Arc<T>);

impl<T> From<T> for Shared<T> {
    fn from(part: T) -> Self {
        Self(Arc::new(part))
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> std::ops::DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

/// The number of times that each fault and each act of a user may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// All faults together.
    pub faults: u8,
    pub crashes: u8,
    pub lost: u8,
    pub stalls: u8,
    pub credentials: u8,
    pub tool: u8,
    pub services: u8,
    /// AWS accepts a delete and carries it out later.
    pub slow: u8,
    /// The users change the deletion policy or an annotation.
    pub changes: u8,
    /// A policy of the cluster refuses the operator's writes.
    pub policies: u8,
}

/// The API server: the versions of the one object of the name, of which the last is stored.
#[derive(Clone)]
pub(super) struct Api {
    pub history: VecDeque<Option<Arc<VpcConnector>>>,
    pub version: u64,
    pub created: usize,
    /// An operator has tagged the connector for this object, or has recorded its claim.
    pub claimed: [bool; OBJECTS],
    /// A policy refuses to remove finalizers.
    pub refuses: bool,
    /// New objects have this deletion policy in their spec.
    pub policy: Option<DeletionPolicy>,
    /// The default of the deletion policy is Retain.
    pub retains: bool,
}

/// The connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Aws {
    pub life: Life,
    pub tag: Tag,
    pub in_use: bool,
    /// The next delete is accepted, and carried out later.
    pub slow: bool,
    pub delete_again: DeleteAgain,
    /// The steps of time for which the tag has named another owner; no longer than 2.
    pub foreign_for: u8,
    /// The other object that [`Tag::OtherObject`] names exists and names the connector.
    pub other_object: bool,
}

/// The answer to a delete of an INACTIVE connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DeleteAgain {
    /// As if there were no connector, which hides the receipt.
    NotFound,
    /// The request is refused as invalid.
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Active,
    /// AWS accepted a delete and still reports the connector ACTIVE.
    Deleting,
    Inactive,
    Forgotten,
}

/// The owner tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tag {
    None,
    Ours,
    OtherCluster,
    OtherObject,
}

/// The credentials of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    /// STS was asked for their account.
    pub known: bool,
    /// They are of the connector's account.
    pub right: bool,
}

/// One operator: what its process holds.
#[derive(Clone)]
pub(super) struct Operator {
    /// Its watch shows no new events.
    pub stalled: bool,
    /// The events that its watch has not shown yet.
    pub behind: usize,
    pub credentials: Credentials,
    pub own: [Option<Written>; OBJECTS],
    pub states: [Option<ObjectState>; OBJECTS],
    pub blockers: [Option<Blockers>; OBJECTS],
    pub running: Option<Running>,
    /// It removed the finalizer of these objects; only the properties read this.
    pub released: [bool; OBJECTS],
}

/// The read-your-writes cache, as in `cluster/own_writes.rs`.
#[derive(Clone)]
pub(super) enum Written {
    Version(Arc<VpcConnector>),
    Released,
}

/// A reconcile between two passes.
#[derive(Clone)]
pub(super) struct Running {
    pub uid: usize,
    pub state: ObjectState,
    pub attempt: Attempt,
    pub changed: bool,
    pub passes: u8,
    /// The tag has named another owner ever since the attempt began; only the properties read this.
    pub foreign_all_along: bool,
    /// The tag has named another owner at some time since the attempt began; only the properties read this.
    pub foreign_once: bool,
}

impl Budget {
    /// So many faults, of any kinds.
    pub(super) fn of(faults: u8) -> Self {
        Self {
            faults,
            crashes: faults,
            lost: faults,
            stalls: faults,
            credentials: faults,
            tool: faults,
            services: faults,
            slow: faults,
            changes: faults,
            policies: faults,
        }
    }
}

impl Aws {
    pub(super) fn foreign(self) -> bool {
        match self.tag {
            Tag::None | Tag::Ours => false,
            Tag::OtherCluster => true,
            Tag::OtherObject => self.other_object,
        }
    }

    /// True if the connector can still be there.
    pub(super) fn remains(self) -> bool {
        matches!(self.life, Life::Active | Life::Deleting)
    }
}

impl Tag {
    pub(super) fn value(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Ours => Some("c1/shop/egress"),
            Self::OtherCluster => Some("c2/shop/egress"),
            Self::OtherObject => Some("c1/shop/other"),
        }
    }
}

impl Operator {
    /// A process that has just started, with a fresh watch.
    pub(super) fn started(credentials: Credentials) -> Self {
        Self {
            stalled: false,
            behind: 0,
            credentials,
            own: [None, None],
            states: [None, None],
            blockers: [None, None],
            running: None,
            released: [false; OBJECTS],
        }
    }

    /// Handles the event between two versions in the watch: forgets an object that no longer exists.
    fn show(&mut self, from: Option<&VpcConnector>, to: Option<&VpcConnector>) {
        let gone = from.map(uid_of).filter(|gone| to.map(uid_of) != Some(*gone));
        if let Some(gone) = gone {
            self.own[gone] = Some(Written::Released);
            self.states[gone] = None;
            self.blockers[gone] = None;
        }
    }
}

/// The number of an object, by its uid.
pub(super) fn uid_of(object: &VpcConnector) -> usize {
    object.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()).unwrap()
}

pub(super) fn version_of(object: &VpcConnector) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap()
}

impl World {
    pub(super) fn current(&self) -> Option<&Arc<VpcConnector>> {
        self.api.history.back().and_then(Option::as_ref)
    }

    /// The object as the watch of an operator shows it.
    pub(super) fn shown(&self, operator: usize) -> Option<&Arc<VpcConnector>> {
        let behind = self.operators[operator].behind;
        self.api.history[self.api.history.len() - 1 - behind].as_ref()
    }

    /// Creates the next object of the name.
    pub(super) fn create(&mut self) {
        let spec = VpcConnectorSpec { arn: ARN.into(), deletion_policy: self.api.policy.clone() };
        let mut object = VpcConnector::new("egress", spec);
        object.metadata.namespace = Some("shop".into());
        object.metadata.uid = Some(self.api.created.to_string());
        object.metadata.generation = Some(1);
        object.status = Some(VpcConnectorStatus { observed_generation: Some(-1), ..VpcConnectorStatus::default() });
        self.api.created += 1;
        self.store(Some(object));
    }

    /// Changes the stored object; a change that changes nothing makes no version.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut VpcConnector)) -> Option<Arc<VpcConnector>> {
        let before = self.current()?.clone();
        let mut object = VpcConnector::clone(&before);
        change(&mut object);
        if object == *before {
            return Some(before);
        }
        Some(self.store(Some(object)))
    }

    /// Stores a version, or without a finalizer removes an object that is being deleted.
    fn store(&mut self, object: Option<VpcConnector>) -> Arc<VpcConnector> {
        self.api.version += 1;
        let mut object = object.unwrap();
        object.metadata.resource_version = Some(self.api.version.to_string());
        let object = Arc::new(object);
        let removed = object.deleting() && object.finalizer_index().is_none();
        self.api.history.push_back((!removed).then(|| object.clone()));
        for operator in 0..2 {
            self.operators[operator].behind += 1;
            let Operator { stalled, behind, .. } = &*self.operators[operator];
            if !stalled || *behind > MAX_BEHIND {
                self.deliver(operator);
            }
        }
        self.trim();
        object
    }

    /// Shows an operator the next event of its watch.
    pub(super) fn deliver(&mut self, operator: usize) {
        let from = self.shown(operator).cloned();
        self.operators[operator].behind -= 1;
        let to = self.shown(operator).cloned();
        self.operators[operator].show(from.as_deref(), to.as_deref());
    }

    /// Forgets the versions that no watch shows any more.
    pub(super) fn trim(&mut self) {
        let oldest = self.operators.iter().map(|operator| operator.behind).max().unwrap_or_default();
        while self.api.history.len() > oldest + 1 {
            self.api.history.pop_front();
        }
    }

    /// The tag changes, by whomever.
    pub(super) fn set_tag(&mut self, tag: Tag) {
        self.aws.tag = tag;
        self.note_owner();
    }

    /// Notes for the properties whether the tag names another owner.
    pub(super) fn note_owner(&mut self) {
        let foreign = self.aws.foreign();
        if !foreign {
            self.aws.foreign_for = 0;
        }
        for running in self.operators.iter_mut().filter_map(|operator| operator.running.as_mut()) {
            running.foreign_all_along &= foreign;
            running.foreign_once |= foreign;
        }
    }
}

/// Marks an object as deleted by a user.
pub(super) fn delete(object: &mut VpcConnector) {
    object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
}
