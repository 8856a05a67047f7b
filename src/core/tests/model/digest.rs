//! One number for each world, so that equal situations are visited once.
//!
//! Everything that can change a later step is part of it. Texts of messages, counters of failures and times that no interval
//! of the model compares are not. The patterns name every field, so that a new one does not compile until it has its place
//! here.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::world::{Api, Operator, Running, World, Written, uid_of, version_of};
use crate::api::{DeletionPolicy, PAUSED, PROTECTED, VpcConnector, VpcConnectorStatus, condition};
use crate::core::attempt::{Attempt, End, Observed, Ownership, Untag};
use crate::core::blockers::Blockers;
use crate::core::outcome::Failure;
use crate::core::refusal::Refusals;
use crate::core::state::{Confirmation, Deletion, ObjectState, PendingClaim, RefusedDelete, Wait};

pub(super) type Digest = u64;

/// The number of a world.
pub(super) fn digest(world: &World) -> Digest {
    let hasher = &mut DefaultHasher::new();
    let World { api, aws, operators, left } = world;
    let Api { history, version: _, created, claimed, refuses, policy: _, retains } = api;
    (aws, left, created, claimed, refuses, retains).hash(hasher);
    let order = versions(world);
    let rank = |object: &VpcConnector| order.binary_search(&version_of(object)).unwrap_or_default();
    for object in history.iter().map(Option::as_deref) {
        object.is_some().hash(hasher);
        if let Some(object) = object {
            rank(object).hash(hasher);
            hash_object(object, hasher);
        }
    }
    for operator in operators {
        let Operator { stalled, behind, credentials, own, states, blockers, running, released } = &**operator;
        (stalled, behind, credentials).hash(hasher);
        let shown = history.iter().skip(history.len() - 1 - behind);
        // The state that a process keeps of an object makes no difference once its watch no longer shows the object.
        for uid in shown.clone().flatten().map(|object| uid_of(object)) {
            (uid, released[uid]).hash(hasher);
            hash_written(own[uid].as_ref(), shown.clone().next().and_then(Option::as_deref), rank, hasher);
            states[uid].is_some().hash(hasher);
            states[uid].iter().for_each(|state| hash_state(state, hasher));
            blockers[uid].is_some().hash(hasher);
            blockers[uid].iter().for_each(|blockers| hash_blockers(blockers, hasher));
        }
        running.is_some().hash(hasher);
        if let Some(running) = running {
            hash_running(running, hasher);
        }
    }
    hasher.finish()
}

/// A version of ours makes no difference once the watch shows it.
fn hash_written(
    written: Option<&Written>,
    shown: Option<&VpcConnector>,
    rank: impl Fn(&VpcConnector) -> usize,
    hasher: &mut impl Hasher,
) {
    match written {
        Some(Written::Released) => 1.hash(hasher),
        Some(Written::Version(ours)) if shown.is_none_or(|shown| version_of(shown) < version_of(ours)) => {
            (2, rank(ours)).hash(hasher);
            hash_object(ours, hasher);
        }
        Some(Written::Version(_)) | None => 0.hash(hasher),
    }
}

/// Resource versions matter by their order alone.
fn versions(world: &World) -> Vec<u64> {
    let own = world.operators.iter().flat_map(|operator| &operator.own).filter_map(|written| match written {
        Some(Written::Version(object)) => Some(object),
        Some(Written::Released) | None => None,
    });
    let mut versions: Vec<_> = world.api.history.iter().flatten().chain(own).map(|object| version_of(object)).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn hash_object(object: &VpcConnector, hasher: &mut impl Hasher) {
    let meta = &object.metadata;
    (&meta.uid, meta.generation, object.deleting(), object.finalizer_index()).hash(hasher);
    (object.held_by(PAUSED).is_some(), object.held_by(PROTECTED).is_some()).hash(hasher);
    object.spec.deletion_policy.as_ref().map(DeletionPolicy::as_str).hash(hasher);
    if let Some(status) = &object.status {
        hash_status(status, hasher);
    }
}

fn hash_status(status: &VpcConnectorStatus, hasher: &mut impl Hasher) {
    let VpcConnectorStatus {
        observed_generation,
        arn,
        deletion_policy,
        account: _,
        region: _,
        name,
        revision: _,
        subnets: _,
        security_groups: _,
        status,
        created_at: _,
        deleted_at: _,
        blocked_by,
        blocked_by_count: _,
        blocked_by_summary: _,
        attempts,
        next_attempt_time: _,
        last_error,
        last_handled_reconcile_at: _,
        conditions,
    } = status;
    (observed_generation, arn.is_some(), name.is_some(), status.as_deref()).hash(hasher);
    (blocked_by.len(), attempts, conditions.len()).hash(hasher);
    deletion_policy.as_ref().map(DeletionPolicy::as_str).hash(hasher);
    last_error.as_ref().map(|error| &error.operation).hash(hasher);
    for condition in conditions.iter().filter(|condition| condition.type_ == condition::READY) {
        condition.reason.hash(hasher);
    }
}

fn hash_state(state: &ObjectState, hasher: &mut impl Hasher) {
    let ObjectState {
        deletion,
        pending_claim,
        owner_checked_at,
        tag_restored_at,
        wait,
        failures: _,
        refusals,
        status_written_at: _,
        published: _,
        phase,
    } = state;
    hash_deletion(deletion, hasher);
    pending_claim.is_some().hash(hasher);
    if let Some(PendingClaim { connector, replaced_tag, written_at, unseen }) = pending_claim.as_deref() {
        (connector.is_some(), replaced_tag, moment(written_at), unseen).hash(hasher);
    }
    (owner_checked_at.as_ref().map(moment), tag_restored_at.as_ref().map(moment)).hash(hasher);
    wait.is_some().hash(hasher);
    if let Some(Wait { reason, message: _, until, failure }) = wait {
        (reason, moment(until), failure.as_deref().map(kind)).hash(hasher);
    }
    refusals.is_some().hash(hasher);
    if let Some(Refusals { last, failures: _, since: _ }) = refusals {
        last.write.hash(hasher);
    }
    discriminant(phase).hash(hasher);
}

fn hash_deletion(deletion: &Deletion, hasher: &mut impl Hasher) {
    discriminant(deletion).hash(hasher);
    match deletion {
        Deletion::NotSent => {}
        Deletion::Unanswered { refused_since } => refused_since.as_ref().map(moment).hash(hasher),
        Deletion::Accepted { since, describes: _ } => moment(since).hash(hasher),
        Deletion::Refused(refused) => {
            let RefusedDelete { since, last, failure } = &**refused;
            (moment(since), moment(last), kind(failure)).hash(hasher);
        }
        Deletion::Confirmed { arn: _, by, recorded } => {
            (matches!(by, Confirmation::Inactive(_)), recorded).hash(hasher);
        }
    }
}

fn hash_blockers(blockers: &Blockers, hasher: &mut impl Hasher) {
    let Blockers { services, released_at, unreferenced_at, changed_at: _, min_interval: _ } = blockers;
    discriminant(services).hash(hasher);
    (released_at.as_ref().map(moment), unreferenced_at.as_ref().map(moment)).hash(hasher);
}

fn hash_running(running: &Running, hasher: &mut impl Hasher) {
    let Running { uid, state, attempt, changed, passes: _, foreign_all_along, foreign_once } = running;
    (uid, changed, foreign_all_along, foreign_once).hash(hasher);
    hash_state(state, hasher);
    let Attempt { trigger, described, observed, over_inactive, tag_read_at, ownership, untag, default_policy, end } =
        attempt;
    (discriminant(trigger), described, over_inactive, tag_read_at.as_ref().map(moment)).hash(hasher);
    let seen = observed.as_ref().map(|observed| match observed {
        Observed::Active(_) => 0,
        Observed::Inactive(_) => 1,
        Observed::NotFound => 2,
    });
    (seen, discriminant(ownership), discriminant(untag), discriminant(end)).hash(hasher);
    default_policy.as_ref().map(|default| default.as_ref().map(DeletionPolicy::as_str)).hash(hasher);
    match ownership {
        Ownership::OfObject { tag, .. } | Ownership::Released { tag } | Ownership::Another { tag } => tag.hash(hasher),
        Ownership::Ours { replaced } => replaced.hash(hasher),
        Ownership::Unread | Ownership::Written | Ownership::Untagged => {}
    }
    if let Untag::Failed(failure) = untag {
        kind(failure).hash(hasher);
    }
    if let End::Failed(failure) = end {
        kind(failure).hash(hasher);
    }
}

fn kind(failure: &Failure) -> impl Hash {
    (failure.operation, failure.class)
}

fn moment(moment: &crate::core::clock::Moment) -> std::time::Duration {
    moment.since(crate::core::clock::Moment::new(std::time::Duration::ZERO))
}
