//! The controller with a client of the caller, for a test that injects failures below it. Not an API.

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::api::DeletionPolicy;
use crate::apprunner::Aws;
use crate::apprunner::service_scans::ServiceScans;
use crate::apprunner::sessions::Identities;
use crate::cluster::events::Events;
use crate::cluster::writes::VpcConnectorClient;
use crate::controller::reconcile::Reconciler;
use crate::controller::{self, Scope};
use crate::core::evidence::Rules;
use crate::core::intervals::Intervals;
use crate::core::rate_limit::Limits;
use crate::leadership::{Leadership, MayAct};

/// Runs the controller for some namespaces until it is stopped, with all intervals divided. It serves no region of AWS.
pub async fn run_controller(client: Client, namespaces: &[String], divisor: u32, stopping: CancellationToken) {
    let rules = Rules {
        intervals: Intervals::default().divided_by(divisor),
        accounts: Arc::default(),
        default_policy: DeletionPolicy::Delete,
        regions: Vec::new(),
        cluster_id: None,
    };
    let may_act = Arc::new(MayAct { stopping, leadership: Leadership::always() });
    let limits = Limits { rate: 5.0, burst: 10 };
    let aws = Arc::new(Aws::new(
        Identities::default(),
        limits,
        rules.intervals.rate_recovery,
        Arc::default(),
        Arc::default(),
    ));
    let (scans, triggers) = ServiceScans::new(aws.clone(), may_act.clone(), rules.intervals.clone());
    let (events, _sending) = Events::start(client.clone(), Arc::default(), Leadership::always());
    let objects = VpcConnectorClient::new(client.clone());
    let reconciler = Reconciler::new(objects, events, aws, scans, rules, may_act);
    controller::run(client, reconciler, triggers, Scope { namespaces, concurrency: 4 }, Arc::default()).await;
}
