//! The request rate, which AWS does not publish and a test can choose.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::state::Place;

/// A token bucket for each place; its size is one second's worth.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: BTreeMap<Place, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

impl Throttle {
    /// Says whether one more request fits, and counts it if so.
    pub(crate) fn admits(&mut self, place: &Place, per_second: u32, now: Timestamp) -> bool {
        let size = f64::from(per_second);
        let bucket = self.buckets.entry(place.clone()).or_insert(Bucket { tokens: size, filled_at: now });
        let elapsed = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + elapsed * size).min(size);
        bucket.filled_at = now;
        let admits = bucket.tokens >= 1.0;
        if admits {
            bucket.tokens -= 1.0;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::later;

    #[test]
    fn admits_a_burst_and_then_the_rate() {
        let (mut throttle, place, start) = (Throttle::default(), Place::new("a", "r"), Timestamp::UNIX_EPOCH);
        let mut admitted = |ms| throttle.admits(&place, 2, later(start, ms));
        assert_eq!([admitted(0), admitted(0), admitted(0)], [true, true, false]);
        assert_eq!([admitted(500), admitted(500)], [true, false]);
        assert_eq!([admitted(9000), admitted(9000), admitted(9000)], [true, true, false]);
    }

    #[test]
    fn places_do_not_share_a_bucket() {
        let mut throttle = Throttle::default();
        assert!(throttle.admits(&Place::new("a", "r"), 1, Timestamp::UNIX_EPOCH));
        assert!(throttle.admits(&Place::new("a", "s"), 1, Timestamp::UNIX_EPOCH));
        assert!(throttle.admits(&Place::new("b", "r"), 1, Timestamp::UNIX_EPOCH));
        assert!(!throttle.admits(&Place::new("b", "r"), 1, Timestamp::UNIX_EPOCH));
    }
}
