//! Whose credentials these are, known before any call that names an ARN.
//!
//! To another account's credentials every connector is `ResourceNotFound`, and believing that would take every finalizer
//! off. So a [`Session`] binds one set of credentials to the account they belong to, and every call is signed with
//! exactly those: credentials that change on the way can't slip under an account that was checked before.
//!
//! STS is always asked first, also where credentials carry an account: that may be nothing but a variable or a line in a
//! profile that somebody once wrote for other keys. It counts only where there is no STS to ask.
//!
//! Nothing is resolved in the background. A session that grows old, or whose credentials AWS rejects, is asked for anew
//! by the next object that needs one, and all others wait for that one answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_apprunner::Client;
use aws_sdk_apprunner::config::{IdentityCache, Region as SdkRegion, retry::RetryConfig};
use tracing::info;

use super::client::{Call, Subject};
use super::environment::Environment;
use super::exchange::Exchange;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, STS_DEADLINE, plain, wire};
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation, Outcome, WRONG_ACCOUNT};
use crate::core::wait::explain;
use crate::sync::lock;
use crate::telemetry::incidents::{Incidents, OPERATOR, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// Credentials that do not say when they end are read again this often: a file may have changed.
const REREAD: Duration = Duration::from_mins(5);
/// Credentials that end are renewed this long before.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// A failure to get credentials is the answer for everybody who asks within this time.
const REMEMBER_FAILURE: Duration = Duration::from_secs(5);
/// While renewing fails, credentials that are still good are used, and renewed again this much later.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// One set of credentials, the account they are of, and a client for each region.
pub struct Session {
    account: AccountId,
    credentials: Credentials,
    config: SdkConfig,
    clients: Mutex<HashMap<Region, Client>>,
}

/// Gives out the current session.
pub struct Sessions {
    metrics: Arc<Metrics>,
    incidents: Arc<Incidents>,
    current: Mutex<Option<(Arc<Session>, Instant)>>,
    /// The account that was last logged.
    logged: Mutex<Option<AccountId>>,
    near: Mutex<HashMap<Region, Arc<tokio::sync::Mutex<LastFailure>>>>,
}

/// The last failure to get a session by way of one region.
type LastFailure = Option<(Failure, Instant)>;

impl Session {
    /// The account these credentials are of.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    pub(super) fn client(&self, region: &Region) -> Client {
        let mut clients = lock(&self.clients);
        let begin = || Client::new(&in_region(&self.config, region));
        clients.entry(region.clone()).or_insert_with(begin).clone()
    }

    /// How long it is used before the credentials are asked for again. Never no time at all: whether credentials that
    /// look expired really are is for AWS to say, whose clock counts.
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
    /// Knows no session yet.
    pub fn new(metrics: Arc<Metrics>, incidents: Arc<Incidents>) -> Self {
        Self { metrics, incidents, current: Mutex::default(), logged: Mutex::default(), near: Mutex::default() }
    }

    /// The session in force, if it is known and not due for renewal.
    pub fn current(&self) -> Option<Arc<Session>> {
        let current = lock(&self.current);
        current.as_ref().filter(|(_, renew)| Instant::now() < *renew).map(|(session, _)| session.clone())
    }

    /// The current session, if its credentials are of this account.
    pub async fn of(&self, account_region: &AccountRegion) -> Result<Arc<Session>, Failure> {
        let session = self.identify(&account_region.region).await?;
        if *session.account() == account_region.account {
            return Ok(session);
        }
        let message =
            format!("the credentials are of account {}, not of {}", session.account(), account_region.account);
        Err(Failure::new(Operation::GetCallerIdentity, ErrorClass::CredentialsRejected, WRONG_ACCOUNT, &message))
    }

    /// The session in force, or asks whose credentials these are for an object of a region. One identity serves all
    /// regions.
    pub async fn identify(&self, region: &Region) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let environment = Environment::read().await;
        let (first, second) = environment.sts_regions(region);
        let (mut failure, mut asked) = match self.near(&first, &environment, second.is_none()).await {
            Ok(session) => return Ok(session),
            Err(failed) => failed,
        };
        if let Some(second) = second.filter(|_| failure.code != NO_CREDENTIALS) {
            let (later, also) = match self.near(&second, &environment, true).await {
                Ok(session) => return Ok(session),
                Err(failed) => failed,
            };
            asked |= also;
            // What STS said in one region counts for more than its silence in another.
            if failure.class.is_transient() {
                failure = later;
            }
        }
        self.fall_back(failure, asked)
    }

    /// Asks STS in a region; everybody who asks there at the same time gets the same answer, and a region that is down
    /// keeps nobody in another waiting. A failure comes with whether STS was asked now: another caller may have been told
    /// a moment ago.
    async fn near(
        &self,
        region: &Region,
        environment: &Environment,
        last: bool,
    ) -> Result<Arc<Session>, (Failure, bool)> {
        let near = lock(&self.near).entry(region.clone()).or_default().clone();
        let mut last_failure = near.lock().await;
        // Whoever had the lock before may have found out.
        if let Some(session) = self.current() {
            return Ok(session);
        }
        if let Some((failure, _)) = last_failure.as_ref().filter(|(_, at)| at.elapsed() < REMEMBER_FAILURE) {
            return Err((failure.clone(), false));
        }
        let result = self.ask(region, environment, last).await;
        if result.is_ok() {
            self.incidents.ended(&SharedFailure::Credentials);
        }
        *last_failure = result.as_ref().err().map(|failure| (failure.clone(), Instant::now()));
        result.map_err(|failure| (failure, true))
    }

    /// Whether it is known whose credentials these are.
    pub fn known(&self) -> bool {
        lock(&self.current).is_some()
    }

    /// Forgets a session whose credentials AWS did not accept.
    pub fn reject(&self, session: &Arc<Session>) {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    async fn ask(&self, region: &Region, environment: &Environment, last: bool) -> Result<Arc<Session>, Failure> {
        let config = load(region, environment).await?;
        let credentials = resolve(&config, environment).await?;
        if let Some(session) = self.unchanged(&credentials) {
            return Ok(session);
        }
        let provider = SharedCredentialsProvider::new(credentials.clone());
        let config =
            config.into_builder().credentials_provider(provider).identity_cache(IdentityCache::no_cache()).build();
        let account = match self.account_of(&config, region).await {
            // Only where no STS is left to ask.
            Err(failure) if last => self.carried(&credentials, failure)?,
            answer => answer?,
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

    /// The account that the credentials say they are of, where STS does not answer at all, or does not know the question.
    fn carried(&self, credentials: &Credentials, failure: Failure) -> Result<AccountId, Failure> {
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

    /// Credentials are renewed again and again; the log has a line where their account is another.
    fn log_account(&self, account: &AccountId) {
        let before = lock(&self.logged).replace(account.clone());
        if before.as_ref() != Some(account) {
            info!(%account, "AWS credentials are of this account");
        }
    }

    /// The current session, if these are its very credentials; it is good for another while.
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

    /// What there is where renewing failed: a session that somebody got by way of another region, or the old one.
    /// Only whoever has asked reports the trouble.
    fn fall_back(&self, failure: Failure, asked: bool) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let kept = self.keep_what_is_good();
        if asked && kept.is_some() {
            let words =
                format!("AWS credentials could not be renewed, and the old ones are kept: {}", explain(&failure));
            self.incidents.begin(&SharedFailure::Credentials, OPERATOR, "NotRenewed", &words);
        } else if asked {
            self.incidents.failed(&SharedFailure::Credentials, &failure);
        }
        kept.ok_or(failure)
    }

    fn keep_what_is_good(&self) -> Option<Arc<Session>> {
        let mut current = lock(&self.current);
        let (session, renew) = current.as_mut().filter(|(session, _)| !session.expired())?;
        *renew = Instant::now() + RENEW_AGAIN;
        Some(session.clone())
    }
}

/// Reads the environment as every AWS client does, but for the region: roles are assumed where STS is asked.
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

fn in_region(config: &SdkConfig, region: &Region) -> SdkConfig {
    config.to_builder().region(SdkRegion::new(region.as_str().to_owned())).build()
}

async fn resolve(config: &SdkConfig, environment: &Environment) -> Result<Credentials, Failure> {
    let failed = |class, code: &str, message: &str| {
        let failure = Failure::new(Operation::ResolveCredentials, class, code, message);
        Err(failure)
    };
    let Some(provider) = config.credentials_provider() else {
        return failed(ErrorClass::CredentialsRejected, NO_CREDENTIALS, "nothing says where to find any");
    };
    match tokio::time::timeout(CALL_DEADLINE, provider.provide_credentials()).await {
        Ok(Ok(credentials)) => Ok(credentials),
        Ok(Err(error)) => {
            let (class, code) = match &error {
                CredentialsError::ProviderTimedOut(_) => (ErrorClass::Unreachable, "Timeout"),
                error if plain::untrusted(error) => (ErrorClass::Untrusted, "UntrustedCertificate"),
                error if plain::never_connected(error) => (ErrorClass::Unreachable, "NoConnection"),
                CredentialsError::CredentialsNotLoaded(_) => (ErrorClass::CredentialsRejected, NO_CREDENTIALS),
                _ => (ErrorClass::CredentialsRejected, "CredentialsNotLoaded"),
            };
            failed(class, code, &plain::no_credentials(&error, environment.profile.as_deref()))
        }
        Err(_) => failed(ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER),
    }
}

/// Source: STS API, `GetCallerIdentity`; needs no permission.
async fn account_of(config: &SdkConfig) -> Result<AccountId, Failure> {
    let failed = |class, code: &str, message: &str| Failure::new(Operation::GetCallerIdentity, class, code, message);
    let call = Exchange::of(Operation::GetCallerIdentity);
    let ask = aws_sdk_sts::Client::new(config).get_caller_identity();
    let sent = ask.customize().interceptor(call.clone()).send();
    let identity = match tokio::time::timeout(STS_DEADLINE, sent).await {
        Err(_) => return Err(failed(ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER)),
        Ok(Err(error)) => return Err(wire::failure_of(&call, &error)),
        Ok(Ok(identity)) => identity,
    };
    let account = identity.account().unwrap_or_default();
    account.parse().map_err(|error| {
        Failure::unproven(Operation::GetCallerIdentity, &format!("the answer names no account: {error}"))
    })
}
