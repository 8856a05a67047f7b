//! The credentials of the operator itself, from wherever the AWS SDKs look for them, or from one profile.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_apprunner::config::{Region as SdkRegion, SharedHttpClient, retry::RetryConfig};

use super::environment::Environment;
use super::trust::Bundle;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, error_text, wire};
use crate::causes;
use crate::core::arn::Region;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, NO_CREDENTIALS, Operation};

/// Loads the configuration as every AWS client does, except for the region: roles are assumed in the region of the STS
/// that is called.
pub(super) async fn load(
    region: &Region,
    environment: &Environment,
    default_client: &SharedHttpClient,
) -> Result<SdkConfig, Failure> {
    let deadlines = TimeoutConfig::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .operation_attempt_timeout(CALL_DEADLINE)
        .operation_timeout(CALL_DEADLINE)
        .build();
    let client = environment.bundle.as_ref().map_or_else(|| Ok(default_client.clone()), Bundle::client)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client.clone());
    if let Some((name, exists)) = &environment.only_profile {
        if !exists {
            let message = format!("the AWS configuration has no profile {name}");
            let class = ErrorClass::CredentialsRejected;
            return Err(Failure::new(Operation::ResolveCredentials, class, "NoProfile", &message));
        }
        loader = loader.profile_name(name).credentials_provider(of_profile(name, region, client));
    }
    let loader = loader
        .region(SdkRegion::new(region.as_str().to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(deadlines);
    Ok(loader.load().await)
}

pub(super) async fn resolve(config: &SdkConfig, environment: &Environment) -> Result<Credentials, Failure> {
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
                error if causes::never_connected(error) => (ErrorClass::Unreachable, "NoConnection"),
                CredentialsError::CredentialsNotLoaded(_) => (ErrorClass::CredentialsRejected, NO_CREDENTIALS),
                _ => (ErrorClass::CredentialsRejected, "CredentialsNotLoaded"),
            };
            failed(class, code, &error_text::no_credentials(&error, environment.profile.as_deref()))
        }
        Err(_) => failed(ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER),
    }
}

/// The credentials of a profile. As with `--profile` of the AWS CLI, those in the environment do not count.
fn of_profile(name: &str, region: &Region, client: SharedHttpClient) -> ProfileFileCredentialsProvider {
    let region = SdkRegion::new(region.as_str().to_owned());
    let config = ProviderConfig::without_region().with_region(Some(region)).with_http_client(client);
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build()
}

/// The same configuration for the STS of another region.
pub(super) fn in_region(config: &SdkConfig, region: &Region) -> SdkConfig {
    config.clone().into_builder().region(SdkRegion::new(region.as_str().to_owned())).build()
}
