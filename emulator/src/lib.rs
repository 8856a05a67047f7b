//! An AWS App Runner that runs in your process or beside it, for tests and demonstrations.
//!
//! Tools that delete things in AWS are hard to try out: App Runner has no test mode, several of its answers are
//! documented nowhere, and the interesting ones (a lost reply, a connector that is still "in use") come when nobody
//! looks. [`Emulator`] speaks the real wire protocol, verifies real signatures, and plays the rare answers on demand:
//! the undocumented ones are switches ([`Behaviors`]), the broken ones are [`Fault`]s, and every call is kept as a
//! [`Call`].
//!
//! ```no_run
//! # async fn example() -> Result<(), apprunner_emulator::Error> {
//! use apprunner_emulator::{Config, DEFAULT_ACCOUNT, Emulator, Fault, FaultKind, Operation};
//!
//! let emulator = Emulator::start(Config::default()).await?;
//! let arn = emulator.create_connector(DEFAULT_ACCOUNT, "eu-central-1", "shop");
//! emulator.add_fault(Fault::new(FaultKind::ClosedAfterEffect).on(Operation::DeleteVpcConnector).arn(&arn));
//! // Point a client at `emulator.url()`, let it delete the connector, then look at what arrived:
//! for call in emulator.calls() {
//!     println!("{:?} {:?}", call.operation, call.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! How a request travels: `server` (connections) → `endpoint` (one request from signature to answer) → `play` (its
//! fault) → `dispatch` → `connectors`, `service_calls`, `tags`, `sts`, which change `state`; on the way back `damage`
//! does to the answer what the fault wants. `control` and [`Emulator`] reach the same state from the side, and through
//! `gate` they have the server refuse connections.

mod api_error;
mod auth;
mod call_log;
mod config;
mod emulator;
mod faults;
mod gate;
mod http;
mod model;
mod operation;
mod ops;
mod state;

pub use call_log::{Call, CallFilter};
pub use config::{
    AccessKey, Config, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY, Error, SessionToken,
};
pub use emulator::Emulator;
pub use faults::{Fault, FaultId, FaultKind, QueuedFault, Rewrite, ThrottlingCode};
pub use model::behaviors::{
    ArnAnswer, Behaviors, ConnectorIds, CreateExistingName, DeleteAgain, DeleteReply, StatusCase,
};
pub use model::views::{ConnectorStatus, ConnectorView, RegionView, ServiceStatus, ServiceView};
pub use operation::Operation;
