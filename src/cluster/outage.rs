//! A watch that fails: when it is tried again, and what the log says of it.
//!
//! The API server may be away for hours, or somebody deletes the CRD. Then the log says so once, and once that it is over;
//! and watching is tried so often that an object which is created with its CRD is not left waiting.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;
use tracing::{debug, info, warn};

use crate::core::intervals;

const UNKNOWN_KIND: &str =
    "the API server does not know VpcConnector; install it: apprunner-operator crd | kubectl apply -f -";
const FAILED: &str = "watching VpcConnector objects failed; it is tried again";
/// A watch that works and fails by turns is told no more often than this.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// What the log has been told of a watch.
#[derive(Default)]
pub struct Outage {
    told: Option<(&'static str, Instant)>,
    over: bool,
}

impl Outage {
    /// Takes note of a failure.
    pub fn goes_on(&mut self, error: &watcher::Error) {
        let what = what_failed(error);
        if self.is_news(what, Instant::now()) {
            warn!(%error, "{what}");
        } else {
            debug!(%error, "watching VpcConnector objects still fails");
        }
    }

    /// Takes note of a success.
    pub fn ends(&mut self) {
        if self.told.is_some() && !std::mem::replace(&mut self.over, true) {
            info!("watching VpcConnector objects works again");
        }
    }

    fn is_news(&mut self, what: &'static str, now: Instant) -> bool {
        let told = self.told.is_some_and(|(before, at)| {
            before == what && (!self.over || now.saturating_duration_since(at) < TOLD_AGAIN)
        });
        if !told {
            (self.told, self.over) = (Some((what, now)), false);
        }
        !told
    }
}

fn what_failed(error: &watcher::Error) -> &'static str {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => 0,
    };
    if code == 404 { UNKNOWN_KIND } else { FAILED }
}

/// The waits between attempts to watch: they grow until it has worked for a while.
pub struct Again {
    backoff: intervals::Backoff,
    failures: u32,
    last: Option<Instant>,
}

impl Again {
    /// Waits of this range.
    pub fn new(backoff: intervals::Backoff) -> Self {
        Self { backoff, failures: 0, last: None }
    }

    fn after_failure(&mut self, now: Instant, jitter: f64) -> Duration {
        let worked_since = self.last.is_none_or(|last| now.saturating_duration_since(last) > self.backoff.max * 3);
        self.failures = if worked_since { 1 } else { self.failures.saturating_add(1) };
        self.last = Some(now);
        self.backoff.jittered(self.failures, jitter)
    }
}

impl Iterator for Again {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after_failure(Instant::now(), rand::random()))
    }
}

impl Backoff for Again {
    /// Called at every event, of which one comes before each list, also before a list that fails: that is no success.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Box<kube::core::Status> {
        Box::new(kube::core::Status::failure("", "").with_code(code))
    }

    #[test]
    fn a_missing_crd_is_told_as_such_wherever_it_is_noticed() {
        let api = || kube::Error::Api(answer(404));
        for error in [
            watcher::Error::InitialListFailed(api()),
            watcher::Error::WatchStartFailed(api()),
            watcher::Error::WatchFailed(api()),
            watcher::Error::WatchError(answer(404)),
        ] {
            assert_eq!(what_failed(&error), UNKNOWN_KIND);
        }
        assert_eq!(what_failed(&watcher::Error::WatchStartFailed(kube::Error::Api(answer(403)))), FAILED);
        assert_eq!(what_failed(&watcher::Error::NoResourceVersion), FAILED);
    }

    #[test]
    fn an_outage_is_told_once_and_what_is_new_about_it_is() {
        let mut outage = Outage::default();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(outage.is_news(FAILED, at(0)));
        assert!(!outage.is_news(FAILED, at(1)) && !outage.is_news(FAILED, at(3_600)));
        assert!(outage.is_news(UNKNOWN_KIND, at(3_601)), "it is another one now");
        outage.ends();
        assert!(outage.over);
        assert!(!outage.is_news(UNKNOWN_KIND, at(3_650)), "it comes and goes");
        assert!(outage.is_news(UNKNOWN_KIND, at(3_662)) && !outage.over);
    }

    #[test]
    fn waits_grow_to_their_longest_and_begin_anew_after_a_while_without_failures() {
        let mut again =
            Again::new(intervals::Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10) });
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..6 {
            let wait = again.after_failure(now, 1.0);
            waits.push(wait.as_secs());
            now += wait;
            again.reset();
        }
        assert_eq!(waits, [2, 4, 8, 10, 10, 10]);
        assert_eq!(again.after_failure(now + Duration::from_secs(31), 1.0).as_secs(), 2);
    }
}
