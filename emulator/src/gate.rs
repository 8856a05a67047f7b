//! Whether anybody can connect at all.
//!
//! Refusing is the server's work, because the operating system does it only when nobody listens. Here is what the server
//! is told, and how far it has come.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Longer than any emulator runs.
const FOR_EVER: Duration = Duration::from_hours(30 * 365 * 24);

/// What shall be, numbered so that it can be told when it is.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    number: u64,
    refused_until: Option<Instant>,
}

/// Between those who want connections refused, and the server.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    ordered: watch::Sender<Order>,
    followed: watch::Sender<u64>,
}

/// An order that was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered(u64);

impl Gate {
    /// Wants connections refused from now on, for some time or until they are allowed.
    pub(crate) fn refuse(&self, period: Option<Duration>) -> Ordered {
        let now = Instant::now();
        let end = period.and_then(|period| now.checked_add(period));
        self.order(Some(end.unwrap_or(now + FOR_EVER)))
    }

    /// Wants connections accepted.
    pub(crate) fn allow(&self) -> Ordered {
        self.order(None)
    }

    fn order(&self, refused_until: Option<Instant>) -> Ordered {
        let mut number = 0;
        self.ordered.send_modify(|order| {
            number = order.number + 1;
            *order = Order { number, refused_until };
        });
        Ordered(number)
    }

    /// Waits until the server has done what was ordered.
    pub(crate) async fn done(&self, ordered: Ordered) {
        // The sender is this value's own.
        let _ = self.followed.subscribe().wait_for(|followed| *followed >= ordered.0).await;
    }

    /// Gives the server's side.
    pub(crate) fn orders(&self) -> Orders<'_> {
        Orders { gate: self, ordered: self.ordered.subscribe(), current: Order::default() }
    }
}

/// The server's side of the gate.
pub(crate) struct Orders<'a> {
    gate: &'a Gate,
    ordered: watch::Receiver<Order>,
    current: Order,
}

impl Orders<'_> {
    /// Reads the last order, and says whether connections are to be refused now.
    pub(crate) fn refuse_now(&mut self) -> bool {
        self.current = *self.ordered.borrow_and_update();
        self.current.refused_until = self.current.refused_until.filter(|until| Instant::now() < *until);
        self.current.refused_until.is_some()
    }

    /// Tells those who wait that the order that was read is done.
    pub(crate) fn follow(&self) {
        self.gate.followed.send_replace(self.current.number);
    }

    /// Waits for another order, or for the end of this one's time.
    pub(crate) async fn change(&mut self) {
        let ended = async {
            match self.current.refused_until {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The sender lives as long as the gate, and the gate is borrowed.
            _ = self.ordered.changed() => {}
            () = ended => {}
        }
    }
}
