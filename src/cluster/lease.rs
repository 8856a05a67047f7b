//! Leader election with a Lease: one of several operators acts.
//!
//! [`crate::core::lease`] decides the times at which the operator acquires, renews and gives up the Lease, and this
//! module makes the calls. Every write names the version that it was decided on. All code that changes something checks
//! [`Leadership::held`] first.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{self, Lease};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Error, within};
use crate::clock;
use crate::core::lease::{Candidate, LeaseSnapshot, LeaseSpec, LeaseTimings, Response, Step};
use crate::leadership::Leadership;

/// At a shutdown, the call in progress and the release of the Lease together take at most this long. Two calls of 3 s
/// each fit into it.
const RELEASE_WITHIN: Duration = Duration::from_secs(7);

/// Takes part in the election until this operator has lost or released the Lease.
pub(crate) struct LeaderElector {
    api: Api<Lease>,
    name: String,
    identity: String,
    timings: LeaseTimings,
    leadership: Arc<Leadership>,
}

/// The end of the election for this operator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ElectionEnd {
    /// The operator shut down, and released the Lease if it held the Lease.
    Stopped,
    /// This operator led and has lost the Lease: it must not start anything, and another operator may be acting on the
    /// objects of the calls in progress.
    Lost,
}

impl LeaderElector {
    /// A candidate for a Lease, with an identity of its own.
    pub(crate) fn new(client: &Client, namespace: &str, name: &str, timings: LeaseTimings) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "apprunner-operator".into());
        // Two processes on one host are two candidates.
        let identity = format!("{host}_{:016x}", rand::random::<u64>());
        Self { api, name: name.to_owned(), identity, timings, leadership: Leadership::elected() }
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The leadership, which this elector keeps up to date.
    pub(crate) fn leadership(&self) -> Arc<Leadership> {
        self.leadership.clone()
    }

    /// Runs until the Lease is lost, or until `done`; calls `on_response` after each call that the API server answered.
    pub(crate) async fn run(self, done: CancellationToken, on_response: impl Fn()) -> ElectionEnd {
        let overdue = async {
            done.cancelled().await;
            tokio::time::sleep(RELEASE_WITHIN).await;
        };
        tokio::select! {
            end = self.elect(&done, on_response) => end,
            () = overdue => {
                warn!(lease = self.name, "there was no time to release the Lease; it expires");
                ElectionEnd::Stopped
            }
        }
    }

    async fn elect(&self, done: &CancellationToken, on_response: impl Fn()) -> ElectionEnd {
        let mut candidate = Candidate::new(self.identity.clone(), self.timings);
        let (mut acquired, mut failing) = (Timestamp::now(), false);
        loop {
            let step = candidate.next(clock::since_boot());
            let wait = match step {
                Step::Lost => return ElectionEnd::Lost,
                Step::Sleep(until) => until.saturating_sub(clock::since_boot()),
                _ => Duration::ZERO,
            };
            tokio::select! {
                biased;
                () = done.cancelled() => {
                    self.release(&candidate).await;
                    return ElectionEnd::Stopped;
                }
                () = tokio::time::sleep(wait) => {}
            }
            if matches!(step, Step::Sleep(_)) {
                continue;
            }
            let led = candidate.leads_until().is_some();
            if !led {
                acquired = Timestamp::now();
            }
            let sent = clock::since_boot();
            let response = self.call(&step, acquired, candidate.call_deadline(sent)).await;
            if response.is_ok() {
                on_response();
            }
            let failure = response.as_ref().err().map(Error::to_string);
            let written = matches!(response, Ok(Response::Written(_)));
            candidate.apply(&step, response.unwrap_or(Response::Failed), sent, clock::since_boot());
            let leads = candidate.leads_until();
            self.leadership.set_until(leads);
            let too_slow = (written && leads.is_none()).then_some("the answer came too late to start leading");
            self.log(failure.as_deref().or(too_slow), &mut failing);
            if !led && leads.is_some() {
                info!(lease = self.name, identity = self.identity, "leading");
            }
        }
    }

    /// Logs that calls begin to fail, and that they work again. The failures in between are logged at debug level.
    fn log(&self, failure: Option<&str>, failing: &mut bool) {
        match failure {
            Some(error) if !*failing => {
                warn!(lease = self.name, error, "a call for the Lease failed; it is tried again");
            }
            Some(error) => debug!(lease = self.name, error, "a call for the Lease failed again"),
            None if *failing => info!(lease = self.name, "calls for the Lease work again"),
            None => {}
        }
        *failing = failure.is_some();
    }

    async fn call(&self, step: &Step, acquired: Timestamp, deadline: Duration) -> Result<Response, Error> {
        match step {
            Step::Get => {
                let lease = within(deadline, "get the Lease", self.api.get_opt(&self.name)).await?;
                Ok(lease.as_ref().map_or(Response::Absent, |lease| Response::Found(snapshot(lease))))
            }
            Step::Create => {
                let (params, lease) = (PostParams::default(), self.lease(None, 0, acquired));
                written(within(deadline, "create the Lease", self.api.create(&params, &lease)).await)
            }
            Step::Acquire { version, transitions } => {
                self.replace(&self.lease(Some(version.clone()), *transitions, acquired), deadline).await
            }
            Step::Sleep(_) | Step::Lost => Ok(Response::Failed),
        }
    }

    /// Releases the Lease, so that the next leader does not wait until the Lease expires.
    async fn release(&self, candidate: &Candidate) {
        self.leadership.set_until(None);
        let Some(LeaseSnapshot { spec, version }) = candidate.held_lease() else { return };
        let mut lease = self.lease(Some(version.clone()), spec.transitions, Timestamp::now());
        if let Some(spec) = &mut lease.spec {
            (spec.holder_identity, spec.acquire_time) = (None, None);
        }
        match self.replace(&lease, RELEASE_WITHIN).await {
            Ok(Response::Written(_)) => info!(lease = self.name, "released the Lease"),
            Ok(_) => warn!(lease = self.name, "the Lease changed and was not released; it expires"),
            Err(error) => {
                warn!(lease = self.name, %error, "the Lease could not be released; it expires");
            }
        }
    }

    async fn replace(&self, lease: &Lease, deadline: Duration) -> Result<Response, Error> {
        let params = PostParams::default();
        let call = self.api.replace(&self.name, &params, lease);
        written(within(deadline, "renew the Lease", call).await)
    }

    fn lease(&self, version: Option<String>, transitions: i32, acquired: Timestamp) -> Lease {
        let spec = v1::LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timings.duration.as_secs()).ok().map(|seconds| seconds.max(1)),
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(transitions),
            ..v1::LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some(self.name.clone()), resource_version: version, ..ObjectMeta::default() };
        Lease { metadata, spec: Some(spec) }
    }
}

fn snapshot(lease: &Lease) -> LeaseSnapshot {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    let spec = LeaseSpec {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        renewed: spec.renew_time.map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or_default(),
    };
    LeaseSnapshot { spec, version: lease.resource_version().unwrap_or_default() }
}

fn written(result: Result<Lease, Error>) -> Result<Response, Error> {
    match result {
        Ok(lease) => Ok(Response::Written(lease.resource_version().unwrap_or_default())),
        Err(Error::Changed(_) | Error::Gone) => Ok(Response::Conflict),
        Err(error) => Err(error),
    }
}
