//! The commands of the binary.

mod listing;
pub mod preflight;
pub mod report;
pub mod run;
