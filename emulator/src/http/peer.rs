//! Detects that a client closes its connection while the server does not read from it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::net::TcpStream;

/// A second handle on a connection that the server reads and writes.
#[derive(Clone, Debug)]
pub(super) struct Peer(Option<Arc<OwnedFd>>);

impl Peer {
    pub(super) fn new(stream: &TcpStream) -> Self {
        Self(stream.as_fd().try_clone_to_owned().ok().map(Arc::new))
    }

    /// Waits until the client closes its side; never returns if the operating system does not show that.
    pub(super) async fn closed(&self) {
        // A client that sends more before it has an answer hides its close: the bytes stay in front of it.
        if let Some(stream) = self.stream()
            && matches!(stream.peek(&mut [0]).await, Ok(0) | Err(_))
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    fn stream(&self) -> Option<TcpStream> {
        let copy = self.0.as_ref()?.try_clone().ok()?;
        TcpStream::from_std(copy.into()).ok()
    }
}
