//! What every call to AWS goes through, whoever makes it.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Call, Subject};
use super::rate::Rates;
use super::session::{Session, Sessions};
use crate::core::arn::AccountRegion;
use crate::core::error_class::ErrorClass;
use crate::core::limiter::Limits;
use crate::core::outcome::{Failure, Outcome};
use crate::telemetry::incidents::{Incidents, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// The way to AWS.
pub struct Aws {
    /// Whose credentials these are.
    pub sessions: Sessions,
    /// When the next call may be made.
    pub rates: Rates,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Where troubles are reported that many objects share.
    pub incidents: Arc<Incidents>,
}

impl Aws {
    /// Makes a way, where a halved rate rises by a tenth each time `recovery` has passed.
    pub fn new(limits: Limits, recovery: Duration, metrics: Arc<Metrics>, incidents: Arc<Incidents>) -> Self {
        let sessions = Sessions::new(metrics.clone(), incidents.clone());
        Self { sessions, rates: Rates::new(limits, recovery), metrics, incidents }
    }

    /// Takes note of a call that was made with a session: what AWS said may be of use to the next.
    pub fn record_response<T>(
        &self,
        account_region: &AccountRegion,
        session: &Arc<Session>,
        call: &Call<T>,
        subject: Subject<'_>,
    ) {
        call.log(&account_region.region, subject);
        self.metrics.observe_call(call.operation, &call.outcome, call.took);
        self.rates.record_response(account_region, call.sent, &call.outcome);
        let shared = SharedFailure::AppRunner(account_region.clone());
        match &call.outcome {
            Outcome::Refused(failure) if failure.class == ErrorClass::CredentialsRejected => {
                self.incidents.failed(&shared, failure);
                if !failure.is_of_signature() {
                    self.sessions.reject(session);
                }
            }
            Outcome::NotSent(failure) | Outcome::Unknown(failure)
                if matches!(failure.class, ErrorClass::Unreachable | ErrorClass::Untrusted) =>
            {
                self.incidents.failed(&shared, failure);
            }
            // Nobody but App Runner can know these, and it looks at the credentials first.
            Outcome::Done(_)
            | Outcome::Refused(Failure {
                class: ErrorClass::NotFound | ErrorClass::InUse | ErrorClass::AccessDenied,
                ..
            }) => {
                self.incidents.ended(&shared);
            }
            _ => {}
        }
    }
}
