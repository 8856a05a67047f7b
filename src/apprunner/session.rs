//! AWS sessions: credentials, and the account that they belong to. The account is known before any call that names an
//! ARN.
//!
//! App Runner answers `ResourceNotFound` for every connector to the credentials of another account, and an operator
//! that took this for the truth would remove every finalizer. So a [`Session`] binds one set of credentials to their
//! account, and signs every call with exactly those credentials: credentials that change between two calls cannot be
//! used under an account that was checked for other ones.
//!
//! The operator always calls STS first, also if the credentials carry an account: that account may come from a variable
//! or from a line in a profile that a user once wrote for other keys. The operator uses it only if STS cannot be
//! called.
//!
//! No session is renewed in the background. The next object that needs a session renews one that is due or that AWS has
//! rejected, and all other objects wait for the result of that renewal.

#[cfg(any(test, fuzzing))]
mod canned;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_apprunner::config::{IdentityCache, Region as SdkRegion, retry::RetryConfig};
use tracing::info;

use super::client::{Call, RegionClient, Subject};
use super::environment::Environment;
use super::exchange::ReplyCheck;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, STS_DEADLINE, error_text, wire};
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation, Outcome, WRONG_ACCOUNT};
use crate::core::wait::explain;
use crate::sync::lock;
use crate::telemetry::incidents::{Incidents, OPERATOR, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// Credentials without an expiry time are read again this often, because a file may have changed.
const REREAD: Duration = Duration::from_mins(5);
/// Credentials are renewed this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// For this long after a failure to get credentials, all requests get the same failure.
const REMEMBER_FAILURE: Duration = Duration::from_secs(5);
/// After a failed renewal, credentials that have not expired stay in use, and the next renewal is this much later.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// One set of credentials, their account, and a client for each region.
pub(crate) struct Session {
    account: AccountId,
    credentials: Credentials,
    config: SdkConfig,
    clients: Mutex<HashMap<Region, RegionClient>>,
}

/// Keeps the current session, and renews it.
pub(crate) struct Sessions {
    metrics: Arc<Metrics>,
    incidents: Arc<Incidents>,
    current: Mutex<Option<(Arc<Session>, Instant)>>,
    /// The account that was last logged.
    logged: Mutex<Option<AccountId>>,
    /// The lock of each region: one request to STS at a time.
    per_region: Mutex<HashMap<Region, Arc<tokio::sync::Mutex<LastFailure>>>>,
}

/// The last failure to get a session from the STS of one region.
type LastFailure = Option<(Failure, Instant)>;

impl Session {
    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }

    pub(super) fn client(&self, region: &Region) -> RegionClient {
        let mut clients = lock(&self.clients);
        clients.entry(region.clone()).or_insert_with(|| RegionClient::new(&self.config, region)).clone()
    }

    /// The time until the next renewal. It is at least `RENEW_AGAIN`: our clock may be wrong, so credentials that look
    /// expired are still tried, and AWS decides by its own clock.
    fn lifetime(&self) -> Duration {
        self.credentials.expiry().map_or(REREAD, |end| {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            left.saturating_sub(RENEW_BEFORE).max(left / 2).max(RENEW_AGAIN)
        })
    }

    fn expired(&self) -> bool {
        self.credentials.expiry().is_some_and(|end| end <= SystemTime::now())
    }
}

impl Sessions {
    pub(crate) fn new(metrics: Arc<Metrics>, incidents: Arc<Incidents>) -> Self {
        Self { metrics, incidents, current: Mutex::default(), logged: Mutex::default(), per_region: Mutex::default() }
    }

    /// The current session, unless a renewal is due.
    pub(crate) fn current(&self) -> Option<Arc<Session>> {
        let current = lock(&self.current);
        current.as_ref().filter(|(_, renew)| Instant::now() < *renew).map(|(session, _)| session.clone())
    }

    /// Returns a session, if its credentials belong to this account.
    pub(crate) async fn for_account_region(&self, account_region: &AccountRegion) -> Result<Arc<Session>, Failure> {
        let session = self.identify(&account_region.region).await?;
        if *session.account() == account_region.account {
            return Ok(session);
        }
        let message =
            format!("the credentials are of account {}, not of {}", session.account(), account_region.account);
        Err(Failure::new(Operation::GetCallerIdentity, ErrorClass::CredentialsRejected, WRONG_ACCOUNT, &message))
    }

    /// Returns the current session, or gets a new one from STS for an object of this region. One session serves all
    /// regions.
    pub(crate) async fn identify(&self, region: &Region) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let environment = Environment::read().await;
        let (first, second) = environment.sts_regions(region);
        let (mut failure, mut called) = match self.per_region(&first, &environment, second.is_none()).await {
            Ok(session) => return Ok(session),
            Err(failed) => failed,
        };
        if let Some(second) = second.filter(|_| failure.code != NO_CREDENTIALS) {
            let (later, also) = match self.per_region(&second, &environment, true).await {
                Ok(session) => return Ok(session),
                Err(failed) => failed,
            };
            called |= also;
            // An answer of STS in one region counts for more than a transient failure in another.
            if failure.class.is_transient() {
                failure = later;
            }
        }
        self.fall_back(failure, called)
    }

    /// Gets a session from the STS of a region. Concurrent requests for the same region share one call, and requests
    /// for another region do not wait for it. The flag of a failure says that this request made the call: it is false
    /// for the remembered failure of an earlier request.
    async fn per_region(
        &self,
        region: &Region,
        environment: &Environment,
        last: bool,
    ) -> Result<Arc<Session>, (Failure, bool)> {
        let of_region = lock(&self.per_region).entry(region.clone()).or_default().clone();
        let mut last_failure = of_region.lock().await;
        // The previous holder of the lock may have got a session.
        if let Some(session) = self.current() {
            return Ok(session);
        }
        if let Some((failure, _)) = last_failure.as_ref().filter(|(_, at)| at.elapsed() < REMEMBER_FAILURE) {
            return Err((failure.clone(), false));
        }
        let result = self.renew(region, environment, last).await;
        if result.is_ok() {
            self.incidents.ended(&SharedFailure::Credentials);
        }
        *last_failure = result.as_ref().err().map(|failure| (failure.clone(), Instant::now()));
        result.map_err(|failure| (failure, true))
    }

    pub(crate) fn is_known(&self) -> bool {
        lock(&self.current).is_some()
    }

    /// Discards a session whose credentials AWS did not accept.
    pub(super) fn invalidate(&self, session: &Arc<Session>) {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    async fn renew(&self, region: &Region, environment: &Environment, last: bool) -> Result<Arc<Session>, Failure> {
        let config = load(region, environment).await?;
        let credentials = resolve(&config, environment).await?;
        if let Some(session) = self.unchanged(&credentials) {
            return Ok(session);
        }
        let provider = SharedCredentialsProvider::new(credentials.clone());
        let config =
            config.into_builder().credentials_provider(provider).identity_cache(IdentityCache::no_cache()).build();
        let account = match self.account_of(&config, region).await {
            // There is no other STS to call.
            Err(failure) if last => self.account_from_credentials(&credentials, failure)?,
            result => result?,
        };
        self.log_account(&account);
        let session = Arc::new(Session { account, credentials, config, clients: Mutex::default() });
        *lock(&self.current) = Some((session.clone(), Instant::now() + session.lifetime()));
        Ok(session)
    }

    async fn account_of(&self, config: &SdkConfig, region: &Region) -> Result<AccountId, Failure> {
        let sent = Instant::now();
        let account = account_of(config).await;
        let took = sent.elapsed();
        let request_id = account.as_ref().err().and_then(|failure| failure.request_id.clone());
        let outcome = match account.clone() {
            Ok(account) => Outcome::Done(account),
            Err(failure) if failure.class == ErrorClass::Untrusted => Outcome::NotSent(failure),
            Err(failure) if failure.class.is_transient() => Outcome::Unknown(failure),
            Err(failure) => Outcome::Refused(failure),
        };
        let call = Call { operation: Operation::GetCallerIdentity, request_id, sent, took, outcome };
        call.log(region, Subject::default());
        self.metrics.observe_call(call.operation, &call.outcome, took);
        if account.is_ok() {
            self.incidents.ended(&SharedFailure::UnconfirmedAccount);
        }
        account
    }

    /// The account that the credentials carry, if STS does not answer, or does not know `GetCallerIdentity`.
    fn account_from_credentials(&self, credentials: &Credentials, failure: Failure) -> Result<AccountId, Failure> {
        let account = credentials.account_id().and_then(|account| account.as_str().parse::<AccountId>().ok());
        match (failure.class, account) {
            (
                ErrorClass::Unreachable | ErrorClass::Untrusted | ErrorClass::InvalidRequest | ErrorClass::NotFound,
                Some(account),
            ) => {
                let why = explain(&failure);
                let words =
                    format!("the account that the credentials carry, {account}, is not confirmed by STS: {why}");
                self.incidents.begin(&SharedFailure::UnconfirmedAccount, OPERATOR, "UnconfirmedAccount", &words);
                Ok(account)
            }
            _ => Err(failure),
        }
    }

    /// Logs the account of new credentials if it differs from the last one: most renewals do not change it.
    fn log_account(&self, account: &AccountId) {
        let before = lock(&self.logged).replace(account.clone());
        if before.as_ref() != Some(account) {
            info!(%account, "AWS credentials are of this account");
        }
    }

    /// The current session, if it has these credentials; its next renewal is one lifetime later.
    fn unchanged(&self, credentials: &Credentials) -> Option<Arc<Session>> {
        let mut current = lock(&self.current);
        let (session, renew) = current.as_mut()?;
        let last = &session.credentials;
        let same = last.access_key_id() == credentials.access_key_id()
            && last.secret_access_key() == credentials.secret_access_key()
            && last.session_token() == credentials.session_token();
        same.then(|| {
            *renew = Instant::now() + session.lifetime();
            session.clone()
        })
    }

    /// Returns the session to use after a failed renewal: one that another request got from another region meanwhile,
    /// or the old one. Only a request that tried to renew it itself reports the failure.
    fn fall_back(&self, failure: Failure, called: bool) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let kept = self.extend_current();
        if called && kept.is_some() {
            let words =
                format!("AWS credentials could not be renewed, and the old ones are kept: {}", explain(&failure));
            self.incidents.begin(&SharedFailure::Credentials, OPERATOR, "NotRenewed", &words);
        } else if called {
            self.incidents.failed(&SharedFailure::Credentials, &failure);
        }
        kept.ok_or(failure)
    }

    /// Keeps the current session in use for another `RENEW_AGAIN`, unless it has expired.
    fn extend_current(&self) -> Option<Arc<Session>> {
        let mut current = lock(&self.current);
        let (session, renew) = current.as_mut().filter(|(session, _)| !session.expired())?;
        *renew = Instant::now() + RENEW_AGAIN;
        Some(session.clone())
    }
}

/// Loads the configuration as every AWS client does, except for the region: roles are assumed in the region of the STS
/// that is called.
async fn load(region: &Region, environment: &Environment) -> Result<SdkConfig, Failure> {
    let deadlines = TimeoutConfig::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .operation_attempt_timeout(CALL_DEADLINE)
        .operation_timeout(CALL_DEADLINE)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(bundle) = &environment.bundle {
        loader = loader.http_client(bundle.client()?);
    }
    let loader = loader
        .region(SdkRegion::new(region.as_str().to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(deadlines);
    Ok(loader.load().await)
}

async fn resolve(config: &SdkConfig, environment: &Environment) -> Result<Credentials, Failure> {
    let failed = |class, code: &str, message: &str| {
        let failure = Failure::new(Operation::ResolveCredentials, class, code, message);
        Err(failure)
    };
    let Some(provider) = config.credentials_provider() else {
        return failed(ErrorClass::CredentialsRejected, NO_CREDENTIALS, "no source of credentials is configured");
    };
    match tokio::time::timeout(CALL_DEADLINE, provider.provide_credentials()).await {
        Ok(Ok(credentials)) => Ok(credentials),
        Ok(Err(error)) => {
            let (class, code) = match &error {
                CredentialsError::ProviderTimedOut(_) => (ErrorClass::Unreachable, "Timeout"),
                error if error_text::untrusted(error) => (ErrorClass::Untrusted, "UntrustedCertificate"),
                error if error_text::never_connected(error) => (ErrorClass::Unreachable, "NoConnection"),
                CredentialsError::CredentialsNotLoaded(_) => (ErrorClass::CredentialsRejected, NO_CREDENTIALS),
                _ => (ErrorClass::CredentialsRejected, "CredentialsNotLoaded"),
            };
            failed(class, code, &error_text::no_credentials(&error, environment.profile.as_deref()))
        }
        Err(_) => failed(ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER),
    }
}

/// Source: STS API, `GetCallerIdentity`; needs no permission.
async fn account_of(config: &SdkConfig) -> Result<AccountId, Failure> {
    let failed = |class, code: &str, message: &str| Failure::new(Operation::GetCallerIdentity, class, code, message);
    let check = ReplyCheck::default();
    let config = aws_sdk_sts::config::Builder::from(config).interceptor(check.clone()).build();
    let sent = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send();
    let identity = match tokio::time::timeout(STS_DEADLINE, sent).await {
        Err(_) => return Err(failed(ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER)),
        Ok(Err(error)) => return Err(wire::failure_of(check.exchange(Operation::GetCallerIdentity), &error)),
        Ok(Ok(identity)) => identity,
    };
    let account = identity.account().unwrap_or_default();
    account.parse().map_err(|error| {
        Failure::unproven(Operation::GetCallerIdentity, &format!("the answer names no account: {error}"))
    })
}
