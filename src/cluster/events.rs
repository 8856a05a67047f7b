//! Tells what happened as Kubernetes Events, and never makes anything wait for it.
//!
//! Events are a courtesy: the status says everything that matters. So they go through a bounded queue, one that is full
//! drops them, and a namespace that is being deleted refuses them without harm. What is lost is counted, and the log says
//! once for each namespace why.

use std::collections::BTreeSet;
use std::sync::Arc;

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::{Error, within_deadline};
use crate::core::status::PendingEvent;
use crate::telemetry::metrics::{EventLoss, Metrics};

/// More Events than this are not waiting to be sent; the API server would not take them any faster.
const QUEUE: usize = 1024;
/// The API server refuses a note of more bytes.
const LONGEST_NOTE: usize = 1024;
/// A recorder keeps what it sent for minutes, to count what repeats; no more than this many.
const MOST_KEPT: usize = 128;

/// Takes Events, and drops them when there are too many.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(ObjectReference, PendingEvent)>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts the task that sends Events; it ends when every `Events` is dropped and the queue is empty.
    pub fn start(client: Client, metrics: Arc<Metrics>) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let sending =
            tokio::spawn(send_all(client, waiting, Losses { metrics: metrics.clone(), told: BTreeSet::new() }));
        (Self { queue, metrics }, sending)
    }

    /// Hands over an Event about an object.
    pub fn publish(&self, about: ObjectReference, event: PendingEvent) {
        if let Err(error) = self.queue.try_send((about, event)) {
            debug!(%error, "an Event is dropped");
            self.metrics.event_lost(EventLoss::QueueFull);
        }
    }
}

/// Counts the Events that were not taken, and tells of the first.
struct Losses {
    metrics: Arc<Metrics>,
    told: BTreeSet<(Option<String>, EventLoss)>,
}

impl Losses {
    /// Takes note of an Event that was published: where that works again, the next loss is news.
    fn published(&mut self, namespace: Option<&String>) {
        self.told.retain(|(told, _)| told.as_ref() != namespace);
    }

    fn lost(&mut self, about: &ObjectReference, reason: &str, error: &Error) {
        let loss = loss_of(error);
        self.metrics.event_lost(loss);
        // An API server that does not answer is logged as such, and not for each Event.
        let passes = matches!(loss, EventLoss::NamespaceTerminating | EventLoss::Gone | EventLoss::NoAnswer);
        let ObjectReference { namespace, name, .. } = about;
        if !passes && self.told.insert((namespace.clone(), loss)) {
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

async fn send_all(client: Client, mut waiting: mpsc::Receiver<(ObjectReference, PendingEvent)>, mut losses: Losses) {
    let instance = std::env::var("HOSTNAME").ok();
    let reporter = Reporter { controller: "apprunner-operator".into(), instance };
    let new = || Recorder::new(client.clone(), reporter.clone());
    let (mut recorder, mut kept) = (new(), HashMap::new());
    while let Some((about, mut event)) = waiting.recv().await {
        event.note.truncate(event.note.floor_char_boundary(LONGEST_NOTE));
        let key = (about.uid.clone(), event.reason);
        // A recorder counts what it takes for the same, and would not send another note.
        let differs = kept.get(&key).is_some_and(|note| *note != event.note);
        if differs || kept.len() == MOST_KEPT {
            (recorder, kept) = (new(), HashMap::new());
        }
        kept.insert(key, event.note.clone());
        let event = Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.to_string(),
            note: Some(event.note),
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
    fn every_loss_has_its_reason() {
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
    fn a_loss_is_told_once_for_each_namespace_until_an_event_is_taken_there() {
        let mut losses = Losses { metrics: Arc::default(), told: BTreeSet::new() };
        let told = |losses: &Losses| losses.told.len();
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        losses.lost(&about("b"), "InUse", &refused(403, "no"));
        losses.lost(&about("b"), "InUse", &Error::Gone);
        assert_eq!(told(&losses), 2, "what is gone is no news");
        losses.published(Some(&"a".to_owned()));
        assert_eq!(told(&losses), 1);
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        assert_eq!(told(&losses), 2);
    }
}
