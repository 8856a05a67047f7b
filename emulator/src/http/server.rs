//! Connections: accepted, kept alive, and cut off or refused where a fault says so.
//!
//! `axum::serve` always answers; here hyper is driven directly, because an error from its service closes the connection
//! without one byte, which is what a lost reply looks like to a client.

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
use super::endpoint::{self, HangUp};
use super::peer::Peer;
use crate::gate::Orders;
use crate::state::Shared;

/// Gives up a moment when no connection can be accepted, for example because files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

const CONTROL: &str = "/_emulator";

/// Serves on the address that the listener has, until it is dropped, and every connection with it.
pub(crate) async fn serve(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let router =
        Router::new().nest(CONTROL, control::router()).fallback(endpoint::answer).with_state(Arc::clone(&shared));
    let mut orders = shared.gate.orders();
    let mut connections = JoinSet::new();
    let cut = watch::Sender::new(());
    loop {
        if orders.refuse_now() {
            listener = refuse(listener, address, &cut, &mut orders).await;
        }
        orders.follow();
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, router.clone(), cut.subscribe())); }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = orders.change() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Cuts all connections and lets nobody connect until the gate says so.
async fn refuse(
    listener: TcpListener,
    address: SocketAddr,
    cut: &watch::Sender<()>,
    orders: &mut Orders<'_>,
) -> TcpListener {
    drop(listener);
    loop {
        // Bound and not listened to, the port is refused and yet nobody else's.
        if let Ok(socket) = bound(address) {
            cut.send_replace(());
            cut.closed().await;
            while orders.refuse_now() {
                orders.follow();
                orders.change().await;
            }
            if let Ok(listener) = socket.listen(BACKLOG) {
                return listener;
            }
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The connections that were cut still count as users of the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves a connection until it ends or is cut; one that steers the emulator gets its answer first.
async fn connection(stream: TcpStream, router: Router, mut cut: watch::Receiver<()>) {
    // A connection that is gone already fails at its first read.
    let _ = stream.set_nodelay(true);
    let peer = Peer::of(&stream);
    let router = TowerToHyperService::new(router);
    let steers = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        steers.store(request.uri().path().starts_with(CONTROL), Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        let answer = router.call(request);
        async move { answer.await.map_err(never).and_then(unless_hung_up) }
    });
    // With half-closed connections allowed, a request whose client has gone still takes its effect, as it does in AWS.
    let mut served =
        std::pin::pin!(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Ends with an error whenever a fault hangs up or a client goes away; neither is the emulator's.
        _ = served.as_mut() => {}
        _ = cut.changed() => if steers.load(Ordering::Relaxed) {
            drop(cut);
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

fn never(impossible: Infallible) -> io::Error {
    match impossible {}
}

fn unless_hung_up(response: Response) -> io::Result<Response> {
    if response.extensions().get::<HangUp>().is_some() {
        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
    }
    Ok(response)
}
