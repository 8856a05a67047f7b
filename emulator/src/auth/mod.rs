//! Authentication of callers.

pub(crate) mod sigv4;

use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use self::sigv4::{Authorization, SignatureError, SignedRequest};
use crate::api_error::ApiError;
use crate::model::account_region::AccountRegion;
use crate::{AccessKey, Operation};

/// A caller whose signature is verified, and the region in the signature.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Caller {
    pub(crate) fn user_arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.access_key_id)
    }

    pub(crate) fn account_region(&self) -> AccountRegion {
        AccountRegion::new(&self.account, &self.region)
    }

    pub(crate) fn user_id(&self) -> String {
        format!("AIDA{}", self.account)
    }

    /// Makes the error in IAM's words for an operation that the caller may not perform.
    pub(crate) fn denied(&self, operation: Operation, arn: Option<&str>) -> ApiError {
        let (user, service, action) = (self.user_arn(), operation.service(), operation.name());
        let any_resource = || format!("arn:aws:{service}:{}:{}:*", self.region, self.account);
        let resource = arn.map_or_else(any_resource, str::to_owned);
        let message = format!(
            "User: {user} is not authorized to perform: {service}:{action} on resource: {resource} because no \
             identity-based policy allows the {service}:{action} action"
        );
        ApiError::new("AccessDeniedException", 400, message)
    }
}

/// Verifies a request against the table of access keys.
pub(crate) fn authenticate(
    keys: &[AccessKey],
    authorization: Result<Authorization<'_>, SignatureError>,
    request: &SignedRequest<'_>,
    service: &str,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let authorization = authorization.map_err(signature_error)?;
    let key = keys.iter().find(|key| key.id == authorization.access_key_id).ok_or_else(invalid_token)?;
    check_session(key, request.headers, now)?;
    authorization.verify(request, &key.secret, service, now).map_err(signature_error)?;
    Ok(Caller { access_key_id: key.id.clone(), account: key.account.clone(), region: authorization.region.to_owned() })
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
