//! Failures of a watch: their log lines, and the backoff.
//!
//! The API server may be unreachable for hours, or a user may delete the CRD. The log then has one line at the start of
//! the outage and one at its end. The longest wait is 10 s, because an object that is created together with its CRD
//! waits for the next attempt.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;
use tracing::{debug, info, warn};

use crate::core::intervals;

/// A watch that works and fails alternately is logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The logged state of a watch.
#[derive(Default)]
pub(crate) struct Outage {
    logged: Option<(Cause, Instant)>,
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The API server does not know the kind.
    UnknownKind,
    Other,
}

impl Outage {
    /// Logs a failure, unless the log has it already.
    pub(crate) fn failed(&mut self, error: &watcher::Error) {
        let cause = cause_of(error);
        match cause {
            _ if !self.is_news(cause, Instant::now()) => debug!(%error, "watching VpcConnector objects still fails"),
            Cause::UnknownKind => warn!(
                %error,
                "the API server does not know VpcConnector; install it: apprunner-operator crd | kubectl apply -f -"
            ),
            Cause::Other => warn!(%error, "watching VpcConnector objects failed; it is tried again"),
        }
    }

    /// Logs the end of an outage.
    pub(crate) fn ended(&mut self) {
        if self.logged.is_some() && !std::mem::replace(&mut self.over, true) {
            info!("watching VpcConnector objects works again");
        }
    }

    fn is_news(&mut self, cause: Cause, now: Instant) -> bool {
        let logged = self.logged.is_some_and(|(before, at)| {
            before == cause && (!self.over || now.saturating_duration_since(at) < LOG_INTERVAL)
        });
        if !logged {
            (self.logged, self.over) = (Some((cause, now)), false);
        }
        !logged
    }
}

fn cause_of(error: &watcher::Error) -> Cause {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => 0,
    };
    if code == 404 { Cause::UnknownKind } else { Cause::Other }
}

/// The growing waits between attempts to watch. They start again after three times the longest wait without a failure.
pub(crate) struct WatchBackoff {
    backoff: intervals::Backoff,
    failures: u32,
    last: Option<Instant>,
}

impl WatchBackoff {
    pub(crate) fn new(backoff: intervals::Backoff) -> Self {
        Self { backoff, failures: 0, last: None }
    }

    fn after_failure(&mut self, now: Instant, jitter: f64) -> Duration {
        let recovered = self.last.is_none_or(|last| now.saturating_duration_since(last) > self.backoff.max * 3);
        self.failures = if recovered { 1 } else { self.failures.saturating_add(1) };
        self.last = Some(now);
        self.backoff.jittered(self.failures, jitter)
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after_failure(Instant::now(), rand::random()))
    }
}

impl Backoff for WatchBackoff {
    /// Does nothing: kube calls this at every event, and the event before each list also precedes a list that fails.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Box<kube::core::Status> {
        Box::new(kube::core::Status::failure("", "").with_code(code))
    }

    #[test]
    fn missing_crd_is_logged_as_such_at_every_error_of_the_watch() {
        let api = || kube::Error::Api(answer(404));
        for error in [
            watcher::Error::InitialListFailed(api()),
            watcher::Error::WatchStartFailed(api()),
            watcher::Error::WatchFailed(api()),
            watcher::Error::WatchError(answer(404)),
        ] {
            assert_eq!(cause_of(&error), Cause::UnknownKind);
        }
        assert_eq!(cause_of(&watcher::Error::WatchStartFailed(kube::Error::Api(answer(403)))), Cause::Other);
        assert_eq!(cause_of(&watcher::Error::NoResourceVersion), Cause::Other);
    }

    #[test]
    fn outage_is_logged_once_and_a_new_cause_again() {
        let mut outage = Outage::default();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(outage.is_news(Cause::Other, at(0)));
        assert!(!outage.is_news(Cause::Other, at(1)) && !outage.is_news(Cause::Other, at(3_600)));
        assert!(outage.is_news(Cause::UnknownKind, at(3_601)), "the cause is new");
        outage.ended();
        assert!(outage.over);
        assert!(!outage.is_news(Cause::UnknownKind, at(3_650)), "the same cause within a minute");
        assert!(outage.is_news(Cause::UnknownKind, at(3_662)) && !outage.over);
    }

    #[test]
    fn waits_grow_and_start_again_after_thirty_seconds_without_failures() {
        let mut backoff =
            WatchBackoff::new(intervals::Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10) });
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..6 {
            let wait = backoff.after_failure(now, 1.0);
            waits.push(wait.as_secs());
            now += wait;
            backoff.reset();
        }
        assert_eq!(waits, [2, 4, 8, 10, 10, 10]);
        assert_eq!(backoff.after_failure(now + Duration::from_secs(31), 1.0).as_secs(), 2);
    }
}
