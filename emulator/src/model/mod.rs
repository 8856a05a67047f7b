//! The emulated App Runner without HTTP: its resources and their rules.

pub(crate) mod arn;
pub(crate) mod behaviors;
pub(crate) mod clock;
pub(crate) mod ids;
pub(crate) mod views;
