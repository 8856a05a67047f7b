//! Log, metrics, probes, and the failures that many objects share.

pub(crate) mod health;
pub(crate) mod incidents;
pub(crate) mod log;
pub(crate) mod metrics;
