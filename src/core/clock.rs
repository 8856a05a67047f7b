//! The two clocks of a decision.
//!
//! Waits, backoff and due times are measured by a clock that only runs forward, so that setting the wall clock neither
//! holds an object back nor releases it too early. Wall-clock times are written into statuses, for people to read.

use std::time::Duration;

use jiff::Timestamp;

/// A time by the machine's monotonic clock, which also runs while the machine is suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

/// The present, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic: what decisions compare.
    pub moment: Moment,
    /// Wall clock: what people read.
    pub wall: Timestamp,
}

impl Moment {
    /// Later than any other.
    pub const NEVER: Self = Self(Duration::MAX);

    /// The moment this long after the machine started.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The moment this much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// The time from an earlier moment until this one; zero if the other is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// What the wall clock will show at a moment, unless it is set before.
    pub fn wall_at(self, moment: Moment) -> Timestamp {
        self.wall.checked_add(moment.since(self.moment)).unwrap_or(Timestamp::MAX)
    }
}
