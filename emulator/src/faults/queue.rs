//! The queue of faults that no call has matched yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fault::{CallAttributes, Fault};
use super::kind::FaultKind;

/// The id of a fault in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedFault {
    /// Id for removing the fault.
    pub id: FaultId,
    /// The fault, with the rest of `skip` and `count`.
    pub fault: Fault,
}

/// A fault that is injected into one call.
#[derive(Debug)]
pub(crate) struct ActiveFault {
    pub(crate) kind: FaultKind,
    cleared_signal: watch::Receiver<()>,
}

impl ActiveFault {
    /// Splits the fault into its kind and a future that is ready once the fault is cleared.
    pub(crate) fn into_parts(self) -> (FaultKind, impl Future<Output = ()> + Send) {
        let Self { kind, mut cleared_signal } = self;
        let cleared = async move {
            // Nothing is ever sent on the channel; it ends when the queue drops the sender.
            let _ = cleared_signal.changed().await;
        };
        (kind, cleared)
    }
}

/// The faults that wait for a matching call, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue {
    next_id: u64,
    waiting: Vec<QueuedFault>,
    /// One sender for every fault that is not cleared, also for faults that no longer wait but keep a call open.
    uncleared: BTreeMap<FaultId, watch::Sender<()>>,
}

impl FaultQueue {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        self.next_id += 1;
        let id = FaultId(self.next_id);
        self.uncleared.insert(id, watch::Sender::new(()));
        if fault.count != Some(0) {
            self.waiting.push(QueuedFault { id, fault });
        }
        id
    }

    pub(crate) fn all(&self) -> Vec<QueuedFault> {
        self.waiting.clone()
    }

    /// Removes a fault and ends the calls that it keeps open; returns false if the fault no longer waited.
    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        self.uncleared.remove(&id);
        let before = self.waiting.len();
        self.waiting.retain(|queued| queued.id != id);
        self.waiting.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.uncleared.clear();
        self.waiting.clear();
    }

    /// Takes the fault for this call, and counts down `skip` of the older faults that match it.
    pub(crate) fn take(&mut self, call: &CallAttributes<'_>) -> Option<ActiveFault> {
        let position = self.waiting.iter_mut().position(|QueuedFault { fault, .. }| {
            if !fault.matches(call) {
                return false;
            }
            let skipped = fault.skip > 0;
            fault.skip = fault.skip.saturating_sub(1);
            !skipped
        })?;
        let QueuedFault { id, fault } = self.waiting.get_mut(position)?;
        let active = ActiveFault { kind: fault.kind.clone(), cleared_signal: self.uncleared.get(id)?.subscribe() };
        fault.count = fault.count.map(|count| count.saturating_sub(1));
        if fault.count == Some(0) {
            self.waiting.remove(position);
        }
        Some(active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn call(operation: Operation, arn: Option<&'static str>) -> CallAttributes<'static> {
        CallAttributes { operation, arn, account: "111122223333", region: "eu-west-1", access_key_id: "AKID" }
    }

    #[test]
    fn injects_the_oldest_match_as_often_as_its_count() {
        let mut queue = FaultQueue::default();
        queue.add(Fault::new(FaultKind::AccessDenied).on(Operation::TagResource));
        queue.add(Fault::new(FaultKind::ClosedBeforeEffect).times(2));
        queue.add(Fault::new(FaultKind::ClosedAfterEffect).forever());
        let mut next = || queue.take(&call(Operation::DeleteVpcConnector, None)).map(|taken| taken.kind);
        assert_eq!(next(), Some(FaultKind::ClosedBeforeEffect));
        assert_eq!(next(), Some(FaultKind::ClosedBeforeEffect));
        assert_eq!(next(), Some(FaultKind::ClosedAfterEffect));
        assert_eq!(next(), Some(FaultKind::ClosedAfterEffect));
        let taken = queue.take(&call(Operation::TagResource, None)).unwrap();
        assert_eq!(taken.kind, FaultKind::AccessDenied);
    }

    #[test]
    fn lets_skip_calls_pass_before_it_injects() {
        let mut queue = FaultQueue::default();
        queue.add(Fault::new(FaultKind::AccessDenied).skip(2));
        let injected: Vec<bool> = (0..4).map(|_| queue.take(&call(Operation::ListServices, None)).is_some()).collect();
        assert_eq!(injected, [false, false, true, false]);
        assert!(queue.all().is_empty());
    }
}
