//! The request rate limit; AWS does not publish its own, so a test chooses one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::account_region::AccountRegion;

/// One token bucket for each account and region; it holds the tokens of one second.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    buckets: BTreeMap<AccountRegion, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

impl RateLimiter {
    /// Takes a token for one request; returns false when none is left.
    pub(crate) fn try_acquire(&mut self, caller: &AccountRegion, per_second: u32, now: Timestamp) -> bool {
        let size = f64::from(per_second);
        let bucket = self.buckets.entry(caller.clone()).or_insert(Bucket { tokens: size, filled_at: now });
        let elapsed = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + elapsed * size).min(size);
        bucket.filled_at = now;
        let has_token = bucket.tokens >= 1.0;
        if has_token {
            bucket.tokens -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::later;

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let (mut limiter, caller, start) =
            (RateLimiter::default(), AccountRegion::new("a", "r"), Timestamp::UNIX_EPOCH);
        let mut allowed = |ms| limiter.try_acquire(&caller, 2, later(start, ms));
        assert_eq!([allowed(0), allowed(0), allowed(0)], [true, true, false]);
        assert_eq!([allowed(500), allowed(500)], [true, false]);
        assert_eq!([allowed(9000), allowed(9000), allowed(9000)], [true, true, false]);
    }

    #[test]
    fn accounts_and_regions_do_not_share_a_bucket() {
        let mut limiter = RateLimiter::default();
        assert!(limiter.try_acquire(&AccountRegion::new("a", "r"), 1, Timestamp::UNIX_EPOCH));
        assert!(limiter.try_acquire(&AccountRegion::new("a", "s"), 1, Timestamp::UNIX_EPOCH));
        assert!(limiter.try_acquire(&AccountRegion::new("b", "r"), 1, Timestamp::UNIX_EPOCH));
        assert!(!limiter.try_acquire(&AccountRegion::new("b", "r"), 1, Timestamp::UNIX_EPOCH));
    }
}
