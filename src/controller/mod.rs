//! The controller: the queue, the workers, and the shutdown.
//!
//! kube's `Controller` is the queue: one reconcile for each object at a time, requeues included. This module adds what kube
//! leaves open. The workers are bounded, and one account and region gets at most half of them. A panic or an object that
//! does not parse ends its own reconcile only. A shutdown finishes the calls in progress.

mod admission;
pub(crate) mod diagnostics;
mod execute;
mod lock;
mod memory;
pub(crate) mod reconcile;
mod triggers;
pub(crate) mod watch;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use futures::stream::{self, SelectAll};
use kube::runtime::controller::{Action, Controller, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, error_span};

use self::admission::{Admission, Worker};
use self::diagnostics::Diagnostics;
use self::reconcile::Reconciler;
use self::triggers::Triggers;
use self::watch::{WatchHandler, watch};
use crate::api::{Uid, VpcConnector};
use crate::apprunner::service_scans::Subscriber;
use crate::cluster;
use crate::cluster::received::Received;
use crate::core::arn::ConnectorArn;
use crate::core::intervals::millis;
use crate::sync::lock;
use crate::telemetry::health::HEARTBEAT;
use crate::telemetry::incidents::SharedFailure;

/// The state that all reconciles share.
struct Shared {
    reconciler: Reconciler,
    admission: Arc<Admission>,
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
    store: Store<Received>,
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
/// `blockers_changed` receives the objects to reconcile because the blockers of their connector changed.
pub(crate) async fn run(
    client: Client,
    reconciler: Reconciler,
    blockers_changed: UnboundedReceiver<Subscriber>,
    scope: Scope<'_>,
    diagnostics: Arc<Diagnostics>,
) {
    let stopping = reconciler.may_act.stopping.clone();
    let mut triggers = Triggers::default();
    let watched: Vec<_> = namespaces(scope.namespaces)
        .into_iter()
        .map(|namespace| (triggers.add(namespace.clone()), namespace))
        .collect();
    let shared = Arc::new(Shared {
        reconciler,
        admission: Admission::new(scope.concurrency, triggers.clone()),
        diagnostics: diagnostics.clone(),
        running: TaskTracker::new(),
        failures: Mutex::default(),
    });
    diagnostics.set_admission(shared.admission.clone());
    let mut controllers = SelectAll::new();
    for (triggered, namespace) in watched {
        let api = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), &name));
        let (changes, store) = watch(api, &shared.reconciler.rules.intervals, shared.clone());
        diagnostics.add(store.clone());
        let context = Arc::new(Context { shared: shared.clone(), store: store.clone() });
        let controller = Controller::for_stream(changes, store)
            .reconcile_on(triggered)
            .graceful_shutdown_on(stopping.clone().cancelled_owned())
            .run(reconcile, error_policy, context);
        controllers.push(controller.boxed());
    }
    let forwarding = tokio::spawn(forward(blockers_changed, triggers));
    // The heartbeat comes from the loop that drives all controllers, so that a stuck loop fails /livez.
    let beats = stream::unfold((), |()| async { Some((tokio::time::sleep(HEARTBEAT).await, ())) }).map(Ok);
    let driving = stream::select(beats, controllers.map(|result| result.map(|_| ()))).for_each(|result| {
        diagnostics.health.heartbeat();
        if let Err(error) = result {
            shared.note_controller_error(&error);
        }
        std::future::ready(())
    });
    let finished = async {
        stopping.cancelled().await;
        shared.running.close();
        shared.running.wait().await;
    };
    tokio::select! {
        () = driving => {}
        () = finished => {}
    }
    forwarding.abort();
}

async fn forward(mut blockers_changed: UnboundedReceiver<Subscriber>, triggers: Triggers) {
    while let Some(subscriber) = blockers_changed.recv().await {
        triggers.send(ObjectRef::new(&subscriber.name).within(&subscriber.namespace));
    }
}

/// The namespaces to watch; `None` is all of them. Each has a watch and a store of its own, because a restarted watch
/// replaces the whole content of its store.
fn namespaces(named: &[String]) -> BTreeSet<Option<String>> {
    if named.is_empty() { BTreeSet::from([None]) } else { named.iter().cloned().map(Some).collect() }
}

/// Reconciles one object as soon as a worker is free, in a task of its own: the `Controller` polls all of its reconciles
/// whenever one of them makes progress, and a task is cheap to poll.
async fn reconcile(received: Arc<Received>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let shared = &context.shared;
    let (namespace, name) = (received.namespace(), received.name_any());
    let arn = received.object().map(|object| object.spec.arn.as_str());
    let span = || error_span!("reconcile", object.namespace = namespace, object.name = name, arn);
    let object = match &received.0 {
        Ok(object) => object,
        Err(unparsable) => {
            span().in_scope(|| shared.reconciler.report_unparsable(unparsable));
            return Ok(Action::await_change());
        }
    };
    if shared.reconciler.may_act.stopping.is_cancelled() {
        return Ok(Action::await_change());
    }
    let reference = ObjectRef::from(&*received);
    let account_region = object.spec.arn.parse::<ConnectorArn>().ok().map(|arn| arn.account_region().clone());
    let Some(worker) = shared.admission.admit(reference.clone(), account_region) else {
        return Ok(Action::await_change());
    };
    let reconciling = reconcile_with(worker, reference, object.id(), context.clone());
    // A panic is a defect of the operator, and must not end the reconciles of other objects.
    shared.running.spawn(reconciling.instrument(span())).await.unwrap_or(Err(ReconcileError::Panicked))
}

async fn reconcile_with(
    worker: Worker,
    reference: ObjectRef<Received>,
    uid: Uid,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let shared = &context.shared;
    let began = Instant::now();
    let shown = || context.store.get(&reference).and_then(|received| received.object().cloned());
    let result = shared.reconciler.reconcile(shown).await;
    drop(worker);
    shared.reconciler.metrics.observe_reconcile(began.elapsed(), result.is_ok());
    shared.note_api_server(&uid, &result);
    let action = result?;
    shared.failures().remove(&uid);
    Ok(action)
}

/// Requeues an object after a failed reconcile, with a backoff of its own.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(object: Arc<Received>, failed: &ReconcileError, context: Arc<Context>) -> Action {
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
    fn shown(&self, object: &Arc<VpcConnector>) {
        self.reconciler.objects.shown(object);
    }

    fn deleted(&self, uid: &Uid) {
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
    fn note_api_server(&self, uid: &Uid, result: &Result<Action, cluster::Error>) {
        let incidents = &self.reconciler.incidents;
        match result {
            Err(cluster::Error::NoAnswer { verb, message } | cluster::Error::NotServed { verb, message }) => {
                incidents.no_answer(uid, verb, message);
            }
            Ok(_) | Err(_) => incidents.end(&SharedFailure::ApiServer, uid),
        }
    }

    fn note_controller_error(&self, error: &ControllerError<ReconcileError, watcher::Error>) {
        debug!(%error, "the controller reports an error");
        // A worker may be reserved for an object that is gone when its turn comes.
        if let ControllerError::ObjectNotFound(object) = error {
            self.admission
                .forget(&ObjectRef::new(&object.name).within(object.namespace.as_deref().unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
