//! Whether anything may be begun: asked right before each call that changes anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::core::intervals::millis;

/// What has to be so for anything to be begun.
pub struct Permission {
    /// Set once the process is to stop: no call to AWS is begun any more.
    pub stopping: CancellationToken,
    /// Whether it is this operator's turn.
    pub leadership: Arc<Leadership>,
}

impl Permission {
    /// Whether AWS may be called.
    pub fn given(&self) -> bool {
        !self.stopping.is_cancelled() && self.leadership.held()
    }
}

/// Whether this operator leads, by its own clock: one that was frozen knows at once that it does no more.
pub struct Leadership {
    /// In milliseconds of [`Leadership::now`].
    until: AtomicU64,
    changed: Notify,
}

impl Leadership {
    /// For an operator that is alone by arrangement.
    pub fn unquestioned() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(u64::MAX), changed: Notify::new() })
    }

    /// For one that has to be elected first.
    pub fn contested() -> Arc<Self> {
        Arc::new(Self { until: AtomicU64::new(0), changed: Notify::new() })
    }

    /// Whether we lead, at this very moment.
    pub fn held(&self) -> bool {
        millis(self.now()) < self.until.load(Ordering::Acquire)
    }

    /// Waits until we lead.
    pub async fn won(&self) {
        loop {
            let changed = self.changed.notified();
            if self.held() {
                return;
            }
            changed.await;
        }
    }

    /// The time that [`Leadership::lasts`] speaks of: it runs also while the machine is suspended.
    pub fn now(&self) -> Duration {
        clock::since_boot()
    }

    /// Says until when we lead, unless something else is said before.
    pub fn lasts(&self, until: Option<Duration>) {
        self.until.store(until.map_or(0, millis), Ordering::Release);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_leadership_ends_by_itself() {
        let leadership = Leadership::contested();
        assert!(!leadership.held());
        leadership.lasts(Some(leadership.now() + Duration::from_mins(1)));
        assert!(leadership.held() && leadership.won().now_or_never().is_some());
        leadership.lasts(Some(leadership.now()));
        assert!(!leadership.held() && leadership.won().now_or_never().is_none());
        assert!(Leadership::unquestioned().held());
    }

    #[test]
    fn nothing_is_permitted_once_the_process_is_to_stop() {
        let permission = Permission { stopping: CancellationToken::new(), leadership: Leadership::unquestioned() };
        assert!(permission.given());
        permission.stopping.cancel();
        assert!(!permission.given());
    }
}
