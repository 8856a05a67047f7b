//! The errors of the emulated APIs.

use std::borrow::Cow;

use serde_json::Value;

/// The result of an operation: the members of the reply, or an error.
pub(crate) type ApiResult = Result<Value, ApiError>;

/// An error of AWS, with the code of the JSON protocol; STS spells some codes differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Cow<'static, str>,
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) retry_after_ms: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into(), retry_after_ms: None }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", 400, message)
    }

    pub(crate) fn not_found(label: &str, arn: &str) -> Self {
        Self::new("ResourceNotFoundException", 400, format!("{label} with ARN {arn} was not found."))
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Self {
        Self::new("InvalidStateException", 400, message)
    }

    pub(crate) fn quota_exceeded(message: impl Into<String>) -> Self {
        Self::new("ServiceQuotaExceededException", 400, message)
    }

    pub(crate) fn internal() -> Self {
        Self::new("InternalServiceErrorException", 500, "An unexpected service exception occurred.")
    }

    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", 400, "Rate exceeded")
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", 400, "The requested operation is not recognized by the service.")
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }
}
