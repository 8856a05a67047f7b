//! The rate limit of each account and region, shared by everything that calls App Runner there.
//!
//! Nobody is made to wait here: who may not call now is told how long until it is their turn. STS stands outside, since
//! nothing can be called before it has answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::core::arn::AccountRegion;
use crate::core::error_class::ErrorClass;
use crate::core::limiter::{Limiter, Limits, Rank};
use crate::core::outcome::{Failure, Outcome};
use crate::sync::lock;

/// The limiters, by account and region.
pub struct Rates {
    limits: Limits,
    recovery: Duration,
    started: Instant,
    by_account_region: Mutex<HashMap<AccountRegion, Limiter>>,
}

/// The right to some calls; what is not used of it goes back.
pub struct Permit<'a> {
    rates: &'a Rates,
    account_region: AccountRegion,
    left: u32,
}

impl Rates {
    /// Makes a place for limiters; a halved rate rises by a tenth each time `recovery` has passed.
    pub fn new(limits: Limits, recovery: Duration) -> Self {
        Self { limits, recovery, started: Instant::now(), by_account_region: Mutex::default() }
    }

    /// Gives the right to some calls, or says how long until it is worth asking again.
    pub fn ask(
        &self,
        account_region: &AccountRegion,
        who: &str,
        rank: Rank,
        calls: u32,
    ) -> Result<Permit<'_>, Duration> {
        self.with(account_region, |limiter, now| limiter.ask(who, rank, calls, now))?;
        Ok(Permit { rates: self, account_region: account_region.clone(), left: calls })
    }

    /// The calls a second that are allowed now.
    pub fn rate(&self, account_region: &AccountRegion) -> f64 {
        self.with(account_region, |limiter, _| limiter.rate())
    }

    /// The same for every region that was called.
    pub fn by_region(&self) -> BTreeMap<String, f64> {
        let by_account_region = lock(&self.by_account_region);
        by_account_region
            .iter()
            .map(|(account_region, limiter)| (account_region.region.as_str().to_owned(), limiter.rate()))
            .collect()
    }

    /// Takes note of a call that was sent then: AWS may have throttled it.
    pub fn record_response<T>(&self, account_region: &AccountRegion, sent: Instant, outcome: &Outcome<T>) {
        if let Outcome::Refused(Failure { class: ErrorClass::Throttled, .. }) = outcome {
            let sent = sent.saturating_duration_since(self.started);
            self.with(account_region, |limiter, now| limiter.throttled(sent, now));
        }
    }

    fn with<T>(&self, account_region: &AccountRegion, what: impl FnOnce(&mut Limiter, Duration) -> T) -> T {
        let mut by_account_region = lock(&self.by_account_region);
        let now = self.started.elapsed();
        let limiter = by_account_region
            .entry(account_region.clone())
            .or_insert_with(|| Limiter::new(self.limits, self.recovery, now));
        what(limiter, now)
    }
}

impl Permit<'_> {
    /// Uses it for one call. An attempt that turns out to need one more makes it: what follows waits the longer.
    pub fn spend(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.rates.with(&self.account_region, |limiter, now| limiter.charge(1, now)),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.rates.with(&self.account_region, |limiter, now| limiter.refund(self.left, now));
        }
    }
}
