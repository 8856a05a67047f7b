//! The parts that all calls to AWS share: credentials, rate limits, metrics and shared failures.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Call, Subject};
use super::rate::RateLimits;
use super::session::Session;
use super::sessions::{Identities, Sessions};
use crate::core::arn::AccountRegion;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Outcome};
use crate::core::rate_limit::Limits;
use crate::telemetry::incidents::{Incidents, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// The parts that all calls to AWS share.
pub(crate) struct Aws {
    /// The credentials, each with the account that they belong to.
    pub(crate) sessions: Sessions,
    /// The rate limit of each account and region.
    pub(crate) rate_limits: RateLimits,
    /// The metrics, which count every call.
    pub(crate) metrics: Arc<Metrics>,
    /// The failures that several objects share.
    pub(crate) incidents: Arc<Incidents>,
}

impl Aws {
    /// Shared parts without credentials yet. Every `recovery`, a reduced rate rises by a tenth of the full rate.
    pub(crate) fn new(
        identities: Identities,
        limits: Limits,
        recovery: Duration,
        metrics: Arc<Metrics>,
        incidents: Arc<Incidents>,
    ) -> Self {
        let sessions = Sessions::new(identities, metrics.clone(), incidents.clone());
        Self { sessions, rate_limits: RateLimits::new(limits, recovery), metrics, incidents }
    }

    /// Logs and counts a call that was made with a session, and applies AWS's answer to the rate limit, the session and
    /// the shared failures.
    pub(crate) fn record_response<T>(
        &self,
        account_region: &AccountRegion,
        session: &Arc<Session>,
        call: &Call<T>,
        subject: Subject<'_>,
    ) {
        let AccountRegion { account, region } = account_region;
        call.log(Some(account), region, subject);
        self.metrics.observe_call(call.operation, &call.outcome, call.took, Some(account), region);
        self.rate_limits.record_response(account_region, call.sent, &call.outcome);
        let shared = SharedFailure::AppRunner(account_region.clone());
        match &call.outcome {
            Outcome::Refused(failure) if failure.class == ErrorClass::CredentialsRejected => {
                self.incidents.failed(&shared, failure);
                if !failure.is_of_signature() {
                    self.sessions.invalidate(session);
                }
            }
            Outcome::NotSent(failure) | Outcome::Unknown(failure)
                if matches!(failure.class, ErrorClass::Unreachable | ErrorClass::Untrusted) =>
            {
                self.incidents.failed(&shared, failure);
            }
            // Only App Runner can give these answers, and it checks the credentials before it does.
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
