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

    /// The objects by the reason of their Ready condition, and how many are stalled.
    pub fn objects(&self) -> (BTreeMap<String, i64>, i64) {
        let (mut reasons, mut stalled) = (BTreeMap::new(), 0);
        for object in lock(&self.stores).iter().flat_map(Store::state) {
            let status = object.0.as_ref().ok().and_then(|object| object.status.as_ref());
            let reason = match &object.0 {
                Ok(_) => status.and_then(VpcConnectorStatus::ready_reason).unwrap_or("New"),
                Err(_) => "Malformed",
            };
            *reasons.entry(reason.to_owned()).or_default() += 1;
            stalled += i64::from(status.is_some_and(|status| status.condition(condition::STALLED).is_some()));
        }
        (reasons, stalled)
    }
}

impl Drop for WaitsForWorker<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
