//! The commands of the binary.

pub mod preflight;
pub mod report;
pub mod run;
