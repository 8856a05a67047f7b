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
    subscribers: Subscribers,
}

/// The subscribers, by uid and by connector, and how many there are in each account and region.
///
/// The number is part of every pass of every object that waits; to count them each time would take time that grows with
/// the square of their number.
#[derive(Default)]
struct Subscribers {
    connectors: HashMap<Uid, ConnectorArn>,
    by_connector: HashMap<ConnectorArn, HashMap<Uid, Subscriber>>,
    numbers: HashMap<AccountRegion, u32>,
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
        if state.subscribers.connectors.get(&subscriber.uid).is_some_and(|before| before != arn) {
            state.unsubscribe(&subscriber.uid);
        }
        state.subscribers.insert(arn, subscriber);
        let account_region = arn.account_region();
        let task = state.by_account_region.entry(account_region.clone()).or_insert_with(|| {
            let changed = Arc::<Notify>::default();
            tokio::spawn(self.shared.clone().run(account_region.clone(), changed.clone()));
            Task { scan: ServiceScan::default(), changed }
        });
        task.scan.watch(arn, any_change, clock::now());
        task.changed.notify_one();
    }

    /// The blockers of the connector of a subscriber.
    pub(crate) fn blockers_for(&self, uid: &Uid) -> Option<Blockers> {
        let state = lock(&self.shared.state);
        let arn = state.subscribers.connectors.get(uid)?;
        let account_region = arn.account_region();
        let rate = self.shared.aws.rate_limits.rate(account_region);
        let min_interval = half_of_the_rate(state.subscribers.number_in(account_region), rate);
        let scan = &state.by_account_region.get(account_region)?.scan;
        scan.blockers_of(arn, &self.shared.intervals, min_interval, clock::now().moment)
    }

    /// Ends the subscription of an object.
    pub(crate) fn unsubscribe(&self, uid: &Uid) {
        lock(&self.shared.state).unsubscribe(uid);
    }
}

impl State {
    fn unsubscribe(&mut self, uid: &Uid) {
        let Some(unwatched) = self.subscribers.remove(uid) else { return };
        if let Some(task) = self.by_account_region.get_mut(unwatched.account_region()) {
            task.scan.unwatch(&unwatched);
            task.changed.notify_one();
        }
    }
}

impl Subscribers {
    fn insert(&mut self, arn: &ConnectorArn, subscriber: Subscriber) {
        let uid = subscriber.uid.clone();
        if self.connectors.insert(uid.clone(), arn.clone()).is_none() {
            *self.numbers.entry(arn.account_region().clone()).or_default() += 1;
        }
        self.by_connector.entry(arn.clone()).or_default().insert(uid, subscriber);
    }

    /// Returns the connector if this was its last subscriber.
    fn remove(&mut self, uid: &Uid) -> Option<ConnectorArn> {
        let arn = self.connectors.remove(uid)?;
        let of_connector = self.by_connector.get_mut(&arn)?;
        of_connector.remove(uid);
        let last = of_connector.is_empty();
        if last {
            self.by_connector.remove(&arn);
        }
        let number = self.numbers.get_mut(arn.account_region())?;
        *number -= 1;
        if *number == 0 {
            self.numbers.remove(arn.account_region());
        }
        last.then_some(arn)
    }

    fn number_in(&self, account_region: &AccountRegion) -> u32 {
        self.numbers.get(account_region).copied().unwrap_or_default()
    }

    fn of(&self, arn: &ConnectorArn) -> impl Iterator<Item = &Subscriber> {
        self.by_connector.get(arn).into_iter().flat_map(HashMap::values)
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
        let time = CallTime { sent, now: clock::now(), jitter: rand::random() };
        let state = &mut *lock(&self.state);
        let Some(task) = state.by_account_region.get_mut(account_region) else { return };
        let changed = task.scan.apply(outcome, &self.intervals, time);
        for subscriber in changed.iter().flat_map(|arn| state.subscribers.of(arn)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(region: &str, id: char) -> ConnectorArn {
        let id = String::from(id).repeat(32);
        format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/connector/1/{id}").parse().unwrap()
    }

    fn subscriber(uid: &str) -> Subscriber {
        Subscriber { uid: Uid::from(Some(uid.to_owned())), namespace: "payments".into(), name: uid.into() }
    }

    #[test]
    fn subscribers_are_counted_for_each_account_and_region() {
        let (a, b, elsewhere) = (arn("us-east-1", 'a'), arn("us-east-1", 'b'), arn("eu-west-1", 'a'));
        let mut subscribers = Subscribers::default();
        for (arn, uid) in [(&a, "1"), (&a, "2"), (&b, "3"), (&elsewhere, "4"), (&a, "1")] {
            subscribers.insert(arn, subscriber(uid));
        }
        assert_eq!(subscribers.number_in(a.account_region()), 3);
        assert_eq!(subscribers.number_in(elsewhere.account_region()), 1);
        assert_eq!(subscribers.of(&a).count(), 2);

        let removed = ["1", "1", "2", "3"].map(|uid| subscribers.remove(&subscriber(uid).uid));
        assert_eq!(removed, [None, None, Some(a.clone()), Some(b)], "the last one of a connector");
        assert_eq!(subscribers.number_in(a.account_region()), 0);
        assert_eq!((subscribers.numbers.len(), subscribers.by_connector.len()), (1, 1), "what is left");
    }
}
