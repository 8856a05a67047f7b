//! Authentication of callers.

pub(crate) mod role;
pub(crate) mod role_arn;
pub(crate) mod roles;
pub(crate) mod sigv4;

use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use self::sigv4::{Authorization, SignatureError, SignedRequest};
use crate::api_error::ApiError;
use crate::model::account_region::AccountRegion;
use crate::{AccessKey, Operation};

/// The credentials of a user or of a role session.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) key: AccessKey,
    /// The role of the session; absent for a user.
    pub(crate) role: Option<AssumedRole>,
}

impl Credentials {
    pub(crate) fn of_user(key: AccessKey) -> Self {
        Self { key, role: None }
    }

    fn role_arn(&self) -> Option<&str> {
        self.role.as_ref().map(|role| role.role_arn.as_str())
    }
}

/// The identity of a caller that assumed a role. Source: STS API, `AssumedRoleUser`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssumedRole {
    pub(crate) role_arn: String,
    /// ARN of the session.
    pub(crate) arn: String,
    /// Id of the role and name of the session.
    pub(crate) id: String,
}

/// A caller whose signature is verified, and the region in the signature.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    /// The role that the caller assumed; absent for a user.
    pub(crate) role: Option<AssumedRole>,
}

impl Caller {
    /// Returns the ARN of the user or of the role session.
    pub(crate) fn arn(&self) -> String {
        let user_arn = || format!("arn:aws:iam::{}:user/{}", self.account, self.access_key_id);
        self.role.as_ref().map_or_else(user_arn, |role| role.arn.clone())
    }

    pub(crate) fn account_region(&self) -> AccountRegion {
        AccountRegion::new(&self.account, &self.region)
    }

    pub(crate) fn user_id(&self) -> String {
        self.role.as_ref().map_or_else(|| format!("AIDA{}", self.account), |role| role.id.clone())
    }

    /// Returns true if a trust policy that names this account, user or role means the caller.
    pub(crate) fn is(&self, principal: &str) -> bool {
        let is_role = self.role.as_ref().is_some_and(|role| role.role_arn == principal);
        is_role || self.account == principal || self.arn() == principal
    }

    /// Makes the error in IAM's words for an operation that the caller may not perform.
    pub(crate) fn denied(&self, operation: Operation, arn: Option<&str>) -> ApiError {
        let (user, service, action) = (self.arn(), operation.service(), operation.name());
        let any_resource = || format!("arn:aws:{service}:{}:{}:*", self.region, self.account);
        let resource = arn.map_or_else(any_resource, str::to_owned);
        let message = format!(
            "User: {user} is not authorized to perform: {service}:{action} on resource: {resource} because no \
             identity-based policy allows the {service}:{action} action"
        );
        ApiError::new("AccessDeniedException", 400, message)
    }
}

/// Verifies a request; `find` returns the credentials with an access key id.
pub(crate) fn authenticate(
    find: impl FnOnce(&str) -> Option<Credentials>,
    authorization: Result<Authorization<'_>, SignatureError>,
    request: &SignedRequest<'_>,
    service: &str,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let authorization = authorization.map_err(signature_error)?;
    let Credentials { key, role } = find(authorization.access_key_id).ok_or_else(invalid_token)?;
    check_session(&key, request.headers, now)?;
    authorization.verify(request, &key.secret, service, now).map_err(signature_error)?;
    Ok(Caller { access_key_id: key.id, account: key.account, region: authorization.region.to_owned(), role })
}

fn check_session(key: &AccessKey, headers: &HeaderMap, now: Timestamp) -> Result<(), ApiError> {
    let given = headers.get("x-amz-security-token").map(HeaderValue::as_bytes);
    if given != key.session_token.as_ref().map(|session| session.token.as_bytes()) {
        return Err(invalid_token());
    }
    let expires_at = key.session_token.as_ref().and_then(|session| session.expires_at);
    if expires_at.is_some_and(|at| at <= now) {
        return Err(expired_token());
    }
    Ok(())
}

pub(crate) fn expired_token() -> ApiError {
    ApiError::new("ExpiredTokenException", 403, "The security token included in the request is expired")
}

pub(crate) fn invalid_token() -> ApiError {
    ApiError::new("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
}

pub(crate) fn signature_error(error: SignatureError) -> ApiError {
    match error {
        SignatureError::Missing => {
            ApiError::new("MissingAuthenticationTokenException", 403, "Request is missing Authentication Token")
        }
        SignatureError::Incomplete(message) => ApiError::new("IncompleteSignatureException", 400, message),
        SignatureError::Invalid(message) => ApiError::new("InvalidSignatureException", 403, message),
    }
}
