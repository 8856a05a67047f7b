//! The HTTP side: connections, the endpoint of AWS clients, and the control API.

mod control;
mod endpoint;
mod peer;
pub(crate) mod request;
mod server;
mod wire;

pub(crate) use self::server::serve;
