//! observe → decide → act → apply, until there is nothing to do but wait.
//!
//! The only file of the operator that knows both sides. Each turn gathers the evidence anew, asks the table for the one
//! next step, makes that one call, and takes what came of it into the evidence. A deletion is three turns: the delete, the
//! receipt, the finalizer. What the table decides never depends on where in this loop it is asked, so a crash between any
//! two turns costs nothing but asking again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use tracing::{debug, error, info};

use crate::api::{DeletionPolicy, Reason, VpcConnector, VpcConnectorStatus};
use crate::apprunner::client::Subject;
use crate::apprunner::rate::Permit;
use crate::apprunner::service_scans::{ServiceScans, Subscriber};
use crate::apprunner::session::Session;
use crate::apprunner::{Aws, CALL_DEADLINE, UNTAG_DEADLINE};
use crate::clock;
use crate::cluster::Error;
use crate::cluster::events::Events;
use crate::cluster::writes::Objects;
use crate::core::clock::Moment;
use crate::core::decide::{Decision, Effect, Proof, calls_of_attempt, decide};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence, Memory, Object, Rules, Wait};
use crate::core::limiter::Rank;
use crate::core::outcome::{Failure, Operation, Outcome, Reply};
use crate::core::refusal::{self, Refusal, Write};
use crate::core::status::{self, EventReason, PendingEvent};
use crate::core::transition::apply;
use crate::core::wait;
use crate::incidents::Trouble;
use crate::permission::Permission;
use crate::sync::lock;

/// Far more turns than any way through the table takes; reaching it is a defect, and is logged as one.
const MOST_TURNS: usize = 24;
/// An object whose connector another object is just being reconciled for looks again this much later.
const LOCKED_AGAIN: Duration = Duration::from_secs(1);
/// What is remembered of an object that was not reconciled for this long is of no use any more.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// Everything a reconcile needs.
pub struct Operator {
    /// The API server.
    pub objects: Objects,
    /// Where Events go.
    pub events: Events,
    /// The way to AWS.
    pub aws: Arc<Aws>,
    /// Who uses the connectors that wait.
    pub service_scans: ServiceScans,
    /// How the operator was started.
    pub rules: Arc<Rules>,
    /// Whether anything may be begun.
    pub permission: Arc<Permission>,
    memories: Mutex<HashMap<String, (Box<Memory>, Instant)>>,
    locked: Mutex<HashSet<String>>,
}

/// One turn: what is known, and what the next call is made with.
struct Turn {
    object: Arc<VpcConnector>,
    session: Option<Arc<Session>>,
    evidence: Evidence,
}

impl Operator {
    /// Puts the two sides together.
    pub fn new(
        objects: Objects,
        events: Events,
        aws: Arc<Aws>,
        service_scans: ServiceScans,
        rules: Rules,
        permission: Arc<Permission>,
    ) -> Self {
        let (memories, locked) = (Mutex::default(), Mutex::default());
        Self { objects, events, aws, service_scans, rules: Arc::new(rules), permission, memories, locked }
    }

    /// Takes one object as far as it can go now, and says when to look again.
    ///
    /// `shown` is what the watch shows at the moment it is asked; it is asked before every turn, so that what a person
    /// says while a call is under way counts before the next.
    pub async fn reconcile(&self, shown: impl Fn() -> Option<Arc<VpcConnector>>) -> Result<Action, Error> {
        let Some(object) = shown() else { return Ok(self.later()) };
        let Some(_lock) = self.lock_arn(&object.spec.arn) else { return Ok(Action::requeue(LOCKED_AGAIN)) };
        let mut memory = self.recall(&object);
        let newest = self.objects.newest(object.clone());
        memory.begin(&Object::read(&newest.object, newest.released), clock::now().moment);
        // A namesake that was created since is an object of its own, with a reconcile of its own.
        let same = || shown().filter(|now| now.metadata.uid == object.metadata.uid);
        let result = self.turns(same, &mut memory).await;
        if !memory.seen.write_refused {
            self.aws.incidents.end(&Trouble::WriteRefused, &object.uid().unwrap_or_default());
        }
        self.remember(&object, memory);
        match result {
            // What is really gone is not shown any more when its time comes; a server that lost its mind for a moment,
            // or came back from a backup, must not make us forget an object.
            Err(Error::Gone) => Ok(self.later()),
            other => other,
        }
    }

    fn later(&self) -> Action {
        Action::requeue(self.rules.intervals.user_action)
    }

    /// Tells once of an object that does not parse. It is kept: nobody knows what it holds.
    pub fn malformed(&self, object: &kube::core::error_boundary::InvalidObject) {
        let about = kube::core::ObjectMeta::clone(&object.metadata);
        let about = VpcConnector { metadata: about, ..VpcConnector::default() };
        error!(
            namespace = about.namespace(),
            name = about.name_any(),
            error = object.error,
            "the object does not parse"
        );
        let note = format!("the object does not parse and is left as it is: {}", object.error);
        self.tell(&about, PendingEvent { warning: true, reason: EventReason::Malformed, note });
    }

    async fn turns(&self, shown: impl Fn() -> Option<Arc<VpcConnector>>, memory: &mut Memory) -> Result<Action, Error> {
        let (mut changed, mut permit) = (false, None);
        for _ in 0..MOST_TURNS {
            let Some(shown) = shown() else { return Ok(self.later()) };
            let mut turn = self.observe(shown, memory);
            let done = match self.take(&mut turn, &mut permit).await {
                Err(Error::WriteRefused(refusal)) => self.refused(&mut turn, refusal),
                done => done,
            };
            *memory = turn.evidence.memory;
            match done {
                Ok(None) => {}
                Ok(Some(action)) => return Ok(action),
                Err(Error::Changed(_)) if !changed => {
                    changed = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            changed = false;
        }
        let object = shown().unwrap_or_default();
        let (namespace, name) = (object.namespace(), object.name_any());
        error!(namespace, name, "the table does not come to an end for this object; it is looked at again later");
        Ok(self.later())
    }

    fn observe(&self, shown: Arc<VpcConnector>, memory: &Memory) -> Turn {
        let newest = self.objects.newest(shown);
        let session = self.aws.sessions.current();
        let uid = newest.object.uid().unwrap_or_default();
        let evidence = Evidence {
            object: Object::read(&newest.object, newest.released),
            blockers: self.service_scans.blockers_for(&uid),
            caller: session.as_ref().map_or(Caller::Unknown, |session| Caller::Account(session.account().clone())),
            memory: memory.clone(),
            rules: self.rules.clone(),
            now: clock::now(),
            jitter: rand::random(),
        };
        Turn { object: newest.object, session, evidence }
    }

    /// Takes one decision as far as one call; `None` means that the table is asked again.
    async fn take<'a>(&'a self, turn: &mut Turn, permit: &mut Option<Permit<'a>>) -> Result<Option<Action>, Error> {
        if !self.permission.leadership.held() {
            return Ok(Some(Action::await_change()));
        }
        let Evidence { object, memory, .. } = &mut turn.evidence;
        object.unusual.tell(&mut memory.told).into_iter().for_each(|event| self.tell(&turn.object, event));
        let decision = decide(&turn.evidence);
        let uid = turn.object.uid().unwrap_or_default();
        let ends_waiting = !matches!(decision, Decision::Act(_) | Decision::Wait(_));
        if ends_waiting && !turn.evidence.memory.seen.write_refused {
            self.service_scans.unwatch(&uid);
        }
        if !matches!(decision, Decision::Act(_)) {
            self.aws.incidents.held(&uid, wrong_account(&decision));
        }
        match decision {
            Decision::Nothing => Ok(Some(self.later())),
            Decision::Act(effect) => {
                if self.permission.stopping.is_cancelled() && calls_aws(&effect) {
                    return Ok(Some(Action::await_change()));
                }
                if let Err(turn_in) = self.admit(turn, &effect, permit) {
                    return self.wait_for_turn(turn, turn_in).await.map(Some);
                }
                let outcome = self.act(turn, &effect).await?;
                if let Some(event) = status::tag_event(&turn.evidence, &effect, &outcome) {
                    self.tell(&turn.object, event);
                }
                apply(&mut turn.evidence, &effect, outcome);
                Ok(None)
            }
            Decision::Pause => {
                let status = status::status_while_paused(&turn.evidence);
                self.settle(turn, status, Vec::new()).await?;
                Ok(Some(self.later()))
            }
            Decision::Blocked(wait) => {
                let (status, events) = status::status_while(&turn.evidence, &wait);
                self.settle(turn, status, events).await?;
                Ok(Some(next_look(&turn.evidence, &wait)))
            }
            Decision::Wait(wait) => {
                turn.evidence.memory.wait = Some(wait.clone());
                let (status, events) = status::status_while(&turn.evidence, &wait);
                self.settle(turn, status, events).await?;
                Ok(Some(next_look(&turn.evidence, &wait)))
            }
        }
    }

    /// Takes a refused write into the evidence, so that the table is asked what to do about it.
    ///
    /// Where the status can't tell of it because that is refused as well, an Event does, and the queue tries again.
    fn refused(&self, turn: &mut Turn, refusal: Refusal) -> Result<Option<Action>, Error> {
        self.aws.metrics.write_refused(&refusal);
        let telling = turn.evidence.memory.seen.write_refused;
        if !telling {
            refusal::refused(&mut turn.evidence, refusal.clone());
        }
        let Object { namespace, name, .. } = &turn.evidence.object;
        debug!(namespace, name, error = %refusal, "a write was refused");
        let (uid, kind) =
            (turn.object.uid().unwrap_or_default(), format!("{} {}", refusal.write.in_words(), refusal.code));
        self.aws.incidents.begin(&Trouble::WriteRefused, &uid, &kind, &refusal.to_string());
        if !telling {
            return Ok(None);
        }
        if let Some(event) = refusal::untold(&turn.evidence.memory) {
            self.tell(&turn.object, event);
        }
        Err(Error::WriteRefused(refusal))
    }

    /// Gets the right to the calls that the attempt may take, once; or says how long until it is the object's turn.
    fn admit<'a>(&'a self, turn: &Turn, effect: &Effect, permit: &mut Option<Permit<'a>>) -> Result<(), Duration> {
        let calls = calls_of_attempt(&turn.evidence, effect);
        let (true, Ok(arn)) = (calls > 0, &turn.evidence.object.target) else { return Ok(()) };
        let permit = if let Some(permit) = permit {
            permit
        } else {
            let uid = turn.object.uid().unwrap_or_default();
            permit.insert(self.aws.rates.ask(&arn.account_region(), &uid, rank(&turn.object), calls)?)
        };
        permit.spend();
        Ok(())
    }

    async fn wait_for_turn(&self, turn: &mut Turn, turn_in: Duration) -> Result<Action, Error> {
        let wait = wait::until_rate_limit(&turn.evidence, turn_in);
        turn.evidence.memory.wait = Some(wait.clone());
        if turn_in > self.rules.intervals.rate_wait_reported_after {
            let (status, _) = status::status_while(&turn.evidence, &wait);
            self.settle(turn, status, Vec::new()).await?;
        }
        Ok(until(wait.until))
    }

    async fn act(&self, turn: &mut Turn, effect: &Effect) -> Result<Outcome, Error> {
        match effect {
            Effect::AddFinalizer => self.objects.add_finalizer(&turn.object).await?,
            Effect::RemoveFinalizer(proof) => self.let_go(turn, proof).await?,
            Effect::CorrectStatus
            | Effect::RecordAdopting
            | Effect::RecordClaim
            | Effect::RecordReceipt
            | Effect::RecordAlreadyGone
            | Effect::RecordLetGo => {
                let (status, events) = status::status_after(&turn.evidence, effect);
                self.write(turn, status, events, *effect == Effect::RecordAlreadyGone).await?;
            }
            Effect::ReadOtherObject { namespace, name } => {
                let found = self.objects.get_other_object(namespace, name, &turn.object.spec.arn).await?;
                return Ok(Outcome::Done(Reply::OtherObject(found)));
            }
            Effect::ScanServices => self.scan_services(turn),
            Effect::Identify => return Ok(self.identify(turn).await),
            Effect::Describe | Effect::ReadTags | Effect::WriteTag | Effect::RemoveTag | Effect::Delete => {
                return Ok(self.ask(turn, effect).await);
            }
        }
        Ok(Outcome::Done(Reply::Written))
    }

    fn scan_services(&self, turn: &Turn) {
        let Object { namespace, name, target, .. } = &turn.evidence.object;
        if let Ok(arn) = target {
            let uid = turn.object.uid().unwrap_or_default();
            let refused = turn.evidence.memory.refused_delete.as_ref();
            let any_change = refused.is_some_and(|refused| refused.failure.class == ErrorClass::InvalidRequest);
            self.service_scans.watch(
                arn,
                any_change,
                Subscriber { uid, namespace: namespace.clone(), name: name.clone() },
            );
        }
    }

    async fn identify(&self, turn: &Turn) -> Outcome {
        let Ok(arn) = &turn.evidence.object.target else { return no_session() };
        match self.aws.sessions.identify(arn.region()).await {
            Ok(session) => Outcome::Done(Reply::Caller(session.account().clone())),
            Err(failure) => Outcome::Refused(failure),
        }
    }

    /// Makes one call to App Runner, with the very session the decision was made on.
    async fn ask(&self, turn: &Turn, effect: &Effect) -> Outcome {
        let (Some(session), Ok(arn)) = (&turn.session, &turn.evidence.object.target) else { return no_session() };
        let call = match effect {
            Effect::Delete => session.delete(arn).await,
            Effect::Describe => session.describe(arn).await,
            Effect::ReadTags => session.read_owner_tag(arn, tag_deadline(&turn.evidence.object)).await,
            Effect::RemoveTag => session.remove_owner_tag(arn).await,
            _ => match turn.evidence.owner_tag() {
                Some(owner) => session.write_owner_tag(arn, &owner).await,
                None => return no_session(),
            },
        };
        let Object { namespace, name, .. } = &turn.evidence.object;
        let subject = Subject { namespace: Some(namespace), name: Some(name), arn: Some(arn.as_str()) };
        self.aws.heed(&arn.account_region(), session, &call, subject);
        call.outcome
    }

    async fn let_go(&self, turn: &Turn, proof: &Proof) -> Result<(), Error> {
        self.objects.remove_finalizer(&turn.object).await?;
        self.service_scans.unwatch(&turn.object.uid().unwrap_or_default());
        let asked = turn.object.metadata.deletion_timestamp.as_ref().map(|asked| asked.0);
        let took = asked.and_then(|asked| Duration::try_from(turn.evidence.now.wall.duration_since(asked)).ok());
        self.aws.metrics.let_go(proof, took.unwrap_or_default());
        let Object { namespace, name, status, .. } = &turn.evidence.object;
        let deleted_at = status.deleted_at.as_ref().map(|at| tracing::field::display(at.0));
        info!(namespace, name, arn = turn.object.spec.arn, ?proof, status = status.status, deleted_at, "let go");
        if let Some(event) = status::release_event(&turn.evidence, proof) {
            self.tell(&turn.object, event);
        }
        Ok(())
    }

    /// Writes a status if it says something new.
    async fn settle(
        &self,
        turn: &mut Turn,
        status: VpcConnectorStatus,
        events: Vec<PendingEvent>,
    ) -> Result<(), Error> {
        if status::needs_write(&turn.evidence, &status) {
            self.write(turn, status, events, false).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        turn: &mut Turn,
        status: VpcConnectorStatus,
        events: Vec<PendingEvent>,
        unchanged: bool,
    ) -> Result<(), Error> {
        self.objects.write_status(&turn.object, &status, unchanged).await?;
        turn.evidence.memory.status_written_at = Some(turn.evidence.now.moment);
        refusal::written(&mut turn.evidence.memory, Write::WriteStatus);
        for event in events {
            debug!(reason = %event.reason, note = event.note, "told");
            self.tell(&turn.object, event);
        }
        Ok(())
    }

    fn tell(&self, object: &VpcConnector, event: PendingEvent) {
        self.events.tell(object.object_ref(&()), event);
    }

    fn recall(&self, object: &VpcConnector) -> Memory {
        let memories = lock(&self.memories);
        let known = memories.get(&object.uid().unwrap_or_default()).map(|(memory, _)| Memory::clone(memory));
        known.unwrap_or_else(|| Memory::recall(&object.status.clone().unwrap_or_default()))
    }

    fn remember(&self, object: &VpcConnector, mut memory: Memory) {
        memory.end();
        let mut memories = lock(&self.memories);
        memories.insert(object.uid().unwrap_or_default(), (Box::new(memory), Instant::now()));
        // Now and then is enough: what stands here too long is only memory.
        if memories.len().is_power_of_two() {
            let forget_after = FORGET_AFTER.max(self.rules.intervals.resync * 2);
            memories.retain(|_, (_, at)| at.elapsed() < forget_after);
        }
    }

    /// Takes note of an object whose DELETED event came.
    pub fn gone(&self, uid: &str) {
        self.objects.gone(uid);
        self.service_scans.unwatch(uid);
        self.aws.incidents.gone(uid);
        lock(&self.memories).remove(uid);
    }

    /// Keeps two objects of one connector from claiming it in the same moment.
    fn lock_arn(&self, arn: &str) -> Option<ArnLock<'_>> {
        lock(&self.locked).insert(arn.to_owned()).then(|| ArnLock { locked: &self.locked, arn: arn.to_owned() })
    }
}

struct ArnLock<'a> {
    locked: &'a Mutex<HashSet<String>>,
    arn: String,
}

impl Drop for ArnLock<'_> {
    fn drop(&mut self) {
        lock(self.locked).remove(&self.arn);
    }
}

/// Who asked first for the end of an object is served first.
fn rank(object: &VpcConnector) -> Rank {
    object.metadata.deletion_timestamp.as_ref().map_or(Rank::Other, |since| Rank::Deletion(since.0))
}

/// An object that is released with Retain does not wait long for its tag to be read and taken off.
fn tag_deadline(object: &Object) -> Duration {
    if object.deleting && object.policy == DeletionPolicy::Retain { UNTAG_DEADLINE } else { CALL_DEADLINE }
}

fn calls_aws(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Identify | Effect::Describe | Effect::ReadTags | Effect::WriteTag | Effect::RemoveTag | Effect::Delete
    )
}

/// The table names no call without a session; should it ever, nothing is sent.
fn no_session() -> Outcome {
    let message = "the credentials changed while the call was prepared";
    Outcome::NotSent(Failure::new(Operation::ResolveCredentials, ErrorClass::Unreachable, "NotSent", message))
}

/// At the end of a wait, or before that when it turns into a stall.
fn next_look(e: &Evidence, wait: &Wait) -> Action {
    let stalls = status::stalls_at(e, wait);
    until(stalls.map_or(wait.until, |at| at.min(wait.until)))
}

/// The words that hold an object because the operator acts for another account or in other regions.
fn wrong_account(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Blocked(wait) if wait.reason == Reason::WrongAccount => Some(&wait.message),
        _ => None,
    }
}

fn until(at: Moment) -> Action {
    Action::requeue(at.since(clock::now().moment))
}
