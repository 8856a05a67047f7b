//! The two clocks of a decision.
//!
//! Waits, backoff and due times use a monotonic clock, so that a change of the wall clock makes no wait longer or shorter.
//! Statuses contain wall-clock times, for users.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// A time by the machine's monotonic clock, which also runs while the machine is suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

/// The current time by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Monotonic time, for decisions.
    pub moment: Moment,
    /// Wall-clock time, for statuses.
    pub wall: Timestamp,
}

/// 2020-01-01 to 2100-01-01: App Runner started after the first date, and a later time than the second one is an error.
const PLAUSIBLE_SECONDS: Range<i64> = 1_577_836_800..4_102_444_800;

/// True if App Runner can mean the time.
pub(crate) fn is_plausible(at: Timestamp) -> bool {
    PLAUSIBLE_SECONDS.contains(&at.as_second())
}

impl Moment {
    /// Later than any other.
    pub(crate) const NEVER: Self = Self(Duration::MAX);

    /// The moment this long after the machine started.
    pub(crate) const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The moment this much later.
    #[must_use]
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// The time from an earlier moment until this one; zero if the other is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// The wall-clock time at a later moment, unless the wall clock is changed before.
    pub(crate) fn wall_at(self, moment: Moment) -> Timestamp {
        self.wall.checked_add(moment.since(self.moment)).unwrap_or(Timestamp::MAX)
    }

    /// The moment of a later wall-clock time; now, if the time has passed.
    pub(crate) fn moment_at(self, wall: Timestamp) -> Moment {
        self.moment.after(wall.duration_since(self.wall).try_into().unwrap_or_default())
    }
}
