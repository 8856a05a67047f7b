//! What each kind of fault does to a call.
//!
//! A new kind is a variant of [`FaultKind`] and an arm here; nothing else knows the kinds.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::faults::{FaultKind, Rewrite, ThrottlingCode};
use crate::wire::{ApiError, Outcome};

/// What goes back to the caller.
pub(crate) enum Reply {
    /// An answer.
    Outcome(Outcome),
    /// The end of the connection.
    HangUp,
}

/// Plays a fault around a call's effect, or lets the effect take place undisturbed.
pub(crate) async fn play(
    fault: Option<FaultKind>,
    denied: impl FnOnce() -> ApiError,
    effect: impl FnOnce() -> Outcome,
) -> Reply {
    let Some(fault) = fault else { return Reply::Outcome(effect()) };
    Reply::Outcome(match fault {
        FaultKind::InternalErrorBeforeEffect => Err(ApiError::internal()),
        FaultKind::InternalErrorAfterEffect => after(effect, ApiError::internal()),
        FaultKind::ClosedBeforeEffect => return Reply::HangUp,
        FaultKind::ClosedAfterEffect => {
            // Nobody will see what it says.
            let _ = effect();
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
        FaultKind::Throttling { code, retry_after_ms } => Err(throttled(code, retry_after_ms)),
        FaultKind::AccessDenied => Err(denied()),
        FaultKind::Error { code, status, message, after_effect: false } => Err(ApiError::new(code, status, message)),
        FaultKind::Error { code, status, message, after_effect: true } => {
            after(effect, ApiError::new(code, status, message))
        }
        FaultKind::Rewrite(rewrite) => effect().map(|reply| rewritten(reply, rewrite)),
    })
}

fn after(effect: impl FnOnce() -> Outcome, error: ApiError) -> Outcome {
    // The caller gets the fault's error in place of the effect's own words.
    let _ = effect();
    Err(error)
}

fn throttled(code: ThrottlingCode, retry_after_ms: Option<u64>) -> ApiError {
    let error = match code {
        ThrottlingCode::ThrottlingException => ApiError::throttled(),
        ThrottlingCode::TooManyRequestsException => ApiError::new("TooManyRequestsException", 429, "Too Many Requests"),
    };
    ApiError { retry_after_ms, ..error }
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
