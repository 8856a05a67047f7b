//! What the operator tells those who run it: whether it lives, whether it is ready, and what it counts.
//!
//! `/livez` fails when the loop that drives everything has not turned for three watch timeouts; a restart helps then, and
//! only then: never because the API server or AWS is away. `/readyz` says whether the objects are known, or another
//! operator leads; AWS has no part in it either.

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

/// The loop turns far more often, whether anything happens or not.
const DEAD_AFTER: Duration = Duration::from_secs(3 * WATCH_SECONDS as u64);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How often it turns at least.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How the operator is.
pub struct Health {
    started: Instant,
    heartbeat_at: AtomicU64,
    lease_known: AtomicBool,
    leads: AtomicBool,
    synced: AtomicBool,
}

/// Says why nothing is told.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address}: {source}. Choose another with --health-address or --metrics-address")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Looks up what is told and not counted.
pub type SnapshotFn = Arc<dyn Fn() -> Snapshot + Send + Sync>;

impl Default for Health {
    fn default() -> Self {
        let (lease_known, leads, synced) = Default::default();
        Self { started: Instant::now(), heartbeat_at: AtomicU64::new(0), lease_known, leads, synced }
    }
}

impl Health {
    /// The loop turned.
    pub fn heartbeat(&self) {
        self.heartbeat_at.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// It is known who leads.
    pub fn lease_known(&self) {
        self.lease_known.store(true, Ordering::Relaxed);
    }

    /// We do.
    pub fn leads(&self) {
        self.lease_known();
        self.leads.store(true, Ordering::Relaxed);
    }

    /// All objects are known.
    pub fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    fn lives(&self) -> Result<(), String> {
        let silent =
            self.started.elapsed().saturating_sub(Duration::from_secs(self.heartbeat_at.load(Ordering::Relaxed)));
        if silent < DEAD_AFTER { Ok(()) } else { Err(format!("the loop has not turned for {} s", silent.as_secs())) }
    }

    /// One who waits for the Lease is as ready as can be.
    fn ready(&self) -> Result<(), String> {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match (is(&self.lease_known), is(&self.leads), is(&self.synced)) {
            (false, ..) => Err("it is not known yet who leads".into()),
            (_, true, false) => Err("the objects are not known yet".into()),
            _ => Ok(()),
        }
    }
}

/// Serves `/livez` and `/readyz` at one address and `/metrics` at the other, or all at one, from now on.
pub fn serve(
    health_at: Option<SocketAddr>,
    metrics_at: Option<SocketAddr>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    snapshot: SnapshotFn,
) -> Result<(), ListenError> {
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    let scrapes = Router::new().route("/metrics", get(scrape)).with_state((metrics, snapshot));
    // Port 0 is a port of its own each time.
    if health_at == metrics_at && health_at.is_some_and(|address| address.port() != 0) {
        return listen(health_at, probes.merge(scrapes));
    }
    listen(health_at, probes)?;
    listen(metrics_at, scrapes)
}

fn listen(address: Option<SocketAddr>, router: Router) -> Result<(), ListenError> {
    let Some(address) = address else { return Ok(()) };
    let failed = |source| ListenError { address, source };
    let listener = open(address, bound).and_then(TcpListener::from_std).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, "listening");
    // It serves until the process ends, and has no other end.
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

/// Opens a listener. `[::]` is for IPv6 and IPv4, or for IPv4 alone where the kernel has no IPv6.
fn open<L>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    let error = match bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => error,
        bound => return bound,
    };
    // These are about the port, which IPv4 would not have either.
    if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) {
        return Err(error);
    }
    warn!(%address, %error, "there is no IPv6; listening for IPv4 alone");
    bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
}

/// A listener for both families where the address is `[::]`, whatever the kernel's default (`bindv6only`) is.
fn bound(address: SocketAddr) -> io::Result<std::net::TcpListener> {
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
    told(health.lives())
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    told(health.ready())
}

fn told(state: Result<(), String>) -> Response {
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
    fn a_standby_is_ready_and_a_leader_is_once_it_knows_the_objects() {
        let health = Health::default();
        assert!(health.ready().unwrap_err().contains("who leads"));
        health.lease_known();
        assert_eq!(health.ready(), Ok(()));
        health.leads();
        assert!(health.ready().unwrap_err().contains("objects"));
        health.synced();
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn without_ipv6_the_wildcard_address_is_that_of_ipv4() {
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
            // Somebody who names an address means that one.
            assert!(open(address("[::1]:8081"), kernel(missing)).is_err());
        }
        // A port that is taken is not another family's.
        assert!(open(address("[::]:8081"), kernel(taken)).is_err());
        assert_eq!(open(address("10.0.0.1:80"), kernel(97)).unwrap(), "10.0.0.1:80");
    }

    #[test]
    fn a_loop_that_has_not_turned_for_three_watch_timeouts_is_dead() {
        let ago = |seconds| Health {
            started: Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap(),
            ..Health::default()
        };
        assert_eq!(ago(179).lives(), Ok(()));
        assert!(ago(181).lives().is_err());
        let turning = ago(3_600);
        turning.heartbeat();
        assert_eq!(turning.lives(), Ok(()));
    }
}
