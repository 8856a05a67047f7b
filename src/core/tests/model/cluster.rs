//! The API server's answers to the operator's writes, as `cluster/writes.rs` makes them.

use std::sync::Arc;

use super::Model;
use super::guards::Guard;
use super::operator::Fault;
use super::world::{Running, Violation, World, Written, uid_of, version_of};
use crate::api::{ConnectorStatus, DeletionPolicy, FINALIZER, VpcConnector, VpcConnectorStatus};
use crate::core::effect::Proof;
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{Refusal, WriteKind};

/// A write without success, as `cluster::Error`.
pub(super) enum Failed {
    Changed,
    Gone,
    NoAnswer,
    Refused(Refusal),
    /// Not an answer: a property does not hold.
    Violation(Violation),
}

impl From<Violation> for Failed {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// One write of one operator to the object that it has read.
pub(super) struct Write<'a> {
    pub model: &'a Model,
    pub operator: usize,
    pub object: &'a VpcConnector,
    pub fault: &'a mut Fault,
}

impl Write<'_> {
    pub(super) fn add_finalizer(self, world: &mut World) -> Result<(), Failed> {
        let read = self.object.metadata.finalizers.clone();
        let fits = move |now: &VpcConnector| now.metadata.finalizers == read && !now.deleting();
        self.patch(world, WriteKind::AddFinalizer, fits, |object| {
            object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        })
    }

    pub(super) fn remove_finalizer(self, world: &mut World, proof: &Proof) -> Result<(), Failed> {
        if self.object.finalizer_index().is_none() {
            return Ok(());
        }
        let (operator, uid) = (self.operator, uid_of(self.object));
        let policy = self.object.spec.deletion_policy.clone();
        let retained = *proof == Proof::Retained && self.model.without != Some(Guard::PolicyOfRelease);
        let fits = move |now: &VpcConnector| {
            let still_retained = !retained || now.spec.deletion_policy == policy;
            now.finalizer_index().is_some() && still_retained
        };
        let before = world.current().cloned();
        let result = self.patch(world, WriteKind::RemoveFinalizer, fits, |object| object.metadata.finalizers = None);
        if let Some(removed) = before.filter(|_| world.current().is_none()) {
            check_removal(world, operator, &removed, proof)?;
        }
        if result.is_ok() {
            world.operators[operator].own[uid] = Some(Written::Released);
            world.operators[operator].released[uid] = true;
        }
        result
    }

    pub(super) fn write_status(self, world: &mut World, status: VpcConnectorStatus) -> Result<(), Failed> {
        let read = connector_status(self.object);
        let tested = self.model.without != Some(Guard::StatusOfStatus);
        let policy = recorded_policy(self.object).cloned();
        let policy_tested =
            self.object.spec.deletion_policy.is_none() && self.model.without != Some(Guard::PolicyOfStatus);
        let fits = move |now: &VpcConnector| {
            let same_policy = !policy_tested || recorded_policy(now) == policy.as_ref();
            (!tested || connector_status(now) == read) && same_policy
        };
        let before = world.current().cloned();
        let result = self.patch(world, WriteKind::WriteStatus, fits, |object| object.status = Some(status));
        if let (Some(before), Some(after)) = (before, world.current()) {
            check_status(&before, after)?;
            if after.status.as_ref().is_some_and(|status| status.arn.is_some()) {
                let uid = uid_of(after);
                world.api.claimed[uid] = true;
            }
        }
        result
    }

    fn patch(
        self,
        world: &mut World,
        write: WriteKind,
        fits: impl FnOnce(&VpcConnector) -> bool,
        change: impl FnOnce(&mut VpcConnector),
    ) -> Result<(), Failed> {
        if self.fault.take(Fault::LoseRequest) {
            return Err(Failed::NoAnswer);
        }
        let current = world.current().cloned().ok_or(Failed::Gone)?;
        let uid = uid_of(&current);
        if uid != uid_of(self.object) && self.model.without != Some(Guard::Uid(write)) {
            return Err(Failed::Gone);
        }
        let own = &mut world.operators[self.operator].own;
        if !fits(&current) {
            own[uid] = Some(Written::Version(current));
            return Err(Failed::Changed);
        }
        if write == WriteKind::RemoveFinalizer && world.api.refuses {
            own[uid] = Some(Written::Version(current));
            return Err(Failed::Refused(Refusal { write, code: 403, message: "denied".into() }));
        }
        let written = world.change(change).ok_or(Failed::Gone)?;
        if self.fault.take(Fault::LoseReply) {
            return Err(Failed::NoAnswer);
        }
        world.operators[self.operator].own[uid] = Some(Written::Version(written));
        Ok(())
    }
}

/// The latest version of an object that an operator knows, as `OwnWrites::latest`.
pub(super) fn latest(model: &Model, world: &World, operator: usize) -> Option<(Arc<VpcConnector>, bool)> {
    let shown = world.shown(operator)?.clone();
    match &world.operators[operator].own[uid_of(&shown)] {
        Some(Written::Released) if model.without != Some(Guard::ReleasesRemembered) => Some((shown, true)),
        Some(Written::Version(ours)) if version_of(ours) > version_of(&shown) => Some((ours.clone(), false)),
        _ => Some((shown, false)),
    }
}

/// The answer about the other object that an owner tag names.
pub(super) fn read_other_object(world: &World, fault: &mut Fault) -> Result<OtherObjectState, Failed> {
    if fault.take(Fault::LoseRequest) {
        return Err(Failed::NoAnswer);
    }
    Ok(if world.aws.other_object { OtherObjectState::Claims } else { OtherObjectState::Released })
}

/// No object disappears while its connector may remain.
///
/// The tag may move back between its read and the release, since AWS has no conditional write: the object is another
/// owner's if the tag named one at some time in the attempt.
fn check_removal(world: &World, operator: usize, removed: &VpcConnector, proof: &Proof) -> Result<(), Violation> {
    let policy = removed.spec.deletion_policy.as_ref().or_else(|| recorded_policy(removed));
    // Without a recorded policy the default counts, which may change after it was read.
    let retained = policy.map_or(*proof == Proof::Retained, |policy| *policy == DeletionPolicy::Retain);
    let foreign = |running: &Running| running.uid == uid_of(removed) && running.foreign_once;
    let foreign = world.operators[operator].running.as_ref().is_some_and(foreign);
    let of_another = matches!(proof, Proof::AnotherOwner { .. }) && foreign;
    if world.aws.remains() && !retained && !of_another {
        return Err(Violation(format!("an object disappears while its connector may remain: {proof:?}")));
    }
    Ok(())
}

/// The deletion policy in the status of an object.
fn recorded_policy(object: &VpcConnector) -> Option<&DeletionPolicy> {
    object.status.as_ref()?.deletion_policy.as_ref()
}

/// A status that shows INACTIVE shows it for ever, and one that records a default does not change it.
fn check_status(before: &VpcConnector, after: &VpcConnector) -> Result<(), Violation> {
    let state = |object| connector_status(object).as_ref().map(ConnectorStatus::state);
    let inactive = |object: &VpcConnector| object.status.as_ref().is_some_and(VpcConnectorStatus::says_inactive);
    if inactive(before) && !inactive(after) {
        return Err(Violation(format!("a status goes back from INACTIVE to {:?}", state(after))));
    }
    let default = recorded_policy(before).filter(|_| after.spec.deletion_policy.is_none());
    if default.is_some() && default != recorded_policy(after) {
        return Err(Violation(format!("the policy of an object changes to {:?}", recorded_policy(after))));
    }
    Ok(())
}

fn connector_status(object: &VpcConnector) -> Option<ConnectorStatus> {
    object.status.as_ref().and_then(|status| status.status.clone())
}
