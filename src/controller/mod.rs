//! The controller: the queue, the workers, and the shutdown.
//!
//! kube's `Controller` is the queue: one reconcile for each object at a time, requeues included. This module adds what kube
//! leaves open. The workers are bounded, and one account and region gets at most half of them. A panic or an object that
//! does not parse ends its own reconcile only. A shutdown finishes the calls in progress.

pub(crate) mod diagnostics;
mod execute;
mod lock;
mod memory;
pub(crate) mod reconcile;
pub(crate) mod watch;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::stream::{self, SelectAll, Stream};
use futures::{FutureExt, StreamExt};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, error_span};

use self::diagnostics::Diagnostics;
use self::reconcile::Reconciler;
use self::watch::{Guarded, WatchHandler, watch};
use crate::api::{Uid, VpcConnector};
use crate::apprunner::service_scans::Subscriber;
use crate::cluster;
use crate::core::arn::{AccountRegion, ConnectorArn};
use crate::core::intervals::millis;
use crate::sync::lock;
use crate::telemetry::health::HEARTBEAT;
use crate::telemetry::incidents::SharedFailure;

/// The state that all reconciles share.
struct Shared {
    reconciler: Reconciler,
    workers: Workers,
    running: TaskTracker,
    diagnostics: Arc<Diagnostics>,
    failures: Mutex<HashMap<Uid, Failures>>,
}

/// Consecutive failed reconciles of one object.
#[derive(Default)]
struct Failures {
    count: u32,
    /// The last cause that was logged as an error.
    logged: Option<String>,
}

/// The context of the reconciles of one watch.
struct Context {
    shared: Arc<Shared>,
    store: Store<Guarded>,
}

/// The namespaces that are watched, and the number of workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The namespaces; all of them when there are none.
    pub namespaces: &'a [String],
    /// The workers.
    pub concurrency: usize,
}

/// A reconcile that came to no decision.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("the reconcile panicked")]
    Panicked,
}

/// Runs until the operator shuts down, and then until the calls of every reconcile in progress are finished.
///
/// `triggers` receives the objects to reconcile because the blockers of their connector changed.
pub(crate) async fn run(
    client: Client,
    reconciler: Reconciler,
    triggers: UnboundedReceiver<Subscriber>,
    scope: Scope<'_>,
    diagnostics: Arc<Diagnostics>,
) {
    let stopping = reconciler.may_act.stopping.clone();
    let shared = Arc::new(Shared {
        reconciler,
        workers: Workers::new(scope.concurrency),
        diagnostics: diagnostics.clone(),
        running: TaskTracker::new(),
        failures: Mutex::default(),
    });
    let mut controllers = SelectAll::new();
    let mut senders = Vec::new();
    for api in apis(&client, scope.namespaces) {
        let (sender, triggered) = mpsc::unbounded_channel();
        senders.push(sender);
        let (changes, store) = watch(api, &shared.reconciler.rules.intervals, shared.clone());
        diagnostics.add(store.clone());
        let context = Arc::new(Context { shared: shared.clone(), store: store.clone() });
        let controller = Controller::for_stream(changes, store)
            .reconcile_on(stream_of(triggered))
            .graceful_shutdown_on(stopping.clone().cancelled_owned())
            .run(reconcile, error_policy, context);
        controllers.push(controller.boxed());
    }
    let fan_out = tokio::spawn(fan_out(triggers, senders));
    // The heartbeat comes from the loop that drives all controllers, so that a stuck loop fails /livez.
    let beats = stream::unfold((), |()| async { Some((tokio::time::sleep(HEARTBEAT).await, ())) }).map(Ok);
    let driving = stream::select(beats, controllers.map(|result| result.map(|_| ()))).for_each(|result| {
        diagnostics.health.heartbeat();
        if let Err(error) = result {
            debug!(%error, "the controller reports an error");
        }
        std::future::ready(())
    });
    let finished = async {
        stopping.cancelled().await;
        shared.running.close();
        shared.running.wait().await;
    };
    // A controller that is dropped cancels its reconciles in the middle of a call, so it is driven until they are finished.
    tokio::select! {
        () = driving => {}
        () = finished => {}
    }
    fan_out.abort();
}

/// Sends each trigger to all controllers, because each finds only the objects of its own store.
async fn fan_out(mut triggers: UnboundedReceiver<Subscriber>, senders: Vec<UnboundedSender<ObjectRef<Guarded>>>) {
    while let Some(subscriber) = triggers.recv().await {
        let object = ObjectRef::<Guarded>::new(&subscriber.name).within(&subscriber.namespace);
        for sender in &senders {
            // The receiver is gone once its controller has ended.
            let _ = sender.send(object.clone());
        }
    }
}

fn stream_of<T: Send + 'static>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
}

/// Each namespace has a watch and a store of its own, because a restarted watch replaces the whole content of its store.
fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<Guarded>> {
    match namespaces {
        [] => vec![Api::all(client.clone())],
        some => {
            let each: BTreeSet<_> = some.iter().collect();
            each.into_iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
        }
    }
}

/// Reconciles one object, in a span that names it.
async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let (namespace, name) = (object.namespace(), object.name_any());
    let arn = object.0.as_ref().ok().map(|object| object.spec.arn.as_str());
    let span = error_span!("reconcile", object.namespace = namespace, object.name = name, arn);
    reconcile_in_span(&object, &context).instrument(span).await
}

async fn reconcile_in_span(object: &Guarded, context: &Context) -> Result<Action, ReconcileError> {
    let shared = &context.shared;
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            shared.reconciler.report_unparsable(invalid);
            return Ok(Action::await_change());
        }
    };
    let waiting = shared.diagnostics.waiting();
    let Some(_worker) = shared.worker(object).await else { return Ok(Action::await_change()) };
    drop(waiting);
    let _running = shared.running.token();
    let began = Instant::now();
    // The object may have changed while it waited for a worker, so the reconcile reads it from the store.
    let reference = ObjectRef::<Guarded>::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let shown = || context.store.get(&reference).and_then(|object| object.0.as_ref().ok().cloned().map(Arc::new));
    // Boxed, so that the futures of objects that wait for a worker are small.
    let result = catch_panic(Box::pin(shared.reconciler.reconcile(shown))).await;
    shared.reconciler.metrics.observe_reconcile(began.elapsed(), result.is_ok());
    let uid = object.id();
    shared.note_api_server(&uid, &result);
    let action = result?;
    shared.failures().remove(&uid);
    Ok(action)
}

/// A panic is a defect of the operator, and must not end the reconciles of other objects.
async fn catch_panic<T>(work: impl Future<Output = Result<T, cluster::Error>>) -> Result<T, ReconcileError> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    Ok(result.map_err(|_| ReconcileError::Panicked)??)
}

/// Requeues an object after a failed reconcile, with a backoff of its own.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(object: Arc<Guarded>, failed: &ReconcileError, context: Arc<Context>) -> Action {
    let shared = &context.shared;
    let (failures, is_new) = {
        let mut all = shared.failures();
        let failures = all.entry(object.uid().into()).or_default();
        failures.count = failures.count.saturating_add(1);
        (failures.count, failures.is_new(failed))
    };
    let wait = shared.reconciler.rules.intervals.retry.jittered(failures, rand::random());
    let (namespace, name, retry_ms) = (object.namespace(), object.name_any(), millis(wait));
    if is_new {
        error!(namespace, name, error = %failed, failures, retry_ms, "reconcile failed; the object is requeued");
    } else {
        debug!(namespace, name, error = %failed, failures, retry_ms, "reconcile failed; the object is requeued");
    }
    Action::requeue(wait)
}

impl Failures {
    /// True if the failure concerns this object only and was not logged yet. An API server that does not answer or refuses
    /// writes concerns all objects, and is logged as an incident.
    fn is_new(&mut self, failed: &ReconcileError) -> bool {
        use cluster::Error::{NoAnswer, NotServed, WriteRefused};
        if let ReconcileError::Cluster(NoAnswer { .. } | NotServed { .. } | WriteRefused(_)) = failed {
            return false;
        }
        let cause = failed.to_string();
        self.logged.replace(cause.clone()) != Some(cause)
    }
}

impl WatchHandler for Shared {
    fn deleted(&self, uid: &str) {
        self.reconciler.forget(uid);
        self.failures().remove(uid);
    }

    fn synced(&self) {
        self.diagnostics.synced();
    }

    fn relisted(&self, object: &VpcConnector, list_started: Instant) -> bool {
        self.reconciler.objects.reconcile_with_list(object, list_started)
    }
}

impl Shared {
    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Uid, Failures>> {
        lock(&self.failures)
    }

    /// Starts or ends the incident of an API server that does not answer.
    fn note_api_server(&self, uid: &Uid, result: &Result<Action, ReconcileError>) {
        let incidents = &self.reconciler.incidents;
        match result {
            Err(ReconcileError::Cluster(
                cluster::Error::NoAnswer { verb, message } | cluster::Error::NotServed { verb, message },
            )) => incidents.no_answer(uid.as_str(), verb, message),
            Err(ReconcileError::Panicked) => {}
            Ok(_) | Err(ReconcileError::Cluster(_)) => incidents.end(&SharedFailure::ApiServer, uid.as_str()),
        }
    }

    /// Waits for a worker; after the shutdown began there is none.
    async fn worker(&self, object: &VpcConnector) -> Option<Worker> {
        tokio::select! {
            biased;
            () = self.reconciler.may_act.stopping.cancelled() => None,
            worker = self.workers.acquire(&object.spec.arn) => worker,
        }
    }
}

/// The bounded workers, of which one account and region gets at most half.
struct Workers {
    all: Arc<Semaphore>,
    by_account_region: Mutex<HashMap<Option<AccountRegion>, Arc<Semaphore>>>,
    per_account_region: usize,
}

struct Worker {
    _of_account_region: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Workers {
    fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.max(1);
        let all = Arc::new(Semaphore::new(concurrency));
        Self { all, by_account_region: Mutex::default(), per_account_region: (concurrency / 2).max(1) }
    }

    /// The account and region comes first: an object that waits for a slow region must not hold a worker that others need.
    async fn acquire(&self, arn: &str) -> Option<Worker> {
        let of_account_region = self.account_region(arn).acquire_owned().await.ok()?;
        let of_all = self.all.clone().acquire_owned().await.ok()?;
        Some(Worker { _of_account_region: of_account_region, _of_all: of_all })
    }

    fn account_region(&self, arn: &str) -> Arc<Semaphore> {
        let key = arn.parse::<ConnectorArn>().ok().map(|arn| arn.account_region());
        let mut by_account_region = lock(&self.by_account_region);
        // A semaphore that no object uses has no state to keep.
        by_account_region.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        by_account_region.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.per_account_region))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_reconcile() {
        let panicked = catch_panic::<()>(async { panic!("a defect") }).await;
        assert!(matches!(panicked, Err(ReconcileError::Panicked)));
        let gone = catch_panic::<()>(async { Err(cluster::Error::Gone) }).await;
        assert!(matches!(gone, Err(ReconcileError::Cluster(cluster::Error::Gone))));
        assert!(matches!(catch_panic(async { Ok(1) }).await, Ok(1)));
    }

    #[test]
    fn each_cause_is_logged_once_in_a_row_and_an_outage_not_at_all() {
        let refused = |message: &str| {
            ReconcileError::Cluster(cluster::Error::Refused { verb: "get", code: 403, message: message.to_owned() })
        };
        let no_answer =
            ReconcileError::Cluster(cluster::Error::NoAnswer { verb: "get", message: "the deadline passed".into() });
        let mut failures = Failures::default();
        let news = [
            refused("forbidden"),
            refused("forbidden"),
            no_answer,
            refused("forbidden"),
            ReconcileError::Panicked,
            ReconcileError::Panicked,
            refused("forbidden"),
        ]
        .map(|failed| failures.is_new(&failed));
        assert_eq!(news, [true, false, false, false, true, false, true]);
    }

    #[tokio::test]
    async fn a_region_gets_at_most_half_of_the_workers() {
        let workers = Workers::new(4);
        let arn = |region: &str| {
            format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef")
        };
        let (slow, other) = (arn("eu-west-1"), arn("us-east-1"));
        let _held = (workers.acquire(&slow).await, workers.acquire(&slow).await);
        assert!(workers.acquire(&slow).now_or_never().is_none(), "a third of the same region waits");
        let _first = workers.acquire(&other).now_or_never().flatten().expect("another region does not");
        let second = workers.acquire(&other).now_or_never().flatten();
        assert!(second.is_some() && workers.all.available_permits() == 0);
    }
}
