//! Faults: a call that matches one goes wrong in the way that the fault's kind says.

mod catalogue;
mod corruption;
mod fault;
mod inject;
mod kind;
mod queue;

pub use self::fault::Fault;
pub(crate) use self::fault::Matched;
pub(crate) use self::inject::{Reply, play};
pub use self::kind::{FaultKind, Rewrite, ThrottlingCode};
pub use self::queue::{FaultId, QueuedFault};
pub(crate) use self::queue::{FaultQueue, Taken};
