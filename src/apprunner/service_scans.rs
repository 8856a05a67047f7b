//! Looks for the services that use the connectors that wait: one task for each account and region where any does.
//!
//! What is asked when, and what an answer means, is decided in [`crate::core::blockers`]; here it is carried out, within the
//! rate limit. The task begins with the first connector that waits and ends with the last. Whoever waits is triggered when
//! there is something new to know about its connector.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::debug;

use super::Aws;
use super::client::Subject;
use crate::clock;
use crate::core::arn::{AccountRegion, ConnectorArn};
use crate::core::blockers::{Blockers, CallTime, ServiceScan, Step};
use crate::core::clock::Moment;
use crate::core::error_class::ErrorClass;
use crate::core::intervals::Intervals;
use crate::core::limiter::{Rank, half_of_the_rate};
use crate::core::outcome::{Failure, Operation, Outcome};
use crate::permission::Permission;
use crate::sync::lock;

/// Who waits for the users of a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The object's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The service_scans under way.
pub struct ServiceScans {
    shared: Arc<Shared>,
}

struct Shared {
    aws: Arc<Aws>,
    permission: Arc<Permission>,
    intervals: Intervals,
    trigger: mpsc::UnboundedSender<Subscriber>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_account_region: HashMap<AccountRegion, Task>,
    /// What each subscriber waits for, by its uid.
    subscribers: HashMap<String, (Subscriber, ConnectorArn)>,
}

struct Task {
    scan: ServiceScan,
    /// Tells the task that somebody came or went.
    changed: Arc<Notify>,
}

impl ServiceScans {
    /// Makes a place for service_scans, and what tells who of those that wait has something new to know.
    pub fn new(
        aws: Arc<Aws>,
        permission: Arc<Permission>,
        intervals: Intervals,
    ) -> (Self, mpsc::UnboundedReceiver<Subscriber>) {
        let (trigger, triggered) = mpsc::unbounded_channel();
        (Self { shared: Arc::new(Shared { aws, permission, intervals, trigger, state: Mutex::default() }) }, triggered)
    }

    /// Has the users of a connector looked for, until the subscriber is forgotten; with `any_change` the subscriber is triggered by
    /// every change of a service, not only of one that uses the connector.
    pub fn watch(&self, arn: &ConnectorArn, any_change: bool, subscriber: Subscriber) {
        let state = &mut *lock(&self.shared.state);
        state.subscribers.insert(subscriber.uid.clone(), (subscriber, arn.clone()));
        let account_region = arn.account_region();
        let task = state.by_account_region.entry(account_region.clone()).or_insert_with(|| {
            let changed = Arc::<Notify>::default();
            tokio::spawn(self.shared.clone().run(account_region, changed.clone()));
            Task { scan: ServiceScan::default(), changed }
        });
        task.scan.watch(arn.as_str(), any_change, clock::now().moment);
        task.changed.notify_one();
    }

    /// What is known of the users of the connector that a subscriber waits for, if it does.
    pub fn blockers_for(&self, uid: &str) -> Option<Blockers> {
        let state = lock(&self.shared.state);
        let arn = &state.subscribers.get(uid)?.1;
        let account_region = arn.account_region();
        let crowd = state.subscribers.values().filter(|(_, other)| other.is_in(&account_region)).count();
        let share =
            half_of_the_rate(u32::try_from(crowd).unwrap_or(u32::MAX), self.shared.aws.rates.rate(&account_region));
        state.by_account_region.get(&account_region)?.scan.blockers_of(
            arn.as_str(),
            &self.shared.intervals,
            share,
            clock::now().moment,
        )
    }

    /// Looks no longer for somebody who does not wait any more.
    pub fn unwatch(&self, uid: &str) {
        let state = &mut *lock(&self.shared.state);
        let Some((_, arn)) = state.subscribers.remove(uid) else { return };
        if state.subscribers.values().any(|(_, other)| *other == arn) {
            return;
        }
        if let Some(task) = state.by_account_region.get_mut(&arn.account_region()) {
            task.scan.unwatch(arn.as_str());
            task.changed.notify_one();
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, account_region: AccountRegion, changed: Arc<Notify>) {
        // Also after a panic: whoever finds no survey under way begins another.
        let _remove = RemoveOnDrop { shared: &self, account_region: &account_region, changed: &changed };
        debug!(account = %account_region.account, region = %account_region.region, "looking for services");
        while self.permission.given() {
            let wait = match self.next(&account_region) {
                None | Some(Step::Done) => return,
                Some(Step::Rest(until)) => Err(until.since(clock::now().moment)),
                Some(step) => self.take(&account_region, &step).await,
            };
            if let Err(wait) = wait {
                // Meanwhile the last may stop waiting, so what is next is asked again.
                tokio::select! {
                    () = self.permission.stopping.cancelled() => {}
                    () = changed.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    /// Makes one call, or says how long until it may be made.
    async fn take(&self, account_region: &AccountRegion, step: &Step) -> Result<(), Duration> {
        self.aws.rates.ask(account_region, "sweep", Rank::Sweep, 1)?.spend();
        let sent = clock::now().moment;
        let outcome = self.call(account_region, step).await;
        self.apply(account_region, step, outcome, sent);
        Ok(())
    }

    /// The next step; a survey that nobody waits for ends here, before anybody else can ask for it.
    fn next(&self, account_region: &AccountRegion) -> Option<Step> {
        let rate = self.aws.rates.rate(account_region);
        let state = &mut *lock(&self.state);
        let step = state.by_account_region.get(account_region)?.scan.next(&self.intervals, rate, clock::now().moment);
        if step == Step::Done {
            state.by_account_region.remove(account_region);
        }
        Some(step)
    }

    async fn call(&self, account_region: &AccountRegion, step: &Step) -> Outcome {
        let session = match self.aws.sessions.of(account_region).await {
            // Finding out whose credentials these are takes its time.
            Ok(session) if self.permission.given() => session,
            Ok(_) => return Outcome::NotSent(nothing_to_call()),
            Err(failure) => return Outcome::NotSent(failure),
        };
        let (call, arn) = match step {
            Step::Describe(arn) => (session.describe_service(&account_region.region, arn).await, Some(arn.as_str())),
            Step::List(token) => (session.list_services(&account_region.region, token.clone()).await, None),
            Step::Rest(_) | Step::Done => return Outcome::NotSent(nothing_to_call()),
        };
        self.aws.heed(account_region, &session, &call, Subject { arn, ..Subject::default() });
        call.outcome
    }

    fn apply(&self, account_region: &AccountRegion, step: &Step, outcome: Outcome, sent: Moment) {
        let time = CallTime { sent, now: clock::now().moment, jitter: rand::random() };
        let state = &mut *lock(&self.state);
        let Some(task) = state.by_account_region.get_mut(account_region) else { return };
        let news = task.scan.apply(step, outcome, &self.intervals, time);
        let triggered = state.subscribers.values().filter(|(_, arn)| news.contains(arn.as_str()));
        for (subscriber, _) in triggered {
            // Nobody listens any more once the operator stops.
            let _ = self.trigger.send(subscriber.clone());
        }
    }
}

fn nothing_to_call() -> Failure {
    Failure::new(Operation::ListServices, ErrorClass::Unreachable, "NotSent", "there is nothing to call")
}

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
