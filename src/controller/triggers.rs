//! Triggers reconciles other than by a change of the object.

use std::collections::HashMap;

use futures::stream::{self, Stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::cluster::received::Received;

/// Sends an object to the controller of its namespace.
#[derive(Clone, Default)]
pub(super) struct Triggers {
    /// By namespace; `None` is the controller of all namespaces.
    senders: HashMap<Option<String>, UnboundedSender<ObjectRef<Received>>>,
}

impl Triggers {
    /// Adds a controller, and returns the stream of its triggers.
    pub(super) fn add(&mut self, namespace: Option<String>) -> impl Stream<Item = ObjectRef<Received>> + Send + use<> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.senders.insert(namespace, sender);
        stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
    }

    /// Triggers a reconcile of an object.
    pub(super) fn send(&self, object: ObjectRef<Received>) {
        let sender = self.senders.get(&object.namespace).or_else(|| self.senders.get(&None));
        // The receiver is gone once its controller has ended.
        let _ = sender.map(|sender| sender.send(object));
    }

    /// Triggers a reconcile of each object.
    pub(super) fn send_all(&self, objects: Vec<ObjectRef<Received>>) {
        for object in objects {
            self.send(object);
        }
    }
}
