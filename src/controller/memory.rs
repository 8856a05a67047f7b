//! The states of objects between reconciles.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::api::{Uid, VpcConnector};
use crate::core::intervals::Intervals;
use crate::core::state::ObjectState;
use crate::sync::lock;

/// A state that was not used for this long is dropped: its object no longer exists.
const KEEP: Duration = Duration::from_hours(1);

/// The states of objects, by uid.
pub(super) struct ObjectStates {
    keep: Duration,
    states: Mutex<HashMap<Uid, (Box<ObjectState>, Instant)>>,
}

impl ObjectStates {
    /// No states yet.
    pub(super) fn new(intervals: &Intervals) -> Self {
        Self { keep: KEEP.max(intervals.resync * 2), states: Mutex::default() }
    }

    /// Takes the state of an object for a reconcile; of one that this process has not seen before, from its status.
    pub(super) fn take(&self, object: &VpcConnector) -> ObjectState {
        let known = lock(&self.states).remove(&object.id()).map(|(state, _)| *state);
        known.unwrap_or_else(|| object.status.as_ref().map_or_else(ObjectState::default, ObjectState::from_status))
    }

    /// Keeps the state of an object.
    pub(super) fn put(&self, uid: Uid, state: ObjectState) {
        let mut states = lock(&self.states);
        states.insert(uid, (Box::new(state), Instant::now()));
        // Dropping old states each time that the map doubles is often enough: they cost only memory.
        if states.len().is_power_of_two() {
            states.retain(|_, (_, used)| used.elapsed() < self.keep);
        }
    }

    /// Drops the state of an object.
    pub(super) fn remove(&self, uid: &Uid) {
        lock(&self.states).remove(uid);
    }
}
