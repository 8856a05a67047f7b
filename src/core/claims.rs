//! What the owner tag leads to: at a claim, at each resync, and before a delete.
//!
//! The tag decides, not `.status.arn`: it may have been moved to another owner since, or the status comes from a backup.
//! So each of these reads it in the attempt that relies on it.

use super::clock::Moment;
use super::decide::{Decision, Effect, Proof};
use super::evidence::{Evidence, Ownership, PendingClaim};
use super::wait;

/// Goes on from a connector that is ACTIVE and not claimed: by the owner tag, unless tags are off.
pub(super) fn establish_ownership(e: &Evidence) -> Decision {
    if e.rules.cluster_id.is_none() {
        return Decision::Act(Effect::RecordClaim);
    }
    Decision::Act(match e.memory.seen.ownership() {
        Ownership::Unread => Effect::ReadTags,
        Ownership::OfObject { namespace, name } => get_other_object(namespace, name),
        Ownership::Ours => Effect::RecordClaim,
        // What is deleted next is not tagged.
        Ownership::Untagged | Ownership::Released { .. } if e.object.deleting => Effect::RecordClaim,
        Ownership::Untagged | Ownership::Released { .. } => Effect::WriteTag,
        Ownership::Another { tag } if e.object.deleting => release_to(tag),
        Ownership::Another { tag } => return Decision::Wait(wait::owned_by_another(e, tag)),
    })
}

/// Waits until the tag that was written can be read back: of two that write at once, both then see who was last.
pub(super) fn confirm_claim(e: &Evidence, pending: &PendingClaim) -> Decision {
    match e.memory.seen.ownership() {
        Ownership::Unread if e.memory.seen.tagged => Decision::Wait(wait::tag_written(e)),
        Ownership::Untagged if e.now.moment < pending.written_at.after(e.rules.intervals.tag_rewrite) => {
            Decision::Wait(wait::tag_not_shown(e, pending))
        }
        // Once a tag is read, it decides as if it had been there before.
        _ => establish_ownership(e),
    }
}

/// Reads the owner tag of a claimed connector, and writes it again if it is missing.
pub(super) fn keep_ownership(e: &Evidence) -> Decision {
    let until = resync(e, 0.9, 0.2);
    if e.rules.cluster_id.is_none() {
        return Decision::Wait(wait::available(until));
    }
    match e.memory.seen.ownership() {
        Ownership::Unread => Decision::Act(Effect::ReadTags),
        Ownership::OfObject { namespace, name } => Decision::Act(get_other_object(namespace, name)),
        Ownership::Ours => Decision::Wait(wait::available(until)),
        // Another tool may take the tag off as often as we write it.
        Ownership::Untagged if restored_recently(e) => Decision::Wait(wait::available_untagged(until)),
        Ownership::Untagged | Ownership::Released { .. } => Decision::Act(Effect::WriteTag),
        Ownership::Another { tag } => Decision::Wait(wait::owned_by_another(e, tag)),
    }
}

/// Deletes what the owner tag, read in this attempt, does not give to another.
pub(super) fn delete_if_owned(e: &Evidence) -> Decision {
    if e.rules.cluster_id.is_none() || owner_checked_recently(e) {
        return Decision::Act(Effect::Delete);
    }
    Decision::Act(match e.memory.seen.ownership() {
        Ownership::Unread => Effect::ReadTags,
        Ownership::OfObject { namespace, name } => get_other_object(namespace, name),
        Ownership::Ours | Ownership::Untagged | Ownership::Released { .. } => Effect::Delete,
        Ownership::Another { tag } => release_to(tag),
    })
}

/// Retries while the connector is in use come every few seconds; the tag need not be read for each.
pub(super) fn owner_checked_recently(e: &Evidence) -> bool {
    let fresh = |at: Moment| e.now.moment < at.after(e.rules.intervals.owner_check);
    e.memory.refused_delete.is_some() && e.memory.owner_checked_at.is_some_and(fresh)
}

fn restored_recently(e: &Evidence) -> bool {
    e.memory.tag_restored_at.is_some_and(|at| e.now.moment < at.after(e.rules.intervals.tag_restore))
}

/// The next resync: after a min_interval of its interval, and up to so much more of it.
pub(super) fn resync(e: &Evidence, min_interval: f64, more: f64) -> Moment {
    e.from_now(e.rules.intervals.resync.mul_f64(min_interval + more * e.jitter.clamp(0.0, 1.0)))
}

fn get_other_object(namespace: &str, name: &str) -> Effect {
    Effect::ReadOtherObject { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn release_to(tag: &str) -> Effect {
    Effect::RemoveFinalizer(Proof::AnotherOwner { tag: tag.to_owned() })
}
