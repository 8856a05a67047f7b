//! One pass of the reconcile loop, as `controller/reconcile.rs` and `controller/execute.rs` make it.
//!
//! A pass is one step of the model, since nothing that others do between its parts makes a difference that another step does
//! not make: a change between the read of the object and the call is a change before a read from a watch that is behind,
//! the reply of a call reaches only the operator itself, and a crash after the effect of a call is a crash after the pass.

use std::sync::Arc;

use super::super::evidence::{connector, tag};
use super::Model;
use super::cloud::{Call, account};
use super::cluster::{Failed, Write, latest, read_other_object};
use super::guards::Guard;
use super::world::{Credentials, NOW_BY_BOTH, Running, Violation, World, uid_of};
use crate::api::{DeletionPolicy, VpcConnector, VpcConnectorStatus};
use crate::core::attempt::{Attempt, Ownership};
use crate::core::blocker::Blocker;
use crate::core::blockers::Services;
use crate::core::decide::{Decision, waits_after_refusal};
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite};
use crate::core::evidence::{Caller, Evidence, Object, Phase};
use crate::core::refusal::{self, WriteKind};
use crate::core::state::{Confirmation, Deletion, Failures, ObjectState, Wait};
use crate::core::{status, transition};

/// As many passes as the operator makes in a reconcile.
const MAX_PASSES: u8 = 24;

/// The fault of the one call of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    None,
    /// The call takes effect, and its reply is lost.
    LoseReply,
    /// The request is lost.
    LoseRequest,
    /// AWS throttles the call.
    Refuse,
}

impl Fault {
    /// True if it is this fault; it happens once.
    pub(super) fn take(&mut self, fault: Self) -> bool {
        let happens = *self == fault;
        if happens {
            *self = Self::None;
        }
        happens
    }
}

/// The end of a pass: with another pass, or with the end of the reconcile.
enum Next {
    Pass,
    End,
}

struct Pass<'a> {
    model: &'a Model,
    operator: usize,
    object: Arc<VpcConnector>,
    evidence: Evidence,
    fault: &'a mut Fault,
}

/// Begins a reconcile, unless one is in progress, and makes its next pass. Returns whether there was anything to do.
pub(super) fn step(model: &Model, world: &mut World, operator: usize, fault: &mut Fault) -> Result<bool, Violation> {
    if world.operators[operator].running.is_none() && !begin(model, world, operator) {
        return Ok(false);
    }
    let Some(running) = world.operators[operator].running.clone() else { return Ok(false) };
    let uid = running.uid;
    let same = latest(model, world, operator).filter(|(object, _)| uid_of(object) == uid);
    let Some((object, released)) = same else {
        end(world, operator, uid, running.state);
        return Ok(true);
    };
    let evidence = observe(model, world, operator, &object, released, &running);
    let mut pass = Pass { model, operator, object, evidence, fault };
    let result = match pass.decide(world) {
        Err(Failed::Refused(refusal)) if !pass.evidence.attempt.write_refused() => {
            refusal::refused(&mut pass.evidence, refusal);
            Ok(Next::Pass)
        }
        result => result,
    };
    let Evidence { mut state, attempt, .. } = pass.evidence;
    forget_counts(&mut state);
    match result {
        Ok(Next::Pass) => proceed(world, operator, state, attempt, false)?,
        Err(Failed::Changed) if !running.changed => proceed(world, operator, state, attempt, true)?,
        Err(Failed::Violation(violation)) => return Err(violation),
        Ok(Next::End) | Err(Failed::Changed | Failed::Gone | Failed::NoAnswer | Failed::Refused(_)) => {
            end(world, operator, uid, state);
        }
    }
    Ok(true)
}

fn begin(model: &Model, world: &mut World, operator: usize) -> bool {
    let Some((object, released)) = latest(model, world, operator) else { return false };
    let uid = uid_of(&object);
    // The status that the watch shows, not that of our last write.
    let from_status = || {
        let shown = world.shown(operator).and_then(|shown| shown.status.clone());
        ObjectState::from_status(&shown.unwrap_or_default())
    };
    let mut state = world.operators[operator].states[uid].clone().unwrap_or_else(from_status);
    let attempt = state.start_reconcile(&Object::read(&object, released), NOW_BY_BOTH.moment);
    let foreign = world.aws.foreign();
    world.operators[operator].running = Some(Running {
        uid,
        state,
        attempt,
        changed: false,
        passes: 0,
        foreign_all_along: foreign,
        foreign_once: foreign,
    });
    true
}

fn proceed(
    world: &mut World,
    operator: usize,
    state: ObjectState,
    attempt: Attempt,
    changed: bool,
) -> Result<(), Violation> {
    let Some(running) = &mut world.operators[operator].running else { return Ok(()) };
    *running = Running { state, attempt, changed, passes: running.passes + 1, ..running.clone() };
    if running.passes > MAX_PASSES {
        return Err(Violation(format!("a reconcile does not end after {MAX_PASSES} passes")));
    }
    Ok(())
}

fn end(world: &mut World, operator: usize, uid: usize, state: ObjectState) {
    world.operators[operator].states[uid] = Some(state);
    world.operators[operator].running = None;
}

/// Every backoff of the model is of one length, so the counts of failures make no difference.
fn forget_counts(state: &mut ObjectState) {
    if let Some(Failures { class, .. }) = state.failures {
        state.failures = Some(Failures::after(None, class, NOW_BY_BOTH.moment));
    }
    if let Some(refusals) = &mut state.refusals {
        refusals.failures = 1;
    }
    if let Some(pending) = &mut state.pending_claim {
        pending.unseen = pending.unseen.min(1);
    }
    if let Deletion::Accepted { describes, .. } = &mut state.deletion {
        *describes = (*describes).min(1);
    }
}

fn observe(
    model: &Model,
    world: &mut World,
    operator: usize,
    object: &VpcConnector,
    released: bool,
    running: &Running,
) -> Evidence {
    let Credentials { known, right } = world.operators[operator].credentials;
    scan(world, operator, running.uid);
    let mut evidence = Evidence {
        object: Object::read(object, released),
        blockers: world.operators[operator].blockers[running.uid].clone(),
        caller: if known { Caller::Account(account(right)) } else { Caller::Unknown },
        state: running.state.clone(),
        attempt: running.attempt.clone(),
        rules: model.rules.clone(),
        now: NOW_BY_BOTH,
        jitter: 0.5,
    };
    if model.without != Some(Guard::OutdatedDescription) {
        transition::drop_outdated(&mut evidence);
    }
    weaken(model, &mut evidence);
    evidence
}

/// The service scan sees at once which services use the connector.
fn scan(world: &mut World, operator: usize, uid: usize) {
    let in_use = world.aws.in_use;
    let Some(blockers) = &mut world.operators[operator].blockers[uid] else { return };
    let blocked = matches!(blockers.services, Services::Blocking(_));
    if in_use {
        blockers.services = Services::Blocking(vec![Blocker::default()]);
        return;
    }
    if blocked {
        blockers.released_at = Some(NOW_BY_BOTH.moment);
    }
    blockers.services = Services::None;
    blockers.unreferenced_at.get_or_insert(NOW_BY_BOTH.moment);
}

/// Takes a guard that is not in the lists of `decide` from the evidence.
fn weaken(model: &Model, evidence: &mut Evidence) {
    let phase = evidence.object.phase();
    let trusts = match model.without {
        Some(Guard::OwnerBeforeDelete) => phase == Phase::DeletingClaimed && !evidence.is_retained(),
        Some(Guard::OwnerBeforeClaim) => !phase.is_claimed() && !evidence.is_retained(),
        Some(Guard::OwnerAtResync) => phase == Phase::Claimed,
        Some(Guard::OwnerBeforeUntag) => evidence.is_retained(),
        _ => false,
    };
    if trusts {
        evidence.attempt.ownership = Ownership::Ours { replaced: None };
    }
    match model.without {
        Some(Guard::DescribeAfterUnanswered) => evidence.attempt.described = true,
        Some(Guard::DescribeAfterEachRefusal) if evidence.state.wait.as_ref().is_some_and(waits_after_refusal) => {
            evidence.attempt.described = true;
        }
        Some(Guard::OwnerCheckExpires) if evidence.state.owner_checked_at.is_some() => {
            evidence.state.owner_checked_at = Some(NOW_BY_BOTH.moment);
        }
        _ => {}
    }
}

impl Pass<'_> {
    fn decide(&mut self, world: &mut World) -> Result<Next, Failed> {
        let decision = self.model.decide(&self.evidence);
        let waits_for_services = matches!(decision, Decision::Act(_) | Decision::Wait(_));
        if !waits_for_services && !self.evidence.attempt.write_refused() {
            let uid = uid_of(&self.object);
            world.operators[self.operator].blockers[uid] = None;
        }
        match decision {
            Decision::Nothing => Ok(Next::End),
            Decision::Act(effect) => self.act(world, effect),
            Decision::Pause => {
                let status = status::status_while_paused(&self.evidence);
                self.write_status_if_changed(world, status)
            }
            Decision::Blocked(wait) => self.report(world, &wait),
            Decision::Wait(wait) => {
                self.evidence.state.wait = Some(wait.clone());
                self.report(world, &wait)
            }
        }
    }

    fn report(&mut self, world: &mut World, wait: &Wait) -> Result<Next, Failed> {
        let (status, _) = status::status_while(&self.evidence, wait);
        self.write_status_if_changed(world, status)
    }

    fn write_status_if_changed(&mut self, world: &mut World, status: VpcConnectorStatus) -> Result<Next, Failed> {
        if status::needs_write(&self.evidence, &status) {
            self.write(world).write_status(world, status)?;
            refusal::succeeded(&mut self.evidence, WriteKind::WriteStatus);
        }
        Ok(Next::End)
    }

    fn write(&mut self, _: &World) -> Write<'_> {
        Write { model: self.model, operator: self.operator, object: &self.object, fault: self.fault }
    }

    fn act(&mut self, world: &mut World, effect: Effect) -> Result<Next, Failed> {
        let uid = uid_of(&self.object);
        let completed = match effect {
            Effect::Kube(write) => {
                match &write {
                    KubeWrite::AddFinalizer => self.write(world).add_finalizer(world)?,
                    KubeWrite::RemoveFinalizer(proof) => {
                        self.write(world).remove_finalizer(world, proof)?;
                        world.operators[self.operator].blockers[uid] = None;
                    }
                    KubeWrite::Status(write) => {
                        let (status, _) = status::status_after(&self.evidence, write);
                        self.write(world).write_status(world, status)?;
                    }
                }
                Completed::Kube(write)
            }
            Effect::ReadOtherObject { .. } => Completed::OtherObject(read_other_object(world, self.fault)?),
            Effect::ReadDefaultPolicy => Completed::DefaultPolicy(Ok(if world.api.retains {
                DeletionPolicy::Retain
            } else {
                DeletionPolicy::Delete
            })),
            Effect::ScanServices(_) => {
                world.operators[self.operator].blockers[uid].get_or_insert_default();
                Completed::ScanServices
            }
            Effect::Aws(call, arn) => Completed::Aws(self.call(world, call)?, arn),
        };
        transition::apply(&mut self.evidence, completed);
        self.weaken_reply();
        Ok(Next::Pass)
    }

    fn call(&mut self, world: &mut World, call: AwsCall) -> Result<AwsOutcome, Violation> {
        let operator = &world.operators[self.operator];
        if operator.released[uid_of(&self.object)] {
            return Err(Violation("an operator calls AWS for an object that it has released".into()));
        }
        let checked = operator.credentials.right || self.model.without == Some(Guard::Account);
        let sent = call == AwsCall::Identify || (operator.credentials.known && checked);
        let repeats = self.evidence.state.deletion.refused().is_some();
        let call_of = Call { operator: self.operator, object: &self.object, repeats, fault: self.fault };
        let outcome = call_of.make(world, call, sent)?;
        Ok(match outcome {
            // A tag that cannot be read is taken for none.
            AwsOutcome::ReadTags(read)
                if self.model.without == Some(Guard::UnreadableTag) && read.failure().is_some() =>
            {
                AwsOutcome::ReadTags(tag(None))
            }
            outcome => outcome,
        })
    }

    /// Takes a guard that judges a reply.
    fn weaken_reply(&mut self) {
        let Evidence { state, object, .. } = &mut self.evidence;
        match (self.model.without, &state.deletion) {
            (Some(Guard::AcceptedIsNotDeleted), Deletion::Accepted { .. }) => {
                let Some(arn) = object.target.arn().cloned() else { return };
                let by = Confirmation::Inactive(Box::new(connector("INACTIVE")));
                state.deletion = Deletion::Confirmed { arn, by, recorded: false };
            }
            (Some(Guard::UnansweredIsNotDeleted), Deletion::Unanswered { .. }) => {
                let Some(arn) = object.target.arn().cloned() else { return };
                state.deletion = Deletion::Confirmed { arn, by: Confirmation::NotFound, recorded: false };
            }
            _ => {}
        }
    }
}
