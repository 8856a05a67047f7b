//! Faults: a call that matches a fault fails in the way of the fault's kind.
//!
//! A fault waits in the queue until a call matches it; `inject` applies it to the call.

mod catalogue;
mod corruption;
mod fault;
mod inject;
mod kind;
mod queue;

pub(crate) use self::fault::CallAttributes;
pub use self::fault::Fault;
pub(crate) use self::inject::{Reply, apply_fault};
pub use self::kind::{FaultKind, Rewrite, ThrottlingCode};
pub(crate) use self::queue::{ActiveFault, FaultQueue};
pub use self::queue::{FaultId, QueuedFault};
