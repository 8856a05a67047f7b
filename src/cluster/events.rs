//! Publishes Kubernetes Events. No reconcile waits for an Event, and Events wait for the reconciles.
//!
//! The API server is what limits a large number of deletions, and an Event costs it as much as a write to an object. So the
//! next Event is sent when no reconcile is in progress, or after [`YIELD`]. The status has all that users need, so Events may
//! be lost: their queue is bounded, and a namespace that is being deleted refuses them without harm. The metrics count lost
//! Events, and the log has the cause once for each namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::event_queue::{About, EventQueue, QUEUE_LENGTH, QueuedEvent};
use super::{Error, within_deadline};
use crate::core::event::PendingEvent;
use crate::leadership::Leadership;
use crate::telemetry::metrics::{EventLoss, Metrics};

/// While reconciles are in progress, an Event waits this long for them.
const YIELD: Duration = Duration::from_millis(100);
/// An Event that is older waits no longer.
const OVERDUE: Duration = Duration::from_secs(20);
/// Time for the Events in the queue at a shutdown.
const SENT_WITHIN: Duration = Duration::from_secs(2);
/// A recorder keeps its Events for 6 minutes to count repetitions; it keeps at most this many.
const MAX_KEPT: usize = 128;

/// Queues Events. The queue drops Events when it is full.
pub(crate) struct Events {
    queue: Arc<EventQueue>,
    metrics: Arc<Metrics>,
}

/// The task that sends the Events.
pub(crate) struct Publishing {
    queue: Arc<EventQueue>,
    task: JoinHandle<()>,
}

/// A reconcile in progress, until it is dropped. Events wait for its end.
pub(crate) struct Reconciling<'a>(&'a EventQueue);

impl Events {
    /// Starts the task that publishes Events; the task ends when the `Events` are dropped and the queue is empty.
    pub(crate) fn start(client: Client, metrics: Arc<Metrics>, leadership: Arc<Leadership>) -> (Self, Publishing) {
        let queue = Arc::new(EventQueue::new());
        let losses = Losses { metrics: metrics.clone(), logged: BTreeSet::new() };
        let task = tokio::spawn(publish_loop(client, queue.clone(), losses, leadership));
        (Self { queue: queue.clone(), metrics }, Publishing { queue, task })
    }

    /// Queues an Event about an object.
    pub(crate) fn publish(&self, about: About, event: PendingEvent) {
        if let Some(QueuedEvent { about, event, .. }) =
            self.queue.push(QueuedEvent { about, event, since: Instant::now() })
        {
            let About { namespace, name, .. } = about;
            debug!(namespace, name, reason = %event.reason, "an Event is dropped, because {QUEUE_LENGTH} wait");
            if self.metrics.event_lost(EventLoss::QueueFull) == 0 {
                warn!(
                    "{QUEUE_LENGTH} Events wait to be sent, so the oldest are dropped; more of them are only counted"
                );
            }
        }
    }

    /// Notes a reconcile in progress.
    pub(crate) fn reconciling(&self) -> Reconciling<'_> {
        self.queue.note_reconcile(true);
        Reconciling(&self.queue)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        self.0.note_reconcile(false);
    }
}

impl Publishing {
    /// Waits at a shutdown until the queue is empty, for a short time.
    pub(crate) async fn finish(self) {
        if timeout(SENT_WITHIN, self.task).await.is_err() {
            warn!(events = self.queue.len(), "Events are not sent, because the operator shuts down");
        }
    }
}

/// Counts the Events that the API server did not accept, and logs the first of each namespace and cause.
struct Losses {
    metrics: Arc<Metrics>,
    logged: BTreeSet<(Box<str>, EventLoss)>,
}

impl Losses {
    /// Notes an accepted Event: the next loss in this namespace is logged again.
    fn published(&mut self, namespace: &str) {
        self.logged.retain(|(logged, _)| &**logged != namespace);
    }

    fn lost(&mut self, about: &About, reason: &str, error: &Error) {
        let loss = loss_of(error);
        self.metrics.event_lost(loss);
        // An API server that does not answer is logged as a shared failure, and not for each Event.
        let passes = matches!(loss, EventLoss::NamespaceTerminating | EventLoss::Gone | EventLoss::NoAnswer);
        let About { namespace, name, .. } = about;
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

async fn publish_loop(client: Client, queue: Arc<EventQueue>, mut losses: Losses, leadership: Arc<Leadership>) {
    let instance = std::env::var("HOSTNAME").ok();
    let reporter = Reporter { controller: "apprunner-operator".into(), instance };
    let new = || Recorder::new(client.clone(), reporter.clone());
    let (mut recorder, mut kept) = (new(), HashMap::new());
    while let Some(QueuedEvent { about, event, since }) = queue.pop().await {
        if since.elapsed() < OVERDUE {
            let _ = timeout(YIELD, queue.no_reconcile()).await;
        }
        if !leadership.held() {
            debug!(reason = %event.reason, "an Event is not sent, because the Lease was lost");
            continue;
        }
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
        match within_deadline("create an Event", recorder.publish(&event, &about.reference())).await {
            Ok(()) => losses.published(&about.namespace),
            Err(error) => losses.lost(&about, &event.reason, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use kube::client::Body;

    use super::*;
    use crate::api::VpcConnector;
    use crate::core::event::EventReason;

    fn refused(code: u16, message: &str) -> Error {
        Error::Refused { verb: "create an Event", code, message: message.into() }
    }

    fn about(namespace: &str) -> About {
        About { namespace: namespace.into(), ..About::default() }
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
        losses.published("a");
        assert_eq!(logged(&losses), 1);
        losses.lost(&about("a"), "InUse", &refused(403, "no"));
        assert_eq!(logged(&losses), 2);
    }
    /// The methods of the requests for one Event about each of these versions of an object.
    async fn requests(leadership: Arc<Leadership>, versions: &[&str]) -> Vec<http::Method> {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = requests.clone();
        let client = Client::new(
            tower::service_fn(move |request: http::Request<Body>| {
                noted.lock().unwrap().push(request.method().clone());
                std::future::ready(Ok::<_, Infallible>(http::Response::new(Body::from(b"{}".to_vec()))))
            }),
            "default",
        );
        let (events, publishing) = Events::start(client, Arc::default(), leadership);
        for version in versions {
            let mut object = VpcConnector::default();
            object.metadata.namespace = Some("shop".into());
            object.metadata.resource_version = Some((*version).into());
            let event = PendingEvent::warning(EventReason::NotOwned, "of another object");
            events.publish(About::from(&object), event);
        }
        drop(events);
        publishing.finish().await;
        std::mem::take(&mut *requests.lock().unwrap())
    }

    #[tokio::test]
    async fn no_event_is_sent_without_the_leadership() {
        assert_eq!(requests(Leadership::always(), &["1"]).await, [http::Method::POST]);
        assert!(requests(Leadership::elected(), &["1"]).await.is_empty());
    }

    #[tokio::test]
    async fn a_repeated_event_is_counted_in_the_first_also_after_a_write_to_the_object() {
        let methods = requests(Leadership::always(), &["1", "2"]).await;
        assert_eq!(methods, [http::Method::POST, http::Method::PATCH]);
    }
}
