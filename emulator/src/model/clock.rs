//! Time, as the emulator reads it and adds to it.

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

/// Reads the clock, truncated to the millisecond as AWS does.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    let to_millisecond = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc);
    now.round(to_millisecond).unwrap_or(now)
}

/// Adds milliseconds to a time; a sum beyond the largest timestamp is the largest timestamp.
pub(crate) fn later(time: Timestamp, ms: u64) -> Timestamp {
    let duration = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}
