//! Reads the two clocks of [`crate::core::clock`].

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::core::clock::{Moment, Now};

pub(crate) fn now() -> Now {
    Now { moment: Moment::new(since_boot()), wall: Timestamp::now() }
}

/// The time since the machine started, including that for which it was suspended.
///
/// `Instant` does not run in a suspend: after one, an owner tag that was read before would count as fresh, and a
/// leadership as held.
pub(crate) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
