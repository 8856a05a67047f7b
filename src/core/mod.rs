//! The pure part of the operator: it receives evidence and returns the next step.
//!
//! Nothing here does I/O, reads a clock or draws a random number: the time and the jitter are part of the
//! [`evidence::Evidence`]. So the table tests, the property tests and the running operator execute the same functions. A
//! test (`tests/purity.rs`) keeps the Kubernetes client, the AWS SDK, the async runtime and clocks out of this folder.
//!
//! Read [`decide`] first, then [`transition`]. [`status`] and [`wait`] contain what users read.

#[cfg(test)]
mod tests;

pub(crate) mod accounts;
pub(crate) mod arn;
pub(crate) mod attempt;
pub(crate) mod blocker;
pub(crate) mod blockers;
mod claims;
pub(crate) mod clock;
pub(crate) mod decide;
pub(crate) mod effect;
pub(crate) mod error_class;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod flags;
pub(crate) mod intervals;
pub(crate) mod lease;
pub(crate) mod outcome;
pub(crate) mod ownership;
pub(crate) mod rate_limit;
pub(crate) mod refusal;
pub(crate) mod stall;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod text;
pub(crate) mod transition;
pub(crate) mod wait;
pub(crate) mod words;
