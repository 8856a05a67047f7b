//! The AWS side: one attempt a call, a deadline on each, and nothing named before it is known whose credentials these
//! are.
//!
//! The SDK sends, signs and parses. What it leaves open is decided here: it has no deadline of its own, it would send a
//! lost delete again inside one call, and it turns a reply without a connector into an empty one. So every call is sent
//! once, within [`CALL_DEADLINE`], and what came of it becomes an [`Outcome`](crate::core::outcome::Outcome) that says
//! whether it can have taken effect.
//!
//! [`session`] knows whose credentials these are; [`environment`] and [`trust`] read what the SDK does not read; [`client`] makes the calls; [`exchange`] looks at each as it
//! stands on the wire; [`wire`] reads answers; [`plain`] has the words where AWS has none; [`rate`] says when
//! the next may be made; [`service_scans`] finds out who uses the connectors that wait.

mod aws;
pub mod client;
mod environment;
mod exchange;
mod plain;
pub mod rate;
pub mod service_scans;
pub mod session;
mod trust;
pub mod wire;

use std::time::Duration;

pub use aws::Aws;

/// A connection is up within this time, or the call was not sent.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// An answer has arrived within this time, or it is not known what became of the call.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The same for STS, which everything waits for.
pub const STS_DEADLINE: Duration = Duration::from_secs(5);
/// Taking a tag off is a courtesy; an object on its way out waits for it no longer than this.
pub const UNTAG_DEADLINE: Duration = Duration::from_secs(5);
