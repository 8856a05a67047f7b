//! The right to act: while this operator leads and is not shutting down. It is checked right before each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::core::intervals::millis;

/// The conditions for every call of the operator.
pub struct MayAct {
    /// Cancelled when the process shuts down: no call to AWS is begun after that.
    pub stopping: CancellationToken,
    /// The leadership.
    pub leadership: Arc<Leadership>,
}

impl MayAct {
    /// Whether AWS may be called.
    pub fn granted(&self) -> bool {
        !self.stopping.is_cancelled() && self.leadership.held()
    }
}

/// Whether this operator leads, by its own clock: a process that was frozen knows at once that it no longer leads.
pub struct Leadership {
    /// In milliseconds of [`Leadership::now`].
    until: AtomicU64,
    changed: Notify,
}

impl Leadership {
    /// Of an operator without leader election.
    pub fn always() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(u64::MAX), changed: Notify::new() })
    }

    /// Of an operator that has to be elected first.
    pub fn elected() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(0), changed: Notify::new() })
    }

    /// Whether this operator leads now.
    pub fn held(&self) -> bool {
        millis(self.now()) < self.until.load(Ordering::Acquire)
    }

    /// Waits until this operator leads.
    pub async fn acquired(&self) {
        loop {
            let changed = self.changed.notified();
            if self.held() {
                return;
            }
            changed.await;
        }
    }

    /// The clock of [`Leadership::set_until`]; it runs also while the machine is suspended.
    pub fn now(&self) -> Duration {
        clock::since_boot()
    }

    /// Sets the end of the leadership.
    pub fn set_until(&self, until: Option<Duration>) {
        self.until.store(until.map_or(0, millis), Ordering::Release);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_leadership_ends_at_its_time() {
        let leadership = Leadership::elected();
        assert!(!leadership.held());
        leadership.set_until(Some(leadership.now() + Duration::from_mins(1)));
        assert!(leadership.held() && leadership.acquired().now_or_never().is_some());
        leadership.set_until(Some(leadership.now()));
        assert!(!leadership.held() && leadership.acquired().now_or_never().is_none());
        assert!(Leadership::always().held());
    }

    #[test]
    fn no_call_is_allowed_during_a_shutdown() {
        let may_act = MayAct { stopping: CancellationToken::new(), leadership: Leadership::always() };
        assert!(may_act.granted());
        may_act.stopping.cancel();
        assert!(!may_act.granted());
    }
}
