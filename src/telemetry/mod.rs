//! Log, metrics, probes, and the failures that many objects share.

pub mod health;
pub mod incidents;
pub mod log;
pub mod metrics;
