//! The Events that wait to be sent.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use tokio::sync::{Notify, watch};

use crate::api::{Uid, VpcConnector};
use crate::core::event::PendingEvent;
use crate::sync::lock;

/// The most Events that wait; each takes about a quarter of a kilobyte.
pub(super) const QUEUE_LENGTH: usize = 10_000;

/// The queue, and the number of reconciles in progress, which come first.
pub(super) struct EventQueue {
    waiting: Mutex<VecDeque<QueuedEvent>>,
    added: Notify,
    closed: AtomicBool,
    reconciling: watch::Sender<usize>,
}

/// An Event that waits to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct QueuedEvent {
    pub(super) about: About,
    pub(super) event: PendingEvent,
    pub(super) since: Instant,
}

/// The object of an Event; smaller than a reference, since thousands of Events may wait.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct About {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    pub(super) uid: Uid,
}

impl From<&VpcConnector> for About {
    fn from(object: &VpcConnector) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default().into(),
            name: object.name_any().into(),
            uid: object.id(),
        }
    }
}

impl About {
    /// Without the resource version: kube counts repetitions of an Event about the same reference only.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(VpcConnector::api_version(&()).into()),
            kind: Some(VpcConnector::kind(&()).into()),
            namespace: Some(self.namespace.to_string()),
            name: Some(self.name.to_string()),
            uid: Some(self.uid.to_string()),
            ..ObjectReference::default()
        }
    }
}

impl EventQueue {
    pub(super) fn new() -> Self {
        let (waiting, added, closed) = Default::default();
        Self { waiting, added, closed, reconciling: watch::Sender::new(0) }
    }

    /// Adds an Event, and returns the one that is dropped because the queue is full.
    pub(super) fn push(&self, event: QueuedEvent) -> Option<QueuedEvent> {
        let dropped = push(&mut lock(&self.waiting), event, QUEUE_LENGTH);
        self.added.notify_one();
        dropped
    }

    /// The oldest Event; `None` once the queue is closed and empty.
    pub(super) async fn pop(&self) -> Option<QueuedEvent> {
        loop {
            let oldest = pop(&mut lock(&self.waiting));
            if oldest.is_some() || self.closed.load(Ordering::Relaxed) {
                return oldest;
            }
            self.added.notified().await;
        }
    }

    /// The number of Events that wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// No Event follows.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.added.notify_one();
    }

    /// Notes that a reconcile begins or ends.
    pub(super) fn note_reconcile(&self, begins: bool) {
        self.reconciling.send_if_modified(|running| {
            *running = if begins { *running + 1 } else { running.saturating_sub(1) };
            // Only this number ends a wait, so others wake nobody.
            *running == 0
        });
    }

    /// Waits until no reconcile is in progress.
    pub(super) async fn no_reconcile(&self) {
        // The sender is a member of `self`, so the channel is open.
        let _ = self.reconciling.subscribe().wait_for(|running| *running == 0).await;
    }
}

/// An empty queue gives back its memory: thousands of Events wait only after thousands of objects were changed at once.
fn pop(waiting: &mut VecDeque<QueuedEvent>) -> Option<QueuedEvent> {
    let oldest = waiting.pop_front();
    if waiting.is_empty() {
        *waiting = VecDeque::new();
    }
    oldest
}

/// A full queue drops the oldest Event about an object that still exists: its status says the same.
fn push(waiting: &mut VecDeque<QueuedEvent>, event: QueuedEvent, most: usize) -> Option<QueuedEvent> {
    let mut dropped = None;
    if waiting.len() >= most {
        let remains = |event: &QueuedEvent| !event.event.reason.is_last();
        match waiting.iter().position(remains) {
            Some(oldest) => dropped = waiting.remove(oldest),
            None if remains(&event) => return Some(event),
            None => dropped = waiting.pop_front(),
        }
    }
    waiting.push_back(event);
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use crate::core::event::EventReason;

    fn event(name: &str, reason: EventReason) -> QueuedEvent {
        let about = About { name: name.into(), ..About::default() };
        let event = PendingEvent::warning(reason, "");
        QueuedEvent { about, event, since: Instant::now() }
    }

    #[test]
    fn a_full_queue_drops_events_of_living_objects_first_and_the_oldest_first() {
        let (deleted, in_use) = (EventReason::State(Reason::Deleted), EventReason::State(Reason::InUse));
        let (mut waiting, mut dropped) = (VecDeque::new(), Vec::new());
        let added = [
            ("a", deleted),
            ("b", in_use),
            ("c", in_use),
            ("d", deleted),
            ("e", deleted),
            ("f", deleted),
            ("g", in_use),
            ("h", EventReason::NotOwned),
        ];
        for (name, reason) in added {
            dropped.extend(push(&mut waiting, event(name, reason), 4).map(|event| event.about.name.into_string()));
        }
        assert_eq!(dropped, ["b", "c", "g", "a"]);
        let left: Vec<_> = waiting.into_iter().map(|event| event.about.name.into_string()).collect();
        assert_eq!(left, ["d", "e", "f", "h"]);
    }

    #[tokio::test]
    async fn an_event_waits_for_the_end_of_all_reconciles() {
        use futures::FutureExt;
        let queue = EventQueue::new();
        assert!(queue.no_reconcile().now_or_never().is_some());
        queue.note_reconcile(true);
        queue.note_reconcile(true);
        queue.note_reconcile(false);
        assert!(queue.no_reconcile().now_or_never().is_none());
        queue.note_reconcile(false);
        assert!(queue.no_reconcile().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_closed_queue_ends_when_it_is_empty() {
        let queue = EventQueue::new();
        assert_eq!(queue.push(event("a", EventReason::Malformed)), None);
        queue.close();
        assert_eq!(queue.pop().await.map(|event| event.about.name).as_deref(), Some("a"));
        assert_eq!(queue.pop().await, None);
    }
}
