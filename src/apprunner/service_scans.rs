//! Scans for the services that block connectors: one task for each account and region in which an object waits.
//!
//! [`crate::core::blockers`] decides the next call and reads the answers. This module makes the calls within the rate
//! limit. A task starts with the first object that waits and ends with the last. An object is triggered when the
//! blockers of its connector change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::debug;

use super::Aws;
use super::client::{Call, Subject};
use super::session::Session;
use crate::api::Uid;
use crate::clock;
use crate::core::arn::{AccountRegion, ConnectorArn};
use crate::core::blockers::{Blockers, CallTime, ScanCall, ScanOutcome, ServiceScan, Step};
use crate::core::clock::Moment;
use crate::core::error_class::ErrorClass;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Failure, Operation, Outcome};
use crate::core::rate_limit::{Priority, half_of_the_rate};
use crate::leadership::MayAct;
use crate::sync::lock;

/// An object that waits for services to release its connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The scans in progress.
pub(crate) struct ServiceScans {
    shared: Arc<Shared>,
}

struct Shared {
    aws: Arc<Aws>,
    may_act: Arc<MayAct>,
    intervals: Intervals,
    trigger: mpsc::UnboundedSender<Subscriber>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_account_region: HashMap<AccountRegion, Task>,
    /// The subscribers and their connectors, by uid.
    subscribers: HashMap<Uid, (Subscriber, ConnectorArn)>,
}

struct Task {
    scan: ServiceScan,
    /// Wakes the task when a subscriber was added or removed.
    changed: Arc<Notify>,
}

impl ServiceScans {
    /// Returns the scans, and a receiver of the objects whose blockers changed.
    pub(crate) fn new(
        aws: Arc<Aws>,
        may_act: Arc<MayAct>,
        intervals: Intervals,
    ) -> (Self, mpsc::UnboundedReceiver<Subscriber>) {
        let (trigger, triggers) = mpsc::unbounded_channel();
        (Self { shared: Arc::new(Shared { aws, may_act, intervals, trigger, state: Mutex::default() }) }, triggers)
    }

    /// Subscribes an object to the scan for the blockers of its connector. With `any_change` it is triggered by every
    /// change of a service, not only of one that uses the connector.
    pub(crate) fn subscribe(&self, arn: &ConnectorArn, any_change: bool, subscriber: Subscriber) {
        let state = &mut *lock(&self.shared.state);
        state.subscribers.insert(subscriber.uid.clone(), (subscriber, arn.clone()));
        let account_region = arn.account_region();
        let task = state.by_account_region.entry(account_region.clone()).or_insert_with(|| {
            let changed = Arc::<Notify>::default();
            tokio::spawn(self.shared.clone().run(account_region.clone(), changed.clone()));
            Task { scan: ServiceScan::default(), changed }
        });
        task.scan.watch(arn, any_change, clock::now().moment);
        task.changed.notify_one();
    }

    /// The blockers of the connector of a subscriber.
    pub(crate) fn blockers_for(&self, uid: &Uid) -> Option<Blockers> {
        let state = lock(&self.shared.state);
        let arn = &state.subscribers.get(uid)?.1;
        let account_region = arn.account_region();
        let waiting = state.subscribers.values().filter(|(_, other)| other.is_in(account_region)).count();
        let rate = self.shared.aws.rate_limits.rate(account_region);
        let min_interval = half_of_the_rate(u32::try_from(waiting).unwrap_or(u32::MAX), rate);
        let scan = &state.by_account_region.get(account_region)?.scan;
        scan.blockers_of(arn, &self.shared.intervals, min_interval, clock::now().moment)
    }

    /// Ends the subscription of an object.
    pub(crate) fn unsubscribe(&self, uid: &Uid) {
        let state = &mut *lock(&self.shared.state);
        let Some((_, arn)) = state.subscribers.remove(uid) else { return };
        if state.subscribers.values().any(|(_, other)| *other == arn) {
            return;
        }
        if let Some(task) = state.by_account_region.get_mut(arn.account_region()) {
            task.scan.unwatch(&arn);
            task.changed.notify_one();
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, account_region: AccountRegion, changed: Arc<Notify>) {
        // Also after a panic: the next subscriber starts another task.
        let _remove = RemoveOnDrop { shared: &self, account_region: &account_region, changed: &changed };
        debug!(account = %account_region.account, region = %account_region.region, "service scan started");
        while self.may_act.granted() {
            let wait = match self.next(&account_region) {
                None | Some(Step::Done) => return,
                Some(Step::Rest(until)) => Err(until.since(clock::now().moment)),
                Some(Step::Call(call)) => self.step(&account_region, call).await,
            };
            if let Err(wait) = wait {
                // The last subscriber may unsubscribe meanwhile, so the loop decides the next step again.
                tokio::select! {
                    () = self.may_act.stopping.cancelled() => {}
                    () = changed.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    /// The next step. A scan without a watched connector ends here, under the lock, before another object can
    /// subscribe.
    fn next(&self, account_region: &AccountRegion) -> Option<Step> {
        let rate = self.aws.rate_limits.rate(account_region);
        let state = &mut *lock(&self.state);
        let step = state.by_account_region.get(account_region)?.scan.next(&self.intervals, rate, clock::now().moment);
        if step == Step::Done {
            state.by_account_region.remove(account_region);
        }
        Some(step)
    }

    /// Makes one call and applies its outcome, or returns the time until the rate limit allows it.
    async fn step(&self, account_region: &AccountRegion, call: ScanCall) -> Result<(), Duration> {
        self.aws.rate_limits.acquire(account_region, "service scan", Priority::ServiceScan, 1)?.spend();
        let sent = clock::now().moment;
        let outcome = self.call(account_region, call).await;
        self.apply(account_region, outcome, sent);
        Ok(())
    }

    async fn call(&self, account_region: &AccountRegion, call: ScanCall) -> ScanOutcome {
        let region = &account_region.region;
        match call {
            ScanCall::List(token) => {
                let list = async |session: &Session| session.list_services(region, token.clone()).await;
                let outcome = self.call_aws(account_region, Subject::default(), list).await;
                ScanOutcome::List { token, outcome }
            }
            ScanCall::Describe(arn) => {
                let subject = Subject { arn: Some(&arn), ..Subject::default() };
                let describe = async |session: &Session| session.describe_service(region, &arn).await;
                let outcome = self.call_aws(account_region, subject, describe).await;
                ScanOutcome::Describe { arn, outcome }
            }
        }
    }

    async fn call_aws<T>(
        &self,
        account_region: &AccountRegion,
        subject: Subject<'_>,
        make: impl AsyncFnOnce(&Session) -> Call<T>,
    ) -> Outcome<T> {
        let session = match self.session(account_region).await {
            Ok(session) => session,
            Err(failure) => return Outcome::NotSent(failure),
        };
        let call = make(&session).await;
        self.aws.record_response(account_region, &session, &call, subject);
        call.outcome
    }

    async fn session(&self, account_region: &AccountRegion) -> Result<Arc<Session>, Failure> {
        let session = self.aws.sessions.for_account_region(account_region).await?;
        // STS takes up to 5 s to answer, and the operator may have begun to shut down meanwhile.
        if self.may_act.granted() {
            return Ok(session);
        }
        let why = "the operator shuts down";
        Err(Failure::new(Operation::ListServices, ErrorClass::Unreachable, "NotSent", why))
    }

    fn apply(&self, account_region: &AccountRegion, outcome: ScanOutcome, sent: Moment) {
        let time = CallTime { sent, now: clock::now().moment, jitter: rand::random() };
        let state = &mut *lock(&self.state);
        let Some(task) = state.by_account_region.get_mut(account_region) else { return };
        let changed = task.scan.apply(outcome, &self.intervals, time);
        for (subscriber, _) in state.subscribers.values().filter(|(_, arn)| changed.contains(arn)) {
            // The receiver no longer exists once the operator shuts down.
            let _ = self.trigger.send(subscriber.clone());
        }
    }
}

/// Removes a task that ends.
struct RemoveOnDrop<'a> {
    shared: &'a Shared,
    account_region: &'a AccountRegion,
    changed: &'a Arc<Notify>,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let state = &mut *lock(&self.shared.state);
        let ours = |task: &Task| Arc::ptr_eq(&task.changed, self.changed);
        if state.by_account_region.get(self.account_region).is_some_and(ours) {
            state.by_account_region.remove(self.account_region);
        }
    }
}
