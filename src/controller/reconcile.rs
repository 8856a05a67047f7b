//! The reconcile loop: observe, decide, execute, apply, until the object has to wait.
//!
//! Each pass gathers the evidence, decides the next step, makes that one call, and applies its outcome to the evidence. The
//! decision depends on the evidence alone, never on the place in this loop, so that a crash between two passes costs one
//! more call at most. A deletion takes four passes: the owner tag, the delete, the receipt, the finalizer.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use tracing::{debug, error};

use super::lock::ArnLocks;
use super::memory::ObjectStates;
use crate::api::{Uid, VpcConnector, VpcConnectorStatus};
use crate::apprunner::Aws;
use crate::apprunner::rate::Permit;
use crate::apprunner::service_scans::ServiceScans;
use crate::apprunner::session::Session;
use crate::clock;
use crate::cluster::Error;
use crate::cluster::events::Events;
use crate::cluster::own_writes::Latest;
use crate::cluster::received::Unparsable;
use crate::cluster::writes::VpcConnectorClient;
use crate::core::clock::Moment;
use crate::core::decide::{Decision, decide};
use crate::core::effect::Effect;
use crate::core::event::{self, EventReason, PendingEvent};
use crate::core::evidence::{Caller, Evidence, Object, Rules};
use crate::core::refusal::{self, Refusal, WriteKind};
use crate::core::state::Wait;
use crate::core::{stall, status, text, transition, wait};
use crate::leadership::MayAct;
use crate::telemetry::incidents::{Incidents, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// Far more passes than any object takes; reaching it is a defect, and is logged as one.
const MAX_PASSES: usize = 24;
/// The requeue time of an object whose connector another object is being reconciled for.
const ARN_LOCK_REQUEUE: Duration = Duration::from_secs(1);

/// Reconciles objects.
pub(crate) struct Reconciler {
    pub(super) objects: VpcConnectorClient,
    pub(super) events: Events,
    pub(super) aws: Arc<Aws>,
    pub(super) scans: ServiceScans,
    pub(super) rules: Arc<Rules>,
    pub(super) may_act: Arc<MayAct>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) incidents: Arc<Incidents>,
    states: ObjectStates,
    locks: ArnLocks,
}

/// One pass: the object, the evidence about it, and the session that the next call is signed with.
pub(super) struct Pass {
    pub(super) object: Arc<VpcConnector>,
    /// Our finalizer was removed, even if `object` still has it.
    released: bool,
    pub(super) session: Option<Arc<Session>>,
    pub(super) evidence: Evidence,
}

impl Reconciler {
    /// A reconciler that has seen no object yet.
    pub(crate) fn new(
        objects: VpcConnectorClient,
        events: Events,
        aws: Arc<Aws>,
        scans: ServiceScans,
        rules: Rules,
        may_act: Arc<MayAct>,
    ) -> Self {
        let (metrics, incidents) = (aws.metrics.clone(), aws.incidents.clone());
        let (states, locks) = (ObjectStates::new(&rules.intervals), ArnLocks::default());
        Self { objects, events, aws, scans, rules: Arc::new(rules), may_act, metrics, incidents, states, locks }
    }

    /// Takes one object as far as it can go now, and returns its requeue time.
    ///
    /// `shown` returns the object as the watch shows it at that moment. It is read before every pass, so that a change by a
    /// user during a call counts before the next call.
    pub(crate) async fn reconcile(&self, shown: impl Fn() -> Option<Arc<VpcConnector>>) -> Result<Action, Error> {
        let _reconciling = self.events.reconciling();
        let Some(object) = shown() else { return Ok(self.requeue_later()) };
        let Some(_lock) = self.locks.acquire(&object.spec.arn) else { return Ok(Action::requeue(ARN_LOCK_REQUEUE)) };
        let uid = object.id();
        let mut pass = self.first_pass(object);
        // An object of the same name that was created since is another object, with a reconcile of its own.
        let same = || shown().filter(|now| now.id() == uid);
        let result = self.run_to_wait(same, &mut pass).await;
        if !pass.evidence.attempt.write_refused() {
            self.incidents.end(&SharedFailure::WriteRefused, &uid);
        }
        // The watch may have shown our last write before its reply came; then this drops the copy of the reply.
        drop(same().map(|shown| self.objects.latest(shown)));
        self.states.put(uid, pass.evidence.state);
        match result {
            // Requeue instead of forgetting: a 404 may be transient, or the API server may have been restored from a backup.
            // A deleted object is no longer in the store at the next reconcile.
            Err(Error::Gone) => Ok(self.requeue_later()),
            other => other,
        }
    }

    /// Reports an object that does not parse, once. It keeps its finalizer, since its connector is not known.
    pub(crate) fn report_unparsable(&self, object: &Unparsable) {
        let about = VpcConnector { metadata: object.metadata.clone(), ..VpcConnector::default() };
        // It may quote a value of any length.
        let why = text::message(&object.error);
        error!(error = why, "the object does not parse");
        let note = format!("the object does not parse and is left as it is: {why}");
        self.publish(&about, PendingEvent::warning(EventReason::Malformed, &note));
    }

    /// Forgets an object whose DELETED event came.
    pub(crate) fn forget(&self, uid: &Uid) {
        self.objects.deleted(uid.clone());
        self.scans.unsubscribe(uid);
        self.incidents.forget(uid);
        self.states.remove(uid);
    }

    async fn run_to_wait(
        &self,
        shown: impl Fn() -> Option<Arc<VpcConnector>>,
        pass: &mut Pass,
    ) -> Result<Action, Error> {
        let (mut changed, mut permit) = (false, None);
        for _ in 0..MAX_PASSES {
            let Some(shown) = shown() else { return Ok(self.requeue_later()) };
            self.observe(pass, shown);
            let result = match self.step(pass, &mut permit).await {
                Err(Error::WriteRefused(refusal)) => self.apply_refusal(pass, refusal),
                result => result,
            };
            match result {
                Ok(None) => changed = false,
                // The object changed since it was read: one more pass with the new version.
                Err(Error::Changed(_)) if !changed => changed = true,
                Ok(Some(action)) => return Ok(action),
                Err(error) => return Err(error),
            }
        }
        error!("the reconcile did not end after {MAX_PASSES} passes; the object is requeued");
        Ok(self.requeue_later())
    }

    /// The pass that a reconcile of an object starts with, before anything but the object is observed.
    fn first_pass(&self, shown: Arc<VpcConnector>) -> Pass {
        let mut state = self.states.take(&shown);
        let Latest { object, released } = self.objects.latest(shown);
        let (read, now) = (Object::read(&object, released), clock::now());
        let attempt = state.start_reconcile(&read, now.moment);
        let (caller, blockers, rules) = (Caller::Unknown, None, self.rules.clone());
        let evidence = Evidence { object: read, caller, state, attempt, blockers, rules, now, jitter: rand::random() };
        Pass { object, released, session: None, evidence }
    }

    fn observe(&self, pass: &mut Pass, shown: Arc<VpcConnector>) {
        let Latest { object, released } = self.objects.latest(shown);
        if released != pass.released || !Arc::ptr_eq(&object, &pass.object) {
            pass.evidence.object = Object::read(&object, released);
            (pass.object, pass.released) = (object, released);
        }
        let arn = pass.evidence.object.target.arn();
        pass.session = arn.and_then(|arn| self.aws.sessions.current(arn.account()));
        let account = pass.session.as_ref().map(|session| session.account().clone());
        pass.evidence.caller = account.map_or(Caller::Unknown, Caller::Account);
        pass.evidence.blockers = self.scans.blockers_for(&pass.object.id());
        (pass.evidence.now, pass.evidence.jitter) = (clock::now(), rand::random());
        transition::drop_outdated(&mut pass.evidence);
    }

    /// Carries out one decision; `None` means that another pass follows.
    async fn step<'a>(&'a self, pass: &mut Pass, permit: &mut Option<Permit<'a>>) -> Result<Option<Action>, Error> {
        if !self.may_act.leadership.held() {
            return Ok(Some(Action::await_change()));
        }
        self.publish_annotation_events(pass);
        let decision = decide(&pass.evidence);
        self.note_end_of_wait(pass, &decision);
        match decision {
            Decision::Nothing => Ok(Some(self.requeue_later())),
            Decision::Act(effect) => self.act(pass, effect, permit).await,
            Decision::Pause => {
                let status = status::status_while_paused(&pass.evidence);
                self.write_status_if_changed(pass, status, Vec::new()).await?;
                Ok(Some(self.requeue_later()))
            }
            Decision::Blocked(wait) => self.report_wait(pass, &wait).await.map(Some),
            Decision::Wait(wait) => {
                pass.evidence.state.wait = Some(wait.clone());
                self.report_wait(pass, &wait).await.map(Some)
            }
        }
    }

    async fn act<'a>(
        &'a self,
        pass: &mut Pass,
        effect: Effect,
        permit: &mut Option<Permit<'a>>,
    ) -> Result<Option<Action>, Error> {
        if effect.calls_aws() && self.may_act.stopping.is_cancelled() {
            return Ok(Some(Action::await_change()));
        }
        if let Err(allowed_in) = self.acquire_rate(pass, &effect, permit) {
            return self.wait_for_rate_limit(pass, allowed_in).await.map(Some);
        }
        let completed = self.execute(pass, effect).await?;
        if let Some(event) = event::tag_event(&pass.evidence, &completed) {
            self.publish(&pass.object, event);
        }
        transition::apply(&mut pass.evidence, completed);
        Ok(None)
    }

    /// Applies a refused write to the evidence, so that `decide` says what follows.
    ///
    /// If the status that reports the refusal is refused as well, an Event reports it, and the queue tries again.
    fn apply_refusal(&self, pass: &mut Pass, refusal: Refusal) -> Result<Option<Action>, Error> {
        self.metrics.write_refused(&refusal);
        debug!(error = %refusal, "the API server refused a write");
        let kind = format!("{} {}", refusal.write.in_words(), refusal.code);
        self.incidents.begin(&SharedFailure::WriteRefused, pass.object.id(), &kind, &refusal.to_string());
        if !pass.evidence.attempt.write_refused() {
            refusal::refused(&mut pass.evidence, refusal);
            return Ok(None);
        }
        if let Some(event) = refusal::unreported(&pass.evidence.state) {
            self.publish(&pass.object, event);
        }
        Err(Error::WriteRefused(refusal))
    }

    fn publish_annotation_events(&self, pass: &mut Pass) {
        let Evidence { object, state, .. } = &mut pass.evidence;
        for event in object.unusual.take_events(&mut state.published) {
            self.publish(&pass.object, event);
        }
    }

    /// Ends the subscription to the service scan and the shared failures of an object that does not wait for them.
    fn note_end_of_wait(&self, pass: &Pass, decision: &Decision) {
        let uid = pass.object.id();
        let (acts, waits) = match decision {
            Decision::Act(_) => (true, false),
            Decision::Wait(_) => (false, true),
            Decision::Nothing | Decision::Pause | Decision::Blocked(_) => (false, false),
        };
        if !acts && !waits && !pass.evidence.attempt.write_refused() {
            self.scans.unsubscribe(&uid);
        }
        if !acts {
            self.incidents.note_wrong_account(&uid, wrong_account(decision));
        }
    }

    async fn report_wait(&self, pass: &mut Pass, wait: &Wait) -> Result<Action, Error> {
        let (status, events) = status::status_while(&pass.evidence, wait);
        self.write_status_if_changed(pass, status, events).await?;
        // At the end of the wait, or before that when it becomes a stall.
        let stalls_at = stall::stalls_at(&pass.evidence, wait);
        Ok(requeue_at(stalls_at.map_or(wait.until, |at| at.min(wait.until))))
    }

    async fn wait_for_rate_limit(&self, pass: &mut Pass, allowed_in: Duration) -> Result<Action, Error> {
        let wait = wait::until_rate_limit(&pass.evidence, allowed_in);
        pass.evidence.state.wait = Some(wait.clone());
        if allowed_in > self.rules.intervals.rate_wait_reported_after {
            let (status, _) = status::status_while(&pass.evidence, &wait);
            self.write_status_if_changed(pass, status, Vec::new()).await?;
        }
        Ok(requeue_at(wait.until))
    }

    async fn write_status_if_changed(
        &self,
        pass: &mut Pass,
        status: VpcConnectorStatus,
        events: Vec<PendingEvent>,
    ) -> Result<(), Error> {
        if !status::needs_write(&pass.evidence, &status) {
            return Ok(());
        }
        self.write_status(pass, status, events).await?;
        refusal::succeeded(&mut pass.evidence, WriteKind::WriteStatus);
        Ok(())
    }

    pub(super) fn publish(&self, object: &VpcConnector, event: PendingEvent) {
        self.events.publish(object.into(), event);
    }

    /// The requeue time of an object for which there is nothing to do.
    fn requeue_later(&self) -> Action {
        Action::requeue(self.rules.intervals.user_action)
    }
}

/// The message of an object that the operator does not act on, because it is of another account or region.
fn wrong_account(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Blocked(wait) if wait.reason == crate::api::Reason::WrongAccount => Some(&wait.message),
        Decision::Blocked(_) | Decision::Nothing | Decision::Act(_) | Decision::Pause | Decision::Wait(_) => None,
    }
}

fn requeue_at(at: Moment) -> Action {
    Action::requeue(at.since(clock::now().moment))
}
