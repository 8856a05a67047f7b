//! An AWS App Runner that runs in your process or beside it, for tests and demonstrations.
//!
//! A tool that deletes resources in AWS is hard to test: App Runner has no test mode, several of its answers are not
//! documented, and some events (a lost reply, a connector that is still "in use") are rare. [`Emulator`] speaks the
//! real wire protocol, verifies real signatures, and gives the rare answers on demand: undocumented behaviors are
//! switches ([`Behaviors`]), failures are [`Fault`]s, and the log has a [`Call`] for every request.
//!
//! ```no_run
//! # async fn example() -> Result<(), apprunner_emulator::Error> {
//! use apprunner_emulator::{Config, DEFAULT_ACCOUNT, Emulator, Fault, FaultKind, Operation};
//!
//! let emulator = Emulator::start(Config::default()).await?;
//! let arn = emulator.create_connector(DEFAULT_ACCOUNT, "eu-central-1", "shop");
//! emulator.add_fault(Fault::new(FaultKind::ClosedAfterEffect).on(Operation::DeleteVpcConnector).arn(&arn));
//! // Let a client with the endpoint `emulator.url()` delete the connector, then read its calls:
//! for call in emulator.calls() {
//!     println!("{:?} {:?}", call.operation, call.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A request takes this path: `http::server` (connections) → `http::endpoint` (log, rate limit) → `auth` (signature) →
//! `faults` (its fault) → `ops` (the operation), which changes the resources in `model`. `http::control` and
//! [`Emulator`] read and change the same `state`, and command the server through `gate` to refuse connections.

mod api_error;
mod auth;
mod call_log;
mod config;
mod emulator;
mod faults;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod http;
mod model;
mod operation;
mod ops;
mod state;

pub use auth::role::Role;
pub use call_log::{Call, CallFilter};
pub use config::{
    AccessKey, Config, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY, Error, SessionToken,
};
pub use emulator::Emulator;
pub use faults::{Fault, FaultId, FaultKind, QueuedFault, Rewrite, ThrottlingCode};
pub use model::behaviors::{
    ArnAnswer, Behaviors, ConnectorIds, CreateExistingName, DeleteAgain, DeleteReply, StatusCase,
};
pub use model::views::{
    ConfigurationView, ConnectionStatus, ConnectionView, ConnectorStatus, ConnectorView, CustomDomainStatus,
    CustomDomainView, IngressConnectionStatus, IngressConnectionView, RegionView, ServiceStatus, ServiceView,
};
pub use operation::Operation;
