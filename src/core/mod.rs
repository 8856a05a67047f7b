//! The pure part of the operator: it receives evidence and returns the next step.
//!
//! Nothing here does I/O, reads a clock or draws a random number: the time and the jitter are part of the
//! [`evidence::Evidence`]. So the table tests, the property tests and the running operator execute the same functions. A
//! test (`tests/purity.rs`) keeps the Kubernetes client, the AWS SDK, the async runtime and clocks out of this folder.
//!
//! Read [`decide`] first, then [`transition`]. [`status`] and [`wait`] contain what users read.

#[cfg(test)]
mod tests;

pub mod arn;
pub mod attempt;
pub mod blockers;
mod claims;
pub mod clock;
pub mod decide;
pub mod effect;
pub mod error_class;
pub mod event;
pub mod evidence;
pub mod flags;
pub mod intervals;
pub(crate) mod lease;
pub mod outcome;
pub mod ownership;
pub mod rate_limit;
pub mod refusal;
pub mod stall;
pub mod state;
pub mod status;
pub mod transition;
pub(crate) mod wait;
pub(crate) mod words;
