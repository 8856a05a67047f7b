//! Error replies of AWS: their class, and the texts that users see.

use super::{MAX_MESSAGE_BYTES, assert_shown};
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation, WireError, classify};
use crate::core::wait::{explain, is_of_clock, is_of_region};

/// The beginnings of a signed request that a message of AWS may quote.
const QUOTES: [&str; 4] = ["the canonical string", "authorization=", "credential=", "x-amz-security-token"];
const OPERATIONS: [Operation; 3] =
    [Operation::DeleteVpcConnector, Operation::GetCallerIdentity, Operation::ResolveCredentials];

/// Classifies an error reply: the HTTP status, the code, the request id and the message, a line each.
///
/// The class does not depend on the case of letters or on a namespace. Nothing of a signed request is shown. A reply
/// without a known code is never more than its HTTP status says.
pub fn error_class(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(4, '\n');
    let status = lines.next().and_then(|status| status.parse::<u16>().ok());
    let (Some(http_status), code, request_id) = (status, lines.next(), lines.next()) else { return };
    let code = code.filter(|code| !code.is_empty());
    let error = WireError { http_status, code, request_id, message: lines.next() };
    for operation in OPERATIONS {
        let failure = classify(operation, &error);
        assert!(ErrorClass::ALL.contains(&failure.class));
        assert!(operation == failure.operation && failure.class.as_str() == format!("{:?}", failure.class));
        assert_texts(&failure);
        assert_same_class(&error, failure.class);
    }
}

/// Asserts that all texts of a failure can be shown, and quote no signed request.
pub(super) fn assert_texts(failure: &Failure) {
    assert!(failure.code.chars().count() <= 100 && failure.message.chars().count() <= 700);
    let id = failure.request_id.as_deref().unwrap_or_default();
    assert!(id.chars().count() <= 100);
    let _ = (is_of_clock(failure), is_of_region(failure), failure.refuses_the_delete());
    for text in [&failure.code, &failure.message, id, &failure.code_and_message(), &explain(failure)] {
        assert_shown(text, MAX_MESSAGE_BYTES);
        let lower = text.to_ascii_lowercase();
        assert!(!QUOTES.iter().any(|quote| lower.contains(quote)), "it quotes a signed request: {text:?}");
    }
}

fn assert_same_class(error: &WireError<'_>, class: ErrorClass) {
    let WireError { http_status, message, .. } = *error;
    let message = message.unwrap_or_default();
    let without_code = match http_status {
        429 => ErrorClass::Throttled,
        408 => ErrorClass::ServiceError,
        400..500 => ErrorClass::InvalidRequest,
        _ => ErrorClass::ServiceError,
    };
    let Some(code) = error.code else { return assert_eq!(class, without_code) };
    let of = |code: &str| ErrorClass::of(http_status, Some(code), message);
    assert_eq!((of(&code.to_ascii_uppercase()), of(&code.to_ascii_lowercase())), (class, class), "{code}");
    assert_eq!(of(&format!("com.amazonaws.apprunner#{code}")), class, "{code}");
    assert_eq!(of(&format!("{code}:http://internal.amazon.com/")), class, "{code}");
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let known = ErrorClass::ALL.into_iter().flat_map(|class| class.handling().codes);
    let names_a_code = known.into_iter().any(|known| letters.to_lowercase().contains(&known.to_lowercase()));
    assert!(names_a_code || class == without_code || class == ErrorClass::InUse, "{code} is {class:?}");
    if class == ErrorClass::InUse {
        assert!(message.to_lowercase().contains("is being used by"), "{message}");
    }
}
