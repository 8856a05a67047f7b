//! Reads the clocks; [`crate::core::clock`] says what each is for.

use std::sync::LazyLock;
use std::time::Instant;

use jiff::Timestamp;

use crate::core::clock::{Moment, Now};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The present.
pub(crate) fn now() -> Now {
    Now { moment: Moment::new(STARTED.elapsed()), wall: Timestamp::now() }
}
