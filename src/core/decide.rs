//! The operator's behaviour on one page: an ordered table in which the first row that matches wins.
//!
//! Each row is a small function of the [`Evidence`] with a name. Together they are total: whatever is known, there is
//! one next step, and it is either one [`Effect`], which is one call, or a reason to wait. What came of an effect goes
//! into the evidence (see [`super::transition`]), and the table is asked again.
//!
//! The order matters. The ways out that a person has (Retain, pause) come first; then deletions that AWS has confirmed;
//! then what holds a deletion. No call that names an ARN is decided above the row that checks the account, except those
//! of Retain, which check it themselves. What the owner tag leads to is in [`super::claims`].

use super::claims::{
    confirm_claim, delete_if_owned, establish_ownership, keep_ownership, owner_checked_recently, resync,
};
use super::error_class::ErrorClass;
use super::evidence::{Caller, Deletion, Evidence, Observed, Ownership, RefusedDelete, Trigger, Wait};
use super::outcome::{Failure, Operation};
use super::refusal::{self, write_refused};
use super::wait;
use crate::api::{DeletionPolicy, Reason, condition};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing, until the object changes.
    Nothing,
    /// One call.
    Act(Effect),
    /// Nothing while the object is paused; what is known stays as it stands.
    Pause,
    /// Nothing while the object, or whose credentials these are, stays as it is.
    Blocked(Wait),
    /// Nothing until a time, or until somebody asks.
    Wait(Wait),
}

/// One call, to the API server or to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Puts our finalizer on.
    AddFinalizer,
    /// Takes our finalizer off, which lets the object go.
    RemoveFinalizer(Proof),
    /// Takes out of the status what belongs to another connector than the spec names.
    CorrectStatus,
    /// Writes the first status, so that nobody takes a new object for a finished one.
    RecordAdopting,
    /// Writes `.status.arn`: from here on the object owns the connector.
    RecordClaim,
    /// Writes what AWS said of the deleted connector.
    RecordReceipt,
    /// Writes that AWS no longer knows the connector.
    RecordAlreadyGone,
    /// Writes why the object was let go, in place of the refusal to take the finalizer off, while others hold it.
    RecordLetGo,
    /// Reads the other_object that an owner tag names.
    ReadOtherObject {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Has the services looked for that use the connector.
    ScanServices,
    /// Asks whose credentials these are.
    Identify,
    /// `DescribeVpcConnector`
    Describe,
    /// `ListTagsForResource`
    ReadTags,
    /// `TagResource`
    WriteTag,
    /// `UntagResource`
    RemoveTag,
    /// `DeleteVpcConnector` of `.status.arn`
    Delete,
}

/// The four things that allow the finalizer to come off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// INACTIVE for the object's own ARN.
    Receipt,
    /// `ResourceNotFound`, from the right account and region.
    NotFound,
    /// The connector carries another owner's tag.
    AnotherOwner {
        /// The tag's value.
        tag: String,
    },
    /// A person said that the connector stays.
    Retained,
}

type Row = fn(&Evidence) -> Option<Decision>;

/// The table but for its last row, [`claimed`], which matches always.
const TABLE: [Row; 18] = [
    let_go_already,
    write_refused,
    retained,
    paused,
    without_finalizer,
    not_yet_told,
    known_to_be_gone,
    protected,
    status_of_another,
    not_actionable,
    services_unknown,
    attempt_failed,
    still_refused,
    not_our_account,
    not_due,
    to_be_deleted_unclaimed,
    to_be_deleted,
    to_be_adopted,
];

/// Names the next step.
pub fn decide(e: &Evidence) -> Decision {
    TABLE.iter().find_map(|row| row(e)).unwrap_or_else(|| claimed(e))
}

fn let_go_already(e: &Evidence) -> Option<Decision> {
    let let_go = e.object.deleting && (!e.object.finalizer || e.object.released);
    let next = if refusal::outlived(e) { Decision::Act(Effect::RecordLetGo) } else { Decision::Nothing };
    let_go.then_some(next)
}

/// A person's way out: nothing but the owner tag is touched in AWS, and that only where it was read and is ours.
fn retained(e: &Evidence) -> Option<Decision> {
    if !(e.object.deleting && e.object.policy == DeletionPolicy::Retain) {
        return None;
    }
    // Retain that comes after AWS confirmed the deletion has nothing left to retain, and the receipt is the truth.
    if let Some(gone) = known_to_be_gone(e) {
        return Some(gone);
    }
    let seen = &e.memory.seen;
    let tag_unreadable = seen.failure.as_ref().is_some_and(Failure::hides_the_owner);
    let taggable = e.rules.cluster_id.is_some() && seen.untagged.is_none() && !tag_unreadable;
    let target = e.object.target.as_ref().ok().filter(|arn| taggable && e.rules.serves(arn));
    Some(Decision::Act(match (target, &e.caller, seen.ownership()) {
        (Some(_), Caller::Unknown, _) => Effect::Identify,
        (Some(arn), Caller::Account(account), Ownership::Unread) if account == arn.account() => Effect::ReadTags,
        (Some(arn), Caller::Account(account), Ownership::Ours) if account == arn.account() => Effect::RemoveTag,
        _ => Effect::RemoveFinalizer(Proof::Retained),
    }))
}

fn paused(e: &Evidence) -> Option<Decision> {
    e.object.paused.then_some(Decision::Pause)
}

fn without_finalizer(e: &Evidence) -> Option<Decision> {
    (!e.object.finalizer).then_some(Decision::Act(Effect::AddFinalizer))
}

/// Tools that follow kstatus take an object without conditions for a finished one.
///
/// Where a wait is remembered, the status was wiped by hand, and what it said is written again without this.
fn not_yet_told(e: &Evidence) -> Option<Decision> {
    let told = e.object.deleting || e.object.status.condition(condition::READY).is_some();
    (!told && due(e)).then_some(Decision::Act(Effect::RecordAdopting))
}

fn known_to_be_gone(e: &Evidence) -> Option<Decision> {
    if !e.object.deleting {
        return None;
    }
    if e.object.has_receipt() {
        return Some(Decision::Act(Effect::RemoveFinalizer(Proof::Receipt)));
    }
    let target = e.object.target.as_ref().ok()?;
    let gone = e.memory.gone.as_ref().filter(|gone| gone.arn == target.as_str())?;
    Some(Decision::Act(match (&gone.connector, gone.recorded) {
        (Some(_), false) => Effect::RecordReceipt,
        (None, false) => Effect::RecordAlreadyGone,
        (Some(_), true) => Effect::RemoveFinalizer(Proof::Receipt),
        (None, true) => Effect::RemoveFinalizer(Proof::NotFound),
    }))
}

fn protected(e: &Evidence) -> Option<Decision> {
    let annotation = e.object.unusual.named(crate::api::PROTECTED);
    let message = format!("deletion is held by the annotation {annotation}; remove it to go on");
    (e.object.deleting && e.object.protected).then(|| blocked(e, Reason::Protected, message))
}

fn status_of_another(e: &Evidence) -> Option<Decision> {
    (e.object.status.arn.is_some() && e.object.claimed().is_none()).then_some(Decision::Act(Effect::CorrectStatus))
}

fn not_actionable(e: &Evidence) -> Option<Decision> {
    if let Err(error) = &e.object.target {
        let message = format!("spec.arn cannot be acted on: {error}. Retain lets the object go");
        return Some(blocked(e, Reason::InvalidRequest, message));
    }
    let DeletionPolicy::Other(word) = &e.object.policy else {
        return None;
    };
    let message = format!("spec.deletionPolicy '{word}' is not known to this version; it knows Delete and Retain");
    e.object.deleting.then(|| blocked(e, Reason::InvalidRequest, message))
}

/// After a refusal the services tell whether the connector is in use, and by whom.
fn services_unknown(e: &Evidence) -> Option<Decision> {
    let unknown = e.blockers.is_none() && !wants_second_look(e);
    refused_delete(e).filter(|_| unknown).map(|_| Decision::Act(Effect::ScanServices))
}

fn attempt_failed(e: &Evidence) -> Option<Decision> {
    let failure = e.memory.seen.failure.as_ref()?;
    if wants_second_look(e) {
        return None;
    }
    if failure.refuses_the_delete() {
        return refused_delete(e).and_then(|refused| wait_for_services(e, refused));
    }
    Some(Decision::Wait(wait::after_failure(e, failure)))
}

/// What is seen of the services may bring the next attempt forward.
fn still_refused(e: &Evidence) -> Option<Decision> {
    let waits = e.memory.wait.as_ref().is_some_and(waits_after_refusal);
    refused_delete(e)
        .filter(|_| waits && e.memory.seen.trigger != Trigger::Requested)
        .and_then(|refused| wait_for_services(e, refused))
}

/// With another account's credentials nothing is called and nothing is believed: to them every ARN is not found.
fn not_our_account(e: &Evidence) -> Option<Decision> {
    let arn = e.object.target.as_ref().ok()?;
    if !e.rules.serves(arn) {
        let message = format!("region {} is not one this operator serves (--regions)", arn.region());
        return Some(blocked(e, Reason::WrongAccount, message));
    }
    match &e.caller {
        Caller::Unknown => due(e).then_some(Decision::Act(Effect::Identify)),
        Caller::Account(account) if account != arn.account() => {
            let message = format!("the credentials are of account {account}, the connector is of {}", arn.account());
            Some(blocked(e, Reason::WrongAccount, message))
        }
        Caller::Account(_) => None,
    }
}

fn not_due(e: &Evidence) -> Option<Decision> {
    if due(e) { None } else { e.memory.wait.clone().map(Decision::Wait) }
}

fn to_be_deleted_unclaimed(e: &Evidence) -> Option<Decision> {
    if !e.object.deleting || e.object.claimed().is_some() {
        return None;
    }
    Some(match &e.memory.seen.connector {
        Some(Observed::Active(_)) => establish_ownership(e),
        _ => Decision::Act(Effect::Describe),
    })
}

fn to_be_deleted(e: &Evidence) -> Option<Decision> {
    if !e.object.deleting {
        return None;
    }
    let looked = e.memory.seen.looked;
    Some(match &e.memory.deletion {
        Deletion::Accepted { since, looks } if e.now.moment < wait::delete_retry_at(e, *since) => {
            if looked {
                Decision::Wait(wait::until_deleted(e, *since, *looks))
            } else {
                Decision::Act(Effect::Describe)
            }
        }
        Deletion::Unknown if !looked => Decision::Act(Effect::Describe),
        _ if wants_second_look(e) => Decision::Act(Effect::Describe),
        _ => delete_if_owned(e),
    })
}

fn to_be_adopted(e: &Evidence) -> Option<Decision> {
    if e.object.claimed().is_some() {
        return None;
    }
    if let Some(pending) = &e.memory.pending_claim {
        return Some(confirm_claim(e, pending));
    }
    Some(match &e.memory.seen.connector {
        None => Decision::Act(Effect::Describe),
        Some(Observed::Active(_)) => establish_ownership(e),
        Some(Observed::Inactive(_)) => {
            until_user_acts(e, Reason::Inactive, "the connector was deleted before this object claimed it")
        }
        Some(Observed::NotFound) => {
            until_user_acts(e, Reason::NotFound, "the account and region of spec.arn have no such connector")
        }
    })
}

fn claimed(e: &Evidence) -> Decision {
    match &e.memory.seen.connector {
        // After a restart every object would be due at once.
        None if e.memory.wait.is_none() && e.object.shown_available() => {
            Decision::Wait(wait::available(resync(e, 0.0, 1.0)))
        }
        None => Decision::Act(Effect::Describe),
        Some(Observed::Active(_)) => keep_ownership(e),
        Some(Observed::Inactive(_)) => {
            until_user_acts(e, Reason::Gone, "the connector was deleted in AWS, and not by this object")
        }
        Some(Observed::NotFound) => until_user_acts(e, Reason::Gone, "the connector no longer exists in AWS"),
    }
}

fn blocked(e: &Evidence, reason: Reason, message: String) -> Decision {
    Decision::Blocked(wait::until_user_acts(e, reason, message))
}

fn until_user_acts(e: &Evidence, reason: Reason, message: &str) -> Decision {
    Decision::Wait(wait::until_user_acts(e, reason, message.to_owned()))
}

/// The refusals because of which the object waits for services to release its connector.
fn refused_delete(e: &Evidence) -> Option<&RefusedDelete> {
    e.memory.refused_delete.as_ref().filter(|_| e.object.deleting && e.object.claimed().is_some())
}

fn waits_after_refusal(wait: &Wait) -> bool {
    wait.failure.as_ref().is_some_and(Failure::refuses_the_delete)
}

fn wait_for_services(e: &Evidence, refused: &RefusedDelete) -> Option<Decision> {
    let wait = wait::after_refusal(e, refused, e.blockers.as_ref()?);
    (e.now.moment < wait.until).then_some(Decision::Wait(wait))
}

/// Whether AWS may be asked now.
fn due(e: &Evidence) -> bool {
    let outlived = |wait: &Wait| match wait.reason {
        // A status restored from a backup has lost its claim; what was true of the claim does not hold it up.
        Reason::Available => e.object.claimed().is_none(),
        // A row above waits as long as the refusals last; once a delete was accepted, they are over.
        _ => waits_after_refusal(wait),
    };
    e.memory.seen.trigger != Trigger::Early || e.memory.wait.as_ref().is_none_or(outlived)
}

/// The calls to App Runner that an attempt may take which begins with this effect; none for what calls nobody there.
///
/// They are taken from the rate limit together, so that an attempt that has begun can run to its end.
pub fn calls_of_attempt(e: &Evidence, effect: &Effect) -> u32 {
    let tags = u32::from(e.rules.cluster_id.is_some());
    let (deleting, claimed) = (e.object.deleting, e.object.claimed().is_some());
    match effect {
        // Read the tag and take it off.
        Effect::ReadTags if deleting && e.object.policy == DeletionPolicy::Retain => 2,
        Effect::ReadTags => 1 + u32::from(deleting),
        Effect::Describe if claimed && deleting => 2 + if owner_checked_recently(e) { 0 } else { tags },
        Effect::Describe if claimed => 1 + tags,
        Effect::Describe => 1 + tags + u32::from(deleting).max(tags),
        Effect::WriteTag | Effect::RemoveTag | Effect::Delete => 1,
        _ => 0,
    }
}

/// A delete that is refused as invalid, or tags that are not there, may mean that the connector is gone already: one
/// look tells.
fn wants_second_look(e: &Evidence) -> bool {
    let doubtful = |failure: &Failure| match failure.operation {
        Operation::DeleteVpcConnector => failure.class == ErrorClass::InvalidRequest,
        Operation::ListTagsForResource => matches!(failure.class, ErrorClass::InvalidRequest | ErrorClass::NotFound),
        _ => false,
    };
    let deleting = e.object.deleting && e.object.claimed().is_some();
    deleting && !e.memory.seen.looked && e.memory.seen.failure.as_ref().is_some_and(doubtful)
}
