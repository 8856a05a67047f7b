//! The sessions: the operator's own, and one for each role of `--accounts`. The account of each is known before any call
//! that names an ARN.
//!
//! The operator always calls STS first, also if its credentials carry an account: that account may come from a variable
//! or from a line in a profile that a user once wrote for other keys. The operator uses it only if STS cannot be
//! called. The account of a role session is that of STS's reply.
//!
//! No session is renewed in the background. The next object that needs a session renews one that is due or that AWS has
//! rejected, and all other objects of the same identity wait for the result of that renewal. Objects of other accounts do
//! not wait for it.

mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_apprunner::config::SharedHttpClient;
use tracing::info;

use self::slot::Slot;
use super::client::{Call, Subject};
use super::environment::Environment;
use super::session::{Session, with_credentials};
use super::sts::{self, Identity};
use super::{credentials, trust};
use crate::core::accounts::{Account, Accounts};
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation, Outcome, WRONG_ACCOUNT};
use crate::core::wait::explain;
use crate::sync::lock;
use crate::telemetry::incidents::{Incidents, OPERATOR, SharedFailure};
use crate::telemetry::metrics::Metrics;

/// Where the operator gets its own credentials, and which roles it assumes with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    /// The only profile to take the own credentials from; otherwise all sources of the AWS SDKs count.
    pub(crate) profile: Option<String>,
    /// The accounts with a role.
    pub(crate) accounts: Arc<Accounts>,
}

/// Keeps the sessions, and renews them.
pub(crate) struct Sessions {
    identities: Identities,
    /// The name of the role sessions.
    session_name: OnceLock<String>,
    /// The connections of all sessions, unless a bundle of authorities is configured.
    http: SharedHttpClient,
    own: Slot,
    by_account: HashMap<AccountId, Slot>,
    metrics: Arc<Metrics>,
    incidents: Arc<Incidents>,
    /// The own account that was last logged.
    logged: Mutex<Option<AccountId>>,
}

/// A failed renewal. It was reported if this request did not make the call itself: it is then the remembered failure of an
/// earlier request, or one of another identity.
type Renewal = Result<Arc<Session>, (Failure, Reported)>;
type Reported = bool;

impl Sessions {
    pub(crate) fn new(identities: Identities, metrics: Arc<Metrics>, incidents: Arc<Incidents>) -> Self {
        let slots = identities.accounts.iter().map(|(id, _)| (id.clone(), Slot::new(SharedFailure::Role(id.clone()))));
        Self {
            by_account: slots.collect(),
            own: Slot::new(SharedFailure::Credentials),
            session_name: OnceLock::new(),
            http: trust::default_client(),
            logged: Mutex::default(),
            identities,
            metrics,
            incidents,
        }
    }

    /// Sets the name of the role sessions. It has the id of the cluster, which the operator reads after its start.
    pub(crate) fn set_session_name(&self, name: String) {
        self.session_name.get_or_init(|| name);
    }

    /// The current session for an account, unless a renewal is due: that of the account's role, or the operator's own,
    /// which may be of another account.
    pub(crate) fn current(&self, account: &AccountId) -> Option<Arc<Session>> {
        self.slot(account).current()
    }

    /// Returns a session, if its credentials belong to this account.
    pub(crate) async fn for_account_region(&self, account_region: &AccountRegion) -> Result<Arc<Session>, Failure> {
        let session = self.identify(account_region).await?;
        if *session.account() == account_region.account {
            return Ok(session);
        }
        let message =
            format!("the credentials are of account {}, not of {}", session.account(), account_region.account);
        Err(Failure::new(Operation::GetCallerIdentity, ErrorClass::CredentialsRejected, WRONG_ACCOUNT, &message))
    }

    /// Returns the current session for an account, or gets a new one from STS. One session serves all regions.
    pub(crate) async fn identify(&self, account_region: &AccountRegion) -> Result<Arc<Session>, Failure> {
        self.get(self.slot(&account_region.account), &account_region.region).await
    }

    /// Returns the operator's own session, whatever its account.
    pub(crate) async fn own(&self, region: &Region) -> Result<Arc<Session>, Failure> {
        self.get(&self.own, region).await
    }

    /// True if the account of the operator's own credentials is known.
    pub(crate) fn is_known(&self) -> bool {
        self.own.is_known()
    }

    /// Discards a session whose credentials AWS did not accept.
    pub(super) fn invalidate(&self, session: &Arc<Session>) {
        // A role that the operator itself runs as shares the operator's own session.
        for slot in self.by_account.values().chain([&self.own]) {
            slot.invalidate(session);
        }
    }

    fn slot(&self, account: &AccountId) -> &Slot {
        self.by_account.get(account).unwrap_or(&self.own)
    }

    async fn get(&self, slot: &Slot, region: &Region) -> Result<Arc<Session>, Failure> {
        match slot.current() {
            Some(session) => Ok(session),
            // Boxed, because the future of a renewal is large, and seldom needed.
            None => Box::pin(self.renew(slot, region)).await,
        }
    }

    async fn renew(&self, slot: &Slot, region: &Region) -> Result<Arc<Session>, Failure> {
        let environment = Environment::read(self.identities.profile.as_deref()).await;
        let (first, second) = environment.sts_regions(region);
        let (mut failure, mut reported) = match self.renew_once(slot, &first, &environment, second.is_none()).await {
            Ok(session) => return Ok(session),
            Err(failed) => failed,
        };
        // A right that is missing is missing in every region.
        let final_answer = failure.code == NO_CREDENTIALS || failure.class == ErrorClass::AccessDenied;
        if let Some(second) = second.filter(|_| !final_answer) {
            let (later, also) = match self.renew_once(slot, &second, &environment, true).await {
                Ok(session) => return Ok(session),
                Err(failed) => failed,
            };
            reported &= also;
            // An answer of STS in one region counts for more than a transient failure in another.
            if failure.class.is_transient() {
                failure = later;
            }
        }
        self.fall_back(slot, failure, reported)
    }

    /// Renews a session with the STS of a region. Concurrent requests for the same identity and region share one call.
    async fn renew_once(&self, slot: &Slot, region: &Region, environment: &Environment, last: bool) -> Renewal {
        let turn = slot.turn(region);
        let mut turn = turn.lock().await;
        // The previous holder of the lock may have got a session.
        if let Some(session) = slot.current() {
            return Ok(session);
        }
        if let Some(failure) = turn.recent() {
            return Err((failure, true));
        }
        let result = match &slot.shared {
            SharedFailure::Role(account) => self.renew_role(slot, account, region).await,
            _ => self.renew_own(region, environment, last).await.map_err(|failure| (failure, false)),
        };
        if result.is_ok() {
            self.incidents.ended(&slot.shared);
        }
        turn.remember(result.as_ref().err().map(|(failure, _)| failure));
        result
    }

    async fn renew_own(&self, region: &Region, environment: &Environment, last: bool) -> Result<Arc<Session>, Failure> {
        let config = credentials::load(region, environment, &self.http).await?;
        let credentials = credentials::resolve(&config, environment).await?;
        if let Some(session) = self.own.unchanged(&credentials) {
            return Ok(session);
        }
        let config = with_credentials(&config, &credentials);
        let identity = match self.own_identity(&config, region).await {
            // There is no other STS to call.
            Err(failure) if last => self.identity_in_credentials(&credentials, failure)?,
            result => result?,
        };
        self.log_account(&identity.account);
        Ok(self.own.store(Session::new(identity.account, identity.role, credentials, &config)))
    }

    /// Assumes the role of an account with the operator's own credentials, unless they are those of that role.
    async fn renew_role(&self, slot: &Slot, account: &AccountId, region: &Region) -> Renewal {
        let Some(to) = self.identities.accounts.get(account) else {
            let message = format!("account {account} is not listed in --accounts");
            let failure = Failure::new(Operation::AssumeRole, ErrorClass::CredentialsRejected, WRONG_ACCOUNT, &message);
            return Err((failure, false));
        };
        let own = self.own(region).await.map_err(|failure| (failure, true))?;
        if own.is_of_role(&to.role) {
            return Ok(slot.share(own));
        }
        let config = credentials::in_region(own.config(), region);
        let credentials = self.assume(&config, to, region).await;
        if credentials.as_ref().is_err_and(rejects_the_caller) {
            self.invalidate(&own);
        }
        let credentials = credentials.map_err(|failure| (failure, false))?;
        Ok(slot.store(Session::new(account.clone(), Some(to.role.name().to_owned()), credentials, &config)))
    }

    async fn assume(&self, config: &SdkConfig, to: &Account, region: &Region) -> Result<Credentials, Failure> {
        let session_name = self.session_name.get().map_or("apprunner-operator", String::as_str);
        let sent = Instant::now();
        let assumed = sts::assume_role(config, to, session_name).await;
        let subject = Subject { arn: Some(to.role.as_str()), ..Subject::default() };
        self.record(Operation::AssumeRole, Some(to.role.account()), region, subject, sent, &assumed);
        assumed
    }

    async fn own_identity(&self, config: &SdkConfig, region: &Region) -> Result<Identity, Failure> {
        let sent = Instant::now();
        let identity = sts::caller_identity(config).await;
        self.record(Operation::GetCallerIdentity, None, region, Subject::default(), sent, &identity);
        if identity.is_ok() {
            self.incidents.ended(&SharedFailure::UnconfirmedAccount);
        }
        identity
    }

    /// Logs and counts a call to STS.
    fn record<T>(
        &self,
        operation: Operation,
        account: Option<&AccountId>,
        region: &Region,
        subject: Subject<'_>,
        sent: Instant,
        result: &Result<T, Failure>,
    ) {
        let outcome = match result {
            Ok(_) => Outcome::Done(()),
            Err(failure) => match failure.class {
                ErrorClass::Untrusted => Outcome::NotSent(failure.clone()),
                class if class.is_transient() => Outcome::Unknown(failure.clone()),
                _ => Outcome::Refused(failure.clone()),
            },
        };
        let request_id = outcome.failure().and_then(|failure| failure.request_id.clone());
        let call = Call { operation, request_id, sent, took: sent.elapsed(), outcome };
        call.log(account, region, subject);
        self.metrics.observe_call(call.operation, &call.outcome, call.took, account, region);
    }

    /// The account that the credentials carry, if STS does not answer, or does not know `GetCallerIdentity`.
    fn identity_in_credentials(&self, credentials: &Credentials, failure: Failure) -> Result<Identity, Failure> {
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
                Ok(Identity { account, role: None })
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

    /// Returns the session to use after a failed renewal: one that another request got from another region meanwhile,
    /// or the old one. Only a request that tried to renew it itself reports the failure.
    fn fall_back(&self, slot: &Slot, failure: Failure, reported: Reported) -> Result<Arc<Session>, Failure> {
        if let Some(session) = slot.current() {
            return Ok(session);
        }
        let kept = slot.extend();
        if !reported && kept.is_some() {
            let words =
                format!("AWS credentials could not be renewed, and the old ones are kept: {}", explain(&failure));
            self.incidents.begin(&slot.shared, OPERATOR, "NotRenewed", &words);
        } else if !reported {
            self.incidents.failed(&slot.shared, &failure);
        }
        kept.ok_or(failure)
    }
}

/// True if STS does not accept the credentials that a role is assumed with; a wrong signature or clock ends no session.
fn rejects_the_caller(failure: &Failure) -> bool {
    failure.class == ErrorClass::CredentialsRejected && failure.code != WRONG_ACCOUNT && !failure.is_of_signature()
}
