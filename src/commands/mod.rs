//! The commands of the binary.

pub mod install;
mod listing;
pub mod preflight;
pub mod report;
pub mod run;
