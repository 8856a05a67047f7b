//! The queue, the workers, and the way down.
//!
//! kube's `Controller` is the queue: one reconcile per object at a time, timers included. Around it stand the things it
//! leaves open. Workers are bounded, and one slow account and region gets no more than half of them. A panic or an object
//! that does not parse ends its own reconcile and nobody else's. A stop finishes the calls under way.

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
use tracing::{debug, error};

use crate::admin::TURN;
use crate::api::VpcConnector;
use crate::apprunner::service_scans::Subscriber;
use crate::cluster;
use crate::core::arn::{AccountRegion, ConnectorArn};
use crate::core::intervals::millis;
use crate::incidents::Trouble;
use crate::reconcile::Operator;
use crate::sight::Sight;
use crate::sync::lock;
use crate::watch::{Guarded, Listener, watch};

/// What every reconcile shares.
struct Shared {
    operator: Operator,
    workers: Workers,
    running: TaskTracker,
    sight: Arc<Sight>,
    failures: Mutex<HashMap<String, Failures>>,
}

/// The reconciles of one object that failed in a row.
#[derive(Default)]
struct Failures {
    count: u32,
    /// The last cause that was logged as an error.
    logged: Option<String>,
}

/// One watch, and what it shows.
struct Watched {
    shared: Arc<Shared>,
    store: Store<Guarded>,
}

/// What is watched, and how many objects are worked on at once.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The namespaces; all of them when there are none.
    pub namespaces: &'a [String],
    /// The workers.
    pub concurrency: usize,
}

/// Why a reconcile did not come to a decision.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("the reconcile panicked")]
    Panicked,
}

/// Runs until the operator is told to stop, and then until every reconcile under way has finished its calls.
///
/// Who comes through `triggered` has something new to know, and is looked at.
pub async fn run(
    client: Client,
    operator: Operator,
    triggered: UnboundedReceiver<Subscriber>,
    scope: Scope<'_>,
    sight: Arc<Sight>,
) {
    let stopping = operator.permission.stopping.clone();
    let shared = Arc::new(Shared {
        operator,
        workers: Workers::new(scope.concurrency),
        sight: sight.clone(),
        running: TaskTracker::new(),
        failures: Mutex::default(),
    });
    let mut controllers = SelectAll::new();
    let mut doors = Vec::new();
    for api in apis(&client, scope.namespaces) {
        let (door, wakes) = mpsc::unbounded_channel();
        doors.push(door);
        let (trigger, store) = watch(api, &shared.operator.rules.intervals, shared.clone());
        sight.watch(store.clone());
        let watched = Arc::new(Watched { shared: shared.clone(), store: store.clone() });
        let controller = Controller::for_stream(trigger, store)
            .reconcile_on(stream_of(wakes))
            .graceful_shutdown_on(stopping.clone().cancelled_owned())
            .run(reconcile, retry, watched);
        controllers.push(controller.boxed());
    }
    let waking = tokio::spawn(pass_on(triggered, doors));
    // What turns is told by the very loop that drives everything.
    let turns = stream::unfold((), |()| async { Some((tokio::time::sleep(TURN).await, ())) }).map(Ok);
    let turning = stream::select(turns, controllers.map(|result| result.map(|_| ()))).for_each(|result| {
        sight.health.turned();
        if let Err(error) = result {
            debug!(%error, "reconcile");
        }
        std::future::ready(())
    });
    let finished = async {
        stopping.cancelled().await;
        shared.running.close();
        shared.running.wait().await;
    };
    // A controller that is dropped cuts its reconciles off in the middle of a call, so it turns until they are done.
    tokio::select! {
        () = turning => {}
        () = finished => {}
    }
    waking.abort();
}

/// Each watch looks only at what its own store has, so all are told.
async fn pass_on(mut triggered: UnboundedReceiver<Subscriber>, doors: Vec<UnboundedSender<ObjectRef<Guarded>>>) {
    while let Some(subscriber) = triggered.recv().await {
        let object = ObjectRef::<Guarded>::new(&subscriber.name).within(&subscriber.namespace);
        for door in &doors {
            // A controller that has ended looks at nothing any more.
            let _ = door.send(object.clone());
        }
    }
}

fn stream_of<T: Send + 'static>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
}

/// A store is swapped whole when its watch begins anew, so each namespace needs a watch and a store of its own.
fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<Guarded>> {
    match namespaces {
        [] => vec![Api::all(client.clone())],
        some => {
            let each: BTreeSet<_> = some.iter().collect();
            each.into_iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
        }
    }
}

async fn reconcile(object: Arc<Guarded>, watched: Arc<Watched>) -> Result<Action, Failed> {
    let shared = &watched.shared;
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            shared.operator.malformed(invalid);
            return Ok(Action::await_change());
        }
    };
    let waiting = shared.sight.waiting();
    let Some(_worker) = shared.worker(object).await else { return Ok(Action::await_change()) };
    drop(waiting);
    let _running = shared.running.token();
    let began = Instant::now();
    // Waiting for a worker takes its time: what counts is what the watch shows now.
    let reference = ObjectRef::<Guarded>::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let shown = || watched.store.get(&reference).and_then(|object| object.0.as_ref().ok().cloned().map(Arc::new));
    // Boxed, so that the many that wait for a worker are small.
    let result = isolated(Box::pin(shared.operator.reconcile(shown))).await;
    shared.operator.aws.metrics.reconciled(began.elapsed(), result.is_ok());
    let uid = object.uid().unwrap_or_default();
    shared.heed(&uid, &result);
    let action = result?;
    shared.failures().remove(&uid);
    Ok(action)
}

/// A panic is a defect of ours, and the trouble of one object only.
async fn isolated<T>(work: impl Future<Output = Result<T, cluster::Error>>) -> Result<T, Failed> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    Ok(result.map_err(|_| Failed::Panicked)??)
}

/// The queue is the one place that retries, and each object backs off by itself.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn retry(object: Arc<Guarded>, failed: &Failed, watched: Arc<Watched>) -> Action {
    let shared = &watched.shared;
    let (failures, is_news) = {
        let mut all = shared.failures();
        let failures = all.entry(object.uid().unwrap_or_default()).or_default();
        failures.count = failures.count.saturating_add(1);
        (failures.count, failures.is_news(failed))
    };
    let wait = shared.operator.rules.intervals.retry.jittered(failures, rand::random());
    let (namespace, name, retry_ms) = (object.namespace(), object.name_any(), millis(wait));
    if is_news {
        error!(namespace, name, error = %failed, failures, retry_ms, "reconcile failed; it is tried again");
    } else {
        debug!(namespace, name, error = %failed, failures, retry_ms, "reconcile failed; it is tried again");
    }
    Action::requeue(wait)
}

impl Failures {
    /// Whether this is the object's own trouble and not logged yet. An API server that does not answer, or refuses writes,
    /// is everybody's trouble, and is an incident.
    fn is_news(&mut self, failed: &Failed) -> bool {
        use cluster::Error::{NoAnswer, NotServed, WriteRefused};
        if let Failed::Cluster(NoAnswer { .. } | NotServed { .. } | WriteRefused(_)) = failed {
            return false;
        }
        let cause = failed.to_string();
        self.logged.replace(cause.clone()) != Some(cause)
    }
}

impl Listener for Shared {
    fn gone(&self, uid: &str) {
        self.operator.gone(uid);
        self.failures().remove(uid);
    }

    fn synced(&self) {
        self.sight.synced();
    }

    fn listed(&self, object: &VpcConnector, began: Instant) -> bool {
        self.operator.objects.listed(object, began)
    }
}

impl Shared {
    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        lock(&self.failures)
    }

    /// Takes note of whether the API server answered to what an object needed.
    fn heed(&self, uid: &str, result: &Result<Action, Failed>) {
        let incidents = &self.operator.aws.incidents;
        match result {
            Err(Failed::Cluster(
                cluster::Error::NoAnswer { verb, message } | cluster::Error::NotServed { verb, message },
            )) => incidents.no_answer(uid, verb, message),
            Err(Failed::Panicked) => {}
            Ok(_) | Err(Failed::Cluster(_)) => incidents.end(&Trouble::ApiServer, uid),
        }
    }

    /// Waits for a worker; there is none any more once the operator stops.
    async fn worker(&self, object: &VpcConnector) -> Option<Worker> {
        tokio::select! {
            biased;
            () = self.operator.permission.stopping.cancelled() => None,
            worker = self.workers.enter(&object.spec.arn) => worker,
        }
    }
}

/// The bounded workers: so many in all, and half of them for one account and region.
struct Workers {
    all: Arc<Semaphore>,
    by_account_region: Mutex<HashMap<Option<AccountRegion>, Arc<Semaphore>>>,
    per_account_region: usize,
}

struct Worker {
    _of_account_region: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Workers {
    fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.max(1);
        Self {
            all: Arc::new(Semaphore::new(concurrency)),
            by_account_region: Mutex::default(),
            per_account_region: (concurrency / 2).max(1),
        }
    }

    /// The account_region first: who waits for a slow region must not hold a worker that others could use.
    async fn enter(&self, arn: &str) -> Option<Worker> {
        let account_region = self.account_region(arn).acquire_owned().await.ok()?;
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some(Worker { _of_account_region: account_region, _all: all })
    }

    fn account_region(&self, arn: &str) -> Arc<Semaphore> {
        let key = arn.parse::<ConnectorArn>().ok().map(|arn| arn.account_region());
        let mut by_account_region = lock(&self.by_account_region);
        // A account_region that nobody is in has nothing to remember.
        by_account_region.retain(|_, account_region| Arc::strong_count(account_region) > 1);
        by_account_region.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.per_account_region))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_like_others() {
        let panicked = isolated::<()>(async { panic!("a defect") }).await;
        assert!(matches!(panicked, Err(Failed::Panicked)));
        let gone = isolated::<()>(async { Err(cluster::Error::Gone) }).await;
        assert!(matches!(gone, Err(Failed::Cluster(cluster::Error::Gone))));
        assert!(matches!(isolated(async { Ok(1) }).await, Ok(1)));
    }

    #[test]
    fn each_cause_is_logged_once_in_a_row_and_an_outage_by_no_object() {
        let refused = |message: &str| {
            Failed::Cluster(cluster::Error::Refused { verb: "get", code: 403, message: message.to_owned() })
        };
        let no_answer =
            Failed::Cluster(cluster::Error::NoAnswer { verb: "get", message: "the deadline passed".into() });
        let mut failures = Failures::default();
        let news = [
            refused("forbidden"),
            refused("forbidden"),
            no_answer,
            refused("forbidden"),
            Failed::Panicked,
            Failed::Panicked,
            refused("forbidden"),
        ]
        .map(|failed| failures.is_news(&failed));
        assert_eq!(news, [true, false, false, false, true, false, true]);
    }

    #[tokio::test]
    async fn a_region_gets_half_of_the_workers_and_leaves_the_rest() {
        let workers = Workers::new(4);
        let arn = |region: &str| {
            format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef")
        };
        let (slow, other) = (arn("eu-west-1"), arn("us-east-1"));
        let _held = (workers.enter(&slow).await, workers.enter(&slow).await);
        assert!(workers.enter(&slow).now_or_never().is_none(), "a third of the same region waits");
        let _first = workers.enter(&other).now_or_never().flatten().expect("another region does not");
        let second = workers.enter(&other).now_or_never().flatten();
        assert!(second.is_some() && workers.all.available_permits() == 0);
    }
}
