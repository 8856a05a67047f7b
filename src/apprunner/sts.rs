//! The calls to STS. Each is sent once and ends in an identity or a failure.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::error::ProvideErrorMetadata;
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::types::AssumedRoleUser;

use super::exchange::ReplyCheck;
use super::{STS_DEADLINE, wire};
use crate::core::accounts::Account;
use crate::core::arn::AccountId;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation, WRONG_ACCOUNT};

/// Who some credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) account: AccountId,
    /// The name of the role, if they are those of a role session.
    pub(super) role: Option<String>,
}

/// Source: STS API, `GetCallerIdentity`; needs no permission.
pub(super) async fn caller_identity(config: &SdkConfig) -> Result<Identity, Failure> {
    let operation = Operation::GetCallerIdentity;
    let check = ReplyCheck::default();
    let reply = finish(operation, &check, client(config, &check).get_caller_identity().send()).await?;
    let account = reply.account().unwrap_or_default();
    let account = account
        .parse()
        .map_err(|error| Failure::unproven(operation, &format!("the answer names no account: {error}")))?;
    Ok(Identity { account, role: reply.arn().and_then(role_name) })
}

/// Assumes the role of an account, and returns the credentials of the session.
///
/// The account is that of the reply: nothing that the request says proves it. Source: STS API, `AssumeRole`.
pub(super) async fn assume_role(config: &SdkConfig, to: &Account, session: &str) -> Result<Credentials, Failure> {
    let operation = Operation::AssumeRole;
    let check = ReplyCheck::default();
    let external_id = to.external_id.as_ref().map(|id| id.expose().to_owned());
    let request = client(config, &check).assume_role().role_arn(to.role.as_str()).role_session_name(session);
    let reply = finish(operation, &check, request.set_external_id(external_id).send()).await;
    let reply = reply.map_err(|failure| failure.naming(to.role.as_str()))?;
    let assumed = reply.assumed_role_user().map(AssumedRoleUser::arn).unwrap_or_default();
    let account = account_of(assumed).ok_or_else(|| Failure::unproven(operation, "the answer names no account"))?;
    if account != to.role.account().as_str() {
        let message = format!("STS answered with a session of account {account} for {}", to.role);
        return Err(Failure::new(operation, ErrorClass::CredentialsRejected, WRONG_ACCOUNT, &message));
    }
    let credentials =
        reply.credentials().ok_or_else(|| Failure::unproven(operation, "the answer has no credentials"))?;
    Ok(Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
        SystemTime::try_from(*credentials.expiration()).ok(),
        "AssumeRole",
    ))
}

fn client(config: &SdkConfig, check: &ReplyCheck) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::config::Builder::from(config).interceptor(check.clone()).build();
    aws_sdk_sts::Client::from_conf(config)
}

/// Waits for a reply until the deadline.
async fn finish<Output, E>(
    operation: Operation,
    check: &ReplyCheck,
    request: impl Future<Output = Result<Output, SdkError<E, HttpResponse>>>,
) -> Result<Output, Failure>
where
    Output: RequestId,
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match tokio::time::timeout(STS_DEADLINE, request).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(wire::failure_of(check.exchange(operation), &error)),
        Err(_) => Err(Failure::new(operation, ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER)),
    }
}

/// The account in the ARN of an identity.
fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

/// The role in the ARN of a role session: `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`.
fn role_name(arn: &str) -> Option<String> {
    let (_, session) = arn.split_once(":assumed-role/")?;
    Some(session.split_once('/')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_of_a_role_session_names_the_role_and_its_account() {
        let session = "arn:aws:sts::444455556666:assumed-role/apprunner-operator/apprunner-operator-prod";
        assert_eq!(role_name(session).as_deref(), Some("apprunner-operator"));
        assert_eq!(account_of(session), Some("444455556666"));
        for other in ["arn:aws:iam::444455556666:user/role/x", "arn:aws:iam::444455556666:root", "", "nonsense"] {
            assert_eq!(role_name(other), None, "{other}");
        }
    }
}
