//! The emulated App Runner without HTTP: its resources and their rules.

pub(crate) mod clock;
pub(crate) mod ids;
