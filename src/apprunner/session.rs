//! A session: one set of credentials, bound to their account.
//!
//! App Runner answers `ResourceNotFound` for every connector to the credentials of another account, and an operator
//! that took this for the truth would remove every finalizer. So a session signs every call with exactly the
//! credentials whose account is known: credentials that change between two calls cannot be used under an account that
//! was checked for other ones.

#[cfg(any(test, fuzzing))]
mod canned;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_apprunner::config::IdentityCache;

use super::client::RegionClient;
use crate::core::accounts::RoleArn;
use crate::core::arn::{AccountId, Region};
use crate::sync::lock;

/// Credentials without an expiry time are read again this often, because a file may have changed.
const REREAD: Duration = Duration::from_mins(5);
/// Credentials are renewed this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// The shortest time between two renewals.
pub(super) const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// One set of credentials, their account, and a client for each region.
pub(crate) struct Session {
    account: AccountId,
    /// The name of the role whose credentials these are, as STS reports it.
    role: Option<String>,
    credentials: Credentials,
    config: SdkConfig,
    clients: Mutex<HashMap<Region, RegionClient>>,
}

impl Session {
    /// Binds credentials to their account. The calls use the connections and deadlines of `config`.
    pub(super) fn new(account: AccountId, role: Option<String>, credentials: Credentials, config: &SdkConfig) -> Self {
        let config = with_credentials(config, &credentials);
        Self { account, role, credentials, config, clients: Mutex::default() }
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }

    /// The configuration with these credentials, for calls to STS.
    pub(super) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// True if these are the credentials of this role.
    pub(super) fn is_of_role(&self, role: &RoleArn) -> bool {
        self.account == *role.account() && self.role.as_deref() == Some(role.name())
    }

    pub(super) fn has_credentials(&self, other: &Credentials) -> bool {
        let ours = &self.credentials;
        ours.access_key_id() == other.access_key_id()
            && ours.secret_access_key() == other.secret_access_key()
            && ours.session_token() == other.session_token()
    }

    pub(super) fn client(&self, region: &Region) -> RegionClient {
        let mut clients = lock(&self.clients);
        clients.entry(region.clone()).or_insert_with(|| RegionClient::new(&self.config, region)).clone()
    }

    /// The time until the next renewal. It is at least `RENEW_AGAIN`: our clock may be wrong, so credentials that look
    /// expired are still tried, and AWS decides by its own clock.
    pub(super) fn lifetime(&self) -> Duration {
        self.credentials.expiry().map_or(REREAD, |end| {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            left.saturating_sub(RENEW_BEFORE).max(left / 2).max(RENEW_AGAIN)
        })
    }

    pub(super) fn expired(&self) -> bool {
        self.credentials.expiry().is_some_and(|end| end <= SystemTime::now())
    }
}

/// A configuration that signs with exactly these credentials.
pub(super) fn with_credentials(config: &SdkConfig, credentials: &Credentials) -> SdkConfig {
    let provider = SharedCredentialsProvider::new(credentials.clone());
    let config = config.clone().into_builder().credentials_provider(provider);
    config.identity_cache(IdentityCache::no_cache()).build()
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;

    use super::*;

    fn session(expires_in: Option<Duration>) -> Session {
        let expiry = expires_in.map(|left| SystemTime::now() + left);
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, expiry, "test");
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        Session::new("444455556666".parse().unwrap(), Some("apprunner-operator".into()), credentials, &config)
    }

    #[test]
    fn a_session_is_renewed_five_minutes_before_it_ends_and_never_at_once() {
        let minutes = |left: u64| session(Some(Duration::from_mins(left))).lifetime().as_secs().div_ceil(60);
        assert_eq!([60, 20, 8, 0].map(minutes), [55, 15, 4, 1], "a short one at half of its time, and after 30 s");
        assert_eq!(session(None).lifetime(), REREAD);
        assert!(session(Some(Duration::ZERO)).expired() && !session(Some(Duration::from_mins(1))).expired());
    }

    #[test]
    fn a_session_is_of_a_role_by_account_and_name() {
        let session = session(None);
        let is_of = |role: &str| session.is_of_role(&role.parse().unwrap());
        assert!(is_of("arn:aws:iam::444455556666:role/apprunner-operator"));
        assert!(is_of("arn:aws:iam::444455556666:role/teams/apprunner-operator"), "STS names no path");
        assert!(!is_of("arn:aws:iam::111122223333:role/apprunner-operator"));
        assert!(!is_of("arn:aws:iam::444455556666:role/another"));
    }
}
