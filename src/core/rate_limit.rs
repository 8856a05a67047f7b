//! The rate limit of one account and region: a token bucket with a priority queue.
//!
//! The limiter never blocks. A requester gets its tokens now, or the time until it should request them again, and keeps
//! its position in the queue until then. Deletions come first, the oldest before the others; then the service scans
//! that find the blockers of those deletions; then all other calls in the order of their requests. When AWS throttles a
//! call, the rate is halved, and then rises by a tenth of the full rate at a time.
//!
//! The token buckets of other crates have no order among waiting requesters and no changing rate, so this crate has its
//! own. Times are durations since any fixed moment, so that setting the clock does not change the limit.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// Throttling does not reduce the rate below this, in calls per second.
const LOWEST_RATE: f64 = 0.5;
/// A requester this late no longer blocks those behind it; it keeps its position and is served first when it returns.
const LATE_AFTER: Duration = Duration::from_millis(20);
/// A queue entry expires when its requester is this late.
const EXPIRED_AFTER: Duration = Duration::from_mins(1);
/// While the queue is not empty, the bucket holds at most the tokens of this time, so that the waiting requesters are
/// served one after another and not in a burst.
const SAVED_WHILE_WAITING: Duration = Duration::from_millis(400);
/// The bucket always holds up to this many tokens, because a claim takes three calls at once.
const SAVED_AT_LEAST: f64 = 3.0;
/// A smaller part of a token is a rounding error.
const ROUNDING: f64 = 1e-6;

/// The limits of the calls to one account and region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls per second.
    pub rate: f64,
    /// The size of the bucket: calls that may be made at once after a time without calls.
    pub burst: u32,
}

/// The priority of a requester in the queue, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// An object that is being deleted since this time; the earlier one comes first.
    Deletion(Timestamp),
    ServiceScan,
    /// All other calls.
    Other,
}

/// The token bucket of one account and region.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    recovery: Duration,
    rate: f64,
    tokens: f64,
    filled_at: Duration,
    rate_changed_at: Duration,
    halved_at: Option<Duration>,
    queue: BTreeMap<Position, QueueEntry>,
    arrivals: u64,
}

/// The priority of an entry, and the number of its arrival.
type Position = (Priority, u64);

#[derive(Clone, Debug)]
struct QueueEntry {
    requester: String,
    calls: f64,
    due: Duration,
}

impl Limiter {
    /// A full bucket. Every `recovery`, a reduced rate rises by a tenth of the full rate.
    pub(crate) fn new(limits: Limits, recovery: Duration, now: Duration) -> Self {
        Self {
            limits,
            recovery,
            rate: limits.rate,
            tokens: f64::from(limits.burst),
            filled_at: now,
            rate_changed_at: now,
            halved_at: None,
            queue: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// The calls per second that the limiter allows now. A reduced rate also rises while there are no calls.
    pub(crate) fn rate(&mut self, now: Duration) -> f64 {
        self.fill(now);
        self.rate
    }

    /// Takes the tokens for some calls, or returns the time until the requester should try again.
    pub(crate) fn acquire(
        &mut self,
        requester: &str,
        priority: Priority,
        calls: u32,
        now: Duration,
    ) -> Result<(), Duration> {
        self.fill(now);
        self.queue.retain(|_, entry| entry.due + EXPIRED_AFTER >= now);
        let calls = f64::from(calls.min(self.limits.burst));
        let position = self.position(requester, priority);
        let in_time = |(_, entry): &(&Position, &QueueEntry)| entry.due + LATE_AFTER >= now;
        let ahead: f64 = self.queue.range(..position).filter(in_time).map(|(_, entry)| entry.calls).sum();
        let missing = ahead + calls - self.tokens;
        if missing <= ROUNDING {
            self.tokens -= calls;
            self.queue.remove(&position);
            return Ok(());
        }
        let wait = Duration::from_secs_f64(missing / self.rate);
        self.queue.insert(position, QueueEntry { requester: requester.to_owned(), calls, due: now + wait });
        Err(wait)
    }

    /// Takes the tokens of calls that were made without a request, because an attempt that has begun runs to its end.
    /// The bucket may be overdrawn by this.
    pub(crate) fn charge(&mut self, calls: u32, now: Duration) {
        self.fill(now);
        self.tokens -= f64::from(calls);
    }

    /// Returns the tokens of calls that were not made.
    pub(crate) fn refund(&mut self, calls: u32, now: Duration) {
        self.fill(now);
        self.tokens = (self.tokens + f64::from(calls)).min(f64::from(self.limits.burst));
    }

    /// Halves the rate because AWS throttled a call. A call that was sent before the rate was last halved changes
    /// nothing.
    pub(crate) fn throttled(&mut self, sent: Duration, now: Duration) {
        self.fill(now);
        if self.halved_at.is_some_and(|halved| sent < halved) {
            return;
        }
        self.rate = (self.rate / 2.0).max(LOWEST_RATE.min(self.limits.rate));
        self.tokens = self.tokens.min(0.0);
        self.halved_at = Some(now);
        self.rate_changed_at = now;
    }

    /// The position of a requester; one whose priority changed gets a new position.
    fn position(&mut self, requester: &str, priority: Priority) -> Position {
        let kept = self.queue.iter().find(|(_, entry)| entry.requester == requester).map(|(position, _)| *position);
        match kept {
            Some(position) if position.0 == priority => position,
            other => {
                other.and_then(|position| self.queue.remove(&position));
                self.arrivals += 1;
                (priority, self.arrivals)
            }
        }
    }

    fn fill(&mut self, now: Duration) {
        while self.rate < self.limits.rate && now.saturating_sub(self.rate_changed_at) >= self.recovery {
            let risen = self.rate_changed_at + self.recovery;
            self.add_tokens(risen);
            self.rate = (self.rate + self.limits.rate / 10.0).min(self.limits.rate);
            self.rate_changed_at = risen;
        }
        self.add_tokens(now);
    }

    fn add_tokens(&mut self, until: Duration) {
        let passed = until.saturating_sub(self.filled_at);
        let burst = f64::from(self.limits.burst);
        let saved = (SAVED_WHILE_WAITING.as_secs_f64() * self.rate).max(SAVED_AT_LEAST).max(self.tokens);
        let most = if self.queue.is_empty() { burst } else { saved.min(burst) };
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(most);
        self.filled_at = self.filled_at.max(until);
    }
}

/// The time in which the rate allows twice this many calls.
pub(crate) fn half_of_the_rate(calls: u32, rate: f64) -> Duration {
    Duration::from_secs_f64(2.0 * f64::from(calls) / rate.max(LOWEST_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { rate: 5.0, burst: 10 };
    const RECOVERY: Duration = Duration::from_secs(10);

    fn limiter() -> Limiter {
        Limiter::new(LIMITS, RECOVERY, Duration::ZERO)
    }

    fn since(second: i64) -> Priority {
        Priority::Deletion(Timestamp::from_second(second).unwrap())
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// An empty bucket at time zero.
    fn empty() -> Limiter {
        let mut limiter = limiter();
        limiter.charge(LIMITS.burst, Duration::ZERO);
        limiter
    }

    #[test]
    fn burst_is_allowed_at_once_and_later_calls_wait_for_their_tokens() {
        let mut limiter = limiter();
        for n in 0..10 {
            assert_eq!(limiter.acquire(&n.to_string(), Priority::Other, 1, Duration::ZERO), Ok(()));
        }
        assert_eq!(limiter.acquire("next", Priority::Other, 1, Duration::ZERO), Err(at(0.2)));
        assert_eq!(limiter.acquire("after", Priority::Other, 1, Duration::ZERO), Err(at(0.4)));
        assert_eq!(limiter.acquire("next", Priority::Other, 1, at(0.2)), Ok(()));
        assert_eq!(limiter.acquire("after", Priority::Other, 1, at(0.4)), Ok(()));
    }

    #[test]
    fn deletions_come_before_service_scans_and_those_before_other_calls() {
        let mut limiter = empty();
        let acquire =
            |limiter: &mut Limiter, requester: &str, priority| limiter.acquire(requester, priority, 1, Duration::ZERO);
        assert_eq!(acquire(&mut limiter, "claim", Priority::Other), Err(at(0.2)));
        assert_eq!(acquire(&mut limiter, "scan", Priority::ServiceScan), Err(at(0.2)));
        assert_eq!(acquire(&mut limiter, "younger", since(2)), Err(at(0.2)));
        assert_eq!(acquire(&mut limiter, "older", since(1)), Err(at(0.2)));
        let order =
            [("older", since(1)), ("younger", since(2)), ("scan", Priority::ServiceScan), ("claim", Priority::Other)];
        for (n, (requester, _)) in (0_u32..).zip(order) {
            let now = at(0.2) * (n + 1);
            let waits =
                order.iter().skip(n as usize + 1).map(|(other, priority)| limiter.acquire(other, *priority, 1, now));
            assert!(waits.into_iter().all(|result| result.is_err()), "{requester} is next");
            assert_eq!(limiter.acquire(requester, order[n as usize].1, 1, now), Ok(()), "{requester}");
        }
    }

    #[test]
    fn requester_keeps_its_position_until_a_deletion_moves_it_up() {
        let mut limiter = empty();
        let _ = limiter.acquire("first", Priority::Other, 1, Duration::ZERO);
        let _ = limiter.acquire("second", Priority::Other, 1, Duration::ZERO);
        assert_eq!(limiter.acquire("first", Priority::Other, 1, at(0.1)), Err(at(0.1)));
        assert_eq!(
            limiter.acquire("second", since(1), 1, at(0.1)),
            Err(at(0.1)),
            "the deletion comes before the first requester"
        );
        assert_eq!(limiter.acquire("first", Priority::Other, 1, at(0.1)), Err(at(0.3)));
    }

    #[test]
    fn late_requester_no_longer_blocks_others_and_is_served_first_when_it_returns() {
        let mut limiter = empty();
        assert_eq!(limiter.acquire("late", since(1), 1, Duration::ZERO), Err(at(0.2)));
        assert_eq!(limiter.acquire("other", Priority::Other, 1, Duration::ZERO), Err(at(0.4)));
        assert!(limiter.acquire("other", Priority::Other, 1, at(0.21)).is_err(), "the first requester is not late yet");
        assert_eq!(limiter.acquire("other", Priority::Other, 1, at(0.23)), Ok(()));
        assert_eq!(
            limiter.acquire("third", Priority::Other, 1, at(0.4)),
            Ok(()),
            "a late requester does not block others"
        );
        assert!(limiter.acquire("fourth", Priority::Other, 1, at(0.4)).is_err());
        assert_eq!(limiter.acquire("late", since(1), 1, at(0.6)), Ok(()), "the late requester is served first");
    }

    #[test]
    fn bucket_holds_three_tokens_at_most_while_a_requester_waits() {
        let mut limiter = empty();
        let _ = limiter.acquire("late", since(1), 1, Duration::ZERO);
        let at_once = (0..20).filter(|n| limiter.acquire(&n.to_string(), since(2), 1, at(30.0)).is_ok()).count();
        assert_eq!(at_once, 3);
        let at_once = (0..20).filter(|n| limiter.acquire(&n.to_string(), since(3), 1, at(200.0)).is_ok()).count();
        assert_eq!(at_once, 3, "the earlier entries have expired, and the queue was not empty before");
    }

    #[test]
    fn bucket_holds_the_tokens_of_400_ms_at_a_high_rate_while_a_requester_waits() {
        let mut fast = Limiter::new(Limits { rate: 20.0, burst: 100 }, RECOVERY, Duration::ZERO);
        fast.charge(100, Duration::ZERO);
        let _ = fast.acquire("late", since(1), 1, Duration::ZERO);
        let at_once = (0..20).filter(|n| fast.acquire(&n.to_string(), since(2), 1, at(30.0)).is_ok()).count();
        assert_eq!(at_once, 8, "the tokens of 400 ms");
    }

    #[test]
    fn half_of_the_rate_is_the_time_for_twice_the_calls() {
        let seconds = |calls, rate| half_of_the_rate(calls, rate).as_secs_f64().to_string();
        assert_eq!((seconds(100, 5.0), seconds(1, 5.0), seconds(1, 0.0)), ("40".into(), "0.4".into(), "4".into()));
    }

    #[test]
    fn request_for_more_than_a_burst_is_served() {
        let mut limiter = limiter();
        assert_eq!(limiter.acquire("big", Priority::Other, 50, Duration::ZERO), Ok(()));
    }

    #[test]
    fn unused_tokens_are_returned_up_to_a_full_bucket() {
        let mut limiter = limiter();
        assert_eq!(limiter.acquire("claim", Priority::Other, 3, Duration::ZERO), Ok(()));
        limiter.refund(2, Duration::ZERO);
        assert_eq!(limiter.acquire("nine", Priority::Other, 9, Duration::ZERO), Ok(()));
        assert!(limiter.clone().acquire("a tenth", Priority::Other, 1, Duration::ZERO).is_err());
        limiter.refund(50, Duration::ZERO);
        assert_eq!(limiter.acquire("all", Priority::Other, 10, Duration::ZERO), Ok(()));
        assert!(limiter.acquire("more", Priority::Other, 1, Duration::ZERO).is_err());
    }

    #[test]
    fn throttling_halves_the_rate_which_then_rises_by_a_tenth_every_ten_seconds() {
        let mut limiter = limiter();
        limiter.throttled(Duration::ZERO, Duration::ZERO);
        assert_eq!(limiter.rate(Duration::ZERO).to_string(), "2.5");
        assert_eq!(limiter.acquire("a", Priority::Other, 1, Duration::ZERO), Err(at(0.4)), "the bucket is empty");
        assert_eq!(limiter.rate(at(9.9)).to_string(), "2.5");
        assert_eq!(limiter.rate(at(10.0)).to_string(), "3");
        assert_eq!(limiter.rate(at(1000.0)).to_string(), "5");
    }

    #[test]
    fn calls_that_were_sent_before_the_rate_was_halved_do_not_halve_it_again() {
        let mut limiter = limiter();
        limiter.throttled(at(1.0), at(2.0));
        limiter.throttled(at(1.5), at(2.1));
        assert_eq!(limiter.rate(at(2.1)).to_string(), "2.5");
        limiter.throttled(at(2.0), at(2.2));
        assert_eq!(limiter.rate(at(2.2)).to_string(), "1.25");
    }

    #[test]
    fn rate_stays_at_half_a_call_per_second_or_at_a_lower_configured_rate() {
        let mut limiter = limiter();
        for second in 0..20 {
            limiter.throttled(at(f64::from(second) / 10.0), at(f64::from(second) / 10.0));
        }
        assert_eq!(limiter.rate(at(1.9)).to_string(), "0.5");
        let mut slow = Limiter::new(Limits { rate: 0.2, burst: 1 }, RECOVERY, Duration::ZERO);
        slow.throttled(Duration::ZERO, Duration::ZERO);
        assert_eq!(slow.rate(Duration::ZERO).to_string(), "0.2");
    }

    /// Runs callers that each try again at the returned time; returns the time, calls and index of each in the order in
    /// which they were served.
    fn served(mut limiter: Limiter, callers: &[(Priority, u32, u32)]) -> Vec<(Duration, u32, usize)> {
        let mut due: Vec<_> = callers
            .iter()
            .enumerate()
            .map(|(n, (_, _, at_ms))| (Duration::from_millis(u64::from(*at_ms)), n))
            .collect();
        let mut served = Vec::new();
        for _ in 0..10_000 {
            due.sort();
            let Some((now, n)) = (!due.is_empty()).then(|| due.remove(0)) else { break };
            let (priority, calls, _) = callers[n];
            match limiter.acquire(&n.to_string(), priority, calls, now) {
                Ok(()) => served.push((now, calls, n)),
                Err(wait) => due.push((now + wait.max(Duration::from_micros(1)), n)),
            }
        }
        served
    }

    fn any_callers() -> impl Strategy<Value = Vec<(Priority, u32, u32)>> {
        let priority = prop_oneof![(1..5_i64).prop_map(since), Just(Priority::ServiceScan), Just(Priority::Other)];
        prop::collection::vec((priority, 1..4_u32, 0..5_000_u32), 1..60)
    }

    proptest! {
        #[test]
        fn all_requesters_are_served_within_the_burst_and_the_rate(callers in any_callers()) {
            let served = served(limiter(), &callers);
            prop_assert_eq!(served.len(), callers.len(), "a requester was never served");
            for (from, (start, _, _)) in served.iter().enumerate() {
                let mut calls = 0;
                for (end, some, _) in &served[from..] {
                    calls += some;
                    let allowed = 10.0 + 5.0 * end.saturating_sub(*start).as_secs_f64() + 0.01;
                    prop_assert!(f64::from(calls) <= allowed, "{calls} calls from {start:?} to {end:?}");
                }
            }
        }

        #[test]
        fn waiting_requesters_are_served_by_priority(seconds in prop::collection::vec(0..5_i64, 1..40)) {
            let callers: Vec<_> = seconds.iter().map(|n| (since(*n), 1, 0)).collect();
            let mut limiter = empty();
            for (n, (priority, calls, _)) in callers.iter().enumerate() {
                let _ = limiter.acquire(&n.to_string(), *priority, *calls, Duration::ZERO);
            }
            let order: Vec<_> = served(limiter, &callers).into_iter().map(|(_, _, n)| (callers[n].0, n)).collect();
            prop_assert!(order.is_sorted(), "{order:?}");
        }
    }
}
