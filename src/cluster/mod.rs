//! The Kubernetes side: writes that can't hit the wrong object, and a deadline on each.
//!
//! A name is not an object: between a decision and its write the object may have been deleted and created again under
//! the same name. So every write is a JSON patch that tests the uid first, and nothing is ever applied or merged. The
//! client retries nothing by itself; the queue is the one place that does.
//!
//! [`writes`] makes the patches; [`own_writes`] remembers what they returned until the watch shows it; [`events`] tells;
//! [`lease`] keeps all but one of several operators from doing any of it.

pub mod client;
pub mod events;
pub mod lease;
pub mod own_writes;
pub mod writes;

use std::time::Duration;

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
    /// No answer came within the deadline, or none that can be read.
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
        kube::Error::Api(status) if status.code == 404 => Error::Gone,
        kube::Error::Api(status) if status.code == 409 || status.code == 422 => Error::Changed(status.message.clone()),
        kube::Error::Api(status) if status.code < 500 => {
            Error::Refused { verb, code: status.code, message: status.message.clone() }
        }
        other => Error::NoAnswer { verb, message: other.to_string() },
    })
}
