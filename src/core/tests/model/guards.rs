//! The guards that a test removes, one after the other, to show that the model checker notices each.

use super::actions::Action;
use super::operator::Fault;
use super::world::Tag;
use super::{First, Scenario, scenario};
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
    /// The test of the recorded default policy in a status write: `same_policy_recorded` in `cluster/writes.rs`.
    PolicyOfStatus,
    /// `drop_outdated` in `core/transition.rs`.
    OutdatedDescription,
    /// The test of the deletion policy in a release with Retain: `remove_finalizer` in `cluster/writes.rs`.
    PolicyOfRelease,
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
    /// `attempt_failed` holds a deletion while the tag cannot be read.
    UnreadableTag,
    /// Nothing is sent or believed with the credentials of another account: `other_account` in `core/decide.rs`, and
    /// `Reconciler::call` in `controller/execute.rs`.
    Account,
    /// A deletion describes the connector after an unanswered delete, and after its tags were not found: `delete` and
    /// `needs_describe` in `core/decide.rs`.
    DescribeAfterUnanswered,
    /// A deletion describes the connector after every delete that is refused as invalid, not only after the first:
    /// `still_refused` in `core/decide.rs`.
    DescribeAfterEachRefusal,
    /// A reply that reports the connector ACTIVE is `Deletion::Accepted`, and not a proof.
    AcceptedIsNotDeleted,
    /// A delete without an answer is `Deletion::Unanswered`, and not a proof.
    UnansweredIsNotDeleted,
}

const A: Action = Action::Pass(0, Fault::None);
const B: Action = Action::Pass(1, Fault::None);

/// Operator A has read that the tag names the object, and its watch falls behind; operator B releases the object.
const CLAIMS: &[Action] =
    &[A, A, A, A, A, A, Action::Tick, A, Action::Stall(0), Action::Retain, Action::Delete, B, B, B, Action::Create];
/// Operator A has read another owner's tag during a deletion, its watch falls behind, and operator B releases the object.
const RELEASES: &[Action] = &[
    Action::Tag(Tag::OtherCluster),
    Action::Delete,
    A,
    Action::Stall(0),
    B,
    B,
    Action::Tag(Tag::None),
    Action::Create,
];
/// Operator B deletes the connector while the watch of operator A is behind.
const DELETES: &[Action] = &[Action::Delete, Action::Stall(0), B, B];
/// Operator A has read the default policy, which changes, and operator B records the new one.
const ADOPTS: &[Action] = &[A, A, Action::Stall(0), Action::Default, B, B];
/// Operator A has removed the tag of a retained connector.
const RETAINS: &[Action] = &[Action::Retain, Action::Delete, A, A];
/// The watch of operator A is behind when a retained object is deleted.
const RETAINS_UNSEEN: &[Action] = &[Action::Retain, Action::Stall(0), Action::Delete];

/// A search that begins after some actions.
fn after(begun: &'static [Action], operators: usize, first: First, faults: u8) -> Scenario {
    Scenario { begun, ..scenario(operators, first, faults, 9) }
}

#[track_caller]
fn assert_noticed(guards: &[(Guard, Scenario)]) {
    for (guard, scenario) in guards {
        let found = scenario.run(Some(*guard));
        let counterexample = found.counterexample.unwrap_or_else(|| panic!("no property fails without {guard:?}"));
        println!("{counterexample}");
    }
}

#[test]
fn removing_a_guard_from_the_lists_of_decide_fails() {
    let (new, claimed) =
        (|faults| scenario(1, First::New, faults, 14), |faults| scenario(1, First::Claimed, faults, 8));
    assert_noticed(&[
        (Guard::Row("already_released"), after(RETAINS_UNSEEN, 1, First::Claimed, 2)),
        (Guard::Row("write_refused"), claimed(1)),
        (Guard::Row("retain"), claimed(1)),
        (Guard::Row("paused"), claimed(1)),
        (Guard::Row("without_finalizer"), new(0)),
        (Guard::Row("confirmed_deletion"), new(0)),
        (Guard::Row("protected"), claimed(1)),
        (Guard::Row("blockers_unknown"), claimed(1)),
        (Guard::Row("attempt_failed"), claimed(1)),
        (Guard::Row("account_unknown"), new(1)),
        (Guard::Row("policy_unset"), new(1).without_policy()),
    ]);
}

#[test]
fn removing_a_guard_of_the_owner_tag_fails() {
    let claimed = |faults| scenario(1, First::Claimed, faults, 8);
    assert_noticed(&[
        (Guard::OwnerBeforeDelete, claimed(1)),
        (Guard::OwnerBeforeClaim, scenario(1, First::New, 1, 8)),
        (Guard::OwnerAtResync, claimed(1)),
        (Guard::OwnerBeforeUntag, claimed(2)),
        (Guard::OwnerCheckExpires, claimed(2)),
        (Guard::UnreadableTag, claimed(2)),
    ]);
}

#[test]
fn removing_a_guard_of_writes_and_replies_fails() {
    let claimed = |faults| scenario(1, First::Claimed, faults, 8);
    assert_noticed(&[
        (Guard::Uid(WriteKind::RemoveFinalizer), after(RELEASES, 2, First::Claimed, 3)),
        (Guard::Uid(WriteKind::WriteStatus), after(CLAIMS, 2, First::New, 2)),
        (Guard::StatusOfStatus, after(DELETES, 2, First::Claimed, 1)),
        (Guard::PolicyOfStatus, after(ADOPTS, 2, First::New, 2).without_policy()),
        (Guard::OutdatedDescription, scenario(2, First::Claimed, 1, 8)),
        (Guard::PolicyOfRelease, after(RETAINS, 1, First::Claimed, 3)),
        (Guard::ReleasesRemembered, after(RETAINS_UNSEEN, 1, First::Claimed, 2)),
        (Guard::Account, claimed(1)),
        (Guard::DescribeAfterUnanswered, claimed(1)),
        (Guard::DescribeAfterEachRefusal, claimed(2).refusing_inactive()),
        (Guard::AcceptedIsNotDeleted, claimed(1)),
        (Guard::UnansweredIsNotDeleted, claimed(1)),
    ]);
}
