//! From settings to a running operator, and down again.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apprunner::rate::Rates;
use crate::apprunner::session::Sessions;
use crate::apprunner::surveys::{Surveys, Waiter};
use crate::cli::{RunArgs, Switch};
use crate::cluster::client::{self, StartError};
use crate::cluster::events::Events;
use crate::cluster::writes::Objects;
use crate::core::evidence::Rules;
use crate::core::limiter::Limits;
use crate::core::ownership::ClusterId;
use crate::core::pace::Pace;
use crate::reconcile::{Aws, Operator};
use crate::{controller, telemetry};

/// Calls under way are over within this time: each has a shorter deadline of its own.
const FINISH_WITHIN: Duration = Duration::from_secs(35);
/// Events still in the queue are given this long.
const EVENTS_WITHIN: Duration = Duration::from_secs(2);
/// Between attempts to reach the API server at the start.
const START_AGAIN: Duration = Duration::from_secs(2);

/// Says why the operator did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log could not be set up.
    #[error("{0}")]
    Log(String),
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(#[from] std::io::Error),
    /// The cluster can't be reached or does not let us in.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the operator until SIGTERM or SIGINT, and then until the calls under way are finished.
pub fn run(args: &RunArgs) -> Result<(), RunError> {
    telemetry::start(args.log_format, &args.log).map_err(RunError::Log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(operate(args));
    // What still hangs on a connection has nothing left to say.
    runtime.shutdown_background();
    result
}

async fn operate(args: &RunArgs) -> Result<(), RunError> {
    let stopping = stop_on_signal()?;
    let client = client::connect().await?;
    let tags = args.ownership_tags == Switch::On;
    let cluster_id = match &args.cluster_id {
        Some(id) => Some(id.clone()),
        None if tags => match read_cluster_id(&client, &stopping).await? {
            Some(id) => Some(id),
            None => return Ok(()),
        },
        None => None,
    };
    let rules = rules(args, cluster_id.filter(|_| tags));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster_id = rules.cluster_id.as_ref().map_or("-", ClusterId::as_str),
        namespaces = if args.namespaces.is_empty() { "all".into() } else { args.namespaces.join(",") },
        concurrency = args.concurrency,
        "starting"
    );
    let (events, sending) = Events::start(client.clone());
    let objects = Objects::new(client.clone());
    let (aws, woken) = aws(args.aws.limits(), &rules.pace, &stopping);
    let operator = Operator::new(objects, events, aws, rules, stopping.clone());
    let running = controller::run(client, operator, woken, &args.namespaces, args.concurrency);
    tokio::select! {
        () = running => {}
        () = async { stopping.cancelled().await; tokio::time::sleep(FINISH_WITHIN).await } => {
            warn!("calls are still under way; what became of them is looked up at the next start");
        }
    }
    let _ = tokio::time::timeout(EVENTS_WITHIN, sending).await;
    info!("stopped");
    Ok(())
}

/// Puts together what AWS is called through, and what tells who has something new to know.
pub fn aws(limits: Limits, pace: &Pace, stopping: &CancellationToken) -> (Aws, UnboundedReceiver<Waiter>) {
    let sessions = Arc::<Sessions>::default();
    let rates = Arc::new(Rates::new(limits, pace.rate_recovery));
    let (wake, woken) = mpsc::unbounded_channel();
    let surveys = Surveys::new(sessions.clone(), rates.clone(), pace.clone(), stopping.clone(), wake);
    (Aws { sessions, rates, surveys }, woken)
}

fn rules(args: &RunArgs, cluster_id: Option<ClusterId>) -> Rules {
    let pace = Pace { resync: args.resync, ..Pace::default() }.divided_by(args.aws.pace_divisor);
    Rules { pace, regions: args.aws.regions.clone(), cluster_id }
}

/// Waits for an API server that is not up yet; one that refuses is a mistake somebody must mend.
async fn read_cluster_id(client: &Client, stopping: &CancellationToken) -> Result<Option<ClusterId>, StartError> {
    loop {
        match client::cluster_id(client).await {
            Err(StartError::NoClusterId(error @ crate::cluster::Error::NoAnswer { .. })) => {
                warn!(%error, "the API server can't be reached yet");
            }
            other => return other.map(Some),
        }
        tokio::select! {
            () = tokio::time::sleep(START_AGAIN) => {}
            () = stopping.cancelled() => return Ok(None),
        }
    }
}

/// The first signal asks for an orderly end, the second for an end.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = CancellationToken::new();
    let told = stopping.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if last {
                std::process::exit(1);
            }
            info!("stopping: no call is begun any more, and those under way are finished");
            told.cancel();
        }
    });
    Ok(stopping)
}
