//! Constructors of common faults, and a catalogue with every kind.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::kind::{FaultKind, Rewrite, ThrottlingCode, ten_megabytes};
use crate::api_error::ApiError;
use crate::auth::{self, sigv4};
use crate::model::clock::now;

/// Delay of the faults in the catalogue: long enough for a test to notice, short enough to wait for.
const SHORT_DELAY_MS: u64 = 500;

/// An ARN that no emulated connector has.
const OTHER_ARN: &str =
    "arn:aws:apprunner:us-east-1:999999999999:vpcconnector/another/1/00000000000000000000000000000000";

impl FaultKind {
    /// Removes the member at this JSON pointer from a successful reply.
    pub fn without(pointer: &str) -> Self {
        Self::Rewrite(Rewrite { remove: vec![pointer.to_owned()], set: BTreeMap::new() })
    }

    /// Sets the member at this JSON pointer of a successful reply.
    pub fn with(pointer: &str, value: impl Into<Value>) -> Self {
        Self::Rewrite(Rewrite { remove: Vec::new(), set: BTreeMap::from([(pointer.to_owned(), value.into())]) })
    }

    /// Removes the whole connector from a successful reply.
    pub fn without_connector() -> Self {
        Self::without("/VpcConnector")
    }

    /// Removes the connector's status from a successful reply.
    pub fn without_status() -> Self {
        Self::without("/VpcConnector/Status")
    }

    /// Sets the connector's status in a successful reply, for example to one that App Runner does not have.
    pub fn with_status(status: &str) -> Self {
        Self::with("/VpcConnector/Status", status)
    }

    /// Sets the connector's ARN in a successful reply to one of another account.
    pub fn with_other_arn() -> Self {
        Self::with("/VpcConnector/VpcConnectorArn", OTHER_ARN)
    }

    /// Sets the connector's times in a successful reply: created 31 million years from now, deleted before the year 1.
    pub fn with_absurd_times() -> Self {
        let set = [("/VpcConnector/CreatedAt", json!(1e15)), ("/VpcConnector/DeletedAt", json!(-1e12))];
        let set = set.map(|(pointer, value)| (pointer.to_owned(), value));
        Self::Rewrite(Rewrite { remove: Vec::new(), set: set.into() })
    }

    /// Answers any error; nothing changes.
    pub fn error(code: &str, status: u16, message: &str) -> Self {
        Self::Error { code: code.to_owned(), status, message: message.to_owned(), after_effect: false }
    }

    /// Answers `ThrottlingException` without a retry delay; nothing changes.
    pub fn throttling() -> Self {
        Self::Throttling { code: ThrottlingCode::default(), retry_after_ms: None }
    }

    /// Answers that the session token is expired; nothing changes.
    pub fn expired_token() -> Self {
        Self::from_error(auth::expired_token())
    }

    /// Answers that the access key id is unknown; nothing changes.
    pub fn unknown_key() -> Self {
        Self::from_error(auth::invalid_token())
    }

    /// Answers that the signature does not match, as for a wrong secret access key; nothing changes.
    pub fn bad_signature() -> Self {
        Self::from_error(auth::signature_error(sigv4::SignatureError::wrong_signature()))
    }

    /// Answers that the signature is expired, as for a clock that is 15 minutes slow; nothing changes.
    pub fn skewed_clock() -> Self {
        let (now, quarter) = (now(), SignedDuration::from_mins(15));
        Self::from_error(auth::signature_error(sigv4::SignatureError::expired(&sigv4::format_time(now - quarter), now)))
    }

    /// Answers `ServiceUnavailable`, 503; nothing changes.
    pub fn service_unavailable() -> Self {
        let message = "The request has failed due to a temporary failure of the server.";
        Self::error("ServiceUnavailable", 503, message)
    }

    fn from_error(error: ApiError) -> Self {
        let ApiError { code, status, message, .. } = error;
        Self::Error { code: code.into_owned(), status, message, after_effect: false }
    }

    /// Returns at least one fault of every kind, under unique and stable names.
    ///
    /// A call with `black_hole…` or `slow` lasts until the client gives up: the first never answers, the second sends
    /// one byte a second.
    pub fn catalogue() -> Vec<(&'static str, Self)> {
        let too_many = |code, retry_after_ms| Self::Throttling { code, retry_after_ms };
        let internal = || ApiError::internal().message;
        vec![
            ("internal_error_before_effect", Self::InternalErrorBeforeEffect),
            ("internal_error_after_effect", Self::InternalErrorAfterEffect),
            ("closed_before_effect", Self::ClosedBeforeEffect),
            ("closed_after_effect", Self::ClosedAfterEffect),
            ("connection_refused", Self::ConnectionRefused { ms: SHORT_DELAY_MS }),
            ("black_hole_before_effect", Self::BlackHole { after_effect: false }),
            ("black_hole_after_effect", Self::BlackHole { after_effect: true }),
            ("delay", Self::Delay { ms: SHORT_DELAY_MS }),
            ("late_answer", Self::LateAnswer { ms: SHORT_DELAY_MS }),
            ("slow", Self::Slow { bytes_per_second: 1 }),
            ("half_body", Self::HalfBody),
            ("truncated_json", Self::TruncatedJson),
            ("empty_body", Self::EmptyBody),
            ("big_body", Self::BigBody { bytes: ten_megabytes() }),
            ("gzip", Self::Gzip),
            ("html_200_before_effect", Self::Html200 { after_effect: false }),
            ("html_200_after_effect", Self::Html200 { after_effect: true }),
            ("redirect_301", Self::Redirect { status: 301, location: None }),
            ("redirect_302", Self::Redirect { status: 302, location: None }),
            ("throttling", Self::throttling()),
            ("throttling_retry_after", too_many(ThrottlingCode::ThrottlingException, Some(SHORT_DELAY_MS))),
            ("too_many_requests", too_many(ThrottlingCode::TooManyRequestsException, None)),
            ("too_many_requests_retry_after", too_many(ThrottlingCode::TooManyRequestsException, Some(SHORT_DELAY_MS))),
            ("access_denied", Self::AccessDenied),
            ("expired_token", Self::expired_token()),
            ("unknown_key", Self::unknown_key()),
            ("bad_signature", Self::bad_signature()),
            ("skewed_clock", Self::skewed_clock()),
            ("service_unavailable", Self::service_unavailable()),
            (
                "error_after_effect",
                Self::Error { code: "InternalFailure".into(), status: 500, message: internal(), after_effect: true },
            ),
            ("without_connector", Self::without_connector()),
            ("without_status", Self::without_status()),
            ("unknown_status", Self::with_status("DELETING")),
            ("other_arn", Self::with_other_arn()),
            ("absurd_times", Self::with_absurd_times()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn catalogue_has_every_kind_under_a_unique_name() {
        let all = FaultKind::catalogue();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        let tags = all.iter().map(|(_, kind)| match serde_json::to_value(kind).unwrap() {
            Value::String(tag) => tag,
            other => other.as_object().unwrap().keys().next().unwrap().clone(),
        });
        let listed: BTreeSet<String> = tags.collect();
        // serde's error for an unknown variant lists all variants.
        let error = serde_json::from_str::<FaultKind>("\"no such kind\"").unwrap_err().to_string();
        let known: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn every_fault_in_the_catalogue_is_valid_and_survives_json() {
        for (name, kind) in FaultKind::catalogue() {
            assert_eq!(kind.check(), Ok(()), "{name}");
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<FaultKind>(&json).unwrap(), kind, "{name}");
        }
    }

    #[test]
    fn skewed_clock_has_the_code_and_message_of_aws() {
        let FaultKind::Error { code, status, message, .. } = FaultKind::skewed_clock() else { unreachable!() };
        assert_eq!((code.as_str(), status), ("InvalidSignatureException", 403));
        assert!(message.starts_with("Signature expired: ") && message.ends_with(" - 5 min.)"), "{message}");
    }
}
