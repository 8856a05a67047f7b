//! A session with an HTTP client of the caller, for the invariants of replies in [`crate::fuzzing`].

use std::sync::Mutex;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_apprunner::config::retry::RetryConfig;
use aws_sdk_apprunner::config::{IdentityCache, Region, SharedHttpClient};

use super::Session;
use crate::apprunner::sts;
use crate::core::arn::AccountId;
use crate::core::outcome::Failure;

impl Session {
    /// A session of this account, whose calls the client answers.
    pub(crate) fn answered_by(account: AccountId, client: SharedHttpClient) -> Self {
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "fuzzing");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .http_client(client)
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::disabled())
            .build();
        Self { account, role: None, credentials, config, clients: Mutex::default() }
    }

    /// The account of the credentials, as STS reports it.
    pub(crate) async fn account_by_sts(&self) -> Result<AccountId, Failure> {
        sts::caller_identity(&self.config).await.map(|identity| identity.account)
    }
}
