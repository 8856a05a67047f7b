//! `apprunner-operator run`: sets the operator up from its flags, runs it, and shuts it down.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apprunner::Aws;
use crate::apprunner::service_scans::ServiceScans;
use crate::apprunner::sessions::Identities;
use crate::cli::{AccessArgs, RunArgs};
use crate::cluster::client::{self, StartError};
use crate::cluster::events::Events;
use crate::cluster::lease::LeaderElector;
use crate::cluster::writes::VpcConnectorClient;
use crate::controller::Scope;
use crate::controller::diagnostics::{Diagnostics, ObjectCounts};
use crate::controller::reconcile::Reconciler;
use crate::core::accounts::{Accounts, session_name};
use crate::core::evidence::Rules;
use crate::core::intervals::Intervals;
use crate::core::lease::LeaseTimings;
use crate::core::ownership::ClusterId;
use crate::leadership::{Leadership, MayAct};
use crate::telemetry::health::{HEARTBEAT, Health, ListenError, SnapshotFn, serve};
use crate::telemetry::incidents::{Incidents, OPERATOR, SharedFailure};
use crate::telemetry::metrics::{Metrics, Snapshot};
use crate::{cluster, controller, telemetry};

/// Time for the calls in progress at a shutdown. Each call has a shorter deadline of its own.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(35);
/// Interval between attempts to reach the API server at the start.
const START_AGAIN: Duration = Duration::from_secs(2);

/// Why the operator did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log could not be set up.
    #[error("{0}")]
    Log(String),
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(#[from] std::io::Error),
    /// A probe or metrics address could not be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operator lost the Lease, so another operator may lead.
    #[error("the Lease was lost, so another operator may be working by now")]
    LeaseLost,
    /// The cluster could not be reached, or refused access.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the operator until SIGTERM or SIGINT, and then until the calls in progress are finished.
pub fn run(args: &RunArgs) -> Result<(), RunError> {
    telemetry::log::start(args.log_format, &args.log).map_err(RunError::Log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run_operator(args));
    // The process does not wait for connections that are still open.
    runtime.shutdown_background();
    result
}

async fn run_operator(args: &RunArgs) -> Result<(), RunError> {
    let stopping = stop_on_signal()?;
    let client = client::connect(&AccessArgs::default()).await?;
    let (diagnostics, metrics) = (Arc::<Diagnostics>::default(), Arc::<Metrics>::default());
    let election = args.leader_election.then(|| start_election(args, &client));
    let leadership = election.as_ref().map_or_else(Leadership::always, LeaderElector::leadership);
    let may_act = Arc::new(MayAct { stopping, leadership });
    let intervals = intervals(args);
    let incidents = Arc::<Incidents>::default();
    let accounts = Arc::new(args.accounts.clone().unwrap_or_default());
    let identities = Identities { profile: None, accounts: accounts.clone() };
    let (limits, recovery) = (args.aws.limits(), intervals.rate_recovery);
    let aws = Arc::new(Aws::new(identities, limits, recovery, metrics.clone(), incidents.clone()));
    let (scans, triggers) = ServiceScans::new(aws.clone(), may_act.clone(), intervals.clone());
    let snapshot = snapshot_fn(diagnostics.clone(), aws.clone(), may_act.clone());
    serve(args.health_address, args.metrics_address, diagnostics.health.clone(), metrics.clone(), snapshot)?;
    let cluster_id = cluster_id(args, &client, &may_act.stopping, &diagnostics.health, &incidents).await?;
    let Some(cluster_id) = cluster_id else { return Ok(()) };
    let rules = settings(args, intervals, accounts, cluster_id);
    aws.sessions.set_session_name(session_name(rules.cluster_id.as_ref().or(args.cluster_id.as_ref())));
    let work = async {
        if wait_for_leadership(&may_act, &diagnostics.health).await {
            let (events, publishing) = Events::start(client.clone(), metrics, may_act.leadership.clone());
            let objects = VpcConnectorClient::new(client.clone());
            let reconciler = Reconciler::new(objects, events, aws, scans, rules, may_act.clone());
            let scope = Scope { namespaces: &args.watch.namespaces, concurrency: args.concurrency };
            until_stopped(&may_act, controller::run(client.clone(), reconciler, triggers, scope, diagnostics.clone()))
                .await;
            publishing.finish().await;
        }
    };
    run_while_leading(election, &diagnostics.health, work).await?;
    info!("stopped");
    Ok(())
}

fn start_election(args: &RunArgs, client: &Client) -> LeaderElector {
    let namespace = args.lease_namespace.as_deref().unwrap_or(client.default_namespace());
    let election = LeaderElector::new(client, namespace, &args.lease_name, LeaseTimings::default());
    info!(namespace, lease = args.lease_name, identity = election.identity(), "waiting for the Lease");
    election
}

fn snapshot_fn(diagnostics: Arc<Diagnostics>, aws: Arc<Aws>, may_act: Arc<MayAct>) -> SnapshotFn {
    Arc::new(move || {
        let ObjectCounts { reasons: objects, waiting, stalled } = diagnostics.objects();
        let (leader, credentials) = (may_act.leadership.held(), aws.sessions.is_known());
        Snapshot {
            objects,
            waiting,
            stalled,
            queue: diagnostics.queue(),
            rates: aws.rate_limits.all(),
            leader,
            credentials,
        }
    })
}

/// Waits until this operator leads; `false` if the shutdown begins before that.
async fn wait_for_leadership(may_act: &MayAct, health: &Health) -> bool {
    loop {
        tokio::select! {
            () = may_act.leadership.acquired() => break,
            () = may_act.stopping.cancelled() => return false,
            () = tokio::time::sleep(HEARTBEAT) => health.heartbeat(),
        }
    }
    health.set_leading();
    true
}

/// Runs `work` until it ends, at most [`SHUTDOWN_GRACE`] after the shutdown began.
async fn until_stopped(may_act: &MayAct, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = async { may_act.stopping.cancelled().await; tokio::time::sleep(SHUTDOWN_GRACE).await } => {
            warn!("calls are still in progress; the operator reads their effects at its next start");
        }
    }
}

/// Runs `work` while this operator holds the Lease, and releases the Lease afterwards.
async fn run_while_leading(
    election: Option<LeaderElector>,
    health: &Arc<Health>,
    work: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let Some(election) = election else {
        work.await;
        return Ok(());
    };
    let (done, health) = (CancellationToken::new(), health.clone());
    // The election is a task of its own, so that slow work does not delay the renewal of the Lease.
    let mut electing = tokio::spawn(election.run(done.clone(), move || health.lease_known()));
    tokio::select! {
        biased;
        _ = &mut electing => Err(RunError::LeaseLost),
        () = work => {
            done.cancel();
            let _ = electing.await;
            Ok(())
        }
    }
}

/// The id of the cluster, if owner tags need it. `None` if the shutdown begins before the API server answers.
async fn cluster_id(
    args: &RunArgs,
    client: &Client,
    stopping: &CancellationToken,
    health: &Health,
    incidents: &Incidents,
) -> Result<Option<Option<ClusterId>>, StartError> {
    match &args.cluster_id {
        _ if !args.ownership_tags => Ok(Some(None)),
        Some(id) => Ok(Some(Some(id.clone()))),
        None => Ok(read_cluster_id(client, stopping, health, incidents).await?.map(Some)),
    }
}

fn settings(args: &RunArgs, intervals: Intervals, accounts: Arc<Accounts>, cluster_id: Option<ClusterId>) -> Rules {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster_id = cluster_id.as_ref().map_or("-", ClusterId::as_str),
        namespaces = if args.watch.namespaces.is_empty() { "all".into() } else { args.watch.namespaces.join(",") },
        default_deletion_policy = args.default_deletion_policy.as_str(),
        accounts = accounts.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>().join(","),
        concurrency = args.concurrency,
        "starting"
    );
    Rules {
        intervals,
        accounts,
        regions: args.aws.regions.clone(),
        default_policy: args.default_deletion_policy.clone(),
        cluster_id,
    }
}

fn intervals(args: &RunArgs) -> Intervals {
    Intervals { resync: args.resync, ..Intervals::default() }.divided_by(args.aws.pace_divisor)
}

/// Reads the cluster id; waits while the API server does not answer. A refusal ends the operator, because a user must act.
async fn read_cluster_id(
    client: &Client,
    stopping: &CancellationToken,
    health: &Health,
    incidents: &Incidents,
) -> Result<Option<ClusterId>, StartError> {
    loop {
        health.heartbeat();
        match client::cluster_id(client).await {
            Err(StartError::NoClusterId(cluster::Error::NoAnswer { verb, message })) => {
                incidents.no_answer(OPERATOR, verb, &message);
            }
            other => {
                incidents.ended(&SharedFailure::ApiServer);
                return other.map(Some);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(START_AGAIN) => {}
            () = stopping.cancelled() => return Ok(None),
        }
    }
}

/// The first signal starts the shutdown, the second one ends the process.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = CancellationToken::new();
    let signalled = stopping.clone();
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if is_second {
                std::process::exit(1);
            }
            info!("shutting down: the operator starts no further calls and finishes those in progress");
            signalled.cancel();
        }
    });
    Ok(stopping)
}
