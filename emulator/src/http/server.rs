//! The server: accepts connections, keeps them alive, and closes or refuses them for a fault.
//!
//! `axum::serve` always sends a response. The server therefore drives hyper directly: an error from the service closes
//! the connection without a byte, which a client sees as a lost reply.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::control;
use super::endpoint::{self, CloseConnection};
use super::peer::Peer;
use crate::gate::CommandReceiver;
use crate::state::SharedState;

/// Pause after a failed accept or bind, for example while the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Length of the queue of connections that the server has not accepted yet.
const BACKLOG: u32 = 1024;

/// Path prefix of the control API.
const CONTROL: &str = "/_emulator";

/// Serves on the listener's address; dropping the future closes the listener and every connection.
pub(crate) async fn serve(mut listener: TcpListener, address: SocketAddr, shared: Arc<SharedState>) {
    let router =
        Router::new().nest(CONTROL, control::router()).fallback(endpoint::answer).with_state(Arc::clone(&shared));
    let mut commands = shared.gate.receiver();
    let mut connections = JoinSet::new();
    let close_all = watch::Sender::new(());
    loop {
        if commands.refuses_now() {
            listener = refuse(listener, address, &close_all, &mut commands).await;
        }
        commands.complete();
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, router.clone(), close_all.subscribe()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = commands.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Closes all connections and refuses new ones until a command or the end of the period allows them.
async fn refuse(
    listener: TcpListener,
    address: SocketAddr,
    close_all: &watch::Sender<()>,
    commands: &mut CommandReceiver<'_>,
) -> TcpListener {
    drop(listener);
    loop {
        // The operating system refuses connections to a port that is bound without a listener, and gives it to nobody
        // else.
        if let Ok(socket) = bind(address) {
            close_all.send_replace(());
            close_all.closed().await;
            while commands.refuses_now() {
                commands.complete();
                commands.changed().await;
            }
            if let Ok(listener) = socket.listen(BACKLOG) {
                return listener;
            }
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Closed connections occupy the port for up to 60 s more (TIME_WAIT on Linux).
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves a connection until it ends or `close_all` fires; a request to the control API gets its answer first.
async fn serve_connection(stream: TcpStream, router: Router, mut close_all: watch::Receiver<()>) {
    // On a connection that the client has closed already, the first read fails.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(&stream);
    let router = TowerToHyperService::new(router);
    let is_control = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        is_control.store(request.uri().path().starts_with(CONTROL), Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        let answer = router.call(request);
        async move { answer.await.map_err(infallible).and_then(error_if_closed) }
    });
    // Half-closed connections are allowed, so that a request takes effect after its client is gone, as it does in AWS.
    let mut served =
        std::pin::pin!(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // hyper returns an error when a fault or the client closes the connection; neither is an error of the emulator.
        _ = served.as_mut() => {}
        _ = close_all.changed() => if is_control.load(Ordering::Relaxed) {
            drop(close_all);
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

fn infallible(impossible: Infallible) -> io::Error {
    match impossible {}
}

fn error_if_closed(response: Response) -> io::Result<Response> {
    if response.extensions().get::<CloseConnection>().is_some() {
        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
    }
    Ok(response)
}
