//! What can go wrong with a call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What goes wrong with a call; "effect" is what the call would change.
///
/// A kind that changes the answer changes whatever AWS would have said, be it a success or an error, unless it says
/// otherwise.
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
    /// Cuts the call's connection and all others, and refuses new ones for some time; nothing changes.
    ///
    /// It does not end before its time when the fault is cleared, but with [`crate::Emulator::allow_connections`].
    ConnectionRefused {
        /// Milliseconds in which nobody can connect.
        ms: u64,
    },
    /// Never answers, and keeps the connection open until the client goes away or the fault is cleared.
    BlackHole {
        /// Whether the effect takes place, at once. Default: no.
        #[serde(default)]
        after_effect: bool,
    },
    /// Waits, then goes on normally: the effect comes late, also when the caller is gone by then.
    Delay {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Takes effect at once and answers late.
    LateAnswer {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Takes effect at once and sends the answer's body in drops, its head at once.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_second: u32,
    },
    /// Takes effect, promises the whole answer, sends half of its body, and closes the connection.
    HalfBody,
    /// Takes effect and sends half of the answer's JSON as if it were all.
    TruncatedJson,
    /// Takes effect and sends the answer's head without a body.
    EmptyBody,
    /// Takes effect, then adds a huge member to the reply if it is a success.
    BigBody {
        /// Bytes to add. Default: 10,000,000.
        #[serde(default = "ten_megabytes")]
        bytes: usize,
    },
    /// Takes effect and compresses the answer, whether the caller asked for it or not.
    Gzip,
    /// Answers 200 with a web page.
    #[serde(rename = "html_200")]
    Html200 {
        /// Whether the effect takes place. Default: no.
        #[serde(default)]
        after_effect: bool,
    },
    /// Sends the caller to another address; nothing changes.
    Redirect {
        /// HTTP status, 301 to 308. Default: 302.
        #[serde(default = "found")]
        status: u16,
        /// Where to. Default: a host that does not exist.
        #[serde(default)]
        location: Option<String>,
    },
    /// Refuses because of too many requests; nothing changes.
    Throttling {
        /// How the refusal is spelt. Default: `ThrottlingException`.
        #[serde(default)]
        code: ThrottlingCode,
        /// Value of the header `x-amz-retry-after` in milliseconds; no header, when absent.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// Refuses as IAM does, naming caller, action and resource; nothing changes.
    AccessDenied,
    /// Answers any error.
    Error {
        /// Error code, for example `ExpiredTokenException`.
        code: String,
        /// HTTP status, 400 to 599.
        status: u16,
        /// The error's message.
        message: String,
        /// Whether the effect takes place. Default: no.
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

/// Changes to a successful reply; places are JSON pointers (RFC 6901), as `/VpcConnector/Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// Members that go.
    pub remove: Vec<String>,
    /// Members that get another value; their parents must be there.
    pub set: BTreeMap<String, Value>,
}

impl Rewrite {
    fn pointers(&self) -> impl Iterator<Item = &String> {
        self.remove.iter().chain(self.set.keys())
    }
}

/// How throttling is spelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrottlingCode {
    /// With HTTP status 400.
    #[default]
    ThrottlingException,
    /// With HTTP status 429.
    TooManyRequestsException,
}

impl FaultKind {
    /// Says whether the call's effect takes place, be it late, provided that AWS would not have refused it anyway.
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

    /// Says what makes it unplayable, for a caller whom no type could tell.
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

/// More would be an attack on the emulator's own memory.
const MAX_BIG_BODY: usize = 1_000_000_000;
