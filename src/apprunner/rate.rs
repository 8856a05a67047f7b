//! The rate limit of each account and region. All calls to App Runner share it.
//!
//! This module never blocks: a requester that may not call now gets the time until it should try again. Calls to STS
//! are outside the limit, because no other call can be made before STS has answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::core::arn::AccountRegion;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Outcome};
use crate::core::rate_limit::{Limiter, Limits, Priority};
use crate::sync::lock;

/// The limiters, by account and region.
pub(crate) struct RateLimits {
    limits: Limits,
    recovery: Duration,
    started: Instant,
    by_account_region: Mutex<HashMap<AccountRegion, Limiter>>,
}

/// The right to make some calls. Dropping it returns the tokens of unused calls.
pub(crate) struct Permit<'a> {
    limits: &'a RateLimits,
    account_region: AccountRegion,
    left: u32,
}

impl RateLimits {
    /// No limiters yet. Every `recovery`, a reduced rate rises by a tenth of the full rate.
    pub(crate) fn new(limits: Limits, recovery: Duration) -> Self {
        Self { limits, recovery, started: Instant::now(), by_account_region: Mutex::default() }
    }

    /// Returns a permit for some calls, or the time until the requester should try again.
    pub(crate) fn acquire(
        &self,
        account_region: &AccountRegion,
        requester: &str,
        priority: Priority,
        calls: u32,
    ) -> Result<Permit<'_>, Duration> {
        self.with(account_region, |limiter, now| limiter.acquire(requester, priority, calls, now))?;
        Ok(Permit { limits: self, account_region: account_region.clone(), left: calls })
    }

    /// The calls per second that are allowed now in an account and region.
    pub(crate) fn rate(&self, account_region: &AccountRegion) -> f64 {
        self.with(account_region, Limiter::rate)
    }

    /// The calls per second that are allowed now in each account and region with a limiter.
    pub(crate) fn all(&self) -> BTreeMap<AccountRegion, f64> {
        let mut limiters = lock(&self.by_account_region);
        let now = self.started.elapsed();
        limiters.iter_mut().map(|(place, limiter)| (place.clone(), limiter.rate(now))).collect()
    }

    /// Halves the rate if AWS throttled a call that was sent at this time.
    pub(crate) fn record_response<T>(&self, account_region: &AccountRegion, sent: Instant, outcome: &Outcome<T>) {
        if let Outcome::Refused(Failure { class: ErrorClass::Throttled, .. }) = outcome {
            let sent = sent.saturating_duration_since(self.started);
            self.with(account_region, |limiter, now| limiter.throttled(sent, now));
        }
    }

    fn with<T>(&self, account_region: &AccountRegion, action: impl FnOnce(&mut Limiter, Duration) -> T) -> T {
        let mut by_account_region = lock(&self.by_account_region);
        let now = self.started.elapsed();
        let limiter = by_account_region
            .entry(account_region.clone())
            .or_insert_with(|| Limiter::new(self.limits, self.recovery, now));
        action(limiter, now)
    }
}

impl Permit<'_> {
    /// Uses the permit for one call. An attempt that needs one call more than it acquired makes that call, and later
    /// requests wait longer.
    pub(crate) fn spend(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.limits.with(&self.account_region, |limiter, now| limiter.charge(1, now)),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.limits.with(&self.account_region, |limiter, now| limiter.refund(self.left, now));
        }
    }
}
