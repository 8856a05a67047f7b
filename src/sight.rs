//! What can be seen of the operator from outside of its loop: how it is, and what it holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kube::runtime::reflector::Store;

use crate::admin::Health;
use crate::api::{VpcConnectorStatus, condition};
use crate::sync::lock;
use crate::watch::Guarded;

/// Looks at the loop from outside.
#[derive(Default)]
pub struct Sight {
    /// How it is.
    pub health: Arc<Health>,
    stores: Mutex<Vec<Store<Guarded>>>,
    synced: AtomicUsize,
    waiting: AtomicI64,
}

/// The objects that are known, in numbers.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the reason of their Ready condition; New without one, and Malformed where the object does not parse.
    pub reasons: BTreeMap<String, i64>,
    /// Those that are being deleted, by the same, or Paused.
    pub waiting: BTreeMap<String, i64>,
    /// Those that are stalled.
    pub stalled: i64,
}

/// An object that waits for a worker, as long as this is kept.
pub struct WaitsForWorker<'a>(&'a Sight);

impl Sight {
    /// Takes a watch's objects into view.
    pub fn watch(&self, store: Store<Guarded>) {
        lock(&self.stores).push(store);
    }

    /// One more watch knows its objects. (kube's own `wait_until_ready` wakes only the last of several who wait.)
    pub fn synced(&self) {
        let synced = self.synced.fetch_add(1, Ordering::Relaxed) + 1;
        if synced >= lock(&self.stores).len() {
            self.health.synced();
        }
    }

    /// Counts an object that waits for a worker.
    pub fn waiting(&self) -> WaitsForWorker<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitsForWorker(self)
    }

    /// How many objects wait for a worker.
    pub fn queue(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What there is now.
    pub fn objects(&self) -> Seen {
        let mut seen = Seen::default();
        for object in lock(&self.stores).iter().flat_map(Store::state) {
            let (status, metadata) = match &object.0 {
                Ok(object) => (object.status.as_ref(), &object.metadata),
                Err(invalid) => (None, &invalid.metadata),
            };
            let holds = |condition| status.is_some_and(|status| status.condition(condition).is_some());
            let ready = status.and_then(VpcConnectorStatus::ready_reason);
            let reason = if object.0.is_err() { "Malformed" } else { ready.unwrap_or("New") };
            *seen.reasons.entry(reason.to_owned()).or_default() += 1;
            if metadata.deletion_timestamp.is_some() {
                // One that is paused shows what it was before.
                let waits_for = if holds(condition::PAUSED) { "Paused" } else { reason };
                *seen.waiting.entry(waits_for.to_owned()).or_default() += 1;
            }
            seen.stalled += i64::from(holds(condition::STALLED));
        }
        seen
    }
}

impl Drop for WaitsForWorker<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
