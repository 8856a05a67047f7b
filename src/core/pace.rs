//! How long to wait before the next look: every interval of the operator in one place.
//!
//! The queue is the only thing that retries, so these are all the waits there are. Waits after a failure grow
//! exponentially and carry full jitter, so that a thousand objects that failed together do not come back together.

use std::time::Duration;

use super::outcome::Class;

/// The operator's intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// After a failure that may pass by itself: from the first to the second, doubling.
    pub retry: Range,
    /// While services use the connector: between attempts that nothing seen suggests.
    pub held: Range,
    /// While App Runner reports a connector in use that no service references, or none that has been looked at yet.
    pub letting_go: Steps,
    /// While it is in use and nobody may look by whom.
    pub unseen: Steps,
    /// A wait in steps takes the longer one after this long.
    pub patience: Duration,
    /// From one list of the services to the next, while anything waits for them.
    pub sweep: Duration,
    /// Services that could not be looked at for this long are not known any more.
    pub blind_after: Duration,
    /// A rate that was halved rises by a tenth each time this has passed.
    pub rate_recovery: Duration,
    /// A turn at calling AWS that is further away than this is told in the status.
    pub turn_told: Duration,
    /// After a refusal that AWS's words must explain.
    pub invalid: Range,
    /// While access, credentials or a subscription are missing.
    pub access: Range,
    /// Between looks while App Runner reports an accepted deletion as not yet done.
    pub accepted: Range,
    /// After this long, an accepted deletion is asked for again.
    pub delete_again: Duration,
    /// Between looks at something that only a person can change.
    pub person: Duration,
    /// Between looks at a tag that makes the connector another's.
    pub ownership: Duration,
    /// From writing the owner tag until it is read back, before a claim is recorded.
    pub tag_settle: Range,
    /// While a tag that was written is not shown yet: between reads.
    pub tag_not_shown: Range,
    /// A tag that was not shown for this long is written once more.
    pub tag_rewrite: Duration,
    /// The missing tag of a claimed connector is written again no more often than this.
    pub tag_restore: Duration,
    /// A delete that is repeated while the connector is in use relies on a tag that was read within this time.
    pub owner_check: Duration,
    /// Between looks at a claimed connector that nobody deletes.
    pub resync: Duration,
    /// Attempts and times alone are written to the status no more often than this.
    pub status_refresh: Duration,
    /// A watch is begun anew after this long, give or take a fifth.
    pub watch: Duration,
    /// Between attempts to watch while the API server does not let us, or is not there.
    pub watch_again: Range,
    /// A credential or access error counts as a stall once it has lasted this long.
    pub stall_after: Duration,
}

/// A wait that grows from `first` to `longest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first wait, and never less than this.
    pub first: Duration,
    /// Never more than this.
    pub longest: Duration,
}

/// A wait that is longer once it has lasted for [`Pace::patience`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// At first.
    pub first: Duration,
    /// Later.
    pub then: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let range = |first, longest| Range { first: Duration::from_secs(first), longest: Duration::from_secs(longest) };
        let steps = |first, then| Steps { first: Duration::from_secs(first), then: Duration::from_secs(then) };
        Self {
            retry: range(1, 60),
            held: range(60, 300),
            letting_go: steps(5, 30),
            unseen: steps(10, 30),
            patience: Duration::from_mins(5),
            sweep: Duration::from_secs(5),
            blind_after: Duration::from_secs(30),
            rate_recovery: Duration::from_secs(10),
            turn_told: Duration::from_secs(10),
            invalid: range(60, 300),
            access: range(30, 300),
            accepted: range(1, 30),
            delete_again: Duration::from_mins(2),
            person: Duration::from_mins(5),
            ownership: Duration::from_mins(10),
            tag_settle: range(1, 3),
            tag_not_shown: range(2, 60),
            tag_rewrite: Duration::from_mins(10),
            tag_restore: Duration::from_hours(1),
            owner_check: Duration::from_mins(1),
            resync: Duration::from_mins(10),
            status_refresh: Duration::from_secs(30),
            watch: Duration::from_mins(5),
            watch_again: range(1, 10),
            stall_after: Duration::from_mins(1),
        }
    }
}

impl Pace {
    /// The same intervals, each divided: what tests run at.
    #[must_use]
    pub fn divided_by(&self, by: u32) -> Self {
        let by = by.max(1);
        let range = |r: Range| Range { first: r.first / by, longest: r.longest / by };
        let steps = |s: Steps| Steps { first: s.first / by, then: s.then / by };
        Self {
            retry: range(self.retry),
            held: range(self.held),
            letting_go: steps(self.letting_go),
            unseen: steps(self.unseen),
            patience: self.patience / by,
            sweep: self.sweep / by,
            blind_after: self.blind_after / by,
            rate_recovery: self.rate_recovery / by,
            turn_told: self.turn_told / by,
            invalid: range(self.invalid),
            access: range(self.access),
            accepted: range(self.accepted),
            delete_again: self.delete_again / by,
            person: self.person / by,
            ownership: self.ownership / by,
            tag_settle: range(self.tag_settle),
            tag_not_shown: range(self.tag_not_shown),
            tag_rewrite: self.tag_rewrite / by,
            tag_restore: self.tag_restore / by,
            owner_check: self.owner_check / by,
            resync: self.resync / by,
            status_refresh: self.status_refresh / by,
            watch: self.watch / by,
            watch_again: range(self.watch_again),
            stall_after: self.stall_after / by,
        }
    }

    /// The wait that has lasted so long already.
    pub fn stepped(&self, steps: Steps, lasted: Duration) -> Duration {
        if lasted < self.patience { steps.first } else { steps.then }
    }

    /// The wait after the `attempts`-th failure in a row of this class; `jitter` is drawn from 0 to 1.
    pub fn after_failure(&self, class: Class, attempts: u32, jitter: f64) -> Duration {
        match class {
            // Whoever looks for its users knows better; this is for when nobody does.
            Class::InUse => self.unseen.first,
            Class::InvalidRequest | Class::NotFound => self.invalid.jittered(attempts, jitter),
            Class::AccessDenied | Class::CredentialsRejected | Class::SubscriptionRequired | Class::Untrusted => {
                self.access.jittered(attempts, jitter)
            }
            Class::Throttled | Class::ServiceError | Class::Unreachable | Class::Unproven => {
                self.retry.jittered(attempts, jitter)
            }
        }
    }
}

impl Range {
    /// Doubles with each attempt after the first, up to the longest.
    pub fn exact(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Draws evenly from the whole range.
    pub fn drawn(self, jitter: f64) -> Duration {
        self.first + self.longest.saturating_sub(self.first).mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Draws from the first wait to twice what doubling alone would give, never over the longest.
    pub fn jittered(self, attempts: u32, jitter: f64) -> Duration {
        let ceiling = self.exact(attempts.saturating_add(1));
        let spread = ceiling.saturating_sub(self.first);
        self.first + spread.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

/// A duration as it is logged, and counted where one number must do.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let pace = Pace::default();
        let seconds = |r: Range| (r.first.as_secs(), r.longest.as_secs());
        assert_eq!(seconds(pace.retry), (1, 60));
        assert_eq!(seconds(pace.held), (60, 300));
        let steps = |s: Steps| (s.first.as_secs(), s.then.as_secs());
        assert_eq!((steps(pace.letting_go), steps(pace.unseen)), ((5, 30), (10, 30)));
        let services = [pace.patience, pace.sweep, pace.blind_after, pace.rate_recovery, pace.turn_told];
        assert_eq!(services.map(|d| d.as_secs()), [300, 5, 30, 10, 10]);
        assert_eq!(seconds(pace.invalid), (60, 300));
        assert_eq!(seconds(pace.access), (30, 300));
        assert_eq!(seconds(pace.accepted), (1, 30));
        assert_eq!(seconds(pace.watch_again), (1, 10));
        let single = [pace.delete_again, pace.person, pace.ownership, pace.resync, pace.status_refresh];
        assert_eq!(single.map(|d| d.as_secs()), [120, 300, 600, 600, 30]);
        assert_eq!([pace.watch, pace.stall_after].map(|d| d.as_secs()), [300, 60]);
        assert_eq!([pace.tag_settle, pace.tag_not_shown].map(seconds), [(1, 3), (2, 60)]);
        assert_eq!([pace.tag_rewrite, pace.tag_restore, pace.owner_check].map(|d| d.as_secs()), [600, 3_600, 60]);
    }

    #[test]
    fn an_accepted_deletion_is_looked_at_after_1_2_4_up_to_30_seconds() {
        let waits: Vec<u64> = (1..=7).map(|n| Pace::default().accepted.exact(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_wait_in_steps_is_longer_after_five_minutes() {
        let pace = Pace::default();
        let after = |seconds| pace.stepped(pace.letting_go, Duration::from_secs(seconds)).as_secs();
        assert_eq!((after(0), after(299), after(300)), (5, 5, 30));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_range(attempts in 0..u32::MAX, jitter in -1.0..2.0f64) {
            let range = Pace::default().retry;
            let wait = range.jittered(attempts, jitter);
            prop_assert!(wait >= range.first && wait <= range.longest);
        }
    }

    #[test]
    fn a_divided_pace_leaves_no_interval_whole() {
        let intervals = |pace: &Pace| {
            let ranges = [pace.retry, pace.held, pace.invalid, pace.access, pace.accepted, pace.tag_settle];
            let ranges = ranges.into_iter().chain([pace.tag_not_shown, pace.watch_again]);
            let tags = [pace.tag_rewrite, pace.tag_restore, pace.owner_check];
            let steps = [pace.letting_go, pace.unseen].into_iter().flat_map(|s| [s.first, s.then]);
            let single = [pace.delete_again, pace.person, pace.ownership, pace.resync, pace.status_refresh];
            let services = [pace.patience, pace.sweep, pace.blind_after, pace.rate_recovery, pace.turn_told];
            let rest = [pace.watch, pace.stall_after].into_iter().chain(services).chain(steps).chain(tags);
            ranges.flat_map(|r| [r.first, r.longest]).chain(single).chain(rest).collect::<Vec<_>>()
        };
        let whole = intervals(&Pace::default());
        let tenths: Vec<_> = whole.iter().map(|interval| *interval / 10).collect();
        assert_eq!(intervals(&Pace::default().divided_by(10)), tenths);
        assert_eq!(Pace::default().divided_by(0), Pace::default());
    }
}
