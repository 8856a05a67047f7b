//! Diagnostics of the controller for probes and metrics: its health, and the objects in its stores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use kube::runtime::reflector::Store;

use crate::api::{VpcConnectorStatus, condition};
use crate::cluster::received::Received;
use crate::controller::admission::Admission;
use crate::sync::lock;
use crate::telemetry::health::Health;

/// The health of the controller and the objects that it watches.
#[derive(Default)]
pub(crate) struct Diagnostics {
    /// The state behind `/livez` and `/readyz`.
    pub(crate) health: Arc<Health>,
    stores: Mutex<Vec<Store<Received>>>,
    synced: AtomicUsize,
    admission: OnceLock<Arc<Admission>>,
}

/// Numbers of objects.
#[derive(Debug, Default)]
pub(crate) struct ObjectCounts {
    /// Objects by the reason of their Ready condition; New without one, and Malformed if the object does not parse.
    pub(crate) reasons: BTreeMap<String, i64>,
    /// Objects that are being deleted, by the reason of their Ready condition, or Paused.
    pub(crate) waiting: BTreeMap<String, i64>,
    /// Objects that are stalled.
    pub(crate) stalled: i64,
}

impl Diagnostics {
    /// Adds the store of a watch.
    pub(crate) fn add(&self, store: Store<Received>) {
        lock(&self.stores).push(store);
    }

    /// Records that one more watch has listed its objects. kube's `wait_until_ready` is not used, because it wakes only the last
    /// of several waiters.
    pub(crate) fn synced(&self) {
        let synced = self.synced.fetch_add(1, Ordering::Relaxed) + 1;
        if synced >= lock(&self.stores).len() {
            self.health.synced();
        }
    }

    /// Sets the queue of the workers.
    pub(super) fn set_admission(&self, admission: Arc<Admission>) {
        // The controller runs once in a process.
        let _ = self.admission.set(admission);
    }

    /// The number of objects that wait for a worker.
    pub(crate) fn queue(&self) -> i64 {
        let queued = self.admission.get().map_or(0, |admission| admission.queued());
        i64::try_from(queued).unwrap_or(i64::MAX)
    }

    /// Counts the objects in the stores.
    pub(crate) fn objects(&self) -> ObjectCounts {
        let mut counts = ObjectCounts::default();
        for object in lock(&self.stores).iter().flat_map(Store::state) {
            let (status, metadata) = match &object.0 {
                Ok(object) => (object.status.as_ref(), &object.metadata),
                Err(unparsable) => (None, &unparsable.metadata),
            };
            let has = |condition| status.is_some_and(|status| status.condition(condition).is_some());
            let ready = status.and_then(VpcConnectorStatus::ready_reason);
            let reason = if object.0.is_err() { "Malformed" } else { ready.unwrap_or("New") };
            *counts.reasons.entry(reason.to_owned()).or_default() += 1;
            if metadata.deletion_timestamp.is_some() {
                // The Ready condition of a paused object is from before the pause.
                let reason = if has(condition::PAUSED) { "Paused" } else { reason };
                *counts.waiting.entry(reason.to_owned()).or_default() += 1;
            }
            counts.stalled += i64::from(has(condition::STALLED));
        }
        counts
    }
}
