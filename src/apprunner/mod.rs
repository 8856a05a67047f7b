//! The AWS side: every call is sent once and has a deadline, and no call names an ARN before the account of the
//! credentials is known.
//!
//! The SDK sends, signs and parses. It has no deadline by default, it would send a lost delete again within one call,
//! and it turns a reply without a connector into an empty one. So this module sends every call once, within
//! [`CALL_DEADLINE`], and converts the result into an [`Outcome`](crate::core::outcome::Outcome) that says whether the
//! call can have taken effect.
//!
//! [`sessions`] gets credentials and their account, from [`credentials`] and [`sts`]; [`session`] binds the two;
//! [`environment`] and [`trust`] read settings that the SDK does not read; [`client`] makes the calls, and
//! [`inventory`] those that only a report makes; [`exchange`] checks each reply as it arrived; [`wire`] converts replies and
//! errors; [`error_text`] has the texts for failures without a message of AWS; [`rate`] limits the calls;
//! [`service_scans`] finds the blockers of connectors that wait for their deletion.

mod aws;
pub(crate) mod client;
mod credentials;
pub(crate) mod environment;
mod error_text;
mod exchange;
pub(crate) mod inventory;
pub(crate) mod rate;
pub(crate) mod service_scans;
pub(crate) mod session;
pub(crate) mod sessions;
mod sts;
mod trust;
mod wire;

use std::time::Duration;

pub(crate) use aws::Aws;

/// The deadline of a connection. A call without a connection was not sent.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// The deadline of an answer. The outcome of a call without an answer is unknown.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of an answer of STS. It is shorter because all other calls wait for STS.
pub(crate) const STS_DEADLINE: Duration = Duration::from_secs(5);
/// The deadline of the removal of an owner tag. The release of an object does not depend on the removal, so it waits
/// for at most this long.
pub(crate) const UNTAG_DEADLINE: Duration = Duration::from_secs(5);
