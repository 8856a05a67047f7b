//! One table for the errors of AWS: for each class its codes, the reason of the Ready condition, the backoff, the event
//! that ends the failure, and the beginning of a stall.
//!
//! A new error code is added to a row of [`ErrorClass::handling`]; a new kind of failure is a new class and a new row.
//! [`super::transition`] applies a failure to the evidence, and [`super::decide`] decides the next step.

use super::words;
use crate::api::Reason;

/// The kinds of failure of a call to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ErrorClass {
    /// The account and region have no such resource.
    NotFound,
    /// A service uses the connector.
    InUse,
    /// Any other refusal of the request.
    InvalidRequest,
    /// Too many calls.
    Throttled,
    /// IAM does not allow the call.
    AccessDenied,
    /// The signature, key or token was not accepted, or there are no credentials.
    CredentialsRejected,
    /// The account is not subscribed to App Runner.
    SubscriptionRequired,
    /// AWS failed.
    ServiceError,
    /// No answer came.
    Unreachable,
    /// The certificate of the endpoint is not trusted, so nothing was sent.
    Untrusted,
    /// A success that lacks a member which would prove it.
    Unproven,
}

/// The backoff between attempts after a failure; each is one of [`super::intervals::Intervals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// `retry`: 1 to 60 s.
    Soon,
    /// `access`: 30 s to 5 min.
    Access,
    /// `invalid`: 1 to 5 min.
    Invalid,
    /// 10 s, until the service scan knows the blockers.
    InUse,
}

/// The event that ends a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndsWith {
    /// Time: the failure is transient.
    Time,
    /// A user who corrects rights, credentials, trust or the subscription. Until then all calls of the account fail.
    Access,
    /// A change of the resource or of the request: the failure concerns this call only.
    Request,
    /// The services that use the connector release it.
    Blockers,
}

/// The beginning of a stall, which asks a user to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// It does not.
    Never,
    /// With the first failure.
    AtOnce,
    /// With the second failure, and after a minute: new rights and credentials take a moment to become valid.
    AfterAMinute,
    /// While a service blocks the deletion whose own operation has not come to its end for hours.
    StuckService,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handling {
    /// AWS's codes, without the "Exception" or "Error" at their end.
    ///
    /// Source: App Runner API and STS API, Common Errors; the other spellings are those of other AWS services.
    pub codes: &'static [&'static str],
    /// The reason of the Ready condition.
    pub reason: Reason,
    /// The backoff between attempts.
    pub retry: Retry,
    /// The event that ends the failure.
    pub ends_with: EndsWith,
    /// The beginning of the stall.
    pub stall: Stall,
}

impl ErrorClass {
    /// All classes, in the order of the table.
    pub(crate) const ALL: [Self; 11] = [
        Self::NotFound,
        Self::InUse,
        Self::InvalidRequest,
        Self::Throttled,
        Self::AccessDenied,
        Self::CredentialsRejected,
        Self::SubscriptionRequired,
        Self::ServiceError,
        Self::Unreachable,
        Self::Untrusted,
        Self::Unproven,
    ];

    /// The table.
    #[rustfmt::skip]
    pub(crate) fn handling(self) -> Handling {
        use {EndsWith as E, Retry as R, Stall as S};
        let row = |codes, reason, retry, ends_with, stall| Handling { codes, reason, retry, ends_with, stall };
        match self {
            Self::NotFound             => row(NOT_FOUND, Reason::NotFound, R::Invalid, E::Request, S::AtOnce),
            Self::InUse                => row(&[], Reason::InUse, R::InUse, E::Blockers, S::StuckService),
            Self::InvalidRequest       => row(&[], Reason::InvalidRequest, R::Invalid, E::Request, S::AtOnce),
            Self::Throttled            => row(THROTTLED, Reason::Throttled, R::Soon, E::Time, S::Never),
            Self::AccessDenied         => row(ACCESS_DENIED, Reason::AccessDenied, R::Access, E::Access, S::AfterAMinute),
            Self::CredentialsRejected  => row(CREDENTIALS, Reason::CredentialsRejected, R::Access, E::Access, S::AfterAMinute),
            Self::SubscriptionRequired => row(SUBSCRIPTION, Reason::SubscriptionRequired, R::Access, E::Access, S::AtOnce),
            Self::ServiceError         => row(SERVICE_ERROR, Reason::ServiceError, R::Soon, E::Time, S::Never),
            Self::Unreachable          => row(&[], Reason::Unreachable, R::Soon, E::Time, S::Never),
            Self::Untrusted            => row(&[], Reason::UntrustedCertificate, R::Access, E::Access, S::AfterAMinute),
            Self::Unproven             => row(&[], Reason::Unproven, R::Soon, E::Time, S::Never),
        }
    }

    /// The class of an error reply. Without a known code the HTTP status decides: a proxy or a load balancer between the
    /// operator and AWS sends none of AWS's codes.
    pub(crate) fn of(http_status: u16, code: Option<&str>, message: &str) -> Self {
        let code = code.map(strip_namespace).unwrap_or_default().to_ascii_lowercase();
        let stem = code.trim_end_matches("exception").trim_end_matches("error");
        if words::same(stem, "InvalidRequest") && words::says(message, "is being used by") {
            return Self::InUse;
        }
        let has_code = |class: &Self| class.handling().codes.iter().any(|known| words::same(stem, known));
        Self::ALL.into_iter().find(has_code).unwrap_or(match http_status {
            429 => Self::Throttled,
            408 => Self::ServiceError,
            400..=499 => Self::InvalidRequest,
            _ => Self::ServiceError,
        })
    }

    /// The class whose failures have this reason.
    pub(crate) fn with_reason(reason: Reason) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.handling().reason == reason)
    }

    /// True if the failure ends without anybody's action.
    pub(crate) fn is_transient(self) -> bool {
        self.handling().ends_with == EndsWith::Time
    }

    /// True if all calls of the account fail until a user corrects rights, credentials, trust or the subscription.
    pub(crate) fn needs_access(self) -> bool {
        self.handling().ends_with == EndsWith::Access
    }

    /// The reason of the Ready condition.
    pub(crate) fn reason(self) -> Reason {
        self.handling().reason
    }

    /// The name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::InUse => "InUse",
            Self::InvalidRequest => "InvalidRequest",
            Self::Throttled => "Throttled",
            Self::AccessDenied => "AccessDenied",
            Self::CredentialsRejected => "CredentialsRejected",
            Self::SubscriptionRequired => "SubscriptionRequired",
            Self::ServiceError => "ServiceError",
            Self::Unreachable => "Unreachable",
            Self::Untrusted => "Untrusted",
            Self::Unproven => "Unproven",
        }
    }
}

/// Removes the namespace before a code and the address after it: `com.amazonaws.apprunner#X:http://…` is `X`.
pub(super) fn strip_namespace(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.split(':').next().unwrap_or(code)
}

const NOT_FOUND: &[&str] = &["ResourceNotFound"];

const THROTTLED: &[&str] = &[
    "Throttling",
    "Throttled",
    "ThrottledRequest",
    "TooManyRequests",
    "RequestThrottled",
    "RequestLimitExceeded",
    "RequestThrottling",
    "BandwidthLimitExceeded",
    "SlowDown",
];

const ACCESS_DENIED: &[&str] =
    &["AccessDenied", "UnauthorizedOperation", "NotAuthorized", "Authorization", "Unauthorized"];

const CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "InvalidAccessKeyId",
    "AuthFailure",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidIdentityToken",
    "IDPRejectedClaim",
    "NotAuthorizedToPerformSts",
];

const SUBSCRIPTION: &[&str] = &["SubscriptionRequired", "OptInRequired"];

const SERVICE_ERROR: &[&str] =
    &["InternalService", "InternalServer", "InternalFailure", "Internal", "ServiceUnavailable"];

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str, message: &str) -> ErrorClass {
        ErrorClass::of(status, Some(code), message)
    }

    #[test]
    fn every_documented_code_has_its_class() {
        for (status, code, expected) in [
            (400, "ResourceNotFoundException", ErrorClass::NotFound),
            (400, "com.amazonaws.apprunner#ResourceNotFoundException", ErrorClass::NotFound),
            (400, "ResourceNotFoundException:http://internal.amazon.com/coral/", ErrorClass::NotFound),
            (400, "InvalidRequestException", ErrorClass::InvalidRequest),
            (400, "InvalidStateException", ErrorClass::InvalidRequest),
            (400, "ValidationException", ErrorClass::InvalidRequest),
            (400, "SomethingNew", ErrorClass::InvalidRequest),
            (400, "ThrottlingException", ErrorClass::Throttled),
            (400, "TooManyRequestsException", ErrorClass::Throttled),
            (400, "AccessDeniedException", ErrorClass::AccessDenied),
            (403, "AccessDenied", ErrorClass::AccessDenied),
            (403, "ExpiredTokenException", ErrorClass::CredentialsRejected),
            (403, "ExpiredToken", ErrorClass::CredentialsRejected),
            (403, "UnrecognizedClientException", ErrorClass::CredentialsRejected),
            (403, "InvalidSignatureException", ErrorClass::CredentialsRejected),
            (403, "SignatureDoesNotMatch", ErrorClass::CredentialsRejected),
            (403, "InvalidClientTokenId", ErrorClass::CredentialsRejected),
            (403, "MissingAuthenticationTokenException", ErrorClass::CredentialsRejected),
            (403, "IncompleteSignature", ErrorClass::CredentialsRejected),
            (400, "RequestExpired", ErrorClass::CredentialsRejected),
            (400, "SubscriptionRequiredException", ErrorClass::SubscriptionRequired),
            (403, "OptInRequired", ErrorClass::SubscriptionRequired),
            (500, "InternalServiceErrorException", ErrorClass::ServiceError),
            (503, "ServiceUnavailable", ErrorClass::ServiceError),
            (500, "SomethingNew", ErrorClass::ServiceError),
        ] {
            assert_eq!(class(status, code, ""), expected, "{status} {code}");
        }
    }

    #[test]
    fn codes_and_messages_are_compared_without_case() {
        for (code, expected) in [
            ("resourcenotfoundexception", ErrorClass::NotFound),
            ("com.amazonaws.apprunner#RESOURCENOTFOUNDEXCEPTION", ErrorClass::NotFound),
            ("throttlingException", ErrorClass::Throttled),
            ("accessdenied", ErrorClass::AccessDenied),
            ("EXPIREDTOKEN", ErrorClass::CredentialsRejected),
            ("optInRequired", ErrorClass::SubscriptionRequired),
            ("internalfailure", ErrorClass::ServiceError),
            ("invalidrequestexception", ErrorClass::InvalidRequest),
        ] {
            assert_eq!(class(400, code, ""), expected, "{code}");
        }
        assert_eq!(class(400, "invalidrequestexception", "It Is Being Used By others"), ErrorClass::InUse);
    }

    #[test]
    fn a_connector_in_use_is_recognized_by_the_message() {
        let message = "Provided VPC connector arn is being used by other services. ARN:  arn:aws:…";
        assert_eq!(class(400, "InvalidRequestException", message), ErrorClass::InUse);
    }

    #[test]
    fn a_reply_without_a_code_is_classified_by_its_http_status() {
        for (status, expected) in [
            (403, ErrorClass::InvalidRequest),
            (408, ErrorClass::ServiceError),
            (429, ErrorClass::Throttled),
            (502, ErrorClass::ServiceError),
        ] {
            assert_eq!(ErrorClass::of(status, None, ""), expected);
        }
    }

    #[test]
    fn internal_failures_of_aws_are_recognized_with_every_http_status() {
        // Were it a refusal, it would prove that nothing has happened.
        for code in ["InternalServiceErrorException", "InternalFailure", "InternalServerError", "ServiceUnavailable"] {
            assert_eq!(class(400, code, ""), ErrorClass::ServiceError, "{code}");
        }
    }

    #[test]
    fn each_class_has_its_own_name_reason_and_codes() {
        let rows = ErrorClass::ALL.map(|class| (class, class.handling()));
        for (class, row) in &rows {
            assert_eq!(class.as_str(), format!("{class:?}"));
            assert_eq!(ErrorClass::with_reason(row.reason), Some(*class));
            let others = rows.iter().filter(|(other, _)| other != class);
            assert!(others.flat_map(|(_, other)| other.codes).all(|code| !row.codes.contains(code)));
        }
        assert_eq!(ErrorClass::with_reason(Reason::Available), None);
    }
}
