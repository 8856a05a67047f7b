//! Publishes Kubernetes Events. No reconcile waits for an Event.
//!
//! The status has all that users need, so Events may be lost: they go through a bounded queue, which drops them when it
//! is full, and a namespace that is being deleted refuses them without harm. The metrics count lost Events, and the log
//! has the cause once for each namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::{Error, within_deadline};
use crate::core::event::PendingEvent;
use crate::telemetry::metrics::{EventLoss, Metrics};

/// The most Events that wait to be sent; a longer queue would not make the API server faster.
const QUEUE_LENGTH: usize = 1024;
/// A recorder keeps its Events for 6 minutes to count repetitions; it keeps at most this many.
const MAX_KEPT: usize = 128;

/// The queue of Events. It drops Events when it is full.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<(ObjectReference, PendingEvent)>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts the task that publishes Events; the task ends when every `Events` is dropped and the queue is empty.
    pub(crate) fn start(client: Client, metrics: Arc<Metrics>) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let publishing =
            tokio::spawn(publish_loop(client, waiting, Losses { metrics: metrics.clone(), logged: BTreeSet::new() }));
        (Self { queue, metrics }, publishing)
    }

    /// Queues an Event about an object.
    pub(crate) fn publish(&self, about: ObjectReference, event: PendingEvent) {
        if let Err(error) = self.queue.try_send((about, event)) {
            debug!(%error, "an Event is dropped");
            self.metrics.event_lost(EventLoss::QueueFull);
        }
    }
}

/// Counts the Events that the API server did not accept, and logs the first of each namespace and cause.
struct Losses {
    metrics: Arc<Metrics>,
    logged: BTreeSet<(Option<String>, EventLoss)>,
}

impl Losses {
    /// Notes an accepted Event: the next loss in this namespace is logged again.
    fn published(&mut self, namespace: Option<&String>) {
        self.logged.retain(|(logged, _)| logged.as_ref() != namespace);
    }

    fn lost(&mut self, about: &ObjectReference, reason: &str, error: &Error) {
        let loss = loss_of(error);
        self.metrics.event_lost(loss);
        // An API server that does not answer is logged as a shared failure, and not for each Event.
        let passes = matches!(loss, EventLoss::NamespaceTerminating | EventLoss::Gone | EventLoss::NoAnswer);
        let ObjectReference { namespace, name, .. } = about;
        if !passes && self.logged.insert((namespace.clone(), loss)) {
            warn!(namespace, name, reason, %error, "an Event was not taken; more of them are only counted");
        } else {
            debug!(namespace, name, reason, %error, "an Event was not taken");
        }
    }
}

fn loss_of(error: &Error) -> EventLoss {
    match error {
        // Source: Kubernetes' admission plugin NamespaceLifecycle.
        Error::Refused { code: 403, message, .. } if message.contains("because it is being terminated") => {
            EventLoss::NamespaceTerminating
        }
        Error::Refused { code: 403, .. } => EventLoss::Forbidden,
        Error::Gone => EventLoss::Gone,
        Error::Refused { .. } | Error::WriteRefused(_) | Error::Changed(_) => EventLoss::Refused,
        Error::NoAnswer { .. } | Error::NotServed { .. } => EventLoss::NoAnswer,
    }
}

async fn publish_loop(
    client: Client,
    mut waiting: mpsc::Receiver<(ObjectReference, PendingEvent)>,
    mut losses: Losses,
) {
    let instance = std::env::var("HOSTNAME").ok();
    let reporter = Reporter { controller: "apprunner-operator".into(), instance };
    let new = || Recorder::new(client.clone(), reporter.clone());
    let (mut recorder, mut kept) = (new(), HashMap::new());
    while let Some((about, event)) = waiting.recv().await {
        let key = (about.uid.clone(), event.reason);
        // A recorder counts an Event of the same key as a repetition, and would not publish the new note.
        let differs = kept.get(&key).is_some_and(|note| note != event.note());
        if differs || kept.len() == MAX_KEPT {
            (recorder, kept) = (new(), HashMap::new());
        }
        kept.insert(key, event.note().to_owned());
        let event = Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.to_string(),
            note: Some(event.note().to_owned()),
            action: "Reconcile".into(),
            secondary: None,
        };
        match within_deadline("create an Event", recorder.publish(&event, &about)).await {
            Ok(()) => losses.published(about.namespace.as_ref()),
            Err(error) => losses.lost(&about, &event.reason, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> Error {
        Error::Refused { verb: "create an Event", code, message: message.into() }
    }

    fn about(namespace: &str) -> ObjectReference {
        ObjectReference { namespace: Some(namespace.into()), ..ObjectReference::default() }
    }

    #[test]
    fn every_lost_event_has_a_cause() {
        let terminating = "events.k8s.io \"a\" is forbidden: unable to create new content in namespace shop because it is \
                           being terminated";
        for (error, loss) in [
            (refused(403, "User \"operator\" cannot create resource \"events\""), EventLoss::Forbidden),
            (refused(403, terminating), EventLoss::NamespaceTerminating),
            (refused(422, "denied request"), EventLoss::Refused),
            (Error::Gone, EventLoss::Gone),
            (Error::Changed(String::new()), EventLoss::Refused),
            (Error::NoAnswer { verb: "create an Event", message: String::new() }, EventLoss::NoAnswer),
        ] {
            assert_eq!(loss_of(&error), loss, "{error}");
        }
    }

    #[test]
    fn loss_is_logged_once_for_each_namespace_until_an_event_is_accepted_there() {
        let mut losses = Losses { metrics: Arc::default(), logged: BTreeSet::new() };
        let logged = |losses: &Losses| losses.logged.len();
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        losses.lost(&about("b"), "InUse", &refused(403, "no"));
        losses.lost(&about("b"), "InUse", &Error::Gone);
        assert_eq!(logged(&losses), 2, "an Event of a deleted object is not logged");
        losses.published(Some(&"a".to_owned()));
        assert_eq!(logged(&losses), 1);
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        assert_eq!(logged(&losses), 2);
    }
}
