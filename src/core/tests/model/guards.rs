//! The guards that a test removes, each to show that the model checker notices.

use crate::core::refusal::WriteKind;

/// One guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// A guard in the lists of `core/decide.rs`, by its name.
    Row(&'static str),
    /// The test of the uid in a patch: `with_uid_test` in `cluster/writes.rs`.
    Uid(WriteKind),
    /// The test of the connector's status in a status write: `same_connector_status` in `cluster/writes.rs`.
    StatusOfStatus,
    /// `drop_outdated` in `core/transition.rs`.
    OutdatedDescription,
    /// The test of the deletion policy in a release with Retain: `remove_finalizer` in `cluster/writes.rs`.
    PolicyOfRelease,
    /// `OwnWrites` keeps the versions that our own writes returned.
    WritesRemembered,
    /// `OwnWrites` keeps the objects that the operator has released.
    ReleasesRemembered,
    /// `delete_if_owned` reads the owner tag before a delete.
    OwnerBeforeDelete,
    /// `establish_ownership` reads the owner tag before a claim.
    OwnerBeforeClaim,
    /// `keep_ownership` reads the owner tag at each resync.
    OwnerAtResync,
    /// `retain` removes only a tag that it has read and that is ours.
    OwnerBeforeUntag,
    /// `owner_checked_recently` forgets a read of the owner tag after a minute.
    OwnerCheckExpires,
    /// `confirm_claim` reads the tag back before the claim is recorded.
    ReadBack,
    /// `attempt_failed` holds a deletion while the tag cannot be read.
    UnreadableTag,
    /// Nothing is sent or believed with the credentials of another account: `other_account` in `core/decide.rs`, and
    /// `Reconciler::call` in `controller/execute.rs`.
    Account,
    /// `delete` describes the connector after an unanswered delete.
    DescribeAfterUnanswered,
    /// A reply that reports the connector ACTIVE is `Deletion::Accepted`, and not a proof.
    AcceptedIsNotDeleted,
    /// A delete without an answer is `Deletion::Unanswered`, and not a proof.
    UnansweredIsNotDeleted,
}
