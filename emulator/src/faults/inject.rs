//! The injection of faults into calls.
//!
//! A new kind of fault needs a variant of [`FaultKind`] and an arm in [`apply_fault`].

use std::time::Duration;

use axum::response::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::corruption::{self, FullResponse};
use super::kind::{FaultKind, Rewrite, ThrottlingCode};
use crate::api_error::{ApiError, ApiResult};

/// The reply to a call.
pub(crate) enum Reply {
    /// The result, rendered as usual.
    Normal(ApiResult),
    /// The result, rendered and then corrupted.
    Corrupted(ApiResult, Corruption),
    /// No response: the emulator closes the connection.
    CloseConnection,
    /// No response: the emulator closes all connections and refuses new ones for this time.
    RefuseConnections(Duration),
}

/// Turns a complete response into a corrupted one.
pub(crate) type Corruption = Box<dyn FnOnce(FullResponse) -> Response + Send>;

impl Reply {
    fn corrupted(result: ApiResult, corruption: impl FnOnce(FullResponse) -> Response + Send + 'static) -> Self {
        Self::Corrupted(result, Box::new(corruption))
    }
}

/// Performs a call with a fault, or unchanged without one.
///
/// `effect` performs the call, `denied` makes the error of `FaultKind::AccessDenied`. A black hole keeps the call until
/// `abandoned` is ready.
pub(crate) async fn apply_fault(
    fault: Option<FaultKind>,
    denied: impl FnOnce() -> ApiError,
    effect: impl FnOnce() -> ApiResult,
    abandoned: impl Future<Output = ()>,
) -> Reply {
    let Some(fault) = fault else { return Reply::Normal(effect()) };
    Reply::Normal(match fault {
        FaultKind::InternalErrorBeforeEffect => Err(ApiError::internal()),
        FaultKind::InternalErrorAfterEffect => after(effect, ApiError::internal()),
        FaultKind::ClosedBeforeEffect => return Reply::CloseConnection,
        FaultKind::ClosedAfterEffect => {
            discard(effect);
            return Reply::CloseConnection;
        }
        FaultKind::ConnectionRefused { ms } => return Reply::RefuseConnections(Duration::from_millis(ms)),
        FaultKind::BlackHole { after_effect } => {
            if after_effect {
                discard(effect);
            }
            abandoned.await;
            return Reply::CloseConnection;
        }
        FaultKind::Delay { ms } => {
            sleep(Duration::from_millis(ms)).await;
            effect()
        }
        FaultKind::LateAnswer { ms } => {
            let result = effect();
            sleep(Duration::from_millis(ms)).await;
            result
        }
        FaultKind::Slow { bytes_per_second } => {
            return Reply::corrupted(effect(), move |response| corruption::slow(response, bytes_per_second));
        }
        FaultKind::HalfBody => return Reply::corrupted(effect(), corruption::half_body),
        FaultKind::TruncatedJson => return Reply::corrupted(effect(), corruption::truncated),
        FaultKind::EmptyBody => return Reply::corrupted(effect(), corruption::empty_body),
        FaultKind::BigBody { bytes } => effect().map(|reply| padded(reply, bytes)),
        FaultKind::Gzip => return Reply::corrupted(effect(), corruption::gzip),
        FaultKind::Html200 { after_effect } => {
            if after_effect {
                discard(effect);
            }
            return Reply::corrupted(Ok(Value::Null), corruption::web_page);
        }
        FaultKind::Redirect { status, location } => {
            let redirect = move |response| corruption::redirect(response, status, location.as_deref());
            return Reply::corrupted(Ok(Value::Null), redirect);
        }
        FaultKind::Throttling { code, retry_after_ms } => Err(throttled(code, retry_after_ms)),
        FaultKind::AccessDenied => Err(denied()),
        FaultKind::Error { code, status, message, after_effect: false } => Err(ApiError::new(code, status, message)),
        FaultKind::Error { code, status, message, after_effect: true } => {
            after(effect, ApiError::new(code, status, message))
        }
        FaultKind::Rewrite(rewrite) => effect().map(|reply| rewritten(reply, rewrite)),
    })
}

/// Performs the call and drops its result, which the client does not see.
fn discard(effect: impl FnOnce() -> ApiResult) {
    let _ = effect();
}

fn after(effect: impl FnOnce() -> ApiResult, error: ApiError) -> ApiResult {
    discard(effect);
    Err(error)
}

fn throttled(code: ThrottlingCode, retry_after_ms: Option<u64>) -> ApiError {
    let error = match code {
        ThrottlingCode::ThrottlingException => ApiError::throttled(),
        ThrottlingCode::TooManyRequestsException => ApiError::new("TooManyRequestsException", 429, "Too Many Requests"),
    };
    ApiError { retry_after_ms, ..error }
}

fn padded(mut reply: Value, bytes: usize) -> Value {
    set(&mut reply, "/Padding", "x".repeat(bytes).into());
    reply
}

fn rewritten(mut reply: Value, rewrite: Rewrite) -> Value {
    for pointer in &rewrite.remove {
        remove(&mut reply, pointer);
    }
    for (pointer, value) in rewrite.set {
        set(&mut reply, &pointer, value);
    }
    reply
}

/// Returns the object that contains the member at a JSON pointer, and the member's name.
fn parent<'a, 'p>(reply: &'a mut Value, pointer: &'p str) -> Option<(&'a mut serde_json::Map<String, Value>, &'p str)> {
    let (parent, name) = pointer.rsplit_once('/')?;
    Some((reply.pointer_mut(parent)?.as_object_mut()?, name))
}

fn remove(reply: &mut Value, pointer: &str) {
    if let Some((members, name)) = parent(reply, pointer) {
        members.remove(name);
    }
}

fn set(reply: &mut Value, pointer: &str, value: Value) {
    if let Some(member) = reply.pointer_mut(pointer) {
        *member = value;
    } else if let Some((members, name)) = parent(reply, pointer) {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rewrite_changes_only_the_members_that_it_names() {
        let reply = json!({ "VpcConnector": { "Status": "INACTIVE", "Subnets": ["a"] } });
        let rewrite = Rewrite {
            remove: vec!["/VpcConnector/Status".to_owned(), "/No/Such".to_owned()],
            set: [("/VpcConnector/Subnets/0".to_owned(), json!("b")), ("/New".to_owned(), json!(1))].into(),
        };
        assert_eq!(rewritten(reply, rewrite), json!({ "VpcConnector": { "Subnets": ["b"] }, "New": 1 }));
    }
}
