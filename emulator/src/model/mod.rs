//! The emulated App Runner without HTTP: its resources and their rules.

pub(crate) mod account_region;
pub(crate) mod arn;
pub(crate) mod behaviors;
pub(crate) mod clock;
pub(crate) mod ids;
pub(crate) mod rate_limit;
pub(crate) mod views;
