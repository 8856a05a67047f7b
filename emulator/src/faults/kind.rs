//! The kinds of faults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind of fault. The "effect" is the change that the call makes without the fault.
///
/// A kind that corrupts the answer corrupts successes and errors, unless its description limits it to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// Answers `InternalServiceErrorException`; nothing changes.
    InternalErrorBeforeEffect,
    /// Answers `InternalServiceErrorException`; the effect took place.
    InternalErrorAfterEffect,
    /// Closes the connection without one byte of an answer; nothing changes.
    ClosedBeforeEffect,
    /// Closes the connection without one byte of an answer; the effect took place.
    ClosedAfterEffect,
    /// Closes all connections, the call's included, and refuses new ones for `ms`; nothing changes.
    ///
    /// Clearing the fault does not end the refusal early; [`crate::Emulator::allow_connections`] does.
    ConnectionRefused {
        /// Milliseconds during which the emulator refuses connections.
        ms: u64,
    },
    /// Never answers, and keeps the connection open until the client closes it or the fault is cleared.
    BlackHole {
        /// If true, the effect takes place at once. Default: false.
        #[serde(default)]
        after_effect: bool,
    },
    /// Waits, then continues normally: the effect takes place late, even if the client is gone by then.
    Delay {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Takes effect at once and answers late.
    LateAnswer {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Takes effect and sends the answer's head at once, and its body slowly.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_second: u32,
    },
    /// Takes effect, announces the whole body, sends half of it, and closes the connection.
    HalfBody,
    /// Takes effect and sends half of the answer's JSON as the whole body.
    TruncatedJson,
    /// Takes effect and sends the answer's head without a body.
    EmptyBody,
    /// Takes effect, then adds a member `Padding` to the reply if it is a success.
    BigBody {
        /// Bytes to add. Default: 10,000,000.
        #[serde(default = "ten_megabytes")]
        bytes: usize,
    },
    /// Takes effect and compresses the answer, even if the client does not accept compression.
    Gzip,
    /// Answers 200 with a web page.
    #[serde(rename = "html_200")]
    Html200 {
        /// If true, the effect takes place. Default: false.
        #[serde(default)]
        after_effect: bool,
    },
    /// Redirects the client to another address; nothing changes.
    Redirect {
        /// HTTP status, 301 to 308. Default: 302.
        #[serde(default = "found")]
        status: u16,
        /// Address of the redirect. Default: a host that does not exist.
        #[serde(default)]
        location: Option<String>,
    },
    /// Answers a throttling error; nothing changes.
    Throttling {
        /// Error code. Default: `ThrottlingException`.
        #[serde(default)]
        code: ThrottlingCode,
        /// Value of the header `x-amz-retry-after` in milliseconds; no header if absent.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// Answers IAM's error, which names caller, action and resource; nothing changes.
    AccessDenied,
    /// Answers any error.
    Error {
        /// Error code, for example `ExpiredTokenException`.
        code: String,
        /// HTTP status, 400 to 599.
        status: u16,
        /// The error's message.
        message: String,
        /// If true, the effect takes place. Default: false.
        #[serde(default)]
        after_effect: bool,
    },
    /// Takes effect, then changes the reply if it is a success.
    Rewrite(Rewrite),
}

pub(super) fn ten_megabytes() -> usize {
    10_000_000
}

fn found() -> u16 {
    302
}

/// Changes to a successful reply, by JSON pointers (RFC 6901) such as `/VpcConnector/Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// Members to remove.
    pub remove: Vec<String>,
    /// Members to set; a member without a parent in the reply is not set.
    pub set: BTreeMap<String, Value>,
}

impl Rewrite {
    fn pointers(&self) -> impl Iterator<Item = &String> {
        self.remove.iter().chain(self.set.keys())
    }
}

/// The error code of throttling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrottlingCode {
    /// Has HTTP status 400.
    #[default]
    ThrottlingException,
    /// Has HTTP status 429.
    TooManyRequestsException,
}

impl FaultKind {
    /// Returns true if the call's effect takes place, at once or late, provided that AWS would not reject the call
    /// anyway.
    pub fn takes_effect(&self) -> bool {
        match self {
            Self::InternalErrorBeforeEffect
            | Self::ClosedBeforeEffect
            | Self::ConnectionRefused { .. }
            | Self::Redirect { .. }
            | Self::Throttling { .. }
            | Self::AccessDenied => false,
            Self::InternalErrorAfterEffect
            | Self::ClosedAfterEffect
            | Self::Delay { .. }
            | Self::LateAnswer { .. }
            | Self::Slow { .. }
            | Self::HalfBody
            | Self::TruncatedJson
            | Self::EmptyBody
            | Self::BigBody { .. }
            | Self::Gzip
            | Self::Rewrite(_) => true,
            Self::BlackHole { after_effect } | Self::Html200 { after_effect } | Self::Error { after_effect, .. } => {
                *after_effect
            }
        }
    }

    /// Returns the reason why the kind cannot be injected; the control API accepts values that the types do not
    /// exclude.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match self {
            Self::Error { status, .. } if !(400..600).contains(status) => Err("status must be 400 to 599"),
            Self::Error { code, .. } if !is_word(code) => Err("code must be a word"),
            Self::Redirect { status, .. } if !(301..=308).contains(status) => Err("status must be 301 to 308"),
            Self::Redirect { location: Some(location), .. } if !is_word(location) => Err("location must be a URL"),
            Self::Slow { bytes_per_second: 0 } => Err("bytes_per_second must be at least 1"),
            Self::BigBody { bytes } if *bytes > MAX_BIG_BODY => Err("bytes must be at most 1000000000"),
            Self::Rewrite(rewrite) if !rewrite.pointers().all(|pointer| pointer.starts_with('/')) => {
                Err("a JSON pointer begins with a slash")
            }
            _ => Ok(()),
        }
    }
}

/// Limits the memory that one fault can take.
const MAX_BIG_BODY: usize = 1_000_000_000;
