//! The watch, the queue, the workers, and the way down.
//!
//! kube's `Controller` is the queue: one reconcile per object at a time, timers included. Around it stand the things it
//! leaves open. A watch is begun anew every few minutes, which heals one that went silent (an API server restored from a
//! backup answers a watch from its own future with silence). Workers are bounded, and one slow account and region gets
//! no more than half of them. A panic or an object that does not parse ends its own reconcile and nobody else's.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, SelectAll};
use futures::{FutureExt, Stream, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::api::{FINALIZER, GROUP, VpcConnector};
use crate::cluster::writes::trimmed;
use crate::cluster::{self, WATCH_SECONDS};
use crate::core::arn::ConnectorArn;
use crate::reconcile::Operator;

/// A watch is begun anew after this long, give or take a fifth.
const REBUILD: Duration = Duration::from_mins(5);

type Guarded = DeserializeGuard<VpcConnector>;

/// What every reconcile shares.
struct Shared {
    operator: Operator,
    workers: Workers,
    running: TaskTracker,
    failures: Mutex<HashMap<String, u32>>,
}

/// One watch, and what it shows.
struct Watched {
    shared: Arc<Shared>,
    store: Store<Guarded>,
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
pub async fn run(client: Client, operator: Operator, namespaces: &[String], concurrency: usize) {
    let stopping = operator.stopping.clone();
    let shared = Arc::new(Shared {
        operator,
        workers: Workers::new(concurrency),
        running: TaskTracker::new(),
        failures: Mutex::default(),
    });
    let mut controllers = SelectAll::new();
    for api in apis(&client, namespaces) {
        let (trigger, store) = watch(api, shared.clone());
        let watched = Arc::new(Watched { shared: shared.clone(), store: store.clone() });
        let controller = Controller::for_stream(trigger, store)
            .graceful_shutdown_on(stopping.clone().cancelled_owned())
            .run(reconcile, retry, watched);
        controllers.push(controller.boxed());
    }
    let turning = controllers.for_each(|result| async move {
        if let Err(error) = result {
            debug!(%error, "reconcile");
        }
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
}

/// A store is swapped whole when its watch begins anew, so each namespace needs a watch and a store of its own.
fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<Guarded>> {
    match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    }
}

fn watch(
    api: Api<Guarded>,
    shared: Arc<Shared>,
) -> (impl Stream<Item = watcher::Result<Guarded>> + Send + 'static, Store<Guarded>) {
    let (store, writer) = reflector::store();
    let begin = move || {
        let lifetime = REBUILD.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS)).take_until(tokio::time::sleep(lifetime))
    };
    let trigger = stream::repeat_with(begin)
        .flatten()
        .default_backoff()
        .modify(|object| {
            if let Ok(object) = &mut object.0 {
                *object = trimmed(std::mem::take(object));
            }
        })
        .reflect(writer)
        .inspect(move |event| take_note(&shared, event))
        .scan(Vec::new(), |listed, event| std::future::ready(Some(ready_objects(listed, event))))
        .flat_map(stream::iter)
        .predicate_filter(|object: &Guarded| Some(what_wakes(object)), PredicateConfig::default());
    (trigger, store)
}

fn take_note(shared: &Shared, event: &watcher::Result<Event<Guarded>>) {
    match event {
        Ok(Event::Delete(object)) => {
            let uid = object.uid().unwrap_or_default();
            shared.operator.forget(&uid);
            shared.failures().remove(&uid);
        }
        Err(error) => warn!(%error, "watching VpcConnector objects failed; it is tried again"),
        Ok(_) => {}
    }
}

/// Holds listed objects back until the list is whole: the store shows them no earlier, and a reconcile before that
/// would act on the object as it was, or find none.
fn ready_objects(listed: &mut Vec<Guarded>, event: watcher::Result<Event<Guarded>>) -> Vec<watcher::Result<Guarded>> {
    match event {
        Ok(Event::Apply(object)) => vec![Ok(object)],
        Ok(Event::InitApply(object)) => {
            listed.push(object);
            Vec::new()
        }
        Ok(Event::Init) => {
            listed.clear();
            Vec::new()
        }
        Ok(Event::InitDone) => std::mem::take(listed).into_iter().map(Ok).collect(),
        Ok(Event::Delete(_)) => Vec::new(),
        Err(error) => vec![Err(error)],
    }
}

/// Everything that a decision depends on and that others write. Our own status writes wake nobody.
fn what_wakes(object: &Guarded) -> u64 {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    (&meta.uid, meta.generation, meta.deletion_timestamp.is_some()).hash(&mut hasher);
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER).hash(&mut hasher);
    let annotations = meta.annotations.iter().flatten().filter(|(key, _)| key.starts_with(GROUP));
    annotations.for_each(|annotation| annotation.hash(&mut hasher));
    hasher.finish()
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
    let Some(_worker) = shared.worker(object).await else { return Ok(Action::await_change()) };
    let _running = shared.running.token();
    // Waiting for a worker takes its time: what counts is what the watch shows now.
    let reference = ObjectRef::<Guarded>::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let shown = || watched.store.get(&reference).and_then(|object| object.0.as_ref().ok().cloned().map(Arc::new));
    let result = AssertUnwindSafe(shared.operator.reconcile(shown)).catch_unwind().await;
    let action = result.map_err(|_| Failed::Panicked)??;
    shared.failures().remove(&object.uid().unwrap_or_default());
    Ok(action)
}

/// The queue is the one place that retries, and each object backs off by itself.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn retry(object: Arc<Guarded>, failed: &Failed, watched: Arc<Watched>) -> Action {
    let shared = &watched.shared;
    let failures = {
        let mut all = shared.failures();
        let failures = all.entry(object.uid().unwrap_or_default()).or_default();
        *failures = failures.saturating_add(1);
        *failures
    };
    let wait = shared.operator.rules.pace.retry.jittered(failures, rand::random());
    let (namespace, name) = (object.namespace(), object.name_any());
    let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    error!(namespace, name, error = %failed, failures, retry_ms, "reconcile failed; it is tried again");
    Action::requeue(wait)
}

impl Shared {
    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a worker; there is none any more once the operator stops.
    async fn worker(&self, object: &VpcConnector) -> Option<Worker> {
        tokio::select! {
            biased;
            () = self.operator.stopping.cancelled() => None,
            worker = self.workers.enter(&object.spec.arn) => worker,
        }
    }
}

/// The bounded workers: so many in all, and half of them for one account and region.
struct Workers {
    all: Arc<Semaphore>,
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    a_lane: usize,
}

struct Worker {
    _lane: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Workers {
    fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.max(1);
        Self { all: Arc::new(Semaphore::new(concurrency)), lanes: Mutex::default(), a_lane: (concurrency / 2).max(1) }
    }

    /// The lane first: who waits for a slow region must not hold a worker that others could use.
    async fn enter(&self, arn: &str) -> Option<Worker> {
        let lane = self.lane(arn).acquire_owned().await.ok()?;
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some(Worker { _lane: lane, _all: all })
    }

    fn lane(&self, arn: &str) -> Arc<Semaphore> {
        let key =
            arn.parse::<ConnectorArn>().map_or_else(|_| String::new(), |a| format!("{}/{}", a.account(), a.region()));
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.a_lane))).clone()
    }
}
