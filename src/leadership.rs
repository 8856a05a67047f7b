//! The right to act: an operator acts while it leads and is not shutting down. It checks both right before each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::core::intervals::millis;

/// The conditions for every call of the operator.
pub(crate) struct MayAct {
    /// Cancelled when the process shuts down: no call to AWS is begun after that.
    pub stopping: CancellationToken,
    /// The leadership.
    pub leadership: Arc<Leadership>,
}

impl MayAct {
    /// Returns whether AWS may be called.
    pub(crate) fn granted(&self) -> bool {
        !self.stopping.is_cancelled() && self.leadership.held()
    }
}

/// The leadership of this operator by its own clock: a process that was frozen knows at once that it no longer leads.
pub(crate) struct Leadership {
    /// In milliseconds of [`clock::since_boot`], which also counts while the machine is suspended.
    until: AtomicU64,
    changed: Notify,
}

impl Leadership {
    /// The leadership of an operator without leader election.
    pub(crate) fn always() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(u64::MAX), changed: Notify::new() })
    }

    /// The leadership of an operator that has to be elected first.
    pub(crate) fn elected() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(0), changed: Notify::new() })
    }

    /// Returns whether this operator leads now.
    pub(crate) fn held(&self) -> bool {
        millis(clock::since_boot()) < self.until.load(Ordering::Acquire)
    }

    /// Waits until this operator leads.
    pub(crate) async fn acquired(&self) {
        loop {
            let changed = self.changed.notified();
            if self.held() {
                return;
            }
            changed.await;
        }
    }

    /// Sets the end of the leadership.
    pub(crate) fn set_until(&self, until: Option<Duration>) {
        self.until.store(until.map_or(0, millis), Ordering::Release);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn leadership_ends_at_its_time_without_a_call() {
        let leadership = Leadership::elected();
        assert!(!leadership.held());
        leadership.set_until(Some(clock::since_boot() + Duration::from_mins(1)));
        assert!(leadership.held() && leadership.acquired().now_or_never().is_some());
        leadership.set_until(Some(clock::since_boot()));
        assert!(!leadership.held() && leadership.acquired().now_or_never().is_none());
        assert!(Leadership::always().held());
    }

    #[test]
    fn calls_are_not_granted_once_the_process_shuts_down() {
        let may_act = MayAct { stopping: CancellationToken::new(), leadership: Leadership::always() };
        assert!(may_act.granted());
        may_act.stopping.cancel();
        assert!(!may_act.granted());
    }
}
