//! The Kubernetes side: every write tests the uid of its object, and every call has a deadline.
//!
//! Between a decision and its write, the object may have been deleted and another one created with the same name. So
//! every write is a JSON patch that tests the uid first, and the operator uses neither apply nor merge patches. The
//! client never retries a call; only the queue of the controller does.
//!
//! [`client`] connects as kubectl would. [`received`] decodes objects; [`writes`] makes the patches; [`own_writes`] keeps
//! their results until the watch shows them; [`events`] publishes Events; [`outage`] handles a watch that fails; [`lease`]
//! elects the one operator that acts.

mod access;
pub(crate) mod client;
mod event_queue;
pub(crate) mod events;
pub(crate) mod lease;
pub(crate) mod outage;
pub(crate) mod own_writes;
pub(crate) mod proxy;
pub(crate) mod received;
pub(crate) mod writes;

use std::time::Duration;

use kube::core::Status;

use crate::causes;
use crate::core::refusal::Refusal;

/// The deadline of a call to the API server. The outcome of a call without an answer is unknown.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of a connection to the API server.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// The API server ends a watch after this many seconds; a watch that is silent for longer is closed.
pub(crate) const WATCH_SECONDS: u32 = 60;
/// A reply that stays silent for this long is given up, and a connection that was idle for this long is closed.
pub(crate) const SILENCE_DEADLINE: Duration = Duration::from_secs(65);

/// The failure of a call to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object no longer exists, or another object has its name.
    #[error("the object no longer exists")]
    Gone,
    /// The object changed since it was read.
    #[error("the object changed since it was read: {0}")]
    Changed(String),
    /// The API server refused.
    #[error("the API server refused to {verb}: {code} {message}")]
    Refused {
        /// The call.
        verb: &'static str,
        /// The HTTP status.
        code: u16,
        /// The message of the API server.
        message: String,
    },
    /// The API server refused a write to an object; an immediate retry does not help.
    #[error("{0}")]
    WriteRefused(Refusal),
    /// A 404 that names no object: the server does not know the kind, or a proxy answered.
    #[error("the API server answered {verb} with 404 and named no object: {message}")]
    NotServed {
        /// The call.
        verb: &'static str,
        /// The message of the API server.
        message: String,
    },
    /// There was no answer within the deadline, an unreadable one, or one that asks for a retry.
    #[error("no answer from the API server to {verb}: {message}")]
    NoAnswer {
        /// The call.
        verb: &'static str,
        /// The cause.
        message: String,
    },
}

/// Waits for a call until [`CALL_DEADLINE`], and classifies its error.
pub(crate) async fn within_deadline<T>(
    verb: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    within(CALL_DEADLINE, verb, call).await
}

/// Waits for a call until a deadline, and classifies its error.
pub(crate) async fn within<T>(
    deadline: Duration,
    verb: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    let error = match tokio::time::timeout(deadline, call).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => return Err(Error::NoAnswer { verb, message: "the deadline passed".into() }),
    };
    Err(match error {
        kube::Error::Api(status) if refuses(status.code, &status.message) => {
            Error::Refused { verb, code: status.code, message: status.message.clone() }
        }
        kube::Error::Api(status) if is_gone(&status) => Error::Gone,
        kube::Error::Api(status) if status.code == 404 => Error::NotServed { verb, message: status.message.clone() },
        kube::Error::Api(status) if status.code == 409 => Error::Changed(status.message.clone()),
        other => Error::NoAnswer { verb, message: message_of(&other) },
    })
}

/// Returns whether an answer proves that its object does not exist.
///
/// A server that does not know the kind, or a proxy, also answers 404, and then the object may exist.
fn is_gone(status: &Status) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && status.reason == "NotFound" && named
}

/// The message of an error, or of its root cause if there is no connection.
fn message_of(error: &kube::Error) -> String {
    if causes::never_connected(error) {
        format!("no connection: {}", causes::root_text(error))
    } else {
        error.to_string()
    }
}

/// Returns whether an answer refuses the request itself, so that a retry of it does not help.
///
/// A webhook may refuse with any code. The API server then puts its own text before that of the webhook.
fn refuses(code: u16, message: &str) -> bool {
    match code {
        404 | 408 | 409 | 429 => denied_by_webhook(message),
        400..500 => true,
        // Source: etcd's limit for a request, and its client's.
        _ => {
            denied_by_webhook(message)
                || message.contains("request is too large")
                || message.contains("larger than max")
        }
    }
}

fn denied_by_webhook(message: &str) -> bool {
    (message.contains("admission webhook") && message.contains("denied the request"))
        || message.contains("failed calling webhook")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusDetails;

    use super::{is_gone, refuses};

    #[test]
    fn only_a_404_that_names_the_object_proves_that_it_does_not_exist() {
        let details = |name: &str| StatusDetails {
            name: name.into(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        let named = details("egress");
        let gone = Status::failure("vpcconnectors \"egress\" not found", "NotFound").with_code(404);
        assert!(is_gone(&gone.clone().with_details(named.clone())));
        assert!(!is_gone(&gone) && !is_gone(&gone.clone().with_details(details(""))));
        assert!(!is_gone(&Status::failure("404 page not found", "NotFound").with_code(404)));
        assert!(!is_gone(&Status::failure("<html>", "Failed to parse error data").with_code(404).with_details(named)));
    }

    #[test]
    fn refusals_differ_from_changes_of_the_object_and_from_transient_errors() {
        let denied = r#"admission webhook "labels.example.org" denied the request: no team"#;
        let unreachable = r#"Internal error occurred: failed calling webhook "labels.example.org": connection refused"#;
        let large = ["etcdserver: request is too large", "trying to send message larger than max (3 vs. 2)"];
        for (code, message) in [
            (400, denied),
            (404, denied),
            (409, denied),
            (500, denied),
            (500, unreachable),
            (500, large[0]),
            (500, large[1]),
            (413, "Request entity too large: limit is 3145728"),
            (401, "Unauthorized"),
            (403, "exceeded quota"),
            (422, "ValidatingAdmissionPolicy 'labels' denied request"),
        ] {
            assert!(refuses(code, message), "{code} {message}");
        }
        for (code, message) in [
            (404, "not found"),
            (408, "request timed out"),
            (409, "the object has been modified"),
            (429, "too many requests"),
            (500, "etcdserver: leader changed"),
            (503, "the server is currently unable to handle the request"),
            (504, "timeout"),
        ] {
            assert!(!refuses(code, message), "{code} {message}");
        }
    }
}
