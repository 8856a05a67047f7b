//! The pure part: what is known goes in, the one next step comes out.
//!
//! Nothing here does I/O, reads a clock or draws a random number; the time and the jitter are part of the
//! [`evidence::Evidence`]. So the table tests, the property tests and the running operator all execute the same
//! function. `tests` hold this folder to it: no Kubernetes client, no AWS SDK, no async runtime, no clock.
//!
//! Read [`decide`] first: it is the operator's behaviour on one page. [`record`] is its other half.

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
pub mod evidence;
pub mod flags;
pub mod intervals;
pub(crate) mod lease;
pub mod outcome;
pub mod ownership;
pub mod rate_limit;
pub mod refusal;
pub mod state;
pub mod status;
pub mod transition;
pub(crate) mod wait;
pub(crate) mod words;
