//! Every interval of the operator: requeue times, backoff, and how long something read stays valid.
//!
//! Backoff after a failure grows exponentially with full jitter, so that objects that failed together are not requeued
//! together. Waits that depend on what an object waits for are computed from these in [`super::wait`].

use std::ops::Div;
use std::time::Duration;

use super::error_class::{ErrorClass, Retry};

/// A wait that doubles from `initial` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    /// The first wait, and the lower bound of every wait.
    pub initial: Duration,
    /// The upper bound of every wait.
    pub max: Duration,
}

/// A wait that is longer after [`Intervals::step_after`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stepped {
    /// The wait until then.
    pub first: Duration,
    /// The wait from then on.
    pub then: Duration,
}

/// Declares the intervals once: the struct, its defaults, and the division of each.
macro_rules! intervals {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr,)*) => {
        /// The operator's intervals.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Intervals {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Intervals {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Intervals {
            /// The same intervals, each divided: tests run at these.
            #[must_use]
            pub(crate) fn divided_by(&self, by: u32) -> Self {
                let by = by.max(1);
                Self { $($name: self.$name / by,)* }
            }
        }
    };
}

intervals! {
    /// Backoff after a transient failure.
    retry: Backoff = backoff(1, 60),
    /// Backoff after App Runner refused a request as invalid.
    invalid: Backoff = backoff(60, 300),
    /// Backoff while access, credentials or a subscription are missing.
    access: Backoff = backoff(30, 300),
    /// Backoff between reads while App Runner reports an accepted deletion as not yet done.
    accepted: Backoff = backoff(1, 30),
    /// An accepted deletion is requested again after this long.
    delete_again: Duration = Duration::from_mins(2),
    /// Between delete attempts while services are seen to use the connector.
    in_use: Backoff = backoff(60, 300),
    /// Between delete attempts while App Runner reports the connector in use and no service is seen to use it.
    in_use_but_unreferenced: Stepped = stepped(5, 30),
    /// Between delete attempts while the connector is in use and the services cannot be read.
    in_use_but_unreadable: Stepped = stepped(10, 30),
    /// A [`Stepped`] wait takes its second step after this long.
    step_after: Duration = Duration::from_mins(5),
    /// From one list of the services to the next, while an object waits for them.
    service_poll: Duration = Duration::from_secs(5),
    /// Services that could not be read for this long are reported as unknown.
    services_stale_after: Duration = Duration::from_secs(30),
    /// A rate limit that was halved rises by a tenth each time this has passed.
    rate_recovery: Duration = Duration::from_secs(10),
    /// A wait for the rate limit that is longer than this is written into the status.
    rate_wait_reported_after: Duration = Duration::from_secs(10),
    /// Between reads of a state that only a user can change.
    user_action: Duration = Duration::from_mins(5),
    /// Between reads of the owner tag of a connector that another owner has.
    ownership: Duration = Duration::from_mins(10),
    /// From writing the owner tag until it is read back, before a claim is recorded.
    ///
    /// It is longer than the time between the two calls, read and write, of another operator that claims at the same time.
    tag_settle: Backoff = Backoff { initial: Duration::from_millis(300), max: Duration::from_millis(800) },
    /// A claim relies on a description of the connector that is not older, once the owner tag is read back.
    claim_described: Duration = Duration::from_secs(6),
    /// Backoff between reads while a written owner tag is not visible yet.
    tag_not_shown: Backoff = backoff(2, 60),
    /// An owner tag that did not become visible for this long is written once more.
    tag_rewrite: Duration = Duration::from_mins(10),
    /// The missing owner tag of a claimed connector is written again at most this often.
    tag_restore: Duration = Duration::from_hours(1),
    /// A repeated delete of a connector in use relies on an owner tag that was read within this time.
    owner_check: Duration = Duration::from_mins(1),
    /// Between reads of a claimed connector.
    resync: Duration = Duration::from_mins(10),
    /// Attempt counters and times alone are written to the status at most this often.
    status_refresh: Duration = Duration::from_secs(30),
    /// A watch is restarted after this long, varied by a fifth.
    watch: Duration = Duration::from_mins(5),
    /// Backoff between attempts to start a watch.
    watch_again: Backoff = backoff(1, 10),
    /// A credential or access error counts as a stall after this long.
    stall_after: Duration = Duration::from_mins(1),
    /// A connector in use counts as a stall when a service that uses it has had an operation without an end for this long.
    stuck_after: Duration = Duration::from_hours(3),
}

const fn backoff(initial: u64, max: u64) -> Backoff {
    Backoff { initial: Duration::from_secs(initial), max: Duration::from_secs(max) }
}

const fn stepped(first: u64, then: u64) -> Stepped {
    Stepped { first: Duration::from_secs(first), then: Duration::from_secs(then) }
}

impl Intervals {
    /// The step of a wait that has lasted this long already.
    pub(crate) fn step(&self, wait: Stepped, lasted: Duration) -> Duration {
        if lasted < self.step_after { wait.first } else { wait.then }
    }

    /// The wait after the `attempts`-th consecutive failure of this class; `jitter` is drawn from 0 to 1.
    pub(crate) fn after_failure(&self, class: ErrorClass, attempts: u32, jitter: f64) -> Duration {
        match class.handling().retry {
            Retry::Soon => self.retry.jittered(attempts, jitter),
            Retry::Access => self.access.jittered(attempts, jitter),
            Retry::Invalid => self.invalid.jittered(attempts, jitter),
            Retry::InUse => self.in_use_but_unreadable.first,
        }
    }
}

impl Backoff {
    /// Doubles with each attempt after the first, up to the maximum.
    pub(crate) fn without_jitter(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }

    /// Draws evenly from the whole range, without growing.
    pub(crate) fn drawn(self, jitter: f64) -> Duration {
        self.initial + self.max.saturating_sub(self.initial).mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Draws between the initial wait and twice the wait without jitter, at most the maximum.
    pub(crate) fn jittered(self, attempts: u32, jitter: f64) -> Duration {
        let ceiling = self.without_jitter(attempts.saturating_add(1));
        let spread = ceiling.saturating_sub(self.initial);
        self.initial + spread.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

impl Div<u32> for Backoff {
    type Output = Self;

    fn div(self, by: u32) -> Self {
        Self { initial: self.initial / by, max: self.max / by }
    }
}

impl Div<u32> for Stepped {
    type Output = Self;

    fn div(self, by: u32) -> Self {
        Self { first: self.first / by, then: self.then / by }
    }
}

/// A duration in whole milliseconds, for logs and metrics.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_intervals_are_as_documented() {
        let intervals = Intervals::default();
        let seconds = |backoff: Backoff| (backoff.initial.as_secs(), backoff.max.as_secs());
        assert_eq!([intervals.retry, intervals.in_use].map(seconds), [(1, 60), (60, 300)]);
        assert_eq!([intervals.invalid, intervals.access].map(seconds), [(60, 300), (30, 300)]);
        assert_eq!([intervals.accepted, intervals.watch_again].map(seconds), [(1, 30), (1, 10)]);
        assert_eq!(seconds(intervals.tag_not_shown), (2, 60));
        let settle = intervals.tag_settle;
        assert_eq!([settle.initial, settle.max].map(|wait| wait.as_millis()), [300, 800]);
        let steps = |wait: Stepped| (wait.first.as_secs(), wait.then.as_secs());
        let in_use = [intervals.in_use_but_unreferenced, intervals.in_use_but_unreadable];
        assert_eq!(in_use.map(steps), [(5, 30), (10, 30)]);
        let seconds = |duration: Duration| duration.as_secs();
        let scan = [intervals.step_after, intervals.service_poll, intervals.services_stale_after];
        assert_eq!(scan.map(seconds), [300, 5, 30]);
        let rate = [intervals.rate_recovery, intervals.rate_wait_reported_after];
        assert_eq!(rate.map(seconds), [10, 10]);
        let reads = [intervals.delete_again, intervals.user_action, intervals.ownership, intervals.resync];
        assert_eq!(reads.map(seconds), [120, 300, 600, 600]);
        let tags = [intervals.tag_rewrite, intervals.tag_restore, intervals.owner_check];
        assert_eq!(tags.map(seconds), [600, 3_600, 60]);
        let rest = [intervals.status_refresh, intervals.watch, intervals.stall_after, intervals.stuck_after];
        assert_eq!(rest.map(seconds), [30, 300, 60, 10_800]);
    }

    #[test]
    fn an_accepted_deletion_is_read_after_1_2_4_up_to_30_seconds() {
        let waits: Vec<u64> = (1..=7).map(|n| Intervals::default().accepted.without_jitter(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_stepped_wait_is_longer_after_five_minutes() {
        let intervals = Intervals::default();
        let after = |seconds| intervals.step(intervals.in_use_but_unreferenced, Duration::from_secs(seconds)).as_secs();
        assert_eq!((after(0), after(299), after(300)), (5, 5, 30));
    }

    proptest! {
        #[test]
        fn a_wait_with_jitter_stays_within_its_bounds(attempts in 0..u32::MAX, jitter in -1.0..2.0f64) {
            let backoff = Intervals::default().retry;
            let wait = backoff.jittered(attempts, jitter);
            prop_assert!(wait >= backoff.initial && wait <= backoff.max);
        }
    }

    #[test]
    fn division_of_intervals_by_ten_and_by_zero() {
        let whole = Intervals::default();
        let tenth = whole.divided_by(10);
        assert_eq!(tenth.retry, Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(6) });
        assert_eq!(tenth.in_use_but_unreadable.then, Duration::from_secs(3));
        assert_eq!(tenth.in_use_but_unreadable.first, Duration::from_secs(1));
        assert_eq!(tenth.resync, Duration::from_mins(1));
        assert_eq!(whole.divided_by(0), whole);
    }
}
