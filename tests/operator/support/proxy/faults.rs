//! Faults, and the requests that they affect.
//!
//! A fault waits in a queue until a request matches it, as the emulator's do.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::DEADLINE;
use super::request::{Calls, Request};

/// Kinds of faults; "effect" is the API server's handling of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers with this HTTP status in the API server's form; the request does not reach the API server.
    Refused { code: u16, retry_after: Option<u32> },
    /// Answers with this HTTP status after the effect took place.
    RefusedAfterEffect { code: u16 },
    /// Closes the connection without one byte of an answer; the request does not reach the API server.
    ClosedBeforeEffect,
    /// Closes the connection without one byte of an answer; the effect took place.
    ClosedAfterEffect,
    /// Waits, then continues normally: the effect comes late, also if the client has disconnected by then.
    Delay { ms: u64 },
    /// Takes effect at once and answers late.
    LateAnswer { ms: u64 },
    /// Waits until the fault is cleared; a request whose client disconnects meanwhile never takes effect.
    BlackHoleBeforeEffect,
    /// Takes effect, and answers only when the fault is cleared.
    BlackHoleAfterEffect,
}

impl FaultKind {
    pub fn status(code: u16) -> Self {
        Self::Refused { code, retry_after: None }
    }

    /// Answers 429 with a Retry-After in seconds.
    pub fn throttled(retry_after: u32) -> Self {
        Self::Refused { code: 429, retry_after: Some(retry_after) }
    }
}

/// A fault for the requests that match.
///
/// A request gets at most one fault: the oldest that matches it and has no requests to skip any more.
pub struct Fault {
    calls: Calls,
    skip: u32,
    /// Number of requests that get the fault; `None` is unlimited.
    count: Option<u32>,
    kind: FaultKind,
}

impl Fault {
    /// Makes a fault for the next request of any kind.
    pub fn new(kind: FaultKind) -> Self {
        Self { calls: Calls::any(), skip: 0, count: Some(1), kind }
    }

    /// Narrows the fault to these requests.
    pub fn on(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    /// Lets this many matching requests pass first.
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Sets the number of requests that get the fault.
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Keeps the fault until it is cleared.
    pub fn forever(mut self) -> Self {
        self.count = None;
        self
    }
}

/// Identifies a fault, to clear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(usize);

/// Side of its effect on which a request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    BeforeEffect,
    AfterEffect,
}

/// Stops one request until the test decides how it continues.
///
/// A released request continues, also if its client has disconnected by then, as a message in flight arrives. A request
/// whose gate is dropped never continues: stopped before its effect, it takes none; stopped after it, it gets no
/// answer. A gate that is dropped before a request reaches it stops no request.
pub struct Gate {
    reached: watch::Receiver<Option<Request>>,
    released: CancellationToken,
    abandoned: CancellationToken,
}

impl Gate {
    /// Waits until a request is stopped here.
    pub async fn reached(&self) -> Request {
        let mut reached = self.reached.clone();
        let held = tokio::time::timeout(DEADLINE, reached.wait_for(Option::is_some)).await;
        held.unwrap_or_else(|_| panic!("the gate is never reached")).unwrap().clone().unwrap()
    }

    pub fn is_reached(&self) -> bool {
        self.reached.borrow().is_some()
    }

    pub fn release(self) {
        self.released.cancel();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.abandoned.cancel();
    }
}

/// The proxy's end of a gate.
#[derive(Clone)]
pub(super) struct Hold {
    pub(super) side: Side,
    reached: watch::Sender<Option<Request>>,
    released: CancellationToken,
    abandoned: CancellationToken,
}

impl Hold {
    pub(super) fn new(side: Side) -> (Self, Gate) {
        let (reached, seen) = watch::channel(None);
        let (released, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let gate = Gate { reached: seen, released: released.clone(), abandoned: abandoned.clone() };
        (Self { side, reached, released, abandoned }, gate)
    }

    /// Waits for the decision; returns whether the request continues.
    pub(super) async fn decided(&self, request: &Request) -> bool {
        self.reached.send_replace(Some(request.clone()));
        tokio::select! {
            biased;
            () = self.released.cancelled() => true,
            () = self.abandoned.cancelled() => false,
        }
    }
}

/// The fault or gate of a request.
#[derive(Clone)]
pub(super) enum Action {
    /// A fault, and the token that is cancelled when the fault is cleared.
    Fault(FaultKind, CancellationToken),
    Hold(Hold),
}

impl Action {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Fault(kind, _) => format!("{kind:?}"),
            Self::Hold(hold) => format!("held {:?}", hold.side),
        }
    }

    fn is_void(&self) -> bool {
        match self {
            Self::Fault(_, cleared) => cleared.is_cancelled(),
            Self::Hold(hold) => hold.abandoned.is_cancelled(),
        }
    }
}

struct Waiting {
    calls: Calls,
    skip: u32,
    count: Option<u32>,
    action: Action,
}

/// The faults, oldest first. Faults without remaining requests stay, so that a request that is still waiting in one can
/// be released.
#[derive(Default)]
pub(super) struct Faults {
    waiting: Vec<Waiting>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        let action = Action::Fault(fault.kind, CancellationToken::new());
        self.waiting.push(Waiting { calls: fault.calls, skip: fault.skip, count: fault.count, action });
        FaultId(self.waiting.len() - 1)
    }

    pub(super) fn hold(&mut self, hold: Hold, calls: Calls, skip: u32) {
        self.waiting.push(Waiting { calls, skip, count: Some(1), action: Action::Hold(hold) });
    }

    pub(super) fn clear(&self, FaultId(place): FaultId) {
        if let Action::Fault(_, cleared) = &self.waiting[place].action {
            cleared.cancel();
        }
    }

    pub(super) fn clear_all(&self) {
        (0..self.waiting.len()).for_each(|place| self.clear(FaultId(place)));
    }

    /// Returns the fault or gate for this request, and counts down the `skip` of those that let it pass.
    pub(super) fn take(&mut self, request: &Request) -> Option<Action> {
        let position = self.waiting.iter_mut().position(|waiting| {
            let meant = waiting.count != Some(0) && !waiting.action.is_void() && waiting.calls.matches(request);
            let passes = waiting.skip > 0;
            if meant {
                waiting.skip = waiting.skip.saturating_sub(1);
            }
            meant && !passes
        })?;
        let found = &mut self.waiting[position];
        found.count = found.count.map(|count| count - 1);
        Some(found.action.clone())
    }
}

/// Sleeps, unless the fault is cleared before.
pub(super) async fn pause(ms: u64, cleared: &CancellationToken) {
    let _ = tokio::time::timeout(Duration::from_millis(ms), cleared.cancelled()).await;
}
