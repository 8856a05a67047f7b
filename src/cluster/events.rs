//! Tells what happened as Kubernetes Events, and never makes anything wait for it.
//!
//! Events are a courtesy: the status says everything that matters. So they go through a bounded queue, one that is full
//! drops them, and a namespace that is being deleted refuses them without harm.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::within_deadline;
use crate::core::report::Notice;

/// More Events than this are not waiting to be sent; the API server would not take them any faster.
const QUEUE: usize = 1024;
/// The API server refuses a note of more bytes.
const LONGEST_NOTE: usize = 1024;
/// A recorder keeps what it sent for minutes, to count what repeats; no more than this many.
const MOST_KEPT: usize = 128;

/// Takes Events, and drops them when there are too many.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(ObjectReference, Notice)>,
}

impl Events {
    /// Starts the task that sends Events; it ends when every `Events` is dropped and the queue is empty.
    pub fn start(client: Client) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, tokio::spawn(send_all(client, waiting)))
    }

    /// Hands over an Event about an object.
    pub fn tell(&self, about: ObjectReference, notice: Notice) {
        if let Err(error) = self.queue.try_send((about, notice)) {
            debug!(%error, "an Event is dropped");
        }
    }
}

async fn send_all(client: Client, mut waiting: mpsc::Receiver<(ObjectReference, Notice)>) {
    let instance = std::env::var("HOSTNAME").ok();
    let reporter = Reporter { controller: "apprunner-operator".into(), instance };
    let new = || Recorder::new(client.clone(), reporter.clone());
    let (mut recorder, mut kept) = (new(), HashMap::new());
    while let Some((about, mut notice)) = waiting.recv().await {
        notice.note.truncate(notice.note.floor_char_boundary(LONGEST_NOTE));
        let key = (about.uid.clone(), notice.reason);
        // A recorder counts what it takes for the same, and would not send another note.
        let differs = kept.get(&key).is_some_and(|note| *note != notice.note);
        if differs || kept.len() == MOST_KEPT {
            (recorder, kept) = (new(), HashMap::new());
        }
        kept.insert(key, notice.note.clone());
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_string(),
            note: Some(notice.note),
            action: "Reconcile".into(),
            secondary: None,
        };
        if let Err(error) = within_deadline("create an Event", recorder.publish(&event, &about)).await {
            warn!(namespace = about.namespace, name = about.name, reason = %notice.reason, %error, "an Event was not taken");
        }
    }
}
