//! The reason that each fault of the emulator leads to, by operation.

use std::collections::BTreeSet;

use apprunner_emulator::{FaultKind, Operation};
use apprunner_operator::api::Reason;

use crate::support::World;

/// The expected reason; `None` if the fault is no failure.
type Expected = Option<Reason>;

const SERVICE_ERROR: Expected = Some(Reason::ServiceError);
const UNREACHABLE: Expected = Some(Reason::Unreachable);
const UNPROVEN: Expected = Some(Reason::Unproven);
const THROTTLED: Expected = Some(Reason::Throttled);
const ACCESS_DENIED: Expected = Some(Reason::AccessDenied);
const REJECTED: Expected = Some(Reason::CredentialsRejected);

/// Four kinds of answer: a description of the connector, a list of tags, the empty answer to a write of tags, and the
/// answer of STS. Truncating or compressing an empty answer does no harm. Members that the rewriting kinds change are
/// in the first kind only.
const REASONS: [(&str, [Expected; 4]); 35] = [
    ("internal_error_before_effect", [SERVICE_ERROR; 4]),
    ("internal_error_after_effect", [SERVICE_ERROR; 4]),
    ("closed_before_effect", [UNREACHABLE; 4]),
    ("closed_after_effect", [UNREACHABLE; 4]),
    ("connection_refused", [UNREACHABLE; 4]),
    ("black_hole_before_effect", [UNREACHABLE; 4]),
    ("black_hole_after_effect", [UNREACHABLE; 4]),
    ("delay", [None; 4]),
    ("late_answer", [None; 4]),
    // The two bytes of an empty answer arrive in time.
    ("slow", [UNREACHABLE, UNREACHABLE, None, UNREACHABLE]),
    ("half_body", [SERVICE_ERROR; 4]),
    // The first half of STS's answer contains the whole account; half an account number would be rejected.
    ("truncated_json", [SERVICE_ERROR, SERVICE_ERROR, None, None]),
    ("empty_body", [UNPROVEN, UNPROVEN, None, SERVICE_ERROR]),
    ("big_body", [SERVICE_ERROR; 4]),
    // The client did not offer to accept compression, so it cannot read the answer.
    ("gzip", [SERVICE_ERROR, SERVICE_ERROR, None, SERVICE_ERROR]),
    ("html_200_before_effect", [SERVICE_ERROR; 4]),
    ("html_200_after_effect", [SERVICE_ERROR; 4]),
    ("redirect_301", [SERVICE_ERROR; 4]),
    ("redirect_302", [SERVICE_ERROR; 4]),
    ("throttling", [THROTTLED; 4]),
    ("throttling_retry_after", [THROTTLED; 4]),
    ("too_many_requests", [THROTTLED; 4]),
    ("too_many_requests_retry_after", [THROTTLED; 4]),
    ("access_denied", [ACCESS_DENIED; 4]),
    ("expired_token", [REJECTED; 4]),
    ("unknown_key", [REJECTED; 4]),
    ("bad_signature", [REJECTED; 4]),
    ("skewed_clock", [REJECTED; 4]),
    ("service_unavailable", [SERVICE_ERROR; 4]),
    ("error_after_effect", [SERVICE_ERROR; 4]),
    ("without_connector", [UNPROVEN, None, None, None]),
    ("without_status", [UNPROVEN, None, None, None]),
    ("unknown_status", [UNPROVEN, None, None, None]),
    ("other_arn", [UNPROVEN, None, None, None]),
    ("absurd_times", [None; 4]),
];

/// Reasons of an object that meets no failure.
const NORMAL: [Reason; 4] = [Reason::Adopting, Reason::Available, Reason::Deleting, Reason::Deleted];

/// Returns the reason that a fault leads to at an operation.
pub fn expected(kind: &str, operation: Operation) -> Expected {
    let (_, [described, listed, written, identity]) = REASONS
        .into_iter()
        .find(|(name, _)| *name == kind)
        .unwrap_or_else(|| panic!("the table has no line for {kind}"));
    match operation {
        Operation::DescribeVpcConnector | Operation::DeleteVpcConnector => described,
        Operation::ListTagsForResource => listed,
        Operation::TagResource | Operation::UntagResource => written,
        Operation::GetCallerIdentity => identity,
        other => panic!("the operator does not call {}", other.name()),
    }
}

/// Words of the SDK and of other libraries, which do not help a user who reads a status or an Event.
const INTERNAL: [&str; 22] = [
    "Exchange",
    "read_before",
    "read_after",
    "interceptor",
    "dispatch failure",
    "service error",
    "response error",
    "unhandled error",
    "failed to construct",
    "request has timed out",
    "ConnectorError",
    "SdkError",
    "SdkBody",
    "io error",
    "os error",
    "client error (",
    "HTTP 200",
    "deserializ",
    "hyper",
    "credential provider",
    "StatusCode",
    "{",
];

/// Checks that no status and no Event of a world contains a library's internal words.
pub async fn assert_plain(world: &World, context: &str) {
    let mut shown = Vec::new();
    for status in world.statuses() {
        shown.extend(status.conditions.iter().map(|condition| condition.message.clone()));
        shown.extend(status.last_error.iter().flat_map(|error| [error.code.clone(), error.message.clone()]));
    }
    shown.extend(world.notes().await);
    for text in shown {
        let internal = INTERNAL.iter().find(|word| text.contains(*word));
        assert_eq!(internal, None, "{context}: {text}");
    }
}

/// Checks that a deleted object showed the expected failure reason and no other.
pub async fn assert_reasons(world: &World, name: &str, expected: Expected, context: &str) {
    let normal = NORMAL.map(|reason| reason.to_string());
    let history = world.history(name).await;
    let shown = history.iter().filter_map(|status| status.ready_reason().map(str::to_owned));
    let shown: BTreeSet<String> = shown.filter(|reason| !normal.contains(reason)).collect();
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "{context}: reasons of {name}");
}

#[test]
fn table_has_exactly_one_line_for_every_fault() {
    let catalogue: BTreeSet<_> = FaultKind::catalogue().into_iter().map(|(name, _)| name).collect();
    assert_eq!(REASONS.map(|(name, _)| name).into_iter().collect::<BTreeSet<_>>(), catalogue);
}
