//! The operator's behaviour on one page: an ordered table in which the first row that matches wins.
//!
//! Each row is a small function of the [`Evidence`] with a name. Together they are total: whatever is known, there is
//! one next step, and it is either one [`Effect`], which is one call, or a reason to wait. What came of an effect goes
//! into the evidence (see [`super::record`]), and the table is asked again.
//!
//! The order matters, and its head is the promise: what lets a person out (Retain, pause) stands above all, what AWS
//! already said about the deletion stands above what might hold it, and nothing that names an ARN stands above the row
//! that checks whose credentials these are.

use super::evidence::{Begun, Caller, Deletion, Evidence, Hold, InUse, Sighting};
use super::outcome::{Class, Failure, Operation};
use super::ownership::{Neighbour, Owner};
use super::waits;
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
    Hold(Hold),
    /// Nothing until a time, or until somebody asks.
    Wait(Hold),
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
    /// Reads the neighbour that an owner tag names.
    LookUpNeighbour {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Has the services looked for that use the connector.
    Survey,
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
const TABLE: [Row; 17] = [
    let_go_already,
    retained,
    paused,
    without_finalizer,
    not_yet_told,
    known_to_be_gone,
    protected,
    status_of_another,
    not_actionable,
    in_use_by_somebody,
    attempt_failed,
    still_in_use,
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
    (e.object.deleting && (!e.object.finalizer || e.object.released)).then_some(Decision::Nothing)
}

/// A person's way out: nothing but the owner tag is touched in AWS, and that only where it is surely ours.
fn retained(e: &Evidence) -> Option<Decision> {
    if !(e.object.deleting && e.object.policy == DeletionPolicy::Retain) {
        return None;
    }
    // Retain that comes after AWS confirmed the deletion has nothing left to retain, and the receipt is the truth.
    if let Some(gone) = known_to_be_gone(e) {
        return Some(gone);
    }
    let seen = &e.memory.seen;
    let asked_in_vain = seen.failure.as_ref().is_some_and(Failure::is_of_credentials);
    let untag = e.rules.cluster_id.is_some() && seen.untagged.is_none() && !asked_in_vain;
    let claimed = e.object.claimed().filter(|arn| untag && e.rules.serves(arn));
    Some(Decision::Act(match (claimed, &e.caller) {
        (Some(_), Caller::Unasked) => Effect::Identify,
        (Some(arn), Caller::Account(account)) if account == arn.account() => Effect::RemoveTag,
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
fn not_yet_told(e: &Evidence) -> Option<Decision> {
    let told = e.object.deleting || e.object.status.condition(condition::READY).is_some();
    (!told).then_some(Decision::Act(Effect::RecordAdopting))
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
    let message = format!("deletion is held by the annotation {}; remove it to go on", crate::api::PROTECTED);
    (e.object.deleting && e.object.protected).then(|| hold(e, Reason::Protected, message))
}

fn status_of_another(e: &Evidence) -> Option<Decision> {
    (e.object.status.arn.is_some() && e.object.claimed().is_none()).then_some(Decision::Act(Effect::CorrectStatus))
}

fn not_actionable(e: &Evidence) -> Option<Decision> {
    if let Err(error) = &e.object.target {
        let message = format!("spec.arn cannot be acted on: {error}. Retain lets the object go");
        return Some(hold(e, Reason::InvalidRequest, message));
    }
    let DeletionPolicy::Other(word) = &e.object.policy else {
        return None;
    };
    let message = format!("spec.deletionPolicy '{word}' is not known to this version; it knows Delete and Retain");
    e.object.deleting.then(|| hold(e, Reason::InvalidRequest, message))
}

/// A connector that is in use is not just waited for: who uses it is found out.
fn in_use_by_somebody(e: &Evidence) -> Option<Decision> {
    in_use(e).filter(|_| e.users.is_none()).map(|_| Decision::Act(Effect::Survey))
}

fn attempt_failed(e: &Evidence) -> Option<Decision> {
    let failure = e.memory.seen.failure.as_ref()?;
    if failure.class == Class::InUse {
        return in_use(e).and_then(|refused| wait_for_users(e, refused));
    }
    (!wants_second_look(e)).then(|| Decision::Wait(waits::after(e, failure)))
}

/// What is seen of the services may bring the next attempt forward.
fn still_in_use(e: &Evidence) -> Option<Decision> {
    let waits = e.memory.wait.as_ref().is_some_and(|wait| wait.reason == Reason::InUse);
    in_use(e).filter(|_| waits && e.memory.seen.begun != Begun::Asked).and_then(|refused| wait_for_users(e, refused))
}

/// With another account's credentials nothing is called and nothing is believed: to them every ARN is not found.
fn not_our_account(e: &Evidence) -> Option<Decision> {
    let arn = e.object.target.as_ref().ok()?;
    if !e.rules.serves(arn) {
        let message = format!("region {} is not one this operator serves (--regions)", arn.region());
        return Some(hold(e, Reason::WrongAccount, message));
    }
    match &e.caller {
        Caller::Unasked => due(e).then_some(Decision::Act(Effect::Identify)),
        Caller::Account(account) if account != arn.account() => {
            let message = format!("the credentials are of account {account}, the connector is of {}", arn.account());
            Some(hold(e, Reason::WrongAccount, message))
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
        Some(Sighting::Active(_)) => establish_ownership(e),
        _ => Decision::Act(Effect::Describe),
    })
}

fn to_be_deleted(e: &Evidence) -> Option<Decision> {
    if !e.object.deleting {
        return None;
    }
    let looked = e.memory.seen.looked;
    Some(match &e.memory.deletion {
        Deletion::Accepted { since, looks } if e.now.moment < waits::asked_again(e, *since) => {
            if looked {
                Decision::Wait(waits::for_aws(e, *since, *looks))
            } else {
                Decision::Act(Effect::Describe)
            }
        }
        Deletion::Unknown if !looked => Decision::Act(Effect::Describe),
        _ if wants_second_look(e) => Decision::Act(Effect::Describe),
        _ => Decision::Act(Effect::Delete),
    })
}

fn to_be_adopted(e: &Evidence) -> Option<Decision> {
    if e.object.claimed().is_some() {
        return None;
    }
    Some(match &e.memory.seen.connector {
        None => Decision::Act(Effect::Describe),
        Some(Sighting::Active(_)) => establish_ownership(e),
        Some(Sighting::Inactive(_)) => {
            for_person(e, Reason::Inactive, "the connector was deleted before this object claimed it")
        }
        Some(Sighting::NotFound) => {
            for_person(e, Reason::NotFound, "the account and region of spec.arn have no such connector")
        }
    })
}

fn claimed(e: &Evidence) -> Decision {
    let spread = |from: f64, over: f64| e.from_now(e.rules.pace.resync.mul_f64(from + over * e.jitter.clamp(0.0, 1.0)));
    match &e.memory.seen.connector {
        // After a restart every object would be due at once.
        None if e.memory.wait.is_none() && e.object.shown_available() => {
            Decision::Wait(waits::available(spread(0.0, 1.0)))
        }
        None => Decision::Act(Effect::Describe),
        Some(Sighting::Active(_)) => Decision::Wait(waits::available(spread(0.9, 0.2))),
        Some(Sighting::Inactive(_)) => {
            for_person(e, Reason::Gone, "the connector was deleted in AWS, and not by this object")
        }
        Some(Sighting::NotFound) => for_person(e, Reason::Gone, "the connector no longer exists in AWS"),
    }
}

fn hold(e: &Evidence, reason: Reason, message: String) -> Decision {
    Decision::Hold(waits::for_person(e, reason, message))
}

fn for_person(e: &Evidence, reason: Reason, message: &str) -> Decision {
    Decision::Wait(waits::for_person(e, reason, message.to_owned()))
}

/// The refusals because of which the object waits for services to let go of its connector.
fn in_use(e: &Evidence) -> Option<&InUse> {
    e.memory.in_use.as_ref().filter(|_| e.object.deleting && e.object.claimed().is_some())
}

fn wait_for_users(e: &Evidence, refused: &InUse) -> Option<Decision> {
    let hold = waits::in_use(e, refused, e.users.as_ref()?);
    (e.now.moment < hold.until).then_some(Decision::Wait(hold))
}

/// Whether AWS may be asked now.
fn due(e: &Evidence) -> bool {
    let outlived = |wait: &Hold| match wait.reason {
        // A status restored from a backup has lost its claim; what was true of the claim does not hold it up.
        Reason::Available => e.object.claimed().is_none(),
        // The row above has settled that.
        Reason::InUse => in_use(e).is_some(),
        _ => false,
    };
    e.memory.seen.begun != Begun::Early || e.memory.wait.as_ref().is_none_or(outlived)
}

/// The calls to App Runner that an attempt may take which begins with this effect; none for what calls nobody there.
///
/// They are taken from the rate limit together, so that an attempt that has begun can run to its end.
pub fn calls_of_attempt(e: &Evidence, effect: &Effect) -> u32 {
    let claim = match (e.object.claimed(), e.rules.cluster_id.is_some()) {
        (Some(_), _) => 0,
        (None, true) => 2,
        (None, false) => u32::from(e.object.deleting),
    };
    let delete_after = u32::from(e.object.deleting && e.object.claimed().is_some());
    match effect {
        Effect::Describe => 1 + claim + delete_after,
        Effect::ReadTags | Effect::WriteTag | Effect::RemoveTag | Effect::Delete => 1,
        _ => 0,
    }
}

/// Goes on from a connector that is ACTIVE and not claimed: by the owner tag, unless tags are off.
fn establish_ownership(e: &Evidence) -> Decision {
    let seen = &e.memory.seen;
    let free = if e.object.deleting { Effect::RecordClaim } else { Effect::WriteTag };
    Decision::Act(match (&seen.owner, seen.neighbour) {
        _ if e.rules.cluster_id.is_none() || seen.tagged => Effect::RecordClaim,
        (None, _) => Effect::ReadTags,
        (Some(Owner::Us), _) => Effect::RecordClaim,
        (Some(Owner::Nobody), _) | (Some(Owner::Neighbour { .. }), Some(Neighbour::LetGo)) => free,
        (Some(Owner::Neighbour { namespace, name, .. }), None) => {
            Effect::LookUpNeighbour { namespace: namespace.clone(), name: name.clone() }
        }
        (Some(Owner::Neighbour { tag, .. } | Owner::Stranger { tag }), _) => return owned_by_another(e, tag),
    })
}

fn owned_by_another(e: &Evidence, tag: &str) -> Decision {
    if e.object.deleting {
        Decision::Act(Effect::RemoveFinalizer(Proof::AnotherOwner { tag: tag.to_owned() }))
    } else {
        Decision::Wait(waits::owned_by_another(e, tag))
    }
}

/// An `InvalidRequest` to a delete may mean that the connector is deleted already; one look tells.
fn wants_second_look(e: &Evidence) -> bool {
    let refused = e.memory.seen.failure.as_ref().is_some_and(|failure| {
        failure.operation == Operation::DeleteVpcConnector && failure.class == Class::InvalidRequest
    });
    refused && !e.memory.seen.looked
}
