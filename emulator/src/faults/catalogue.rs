//! Ready-made faults, and one of every kind.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::kind::{FaultKind, Rewrite, ThrottlingCode, ten_megabytes};
use crate::api_error::ApiError;
use crate::auth::{self, sigv4};
use crate::model::clock::now;

/// Long enough to be noticed, short enough to wait for.
const A_MOMENT_MS: u64 = 500;

/// A connector that nobody has.
const OTHER_ARN: &str =
    "arn:aws:apprunner:us-east-1:999999999999:vpcconnector/another/1/00000000000000000000000000000000";

impl FaultKind {
    /// Takes the member at this JSON pointer out of a successful reply.
    pub fn without(pointer: &str) -> Self {
        Self::Rewrite(Rewrite { remove: vec![pointer.to_owned()], set: BTreeMap::new() })
    }

    /// Gives the member at this JSON pointer of a successful reply another value.
    pub fn with(pointer: &str, value: impl Into<Value>) -> Self {
        Self::Rewrite(Rewrite { remove: Vec::new(), set: BTreeMap::from([(pointer.to_owned(), value.into())]) })
    }

    /// Leaves the whole connector out of a successful reply.
    pub fn without_connector() -> Self {
        Self::without("/VpcConnector")
    }

    /// Leaves the connector's status out of a successful reply.
    pub fn without_status() -> Self {
        Self::without("/VpcConnector/Status")
    }

    /// Shows the connector of a successful reply in any status, for example one that does not exist.
    pub fn with_status(status: &str) -> Self {
        Self::with("/VpcConnector/Status", status)
    }

    /// Shows the connector of a successful reply under another account's ARN.
    pub fn with_other_arn() -> Self {
        Self::with("/VpcConnector/VpcConnectorArn", OTHER_ARN)
    }

    /// Shows the connector of a successful reply as created in the far future and deleted before the year 1.
    pub fn with_absurd_times() -> Self {
        let set = [("/VpcConnector/CreatedAt", json!(1e15)), ("/VpcConnector/DeletedAt", json!(-1e12))];
        let set = set.map(|(pointer, value)| (pointer.to_owned(), value));
        Self::Rewrite(Rewrite { remove: Vec::new(), set: set.into() })
    }

    /// Answers any error, without an effect.
    pub fn error(code: &str, status: u16, message: &str) -> Self {
        Self::Error { code: code.to_owned(), status, message: message.to_owned(), after_effect: false }
    }

    /// Refuses with `ThrottlingException`, without a hint when to come back.
    pub fn throttling() -> Self {
        Self::Throttling { code: ThrottlingCode::default(), retry_after_ms: None }
    }

    /// Refuses because the session token's time is over.
    pub fn expired_token() -> Self {
        Self::refused(auth::expired_token())
    }

    /// Refuses because nobody has the access key id.
    pub fn unknown_key() -> Self {
        Self::refused(auth::invalid_token())
    }

    /// Refuses because the secret access key is wrong.
    pub fn bad_signature() -> Self {
        Self::refused(auth::refusal(sigv4::Problem::wrong_signature()))
    }

    /// Refuses because the caller's clock is a quarter of an hour slow.
    pub fn skewed_clock() -> Self {
        let (now, quarter) = (now(), SignedDuration::from_mins(15));
        Self::refused(auth::refusal(sigv4::Problem::expired(&sigv4::shown(now - quarter), now)))
    }

    /// Answers `ServiceUnavailable`, 503, without an effect.
    pub fn service_unavailable() -> Self {
        let message = "The request has failed due to a temporary failure of the server.";
        Self::error("ServiceUnavailable", 503, message)
    }

    fn refused(error: ApiError) -> Self {
        let ApiError { code, status, message, .. } = error;
        Self::Error { code: code.into_owned(), status, message, after_effect: false }
    }

    /// Lists at least one fault of every kind, under names that are stable and differ.
    ///
    /// Two of them end only with the caller's patience: `black_hole…` never answers, and `slow` sends a byte a second.
    pub fn catalogue() -> Vec<(&'static str, Self)> {
        let too_many = |code, retry_after_ms| Self::Throttling { code, retry_after_ms };
        let internal = || ApiError::internal().message;
        vec![
            ("internal_error_before_effect", Self::InternalErrorBeforeEffect),
            ("internal_error_after_effect", Self::InternalErrorAfterEffect),
            ("closed_before_effect", Self::ClosedBeforeEffect),
            ("closed_after_effect", Self::ClosedAfterEffect),
            ("connection_refused", Self::ConnectionRefused { ms: A_MOMENT_MS }),
            ("black_hole_before_effect", Self::BlackHole { after_effect: false }),
            ("black_hole_after_effect", Self::BlackHole { after_effect: true }),
            ("delay", Self::Delay { ms: A_MOMENT_MS }),
            ("late_answer", Self::LateAnswer { ms: A_MOMENT_MS }),
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
            ("throttling_retry_after", too_many(ThrottlingCode::ThrottlingException, Some(A_MOMENT_MS))),
            ("too_many_requests", too_many(ThrottlingCode::TooManyRequestsException, None)),
            ("too_many_requests_retry_after", too_many(ThrottlingCode::TooManyRequestsException, Some(A_MOMENT_MS))),
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
    fn lists_every_kind_under_a_name_of_its_own() {
        let all = FaultKind::catalogue();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        let tags = all.iter().map(|(_, kind)| match serde_json::to_value(kind).unwrap() {
            Value::String(tag) => tag,
            other => other.as_object().unwrap().keys().next().unwrap().clone(),
        });
        let listed: BTreeSet<String> = tags.collect();
        // serde names every variant there is when it meets one that is not.
        let refusal = serde_json::from_str::<FaultKind>("\"no such kind\"").unwrap_err().to_string();
        let known: BTreeSet<String> = refusal.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn what_it_lists_is_playable_and_survives_json() {
        for (name, kind) in FaultKind::catalogue() {
            assert_eq!(kind.check(), Ok(()), "{name}");
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<FaultKind>(&json).unwrap(), kind, "{name}");
        }
    }

    #[test]
    fn a_skewed_clock_is_told_in_awss_words() {
        let FaultKind::Error { code, status, message, .. } = FaultKind::skewed_clock() else { unreachable!() };
        assert_eq!((code.as_str(), status), ("InvalidSignatureException", 403));
        assert!(message.starts_with("Signature expired: ") && message.ends_with(" - 5 min.)"), "{message}");
    }
}
