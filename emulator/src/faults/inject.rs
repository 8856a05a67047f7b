//! What each kind of fault does to a call.
//!
//! A new kind is a variant of [`FaultKind`] and an arm here; nothing else knows the kinds.

use std::time::Duration;

use axum::response::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::corruption::{self, Whole};
use super::kind::{FaultKind, Rewrite, ThrottlingCode};
use crate::api_error::{ApiError, ApiResult};

/// What goes back to the caller.
pub(crate) enum Reply {
    /// An answer.
    Normal(ApiResult),
    /// An answer that something happens to on its way back.
    Damaged(ApiResult, Damage),
    /// The end of the connection.
    HangUp,
    /// The end of all connections, and no new ones for this time.
    Refuse(Duration),
}

/// What happens to the answer.
pub(crate) type Damage = Box<dyn FnOnce(Whole) -> Response + Send>;

impl Reply {
    fn damaged(result: ApiResult, damage: impl FnOnce(Whole) -> Response + Send + 'static) -> Self {
        Self::Damaged(result, Box::new(damage))
    }
}

/// Plays a fault around a call's effect, or lets the effect take place undisturbed.
///
/// A call that is never answered is held until `let_go`.
pub(crate) async fn play(
    fault: Option<FaultKind>,
    denied: impl FnOnce() -> ApiError,
    effect: impl FnOnce() -> ApiResult,
    let_go: impl Future<Output = ()>,
) -> Reply {
    let Some(fault) = fault else { return Reply::Normal(effect()) };
    Reply::Normal(match fault {
        FaultKind::InternalErrorBeforeEffect => Err(ApiError::internal()),
        FaultKind::InternalErrorAfterEffect => after(effect, ApiError::internal()),
        FaultKind::ClosedBeforeEffect => return Reply::HangUp,
        FaultKind::ClosedAfterEffect => {
            unseen(effect);
            return Reply::HangUp;
        }
        FaultKind::ConnectionRefused { ms } => return Reply::Refuse(Duration::from_millis(ms)),
        FaultKind::BlackHole { after_effect } => {
            if after_effect {
                unseen(effect);
            }
            let_go.await;
            return Reply::HangUp;
        }
        FaultKind::Delay { ms } => {
            sleep(Duration::from_millis(ms)).await;
            effect()
        }
        FaultKind::LateAnswer { ms } => {
            let outcome = effect();
            sleep(Duration::from_millis(ms)).await;
            outcome
        }
        FaultKind::Slow { bytes_per_second } => {
            return Reply::damaged(effect(), move |answer| corruption::slow(answer, bytes_per_second));
        }
        FaultKind::HalfBody => return Reply::damaged(effect(), corruption::half),
        FaultKind::TruncatedJson => return Reply::damaged(effect(), corruption::truncated),
        FaultKind::EmptyBody => return Reply::damaged(effect(), corruption::empty),
        FaultKind::BigBody { bytes } => effect().map(|reply| padded(reply, bytes)),
        FaultKind::Gzip => return Reply::damaged(effect(), corruption::gzip),
        FaultKind::Html200 { after_effect } => {
            if after_effect {
                unseen(effect);
            }
            return Reply::damaged(Ok(Value::Null), corruption::page);
        }
        FaultKind::Redirect { status, location } => {
            let elsewhere = move |answer| corruption::elsewhere(answer, status, location.as_deref());
            return Reply::damaged(Ok(Value::Null), elsewhere);
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

/// Lets the effect take place; nobody will see what it says.
fn unseen(effect: impl FnOnce() -> ApiResult) {
    let _ = effect();
}

fn after(effect: impl FnOnce() -> ApiResult, error: ApiError) -> ApiResult {
    unseen(effect);
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

/// Finds the object that a JSON pointer's last part is a member of.
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
    if let Some(place) = reply.pointer_mut(pointer) {
        *place = value;
    } else if let Some((members, name)) = parent(reply, pointer) {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rewrites_what_it_names_and_nothing_else() {
        let reply = json!({ "VpcConnector": { "Status": "INACTIVE", "Subnets": ["a"] } });
        let rewrite = Rewrite {
            remove: vec!["/VpcConnector/Status".to_owned(), "/No/Such".to_owned()],
            set: [("/VpcConnector/Subnets/0".to_owned(), json!("b")), ("/New".to_owned(), json!(1))].into(),
        };
        assert_eq!(rewritten(reply, rewrite), json!({ "VpcConnector": { "Subnets": ["b"] }, "New": 1 }));
    }
}
