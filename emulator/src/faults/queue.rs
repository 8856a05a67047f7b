//! The faults that wait for their calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fault::{Fault, Matched};
use super::kind::FaultKind;

/// Names a fault in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault in the queue, with what is left of `skip` and `count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedFault {
    /// Its name for clearing it.
    pub id: FaultId,
    /// What is left of it.
    pub fault: Fault,
}

/// A fault for the call that plays it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) kind: FaultKind,
    withdrawn: watch::Receiver<()>,
}

impl Taken {
    /// Splits it into what goes wrong, and a wait that ends when the fault is cleared.
    pub(crate) fn into_parts(self) -> (FaultKind, impl Future<Output = ()> + Send) {
        let Self { kind, mut withdrawn } = self;
        let cleared = async move {
            // Nothing is ever sent; the sender's end is the news.
            let _ = withdrawn.changed().await;
        };
        (kind, cleared)
    }
}

/// The faults that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue {
    next_id: u64,
    waiting: Vec<QueuedFault>,
    /// Every fault until it is cleared, also those that wait no longer but may still hold a call.
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

    /// Takes a fault out and lets go of the calls that it holds; says whether it still waited.
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

    /// Takes the fault that this call plays, and counts down the `skip` of those that let it pass.
    pub(crate) fn take(&mut self, call: &Matched<'_>) -> Option<Taken> {
        let position = self.waiting.iter_mut().position(|QueuedFault { fault, .. }| {
            if !fault.matches(call) {
                return false;
            }
            let passes = fault.skip > 0;
            fault.skip = fault.skip.saturating_sub(1);
            !passes
        })?;
        let QueuedFault { id, fault } = self.waiting.get_mut(position)?;
        let taken = Taken { kind: fault.kind.clone(), withdrawn: self.uncleared.get(id)?.subscribe() };
        fault.count = fault.count.map(|count| count.saturating_sub(1));
        if fault.count == Some(0) {
            self.waiting.remove(position);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn call(operation: Operation, arn: Option<&'static str>) -> Matched<'static> {
        Matched { operation, arn, account: "111122223333", region: "eu-west-1", access_key_id: "AKID" }
    }

    #[test]
    fn plays_the_oldest_match_as_often_as_asked() {
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
    fn skips_before_it_plays() {
        let mut queue = FaultQueue::default();
        queue.add(Fault::new(FaultKind::AccessDenied).skip(2));
        let played: Vec<bool> = (0..4).map(|_| queue.take(&call(Operation::ListServices, None)).is_some()).collect();
        assert_eq!(played, [false, false, true, false]);
        assert!(queue.all().is_empty());
    }
}
