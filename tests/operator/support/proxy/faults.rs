//! Which request goes wrong, and how.
//!
//! A fault waits in a queue until a request matches it, as the emulator's do.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::DEADLINE;
use super::request::{Calls, Request};

/// What goes wrong with a request; "effect" is what the API server does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers this HTTP status as the API server would; the API server hears of nothing.
    Refused { code: u16, retry_after: Option<u32> },
    /// The same, but the effect took place.
    RefusedAfterEffect { code: u16 },
    /// Closes the connection without one byte of an answer; the API server hears of nothing.
    ClosedBeforeEffect,
    /// Closes the connection without one byte of an answer; the effect took place.
    ClosedAfterEffect,
    /// Waits, then goes on normally: the effect comes late, also when the client is gone by then.
    Delay { ms: u64 },
    /// Takes effect at once and answers late.
    LateAnswer { ms: u64 },
    /// Waits until the fault is cleared; a request whose client went meanwhile never takes effect.
    BlackHoleBeforeEffect,
    /// Takes effect, and answers only when the fault is cleared.
    BlackHoleAfterEffect,
}

impl FaultKind {
    pub fn status(code: u16) -> Self {
        Self::Refused { code, retry_after: None }
    }

    /// Answers 429 and when to come back, in seconds.
    pub fn throttled(retry_after: u32) -> Self {
        Self::Refused { code: 429, retry_after: Some(retry_after) }
    }
}

/// Something that goes wrong with the requests that match.
///
/// A request plays at most one fault: the oldest that matches it and has nothing left to skip.
pub struct Fault {
    calls: Calls,
    skip: u32,
    /// How often it is played; no number is for ever.
    count: Option<u32>,
    kind: FaultKind,
}

impl Fault {
    /// Makes a fault that the next request plays, whichever that is.
    pub fn new(kind: FaultKind) -> Self {
        Self { calls: Calls::any(), skip: 0, count: Some(1), kind }
    }

    /// Narrows it to these requests.
    pub fn on(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    /// Lets this many matching requests pass first.
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Plays it this often.
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Plays it until it is cleared.
    pub fn forever(mut self) -> Self {
        self.count = None;
        self
    }
}

/// Names a fault for clearing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(usize);

/// On which side of its effect a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    BeforeEffect,
    AfterEffect,
}

/// Holds one request until the test has decided what becomes of it.
///
/// Released, it goes on, also when its client is gone by then: a message that was under way arrives. Dropped, it never
/// does: held before its effect it has none, after it no answer. A gate that is dropped unreached holds nobody.
pub struct Gate {
    reached: watch::Receiver<Option<Request>>,
    released: CancellationToken,
    abandoned: CancellationToken,
}

impl Gate {
    /// Waits until the request is held here.
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

    /// Waits for the decision; says whether the request goes on.
    pub(super) async fn decided(&self, request: &Request) -> bool {
        self.reached.send_replace(Some(request.clone()));
        tokio::select! {
            biased;
            () = self.released.cancelled() => true,
            () = self.abandoned.cancelled() => false,
        }
    }
}

/// What a request is made to play.
#[derive(Clone)]
pub(super) enum Action {
    /// A fault, and what tells that it was cleared.
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

/// The faults, oldest first; those used up stay, so that what still plays them can be cleared.
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

    /// Takes what this request plays, and counts down the `skip` of those that let it pass.
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
