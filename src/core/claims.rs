//! The rules about the owner tag: at a claim, at each resync, and before a delete.
//!
//! The tag decides, not `.status.arn`: the tag may have been moved to another owner since, or the status may come from a
//! backup. So each of these rules reads it in the attempt that relies on it.

use super::arn::ConnectorArn;
use super::attempt::Ownership;
use super::clock::Moment;
use super::decide::{Decision, call, release, write_status};
use super::effect::{AwsCall, Effect, Proof, StatusWrite};
use super::evidence::Evidence;
use super::state::PendingClaim;
use super::wait;

/// Continues from a connector that is ACTIVE and not claimed: by the owner tag, unless tags are off.
pub(super) fn establish_ownership(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    let claim = || write_status(StatusWrite::Claim(arn.clone()));
    if evidence.rules.cluster_id.is_none() {
        return claim();
    }
    match &evidence.attempt.ownership {
        Ownership::Unread | Ownership::Written => call(AwsCall::ReadTags, arn),
        Ownership::OfObject { namespace, name, .. } => read_other_object(namespace, name, arn),
        Ownership::Ours { .. } => claim(),
        // A connector that is deleted next is not tagged.
        Ownership::Untagged | Ownership::Released { .. } if evidence.object.deleting => claim(),
        Ownership::Untagged | Ownership::Released { .. } => call(AwsCall::WriteTag, arn),
        Ownership::Another { tag } if evidence.object.deleting => release_to(tag),
        Ownership::Another { tag } => Decision::Wait(wait::owned_by_another(evidence, arn, tag)),
    }
}

/// Waits until the tag that was written can be read back: of two operators that write at once, both then see the last tag.
pub(super) fn confirm_claim(evidence: &Evidence, arn: &ConnectorArn, pending: &PendingClaim) -> Decision {
    match &evidence.attempt.ownership {
        Ownership::Written => Decision::Wait(wait::tag_written(evidence)),
        Ownership::Untagged if evidence.now.moment < pending.written_at.after(evidence.rules.intervals.tag_rewrite) => {
            Decision::Wait(wait::tag_not_shown(evidence, pending))
        }
        // A tag that was read decides as if it had been there before.
        Ownership::Unread
        | Ownership::OfObject { .. }
        | Ownership::Ours { .. }
        | Ownership::Untagged
        | Ownership::Released { .. }
        | Ownership::Another { .. } => establish_ownership(evidence, arn),
    }
}

/// Reads the owner tag of a claimed connector, and writes it again if it is missing.
pub(super) fn keep_ownership(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    let until = next_resync(evidence, 0.9, 0.2);
    if evidence.rules.cluster_id.is_none() {
        return Decision::Wait(wait::available(until));
    }
    match &evidence.attempt.ownership {
        Ownership::Unread | Ownership::Written => call(AwsCall::ReadTags, arn),
        Ownership::OfObject { namespace, name, .. } => read_other_object(namespace, name, arn),
        Ownership::Ours { .. } => Decision::Wait(wait::available(until)),
        // Another tool may remove the tag as often as we write it.
        Ownership::Untagged if restored_recently(evidence) => Decision::Wait(wait::available_untagged(until)),
        Ownership::Untagged | Ownership::Released { .. } => call(AwsCall::WriteTag, arn),
        Ownership::Another { tag } => Decision::Wait(wait::owned_by_another(evidence, arn, tag)),
    }
}

/// Deletes a connector whose owner tag, read in this attempt, names no other owner.
pub(super) fn delete_if_owned(evidence: &Evidence, arn: &ConnectorArn) -> Decision {
    if evidence.rules.cluster_id.is_none() || owner_checked_recently(evidence) {
        return call(AwsCall::Delete, arn);
    }
    match &evidence.attempt.ownership {
        Ownership::Unread | Ownership::Written => call(AwsCall::ReadTags, arn),
        Ownership::OfObject { namespace, name, .. } => read_other_object(namespace, name, arn),
        Ownership::Ours { .. } | Ownership::Untagged | Ownership::Released { .. } => call(AwsCall::Delete, arn),
        Ownership::Another { tag } => release_to(tag),
    }
}

/// While the connector is in use the delete is repeated every few seconds; the tag need not be read for each.
pub(super) fn owner_checked_recently(evidence: &Evidence) -> bool {
    let recent = |at: Moment| evidence.now.moment < at.after(evidence.rules.intervals.owner_check);
    evidence.state.deletion.refused().is_some() && evidence.state.owner_checked_at.is_some_and(recent)
}

fn restored_recently(evidence: &Evidence) -> bool {
    let recent = |at: Moment| evidence.now.moment < at.after(evidence.rules.intervals.tag_restore);
    evidence.state.tag_restored_at.is_some_and(recent)
}

/// The next resync: after a share of its interval, and up to another share of it later.
pub(super) fn next_resync(evidence: &Evidence, share: f64, spread: f64) -> Moment {
    let jitter = evidence.jitter.clamp(0.0, 1.0);
    evidence.moment_after(evidence.rules.intervals.resync.mul_f64(share + spread * jitter))
}

fn read_other_object(namespace: &str, name: &str, arn: &ConnectorArn) -> Decision {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    Decision::Act(Effect::ReadOtherObject { namespace, name, arn: arn.clone() })
}

fn release_to(tag: &str) -> Decision {
    release(Proof::AnotherOwner { tag: tag.to_owned() })
}
