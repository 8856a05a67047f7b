//! Changes that the proxy makes to the events of watches.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::answer::status;
use super::{Shared, Switches};

/// One event that the API server sent to a watch.
#[derive(Clone, Debug)]
pub struct Event {
    /// ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
    pub kind: String,
    pub resource: String,
    pub name: String,
    pub uid: String,
    /// True if the proxy dropped the event.
    pub dropped: bool,
    line: Bytes,
}

impl Event {
    fn read(resource: &str, line: Bytes) -> Self {
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &event["object"]["metadata"];
        let (kind, name, uid) = (word(&event["type"]), word(&meta["name"]), word(&meta["uid"]));
        Self { kind, resource: resource.to_owned(), name, uid, dropped: false, line }
    }
}

enum Command {
    Show(Bytes),
    /// Ends the stream as the API server does when a watch's time is up.
    End,
    /// Ends the connection in the middle of the stream.
    Cut,
    Strand,
}

struct Open {
    resource: String,
    commands: mpsc::UnboundedSender<Command>,
}

struct Drops {
    remaining: u32,
    condition: Box<dyn Fn(&Event) -> bool + Send>,
}

/// The open watches, and every event that the API server has sent to one.
#[derive(Default)]
pub(super) struct Watches {
    open: Vec<Open>,
    events: Vec<Event>,
    drops: Vec<Drops>,
}

impl Watches {
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.clone()
    }

    pub(super) fn open(&self) -> usize {
        self.open.iter().filter(|open| !open.commands.is_closed()).count()
    }

    pub(super) fn drop_events(&mut self, count: u32, condition: Box<dyn Fn(&Event) -> bool + Send>) {
        self.drops.push(Drops { remaining: count, condition });
    }

    pub(super) fn cut(&mut self) {
        self.command(|_| vec![Command::Cut]);
    }

    pub(super) fn strand(&mut self) {
        self.command(|_| vec![Command::Strand]);
    }

    pub(super) fn end(&mut self) {
        self.command(|_| vec![Command::End]);
    }

    pub(super) fn expire(&mut self) {
        let event = json!({"type": "ERROR", "object": status(410, None)});
        let line = Bytes::from(format!("{event}\n"));
        self.command(|_| vec![Command::Show(line.clone()), Command::End]);
    }

    pub(super) fn replay(&mut self, uid: &str) -> usize {
        let events: Vec<_> = self.events.iter().filter(|event| event.uid == uid).cloned().collect();
        self.command(|open| {
            let fitting = events.iter().filter(|event| event.resource == open.resource);
            fitting.map(|event| Command::Show(event.line.clone())).collect()
        });
        events.len()
    }

    fn command(&mut self, commands: impl Fn(&Open) -> Vec<Command>) {
        self.open.retain(|open| !open.commands.is_closed());
        for open in &self.open {
            for command in commands(open) {
                let _ = open.commands.send(command);
            }
        }
    }

    /// Records an event; returns whether it is to be delivered.
    fn record(&mut self, mut event: Event) -> bool {
        let drops = self.drops.iter_mut().find(|drops| drops.remaining > 0 && (drops.condition)(&event));
        if let Some(drops) = drops {
            drops.remaining -= 1;
            event.dropped = true;
        }
        let shown = !event.dropped;
        self.events.push(event);
        shown
    }

    /// Creates the event stream of a new watch.
    pub(super) fn begin(&mut self, resource: &str, switches: watch::Receiver<Switches>) -> (EventStream, WatchBody) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (to_client, mut shown) = mpsc::unbounded_channel();
        self.open.push(Open { resource: resource.to_owned(), commands: sender });
        let events = EventStream {
            resource: resource.to_owned(),
            commands,
            injected: VecDeque::new(),
            waiting: VecDeque::new(),
            switches,
            to_client,
        };
        (events, Box::pin(stream::poll_fn(move |context| shown.poll_recv(context))))
    }
}

/// The body of a watch's answer; an error in it cuts the connection.
pub(super) type WatchBody = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync>>;

/// One watch's events on their way through the proxy.
pub(super) struct EventStream {
    resource: String,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Events that the test has injected, which no delay affects.
    injected: VecDeque<Step>,
    waiting: VecDeque<(Instant, Step)>,
    switches: watch::Receiver<Switches>,
    to_client: mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>,
}

enum Step {
    Show(Bytes),
    End,
}

impl EventStream {
    /// Forwards events until one side ends the watch.
    pub(super) async fn run(mut self, body: Body, shared: Arc<Shared>) {
        let mut events = std::pin::pin!(lines(body));
        let mut ended = false;
        loop {
            let step = tokio::select! {
                biased;
                () = self.to_client.closed() => return,
                Some(command) = self.commands.recv() => match command {
                    Command::Show(line) => { self.injected.push_back(Step::Show(line)); continue }
                    Command::End => { self.injected.push_back(Step::End); continue }
                    Command::Cut => return self.cut(),
                    Command::Strand => return self.to_client.closed().await,
                },
                line = events.next(), if !ended => {
                    let Some(line) = line else { ended = true; self.enqueue(Step::End); continue };
                    if shared.watches().record(Event::read(&self.resource, line.clone())) {
                        self.enqueue(Step::Show(line));
                    }
                    continue;
                }
                step = next(&mut self.injected, &mut self.waiting, &mut self.switches) => step,
            };
            match step {
                Step::Show(line) => {
                    let _ = self.to_client.send(Ok(Frame::data(line)));
                }
                Step::End => return,
            }
        }
    }

    fn enqueue(&mut self, step: Step) {
        self.waiting.push_back((Instant::now(), step));
    }

    fn cut(&self) {
        let _ = self.to_client.send(Err(std::io::Error::other("cut")));
    }
}

/// Waits until an event may be delivered, and takes it; cancelling this future loses nothing.
async fn next(
    injected: &mut VecDeque<Step>,
    waiting: &mut VecDeque<(Instant, Step)>,
    switches: &mut watch::Receiver<Switches>,
) -> Step {
    loop {
        let now = *switches.borrow_and_update();
        let open = !now.answers_nothing && !now.silent;
        if open && let Some(step) = injected.pop_front() {
            return step;
        }
        let due = waiting.front().filter(|_| open).map(|(arrived, _)| *arrived + now.late_by);
        let changed = async {
            if switches.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match due {
            Some(due) => {
                if tokio::time::timeout_at(due, changed).await.is_err()
                    && let Some((_, step)) = waiting.pop_front()
                {
                    return step;
                }
            }
            None => changed.await,
        }
    }
}

/// The lines of a body, each with its line break.
fn lines(body: Body) -> impl Stream<Item = Bytes> {
    let chunks = body.into_data_stream();
    stream::unfold((chunks, Vec::<u8>::new()), |(mut chunks, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let tail = rest.split_off(end + 1);
                return Some((Bytes::from(rest), (chunks, tail)));
            }
            rest.extend_from_slice(&chunks.next().await?.ok()?);
        }
    })
}
