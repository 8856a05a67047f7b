//! The one operation of STS that tells a caller who it is.

use serde_json::{Value, json};

use crate::auth::Caller;

/// Tells a caller who it is. Source: STS API, `GetCallerIdentity`; it needs no permission.
pub(crate) fn caller_identity(caller: &Caller) -> Value {
    json!({ "Arn": caller.user_arn(), "UserId": caller.user_id(), "Account": caller.account })
}
