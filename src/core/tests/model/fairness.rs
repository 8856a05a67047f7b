//! From every reachable world, a fair schedule without further faults ends well.
//!
//! The schedule: the credentials are the right ones again, the watches catch up, and then in turn each operator reconciles the
//! object and a minute passes. It ends when a round changes nothing, or when the rounds repeat themselves.

use std::collections::HashSet;

use super::Model;
use super::digest::{Digest, digest};
use super::operator::{self, Fault};
use super::world::{Budget, Credentials, OBJECTS, Violation, World};
use crate::api::{DeletionPolicy, Reason, VpcConnector};
use crate::core::evidence::Object;

/// More rounds than any object needs.
const MAX_ROUNDS: usize = 40;

/// The worlds from which the schedule is known to end well.
#[derive(Default)]
pub(super) struct Fairness {
    settled: HashSet<Digest>,
}

impl Fairness {
    pub(super) fn check(&mut self, model: &Model, world: &World) -> Result<(), Violation> {
        let then = |Violation(what)| Violation(format!("and then, without further faults: {what}"));
        self.end_well(model, world.clone()).map_err(then)
    }

    fn end_well(&mut self, model: &Model, mut world: World) -> Result<(), Violation> {
        end_faults(&mut world);
        let mut way = Vec::new();
        while way.len() < MAX_ROUNDS {
            let key = digest(&world);
            if self.settled.contains(&key) {
                self.settled.extend(way);
                return Ok(());
            }
            if way.contains(&key) {
                judge_cycle(model, world, key)?;
                self.settled.extend(way);
                return Ok(());
            }
            way.push(key);
            round(model, &mut world)?;
        }
        Err(Violation(format!("no end after {MAX_ROUNDS} minutes without faults: {}", describe(&world))))
    }
}

fn end_faults(world: &mut World) {
    world.left = Budget::default();
    for number in 0..2 {
        while world.operators[number].behind > 0 {
            world.deliver(number);
        }
        let operator = &mut world.operators[number];
        operator.stalled = false;
        if !operator.credentials.right {
            operator.credentials = Credentials { known: false, right: true };
        }
        if let Some(running) = &mut operator.running {
            running.passes = 0;
        }
    }
    world.trim();
}

/// Lets the operators work until nothing changes.
pub(super) fn settle(model: &Model, world: &mut World) -> Result<(), Violation> {
    let mut before = None;
    while before != Some(digest(world)) {
        before = Some(digest(world));
        round(model, world)?;
    }
    Ok(())
}

fn round(model: &Model, world: &mut World) -> Result<(), Violation> {
    // First the reconciles that are in progress.
    for number in 0..model.operators {
        if world.operators[number].running.is_some() {
            reconcile(model, world, number)?;
        }
    }
    for number in 0..model.operators {
        reconcile(model, world, number)?;
    }
    world.tick();
    Ok(())
}

fn reconcile(model: &Model, world: &mut World, number: usize) -> Result<(), Violation> {
    while operator::step(model, world, number, &mut Fault::None)? && world.operators[number].running.is_some() {}
    Ok(())
}

/// Every world of a repeated round has to be an end.
fn judge_cycle(model: &Model, mut world: World, key: Digest) -> Result<(), Violation> {
    loop {
        judge(&world)?;
        round(model, &mut world)?;
        if digest(&world) == key {
            return Ok(());
        }
    }
}

/// The object is gone, or Available, or held with a reason that is true.
fn judge(world: &World) -> Result<(), Violation> {
    let Some(object) = world.current() else { return Ok(()) };
    let reason = object.status.as_ref().and_then(|status| status.ready_reason()).unwrap_or("none");
    let paused = Object::read(object, false).paused;
    let expected: &[Reason] = match expected(world, object) {
        _ if paused => return Ok(()),
        Some(expected) => expected,
        None => return Err(Violation(format!("nothing holds the object, and it is not gone: {}", describe(world)))),
    };
    if expected.iter().any(|expected| expected.as_str() == reason) {
        return Ok(());
    }
    Err(Violation(format!("an end with a reason that is not true: {}", describe(world))))
}

/// The reasons of an object that nothing but its situation holds; `None` if it should be gone.
fn expected(world: &World, object: &VpcConnector) -> Option<&'static [Reason]> {
    use super::world::Life;
    let read = Object::read(object, false);
    let lives = world.aws.life == Life::Active;
    Some(match (read.deleting, lives) {
        (true, _) if world.api.refuses => &[Reason::WriteRefused, Reason::Protected, Reason::InUse],
        (true, _) if read.policy == Some(DeletionPolicy::Retain) => return None,
        (true, _) if read.protected => &[Reason::Protected],
        (true, true) if world.aws.in_use && !world.aws.foreign() => &[Reason::InUse],
        (true, _) => return None,
        (false, true) if world.aws.foreign() => &[Reason::OwnedByAnother],
        (false, true) => &[Reason::Available],
        (false, false) => &[Reason::Gone, Reason::Inactive, Reason::NotFound],
    })
}

fn describe(world: &World) -> String {
    let object = world.current().map(|object| {
        let read = Object::read(object, false);
        let reason = read.status.ready_reason().unwrap_or("no reason").to_owned();
        let connector = read.status.status.as_deref().unwrap_or("none").to_owned();
        format!("deleting {}, phase {:?}, {reason}, status {connector}", read.deleting, read.phase())
    });
    let number = world.api.created.min(OBJECTS);
    format!("object {number}: {}; AWS: {:?}", object.unwrap_or_else(|| "gone".into()), world.aws)
}
