//! How often one account and region is called: a bucket of tokens, and who is next.
//!
//! It never waits. Who asks is told "now", or how long until it is their turn, and keeps a place in the queue until then:
//! deletions stand before everything else, the oldest first; then the sweeps that find out who holds them; then the rest,
//! in the order of asking. The rate halves at once when AWS throttles, and comes back a tenth at a time.
//!
//! A bucket off the shelf knows neither an order among those who wait nor a rate that changes, so this one is ours. Times
//! are durations since any fixed moment, so that a clock that is set does not disturb it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// The rate never falls below this by throttling, in calls a second.
pub const LOWEST_RATE: f64 = 0.5;
/// Who has not come this long after their turn is not waited for, and goes first when they do come.
const LATE: Duration = Duration::from_millis(20);
/// Who has not come for this long does not come any more.
const LOST: Duration = Duration::from_mins(1);
/// While anybody waits, no more tokens are saved up than come in this time: those who wait are to come one by one.
const SAVED_WHILE_WAITING: Duration = Duration::from_millis(400);
/// An adoption takes three calls at once, so that many may always be saved up.
const SAVED_AT_LEAST: f64 = 3.0;
/// Less than this of a token is nothing but rounding.
const ROUNDING: f64 = 1e-6;

/// What one account and region may be called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls a second.
    pub rate: f64,
    /// Calls at once, after a quiet time.
    pub burst: u32,
}

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// An object that is being deleted, since then.
    Deletion(Timestamp),
    /// A sweep over the services.
    Sweep,
    /// Everything else.
    Other,
}

/// One account and region's bucket.
#[derive(Clone, Debug)]
pub struct Limiter {
    limits: Limits,
    recovery: Duration,
    rate: f64,
    tokens: f64,
    filled_at: Duration,
    rate_changed_at: Duration,
    halved_at: Option<Duration>,
    queue: BTreeMap<(Rank, u64), Waiting>,
    arrivals: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    who: String,
    calls: f64,
    due: Duration,
}

impl Limiter {
    /// Makes a full bucket; a lowered rate rises by a tenth of the full one each time `recovery` has passed.
    pub fn new(limits: Limits, recovery: Duration, now: Duration) -> Self {
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

    /// The calls a second it allows now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes the tokens for some calls, or says how long until it is worth asking again.
    pub fn ask(&mut self, who: &str, rank: Rank, calls: u32, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        self.queue.retain(|_, waiting| waiting.due + LOST >= now);
        let calls = f64::from(calls.min(self.limits.burst));
        let place = self.place(who, rank);
        let in_time = |(_, waiting): &(&(Rank, u64), &Waiting)| waiting.due + LATE >= now;
        let ahead: f64 = self.queue.range(..place).filter(in_time).map(|(_, waiting)| waiting.calls).sum();
        let missing = ahead + calls - self.tokens;
        if missing <= ROUNDING {
            self.tokens -= calls;
            self.queue.remove(&place);
            return Ok(());
        }
        let wait = Duration::from_secs_f64(missing / self.rate);
        self.queue.insert(place, Waiting { who: who.to_owned(), calls, due: now + wait });
        Err(wait)
    }

    /// Takes note of a call that was made without asking, because what had begun was to be finished.
    pub fn charge(&mut self, calls: u32, now: Duration) {
        self.fill(now);
        self.tokens -= f64::from(calls);
    }

    /// Gives back tokens of calls that were not made.
    pub fn refund(&mut self, calls: u32, now: Duration) {
        self.fill(now);
        self.tokens = (self.tokens + f64::from(calls)).min(f64::from(self.limits.burst));
    }

    /// Halves the rate because AWS throttled a call; not again for one that was on its way before the last time.
    pub fn throttled(&mut self, sent: Duration, now: Duration) {
        self.fill(now);
        if self.halved_at.is_some_and(|halved| sent < halved) {
            return;
        }
        self.rate = (self.rate / 2.0).max(LOWEST_RATE.min(self.limits.rate));
        self.tokens = self.tokens.min(0.0);
        self.halved_at = Some(now);
        self.rate_changed_at = now;
    }

    fn place(&mut self, who: &str, rank: Rank) -> (Rank, u64) {
        let kept = self.queue.iter().find(|(_, waiting)| waiting.who == who).map(|(place, _)| *place);
        match kept {
            Some(place) if place.0 == rank => place,
            other => {
                other.and_then(|place| self.queue.remove(&place));
                self.arrivals += 1;
                (rank, self.arrivals)
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

/// The time in which so many calls are half of what the rate allows.
pub fn half_of_the_rate(calls: u32, rate: f64) -> Duration {
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

    fn since(second: i64) -> Rank {
        Rank::Deletion(Timestamp::from_second(second).unwrap())
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
    fn a_burst_goes_at_once_and_the_next_waits_its_share() {
        let mut limiter = limiter();
        for n in 0..10 {
            assert_eq!(limiter.ask(&n.to_string(), Rank::Other, 1, Duration::ZERO), Ok(()));
        }
        assert_eq!(limiter.ask("next", Rank::Other, 1, Duration::ZERO), Err(at(0.2)));
        assert_eq!(limiter.ask("after", Rank::Other, 1, Duration::ZERO), Err(at(0.4)));
        assert_eq!(limiter.ask("next", Rank::Other, 1, at(0.2)), Ok(()));
        assert_eq!(limiter.ask("after", Rank::Other, 1, at(0.4)), Ok(()));
    }

    #[test]
    fn deletions_stand_before_sweeps_and_sweeps_before_the_rest() {
        let mut limiter = empty();
        let asked = |limiter: &mut Limiter, who: &str, rank| limiter.ask(who, rank, 1, Duration::ZERO);
        assert_eq!(asked(&mut limiter, "claim", Rank::Other), Err(at(0.2)));
        assert_eq!(asked(&mut limiter, "sweep", Rank::Sweep), Err(at(0.2)));
        assert_eq!(asked(&mut limiter, "younger", since(2)), Err(at(0.2)));
        assert_eq!(asked(&mut limiter, "older", since(1)), Err(at(0.2)));
        let order = [("older", since(1)), ("younger", since(2)), ("sweep", Rank::Sweep), ("claim", Rank::Other)];
        for (n, (who, _)) in (0_u32..).zip(order) {
            let now = at(0.2) * (n + 1);
            let waits = order.iter().skip(n as usize + 1).map(|(other, rank)| limiter.ask(other, *rank, 1, now));
            assert!(waits.into_iter().all(|answer| answer.is_err()), "{who} is next");
            assert_eq!(limiter.ask(who, order[n as usize].1, 1, now), Ok(()), "{who}");
        }
    }

    #[test]
    fn who_asks_again_keeps_the_place_and_who_is_deleted_meanwhile_moves_up() {
        let mut limiter = empty();
        let _ = limiter.ask("first", Rank::Other, 1, Duration::ZERO);
        let _ = limiter.ask("second", Rank::Other, 1, Duration::ZERO);
        assert_eq!(limiter.ask("first", Rank::Other, 1, at(0.1)), Err(at(0.1)));
        assert_eq!(limiter.ask("second", since(1), 1, at(0.1)), Err(at(0.1)), "before the first now");
        assert_eq!(limiter.ask("first", Rank::Other, 1, at(0.1)), Err(at(0.3)));
    }

    #[test]
    fn a_turn_that_nobody_takes_goes_to_the_next_and_is_made_up_for() {
        let mut limiter = empty();
        assert_eq!(limiter.ask("late", since(1), 1, Duration::ZERO), Err(at(0.2)));
        assert_eq!(limiter.ask("other", Rank::Other, 1, Duration::ZERO), Err(at(0.4)));
        assert!(limiter.ask("other", Rank::Other, 1, at(0.21)).is_err(), "the first may still come");
        assert_eq!(limiter.ask("other", Rank::Other, 1, at(0.23)), Ok(()));
        assert_eq!(limiter.ask("third", Rank::Other, 1, at(0.4)), Ok(()), "nobody is waited for who is late");
        assert!(limiter.ask("fourth", Rank::Other, 1, at(0.4)).is_err());
        assert_eq!(limiter.ask("late", since(1), 1, at(0.6)), Ok(()), "and who was late goes first");
    }

    #[test]
    fn while_somebody_waits_not_a_whole_burst_is_saved_up() {
        let mut limiter = empty();
        let _ = limiter.ask("late", since(1), 1, Duration::ZERO);
        let at_once = (0..20).filter(|n| limiter.ask(&n.to_string(), since(2), 1, at(30.0)).is_ok()).count();
        assert_eq!(at_once, 3);
        let forgotten = (0..20).filter(|n| limiter.ask(&n.to_string(), since(3), 1, at(200.0)).is_ok()).count();
        assert_eq!(forgotten, 3, "those of before are lost by now, and had been waited for");
    }

    #[test]
    fn at_a_high_rate_more_is_saved_up_for_those_who_are_late() {
        let mut fast = Limiter::new(Limits { rate: 20.0, burst: 100 }, RECOVERY, Duration::ZERO);
        fast.charge(100, Duration::ZERO);
        let _ = fast.ask("late", since(1), 1, Duration::ZERO);
        let at_once = (0..20).filter(|n| fast.ask(&n.to_string(), since(2), 1, at(30.0)).is_ok()).count();
        assert_eq!(at_once, 8, "what comes in 400 ms");
    }

    #[test]
    fn half_of_the_rate_is_the_time_for_twice_the_calls() {
        let seconds = |calls, rate| half_of_the_rate(calls, rate).as_secs_f64().to_string();
        assert_eq!((seconds(100, 5.0), seconds(1, 5.0), seconds(1, 0.0)), ("40".into(), "0.4".into(), "4".into()));
    }

    #[test]
    fn what_costs_more_than_a_burst_still_has_its_turn() {
        let mut limiter = limiter();
        assert_eq!(limiter.ask("big", Rank::Other, 50, Duration::ZERO), Ok(()));
    }

    #[test]
    fn tokens_that_were_not_used_come_back_and_never_more_than_a_burst() {
        let mut limiter = limiter();
        assert_eq!(limiter.ask("claim", Rank::Other, 3, Duration::ZERO), Ok(()));
        limiter.refund(2, Duration::ZERO);
        assert_eq!(limiter.ask("nine", Rank::Other, 9, Duration::ZERO), Ok(()));
        assert!(limiter.clone().ask("a tenth", Rank::Other, 1, Duration::ZERO).is_err());
        limiter.refund(50, Duration::ZERO);
        assert_eq!(limiter.ask("all", Rank::Other, 10, Duration::ZERO), Ok(()));
        assert!(limiter.ask("more", Rank::Other, 1, Duration::ZERO).is_err());
    }

    #[test]
    fn throttling_halves_the_rate_at_once_and_it_rises_by_a_tenth_every_ten_seconds() {
        let mut limiter = limiter();
        limiter.throttled(Duration::ZERO, Duration::ZERO);
        assert_eq!(limiter.rate().to_string(), "2.5");
        assert_eq!(limiter.ask("a", Rank::Other, 1, Duration::ZERO), Err(at(0.4)), "and what was saved up is gone");
        limiter.charge(0, at(9.9));
        assert_eq!(limiter.rate().to_string(), "2.5");
        limiter.charge(0, at(10.0));
        assert_eq!(limiter.rate().to_string(), "3");
        limiter.charge(0, at(1000.0));
        assert_eq!(limiter.rate().to_string(), "5");
    }

    #[test]
    fn calls_that_were_on_their_way_before_the_rate_was_halved_do_not_halve_it_again() {
        let mut limiter = limiter();
        limiter.throttled(at(1.0), at(2.0));
        limiter.throttled(at(1.5), at(2.1));
        assert_eq!(limiter.rate().to_string(), "2.5");
        limiter.throttled(at(2.0), at(2.2));
        assert_eq!(limiter.rate().to_string(), "1.25");
    }

    #[test]
    fn the_rate_never_falls_under_half_a_call_a_second_nor_over_what_was_set() {
        let mut limiter = limiter();
        for second in 0..20 {
            limiter.throttled(at(f64::from(second) / 10.0), at(f64::from(second) / 10.0));
        }
        assert_eq!(limiter.rate().to_string(), "0.5");
        let mut slow = Limiter::new(Limits { rate: 0.2, burst: 1 }, RECOVERY, Duration::ZERO);
        slow.throttled(Duration::ZERO, Duration::ZERO);
        assert_eq!(slow.rate().to_string(), "0.2");
    }

    /// Callers who come when they were told to, each for some calls, and what became of it: who was served when.
    fn served(mut limiter: Limiter, callers: &[(Rank, u32, u32)]) -> Vec<(Duration, u32, usize)> {
        let mut due: Vec<_> = callers
            .iter()
            .enumerate()
            .map(|(n, (_, _, at_ms))| (Duration::from_millis(u64::from(*at_ms)), n))
            .collect();
        let mut served = Vec::new();
        for _ in 0..10_000 {
            due.sort();
            let Some((now, n)) = (!due.is_empty()).then(|| due.remove(0)) else { break };
            let (rank, calls, _) = callers[n];
            match limiter.ask(&n.to_string(), rank, calls, now) {
                Ok(()) => served.push((now, calls, n)),
                Err(wait) => due.push((now + wait.max(Duration::from_micros(1)), n)),
            }
        }
        served
    }

    fn any_callers() -> impl Strategy<Value = Vec<(Rank, u32, u32)>> {
        let rank = prop_oneof![(1..5_i64).prop_map(since), Just(Rank::Sweep), Just(Rank::Other)];
        prop::collection::vec((rank, 1..4_u32, 0..5_000_u32), 1..60)
    }

    proptest! {
        #[test]
        fn everybody_is_served_and_never_more_than_the_burst_and_the_rate_allow(callers in any_callers()) {
            let served = served(limiter(), &callers);
            prop_assert_eq!(served.len(), callers.len(), "somebody waits for ever");
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
        fn of_those_who_wait_together_the_order_is_that_of_the_ranks(ranks in prop::collection::vec(0..5_i64, 1..40)) {
            let callers: Vec<_> = ranks.iter().map(|n| (since(*n), 1, 0)).collect();
            let mut limiter = empty();
            for (n, (rank, calls, _)) in callers.iter().enumerate() {
                let _ = limiter.ask(&n.to_string(), *rank, *calls, Duration::ZERO);
            }
            let order: Vec<_> = served(limiter, &callers).into_iter().map(|(_, _, n)| (callers[n].0, n)).collect();
            prop_assert!(order.is_sorted(), "{order:?}");
        }
    }
}
