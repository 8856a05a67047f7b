//! The operation of STS.

use serde_json::{Value, json};

use crate::auth::Caller;

/// Returns the caller's identity; this needs no permission. Source: STS API, `GetCallerIdentity`.
pub(super) fn caller_identity(caller: &Caller) -> Value {
    json!({ "Arn": caller.user_arn(), "UserId": caller.user_id(), "Account": caller.account })
}
