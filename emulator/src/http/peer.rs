//! The other end of a connection, watched while nothing is read from it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::net::TcpStream;

/// A second handle on a connection that the server reads from and writes to.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Option<Arc<OwnedFd>>);

impl Peer {
    pub(crate) fn of(stream: &TcpStream) -> Self {
        Self(stream.as_fd().try_clone_to_owned().ok().map(Arc::new))
    }

    /// Waits until the client closes its side; for ever, if that cannot be seen.
    pub(crate) async fn gone(&self) {
        // What it sends before it has an answer waits its turn, and hides its going away.
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
