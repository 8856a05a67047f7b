//! Holds a Lease, so that of several operators one works.
//!
//! When it is taken, renewed and given up is decided in [`crate::core::lease`]; here its calls are made. Every write names
//! the version that it was decided on. Whoever is about to change anything asks [`Leadership::held`] first.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Error, within};
use crate::core::lease::{Answer, Candidate, Found, Record, Step, Terms};
use crate::leadership::Leadership;

/// When we are to stop, the call that is under way and giving the Lease back take no longer than this together. That is
/// enough for two calls of three seconds.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(7);

/// Runs for election until it is lost, or given back.
pub struct Election {
    api: Api<Lease>,
    name: String,
    us: String,
    terms: Terms,
    leadership: Arc<Leadership>,
}

/// How an election ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// We were asked to stop, and gave the Lease back if it was ours.
    Stopped,
    /// It was ours and is no more: nothing may be begun, and what is under way may be another's by now.
    Lost,
}

impl Election {
    /// Enters the election for a Lease.
    pub fn enter(client: &Client, namespace: &str, name: &str, terms: Terms) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "apprunner-operator".into());
        // Two processes on one host are two.
        let us = format!("{host}_{:016x}", rand::random::<u64>());
        Self { api, name: name.to_owned(), us, terms, leadership: Leadership::elected() }
    }

    /// Who we are in it.
    pub fn identity(&self) -> &str {
        &self.us
    }

    /// What tells whether we lead.
    pub fn leadership(&self) -> Arc<Leadership> {
        self.leadership.clone()
    }

    /// Runs until the Lease is lost, or until `done`; calls `read` each time the API server has told whose it is.
    pub async fn run(self, done: CancellationToken, read: impl Fn()) -> Ended {
        let overdue = async {
            done.cancelled().await;
            tokio::time::sleep(GIVE_BACK_WITHIN).await;
        };
        tokio::select! {
            ended = self.elect(&done, read) => ended,
            () = overdue => {
                warn!(lease = self.name, "there was no time to give the Lease back; it runs out by itself");
                Ended::Stopped
            }
        }
    }

    async fn elect(&self, done: &CancellationToken, read: impl Fn()) -> Ended {
        let mut candidate = Candidate::new(self.us.clone(), self.terms);
        let (mut acquired, mut troubled) = (Timestamp::now(), false);
        loop {
            let step = candidate.next(self.now());
            let wait = match step {
                Step::Lost => return Ended::Lost,
                Step::Rest(until) => until.saturating_sub(self.now()),
                _ => Duration::ZERO,
            };
            tokio::select! {
                biased;
                () = done.cancelled() => {
                    self.give_back(&candidate).await;
                    return Ended::Stopped;
                }
                () = tokio::time::sleep(wait) => {}
            }
            if matches!(step, Step::Rest(_)) {
                continue;
            }
            let led = candidate.leads_until().is_some();
            if !led {
                acquired = Timestamp::now();
            }
            let sent = self.now();
            let answer = self.call(&step, acquired, candidate.call_deadline(sent)).await;
            if answer.is_ok() {
                read();
            }
            let failure = answer.as_ref().err().map(Error::to_string);
            let written = matches!(answer, Ok(Answer::Written(_)));
            candidate.apply(&step, answer.unwrap_or(Answer::Failed), sent, self.now());
            let leads = candidate.leads_until();
            self.leadership.set_until(leads);
            let too_slow = (written && leads.is_none()).then_some("the answer came too late to lead by it");
            self.tell(failure.as_deref().or(too_slow), &mut troubled);
            if !led && leads.is_some() {
                info!(lease = self.name, identity = self.us, "leading");
            }
        }
    }

    /// Tells when calls begin to fail, and when they work again; the failures in between are details.
    fn tell(&self, trouble: Option<&str>, troubled: &mut bool) {
        match trouble {
            Some(error) if !*troubled => {
                warn!(lease = self.name, error, "a call for the Lease failed; it is tried again");
            }
            Some(error) => debug!(lease = self.name, error, "a call for the Lease failed again"),
            None if *troubled => info!(lease = self.name, "calls for the Lease work again"),
            None => {}
        }
        *troubled = trouble.is_some();
    }

    fn now(&self) -> Duration {
        self.leadership.now()
    }

    async fn call(&self, step: &Step, acquired: Timestamp, deadline: Duration) -> Result<Answer, Error> {
        match step {
            Step::Look => {
                let lease = within(deadline, "get the Lease", self.api.get_opt(&self.name)).await?;
                Ok(lease.as_ref().map_or(Answer::Absent, |lease| Answer::Found(found(lease))))
            }
            Step::Create => {
                let (params, lease) = (PostParams::default(), self.lease(None, 0, acquired));
                written(within(deadline, "create the Lease", self.api.create(&params, &lease)).await)
            }
            Step::Take { version, transitions } => {
                self.replace(&self.lease(Some(version.clone()), *transitions, acquired), deadline).await
            }
            Step::Rest(_) | Step::Lost => Ok(Answer::Failed),
        }
    }

    /// So that the next one need not wait until the Lease has run out.
    async fn give_back(&self, candidate: &Candidate) {
        self.leadership.set_until(None);
        let Some(Found { record, version }) = candidate.holds() else { return };
        let mut lease = self.lease(Some(version.clone()), record.transitions, Timestamp::now());
        if let Some(spec) = &mut lease.spec {
            (spec.holder_identity, spec.acquire_time) = (None, None);
        }
        match self.replace(&lease, GIVE_BACK_WITHIN).await {
            Ok(Answer::Written(_)) => info!(lease = self.name, "given back"),
            Ok(_) => warn!(lease = self.name, "the Lease changed and was not given back; it runs out by itself"),
            Err(error) => {
                warn!(lease = self.name, %error, "the Lease could not be given back; it runs out by itself");
            }
        }
    }

    async fn replace(&self, lease: &Lease, deadline: Duration) -> Result<Answer, Error> {
        let params = PostParams::default();
        let call = self.api.replace(&self.name, &params, lease);
        written(within(deadline, "renew the Lease", call).await)
    }

    fn lease(&self, version: Option<String>, transitions: i32, acquired: Timestamp) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(self.us.clone()),
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok().map(|seconds| seconds.max(1)),
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some(self.name.clone()), resource_version: version, ..ObjectMeta::default() };
        Lease { metadata, spec: Some(spec) }
    }
}

fn found(lease: &Lease) -> Found {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    let record = Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        renewed: spec.renew_time.map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or_default(),
    };
    Found { record, version: lease.resource_version().unwrap_or_default() }
}

fn written(result: Result<Lease, Error>) -> Result<Answer, Error> {
    match result {
        Ok(lease) => Ok(Answer::Written(lease.resource_version().unwrap_or_default())),
        Err(Error::Changed(_) | Error::Gone) => Ok(Answer::Conflict),
        Err(error) => Err(error),
    }
}
