//! What every call to AWS goes through, whoever makes it.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Call, Subject};
use super::rate::Rates;
use super::session::{Session, Sessions};
use crate::core::arn::Lane;
use crate::core::limiter::Limits;
use crate::core::outcome::{Class, Failure, Outcome};
use crate::metrics::Metrics;

/// The way to AWS.
pub struct Aws {
    /// Whose credentials these are.
    pub sessions: Sessions,
    /// When the next call may be made.
    pub rates: Rates,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
}

impl Aws {
    /// Makes a way, where a halved rate rises by a tenth each time `recovery` has passed.
    pub fn new(limits: Limits, recovery: Duration, metrics: Arc<Metrics>) -> Self {
        Self { sessions: Sessions::new(metrics.clone()), rates: Rates::new(limits, recovery), metrics }
    }

    /// Takes note of a call that was made with a session: what AWS said may be of use to the next.
    pub fn heed(&self, lane: &Lane, session: &Arc<Session>, call: &Call, subject: Subject<'_>) {
        call.log(&lane.region, subject);
        self.metrics.called(call.operation, &call.outcome, call.took);
        self.rates.heed(lane, call.sent, &call.outcome);
        if let Outcome::Refused(Failure { class: Class::CredentialsRejected, .. }) = &call.outcome {
            self.sessions.reject(session);
        }
    }
}
