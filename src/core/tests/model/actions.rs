//! Everything that can happen next in a world.

use std::fmt;

use super::Model;
use super::operator::{self, Fault};
use super::world::{Budget, Credentials, Life, OBJECTS, Operator, Tag, Violation, World, delete, uid_of};
use crate::api::{DeletionPolicy, PAUSED, PROTECTED, VpcConnector};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// An operator makes a pass, and begins a reconcile for it if none is in progress.
    Pass(u8, Fault),
    /// A moment of length [`super::time::TICK`] passes.
    Tick,
    /// The process of an operator ends, and starts again.
    Crash(u8),
    /// The watch of an operator shows no new events, up to four.
    Stall(u8),
    /// The watch shows the next event.
    Deliver(u8),
    /// The watch has no events left, and shows new ones at once.
    Resume(u8),
    /// An operator gets credentials of another account, or the right ones again.
    Credentials(u8),
    /// A user deletes the object.
    Delete,
    /// A user creates an object of the name for the same connector.
    Create,
    /// A user sets the deletion policy Retain, or sets it back.
    Retain,
    /// The default of the deletion policy changes.
    Default,
    /// A user sets or removes an annotation.
    Annotate(&'static str),
    /// Another tool changes the owner tag.
    Tag(Tag),
    /// The other object of the tag is deleted.
    OtherObjectGone,
    /// A service begins or ends to use the connector.
    Service,
    /// AWS will accept the next delete and carry it out later.
    Slow,
    /// AWS no longer knows the deleted connector.
    Forget,
    /// Another tool deletes the connector.
    DeletedByTool,
    /// A policy begins or ends to refuse the removal of finalizers.
    Policy,
}

/// All actions, whether they are possible or not.
pub(super) const ALL: &[Action] = {
    use Fault::{LoseReply, LoseRequest, None, Refuse};
    &[
        Action::Pass(0, None),
        Action::Pass(1, None),
        Action::Delete,
        Action::Create,
        Action::Tick,
        Action::Retain,
        Action::Default,
        Action::Crash(0),
        Action::Crash(1),
        Action::Pass(0, LoseReply),
        Action::Pass(1, LoseReply),
        Action::Pass(0, LoseRequest),
        Action::Pass(1, LoseRequest),
        Action::Pass(0, Refuse),
        Action::Pass(1, Refuse),
        Action::Stall(0),
        Action::Stall(1),
        Action::Deliver(0),
        Action::Deliver(1),
        Action::Resume(0),
        Action::Resume(1),
        Action::Credentials(0),
        Action::Credentials(1),
        Action::Annotate(PAUSED),
        Action::Annotate(PROTECTED),
        Action::Tag(Tag::None),
        Action::Tag(Tag::OtherCluster),
        Action::Tag(Tag::OtherObject),
        Action::OtherObjectGone,
        Action::Service,
        Action::Slow,
        Action::Forget,
        Action::DeletedByTool,
        Action::Policy,
    ]
};

/// Takes one from a count, if there is one left.
fn spend(count: &mut u8) -> bool {
    let left = *count > 0;
    *count = count.saturating_sub(1);
    left
}

/// Takes a fault of one kind.
fn fault(left: &mut Budget, kind: impl FnOnce(&mut Budget) -> &mut u8) -> bool {
    left.faults > 0 && spend(kind(left)) && spend(&mut left.faults)
}

/// The world after an action; `None` if the action is not possible.
pub(super) fn after(model: &Model, world: &World, action: Action) -> Result<Option<World>, Violation> {
    if !is_possible(model, world, action) {
        return Ok(None);
    }
    let mut next = world.clone();
    let happens = perform(model, &mut next, action)?;
    Ok(happens.then_some(next))
}

/// A first look that needs no copy of the world.
fn is_possible(model: &Model, world: &World, action: Action) -> bool {
    let works = |operator: u8| usize::from(operator) < model.operators;
    let operator = |number: u8| &world.operators[usize::from(number)];
    let (left, faults) = (&world.left, world.left.faults > 0);
    match action {
        Action::Pass(number, fault) => works(number) && (fault == Fault::None || (faults && left.lost > 0)),
        Action::Tick | Action::Slow => true,
        Action::Crash(number) => works(number) && faults && left.crashes > 0,
        Action::Stall(number) => works(number) && faults && left.stalls > 0 && !operator(number).stalled,
        Action::Deliver(number) => operator(number).stalled && operator(number).behind > 0,
        Action::Resume(number) => operator(number).stalled && operator(number).behind == 0,
        Action::Credentials(number) => works(number) && faults && left.credentials > 0,
        Action::Delete => world.current().is_some_and(|object| !object.deleting()),
        Action::Create => world.current().is_none() && world.api.created < OBJECTS,
        Action::Default => faults && left.changes > 0 && world.api.policy.is_none(),
        Action::Retain | Action::Annotate(_) => faults && left.changes > 0 && world.current().is_some(),
        Action::Tag(tag) => faults && left.tool > 0 && world.aws.remains() && world.aws.tag != tag,
        Action::OtherObjectGone => world.aws.other_object && world.aws.tag == Tag::OtherObject,
        Action::Service => (world.aws.in_use || (faults && left.services > 0)) && world.aws.life == Life::Active,
        Action::Forget => world.aws.life == Life::Inactive,
        Action::DeletedByTool => faults && left.tool > 0 && world.aws.life == Life::Active && !world.aws.in_use,
        Action::Policy => world.api.refuses || (faults && left.policies > 0),
    }
}

fn perform(model: &Model, world: &mut World, action: Action) -> Result<bool, Violation> {
    match action {
        Action::Pass(number, Fault::None) => operator::step(model, world, number.into(), &mut Fault::None),
        Action::Pass(number, fault_of_call) => {
            let (mut pending, spent) = (fault_of_call, fault(&mut world.left, |left| &mut left.lost));
            let happens = operator::step(model, world, number.into(), &mut pending)?;
            // Without a call that it can befall, the pass is the one without a fault.
            Ok(spent && happens && pending == Fault::None)
        }
        Action::Tick => Ok({
            world.tick();
            true
        }),
        Action::Crash(number) => {
            let operator = &mut world.operators[usize::from(number)];
            *operator = Operator::started(Credentials { known: false, ..operator.credentials }).into();
            world.trim();
            Ok(fault(&mut world.left, |left| &mut left.crashes))
        }
        Action::Stall(number) => {
            world.operators[usize::from(number)].stalled = true;
            Ok(fault(&mut world.left, |left| &mut left.stalls))
        }
        Action::Deliver(number) => {
            world.deliver(number.into());
            world.trim();
            Ok(true)
        }
        Action::Resume(number) => {
            world.operators[usize::from(number)].stalled = false;
            Ok(true)
        }
        Action::Credentials(number) => {
            let credentials = &mut world.operators[usize::from(number)].credentials;
            *credentials = Credentials { known: false, right: !credentials.right };
            Ok(fault(&mut world.left, |left| &mut left.credentials))
        }
        Action::Delete | Action::Create | Action::Retain | Action::Default | Action::Annotate(_) => {
            act_of_user(world, action)
        }
        Action::Policy => {
            world.api.refuses = !world.api.refuses;
            Ok(!world.api.refuses || fault(&mut world.left, |left| &mut left.policies))
        }
        Action::Tag(_)
        | Action::OtherObjectGone
        | Action::Service
        | Action::Slow
        | Action::Forget
        | Action::DeletedByTool => Ok(act_in_aws(world, action)),
    }
}

fn act_of_user(world: &mut World, action: Action) -> Result<bool, Violation> {
    match action {
        Action::Delete => {
            let Some(object) = world.current().cloned() else { return Ok(false) };
            world.change(delete);
            // An object that no operator has touched is nobody's loss.
            if world.current().is_none() && world.aws.remains() && world.api.claimed[uid_of(&object)] {
                return Err(Violation("an object with a claim disappears, because it has no finalizer".into()));
            }
            Ok(true)
        }
        Action::Create => {
            world.create();
            Ok(true)
        }
        Action::Retain => {
            world.change(|object| {
                let retained = object.spec.deletion_policy == Some(DeletionPolicy::Retain);
                let policy = if retained { DeletionPolicy::Delete } else { DeletionPolicy::Retain };
                object.spec.deletion_policy = Some(policy);
                object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            });
            Ok(fault(&mut world.left, |left| &mut left.changes))
        }
        Action::Default => {
            world.api.retains = !world.api.retains;
            Ok(fault(&mut world.left, |left| &mut left.changes))
        }
        Action::Annotate(name) => {
            world.change(|object| annotate(object, name));
            Ok(fault(&mut world.left, |left| &mut left.changes))
        }
        _ => Ok(false),
    }
}

fn annotate(object: &mut VpcConnector, name: &str) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    if annotations.remove(name).is_none() {
        annotations.insert(name.to_owned(), "true".to_owned());
    }
}

fn act_in_aws(world: &mut World, action: Action) -> bool {
    match action {
        Action::Tag(tag) => {
            world.set_tag(tag);
            fault(&mut world.left, |left| &mut left.tool)
        }
        Action::OtherObjectGone => {
            world.aws.other_object = false;
            world.note_owner();
            true
        }
        Action::Service => {
            world.aws.in_use = !world.aws.in_use;
            !world.aws.in_use || fault(&mut world.left, |left| &mut left.services)
        }
        Action::Slow => {
            let before = std::mem::replace(&mut world.aws.slow, true);
            !before && fault(&mut world.left, |left| &mut left.slow)
        }
        Action::Forget => {
            world.aws.life = Life::Forgotten;
            true
        }
        Action::DeletedByTool => {
            world.aws.life = Life::Inactive;
            fault(&mut world.left, |left| &mut left.tool)
        }
        _ => false,
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |operator: &u8| if *operator == 0 { "operator A" } else { "operator B" };
        match self {
            Self::Pass(operator, Fault::None) => write!(f, "{} makes a pass", name(operator)),
            Self::Pass(operator, Fault::LoseReply) => {
                write!(f, "{} makes a pass; its call takes effect, and the reply is lost", name(operator))
            }
            Self::Pass(operator, Fault::LoseRequest) => {
                write!(f, "{} makes a pass; the request is lost", name(operator))
            }
            Self::Pass(operator, Fault::Refuse) => write!(f, "{} makes a pass; AWS throttles the call", name(operator)),
            Self::Tick => f.write_str("a minute passes"),
            Self::Crash(operator) => write!(f, "{} crashes and starts again", name(operator)),
            Self::Stall(operator) => write!(f, "the watch of {} falls behind", name(operator)),
            Self::Deliver(operator) => write!(f, "the watch of {} shows the next event", name(operator)),
            Self::Resume(operator) => write!(f, "the watch of {} has caught up", name(operator)),
            Self::Credentials(operator) => write!(f, "the account of the credentials of {} changes", name(operator)),
            Self::Delete => f.write_str("a user deletes the object"),
            Self::Create => f.write_str("a user creates an object of the same name"),
            Self::Retain => f.write_str("a user switches the deletion policy"),
            Self::Default => f.write_str("the default of the deletion policy changes"),
            Self::Annotate(annotation) => write!(f, "a user switches the annotation {annotation}"),
            Self::Tag(Tag::None) => f.write_str("another tool removes the owner tag"),
            Self::Tag(tag) => write!(f, "another tool sets the owner tag to {}", tag.value().unwrap_or_default()),
            Self::OtherObjectGone => f.write_str("the other object of the owner tag is deleted"),
            Self::Service => f.write_str("a service begins or ends to use the connector"),
            Self::Slow => f.write_str("AWS will carry out the next delete later"),
            Self::Forget => f.write_str("AWS forgets the deleted connector"),
            Self::DeletedByTool => f.write_str("another tool deletes the connector"),
            Self::Policy => f.write_str("a policy begins or ends to refuse the removal of finalizers"),
        }
    }
}
