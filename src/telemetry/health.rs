//! HTTP endpoints for probes and metrics.
//!
//! `/livez` fails when the main loop has had no heartbeat for three watch timeouts, because only then a restart helps. It
//! does not depend on the API server or AWS. `/readyz` succeeds once the operator has listed the objects, or while another
//! operator leads; it does not depend on AWS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cluster::WATCH_SECONDS;
use crate::telemetry::metrics::{Metrics, Snapshot};

/// Without a heartbeat for this time, `/livez` fails. A loop that works has one at least every [`HEARTBEAT`].
const DEAD_AFTER: Duration = Duration::from_secs(3 * WATCH_SECONDS as u64);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// Maximum interval between two heartbeats of the main loop.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// The state behind `/livez` and `/readyz`.
pub(crate) struct Health {
    started: Instant,
    /// Seconds from the start to the last heartbeat.
    heartbeat_at: AtomicU64,
    lease_known: AtomicBool,
    leads: AtomicBool,
    synced: AtomicBool,
}

/// Binding an HTTP listener failed.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address}: {source}. Choose another with --health-address or --metrics-address")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Computes the gauges at scrape time.
pub(crate) type SnapshotFn = Arc<dyn Fn() -> Snapshot + Send + Sync>;

impl Default for Health {
    fn default() -> Self {
        let (lease_known, leads, synced) = Default::default();
        Self { started: Instant::now(), heartbeat_at: AtomicU64::new(0), lease_known, leads, synced }
    }
}

impl Health {
    /// Records a heartbeat of the main loop.
    pub(crate) fn heartbeat(&self) {
        self.heartbeat_at.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// Records that the operator has read the Lease.
    pub(crate) fn lease_known(&self) {
        self.lease_known.store(true, Ordering::Relaxed);
    }

    /// Records that this operator leads.
    pub(crate) fn set_leading(&self) {
        self.lease_known();
        self.leads.store(true, Ordering::Relaxed);
    }

    /// Records that all objects are listed.
    pub(crate) fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    fn live(&self) -> Result<(), String> {
        let silent =
            self.started.elapsed().saturating_sub(Duration::from_secs(self.heartbeat_at.load(Ordering::Relaxed)));
        if silent < DEAD_AFTER {
            Ok(())
        } else {
            Err(format!("no heartbeat of the main loop for {} s", silent.as_secs()))
        }
    }

    /// An operator that waits for the Lease is ready, because it can do nothing more until it leads.
    fn ready(&self) -> Result<(), String> {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match (is(&self.lease_known), is(&self.leads), is(&self.synced)) {
            (false, ..) => Err("the Lease has not been read yet".into()),
            (_, true, false) => Err("the objects have not been listed yet".into()),
            _ => Ok(()),
        }
    }
}

/// Serves `/livez` and `/readyz` at one address and `/metrics` at the other, or all of them at one address.
pub(crate) fn serve(
    health_at: Option<SocketAddr>,
    metrics_at: Option<SocketAddr>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    snapshot: SnapshotFn,
) -> Result<(), ListenError> {
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    let scrapes = Router::new().route("/metrics", get(scrape)).with_state((metrics, snapshot));
    // With port 0, each listener gets a port of its own.
    if health_at == metrics_at && health_at.is_some_and(|address| address.port() != 0) {
        return listen(health_at, probes.merge(scrapes));
    }
    listen(health_at, probes)?;
    listen(metrics_at, scrapes)
}

fn listen(address: Option<SocketAddr>, router: Router) -> Result<(), ListenError> {
    let Some(address) = address else { return Ok(()) };
    let failed = |source| ListenError { address, source };
    let listener = open(address, bind).and_then(TcpListener::from_std).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, "listening");
    // The server runs until the process ends.
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

/// Opens a listener. `[::]` is for IPv6 and IPv4, or for IPv4 alone if the kernel has no IPv6.
fn open<L>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    let error = match bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => error,
        bound => return bound,
    };
    // These errors concern the port, so IPv4 would fail as well.
    if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) {
        return Err(error);
    }
    warn!(%address, %error, "there is no IPv6; listening for IPv4 alone");
    bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
}

/// Binds a socket. For `[::]` it accepts both families, independent of the kernel's default (`bindv6only`).
fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    respond(health.live())
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    respond(health.ready())
}

fn respond(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

async fn scrape(State((metrics, snapshot)): State<(Arc<Metrics>, SnapshotFn)>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.render(&snapshot()) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_ready_and_a_leader_is_once_it_has_listed_the_objects() {
        let health = Health::default();
        assert!(health.ready().unwrap_err().contains("Lease"));
        health.lease_known();
        assert_eq!(health.ready(), Ok(()));
        health.set_leading();
        assert!(health.ready().unwrap_err().contains("objects"));
        health.synced();
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn without_ipv6_the_wildcard_address_is_for_ipv4() {
        let kernel = |errno: i32| {
            move |address: SocketAddr| {
                if address.is_ipv6() { Err(io::Error::from_raw_os_error(errno)) } else { Ok(address.to_string()) }
            }
        };
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        // Source: Linux, errno: EADDRINUSE, EAFNOSUPPORT and EADDRNOTAVAIL.
        let (taken, missing) = (98, [97, 99]);
        for missing in missing {
            assert_eq!(open(address("[::]:8081"), kernel(missing)).unwrap(), "0.0.0.0:8081");
            // A specific address has no IPv4 equivalent.
            assert!(open(address("[::1]:8081"), kernel(missing)).is_err());
        }
        // A port in use is in use for IPv4 as well.
        assert!(open(address("[::]:8081"), kernel(taken)).is_err());
        assert_eq!(open(address("10.0.0.1:80"), kernel(97)).unwrap(), "10.0.0.1:80");
    }

    #[test]
    fn livez_fails_after_three_watch_timeouts_without_a_heartbeat() {
        let ago = |seconds| Health {
            started: Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap(),
            ..Health::default()
        };
        assert_eq!(ago(179).live(), Ok(()));
        assert!(ago(181).live().is_err());
        let beating = ago(3_600);
        beating.heartbeat();
        assert_eq!(beating.live(), Ok(()));
    }
}
