//! The Kubernetes side: writes that can't hit the wrong object, and a deadline on each.
//!
//! A name is not an object: between a decision and its write the object may have been deleted and created again under
//! the same name. So every write is a JSON patch that tests the uid first, and nothing is ever applied or merged. The
//! client retries nothing by itself; the queue is the one place that does.
//!
//! [`client`] connects, by the way that kubectl would take. [`outage`] is about a watch that can't go on.
//! [`writes`] makes the patches; [`own_writes`] remembers what they returned until the watch shows it; [`events`] tells;
//! [`lease`] keeps all but one of several operators from doing any of it.

mod access;
pub mod client;
pub mod events;
pub mod lease;
pub mod outage;
pub mod own_writes;
mod proxy;
pub mod writes;

use std::time::Duration;

use hyper_util::client::legacy;

use kube::core::Status;

use crate::core::refusal::Refusal;

/// A call to the API server has been answered within this time, or it is not known what became of it.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// A connection to the API server is up within this time.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// A watch is asked to end after this many seconds, and is given up when it stays silent for longer.
pub const WATCH_SECONDS: u32 = 60;
/// A connection that stays silent for this long is dead.
pub const SILENCE_DEADLINE: Duration = Duration::from_secs(65);

/// Says what went wrong with a call to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is gone, or another stands under its name.
    #[error("the object is gone")]
    Gone,
    /// The object changed since it was read.
    #[error("the object is not as it was read: {0}")]
    Changed(String),
    /// The API server refused.
    #[error("the API server refused to {verb}: {code} {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// Its HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// The API server refused a write to an object; more tries in a row change nothing about that.
    #[error("{0}")]
    WriteRefused(Refusal),
    /// A 404 that names no object: the server does not know the kind, or something on the way has answered.
    #[error("the API server answered {verb} with 404 and named no object: {message}")]
    NotServed {
        /// What was tried.
        verb: &'static str,
        /// Its words.
        message: String,
    },
    /// No answer came within the deadline, none that can be read, or one that asks to come back later.
    #[error("no answer from the API server to {verb}: {message}")]
    NoAnswer {
        /// What was tried.
        verb: &'static str,
        /// What happened instead.
        message: String,
    },
}

/// Waits for a call no longer than [`CALL_DEADLINE`], and sorts what came of it.
pub(crate) async fn within_deadline<T>(
    verb: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    within(CALL_DEADLINE, verb, call).await
}

/// The same with a deadline of one's own.
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
        other => Error::NoAnswer { verb, message: plain(&other) },
    })
}

/// Whether an answer says that the object it names does not exist.
///
/// A server that does not know the kind, or a proxy on the way, answers 404 as well, and then the object may exist.
fn is_gone(status: &Status) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && status.reason == "NotFound" && named
}

/// A failure in its own words, or in those of its root where there is no connection.
fn plain(error: &kube::Error) -> String {
    let causes = || std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |&e| e.source());
    let connecting = causes().filter_map(|e| e.downcast_ref::<legacy::Error>()).any(legacy::Error::is_connect);
    match causes().last().filter(|_| connecting) {
        Some(root) => format!("no connection: {root}"),
        None => error.to_string(),
    }
}

/// Whether an answer says that the request itself is refused, and not that it came at a bad moment.
///
/// A webhook may refuse with any code. The API server then puts these words before the webhook's own.
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
    fn only_a_404_that_names_the_object_says_that_it_is_gone() {
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
    fn a_refusal_is_told_from_a_change_and_from_a_bad_moment() {
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
