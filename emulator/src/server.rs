//! Connections: accepted, kept alive, and cut off where a fault says so.
//!
//! `axum::serve` always answers; here hyper is driven directly, because an error from its service closes the connection
//! without one byte, which is what a lost reply looks like to a client.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::control;
use crate::endpoint::{self, HangUp};
use crate::state::Shared;

/// Gives up a moment when no connection can be accepted, for example because files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is dropped, and every connection with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().nest("/_emulator", control::router()).fallback(endpoint::answer).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, router.clone())); }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // A connection that is gone already fails at its first read.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.call(request);
        async move { answer.await.map_err(never).and_then(unless_hung_up) }
    });
    // With half-closed connections allowed, a request whose client has gone still takes its effect, as it does in AWS.
    let served = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service).await;
    // Ends with an error whenever a fault hangs up or a client goes away; neither is the emulator's.
    drop(served);
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
