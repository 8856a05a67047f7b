//! Puts together what was read: who manages a connector, who uses it, and whether it could be deleted now.
//!
//! These types are what JSON and YAML show. Pure, and in an order that does not depend on who answered first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::objects::Object;
use super::scan::{NEEDED, Reading};
use crate::api::{ConnectorState, ConnectorStatus, whole_seconds};
use crate::core::arn::AccountId;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Connector, Failure, Operation};
use crate::core::wait::explain;

/// ACTIVE connectors of an account in a region, unless AWS raised it. Source: AWS General Reference, App Runner quotas.
pub const DEFAULT_QUOTA: usize = 10;

/// What there is in an account.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// The account.
    pub account: String,
    /// Whether it is known who manages what.
    pub cluster: Cluster,
    /// The regions that were asked about, by name.
    pub regions: Vec<Region>,
}

/// What became of asking the cluster.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its objects were read; otherwise nobody knows who manages what.
    pub read: bool,
    /// Why they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What there is in a region.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// Its name.
    pub region: String,
    /// How far it was read.
    pub state: State,
    /// How much of the quota is used, where all connectors were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// The connectors, by name and revision.
    pub connectors: Vec<Found>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// How far a region was read.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Read,
    /// Some of it.
    PartlyRead,
    /// Nothing.
    NotRead,
    /// The account is not subscribed to App Runner there.
    NotSubscribed,
}

/// How much of the quota of connectors is used.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// ACTIVE connectors.
    pub used: usize,
    /// AWS's default. Whether it was raised is not for App Runner to tell.
    pub aws_default: usize,
}

/// A connector, and what is to be known before it goes.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// `VpcConnectorArn`
    pub arn: String,
    /// `VpcConnectorName`
    pub name: String,
    /// `VpcConnectorRevision`
    pub revision: Option<i32>,
    /// App Runner's own word.
    pub status: String,
    /// Whether a delete would be accepted, as far as services go; null where that is not known.
    pub deletable: Option<bool>,
    /// The objects that name it, those that claimed it first; null where the cluster could not be read.
    pub managed_by: Option<Vec<Manager>>,
    /// The services whose outgoing traffic goes through it, by name, as far as they could be read.
    pub held_by: Vec<Holder>,
    /// `Subnets`
    pub subnets: Vec<String>,
    /// `SecurityGroups`
    pub security_groups: Vec<String>,
    /// `CreatedAt`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// `DeletedAt`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// An object that names the connector.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Manager {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// It has claimed the connector; otherwise it only asks for it.
    pub claimed: bool,
}

/// A service that holds the connector.
#[derive(Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// `ServiceName`
    pub name: String,
    /// App Runner's own word.
    pub status: String,
    /// `ServiceArn`
    pub arn: String,
}

/// Something that could not be read.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What was called.
    pub operation: String,
    /// AWS's code, or our word where no answer came.
    pub code: String,
    /// What it means, and AWS's words.
    pub message: String,
    /// The IAM action that is missing, if that is it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_action: Option<String>,
    /// The id AWS support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Inventory {
    /// Puts together what AWS and the cluster told.
    pub fn of(account: &AccountId, readings: Vec<Reading>, objects: &Result<Vec<Object>, String>) -> Self {
        let cluster = Cluster { read: objects.is_ok(), problem: objects.as_ref().err().cloned() };
        let objects = objects.as_deref().ok();
        let mut regions: Vec<_> = readings.into_iter().map(|reading| region(reading, objects)).collect();
        regions.sort_by(|a, b| a.region.cmp(&b.region));
        Self { account: account.to_string(), cluster, regions }
    }

    /// What could not be read, each right and each failure once; empty where everything was.
    pub fn problems_in_words(&self) -> String {
        let mut problems = BTreeMap::<&str, (&str, Vec<&str>)>::new();
        let mut rights = false;
        for region in &self.regions {
            for problem in &region.problems {
                rights |= problem.missing_action.is_some();
                problems.entry(problem.essence()).or_insert((&problem.message, Vec::new())).1.push(&region.region);
            }
        }
        let words = problems.values().map(|(message, regions)| format!("in {}: {message}", regions.join(", ")));
        let words: Vec<_> = words.collect();
        let needed = if rights { format!(". A report needs {}", needed()) } else { String::new() };
        if words.is_empty() { String::new() } else { format!("not all could be read: {}{needed}", words.join("; ")) }
    }
}

impl Problem {
    fn of(failure: &Failure) -> Self {
        Self {
            operation: failure.operation.to_string(),
            code: failure.code.clone(),
            message: explain(failure),
            missing_action: (failure.class == ErrorClass::AccessDenied).then(|| failure.operation.iam_action()),
            request_id: failure.request_id.clone(),
        }
    }

    /// What makes two problems the same: IAM names the resource in its words, which is another in each region.
    fn essence(&self) -> &str {
        self.missing_action.as_deref().unwrap_or(&self.message)
    }
}

impl Found {
    /// Whether it counts, and can be taken over.
    pub fn is_active(&self) -> bool {
        ConnectorStatus::from(self.status.as_str()).state() == ConnectorState::Active
    }

    /// Whether it was deleted, and is only still listed.
    pub fn is_inactive(&self) -> bool {
        ConnectorStatus::from(self.status.as_str()).state() == ConnectorState::Inactive
    }
}

fn needed() -> String {
    let [first, second, third] = NEEDED.map(Operation::iam_action);
    format!("{first}, {second} and {third}")
}

fn region(reading: Reading, objects: Option<&[Object]>) -> Region {
    let state = state_of(&reading);
    let Reading { region, connectors, uses } = reading;
    let mut holders = BTreeMap::<String, Vec<Holder>>::new();
    for used in uses.items {
        let holder = Holder { name: used.service.name, status: used.service.status, arn: used.service.arn };
        holders.entry(used.connector).or_default().push(holder);
    }
    let whole = uses.failure.is_none();
    let mut found: Vec<_> = connectors.items.into_iter().map(|one| connector(one, &holders, whole, objects)).collect();
    found.sort_by(|a, b| (&a.name, a.revision, &a.arn).cmp(&(&b.name, b.revision, &b.arn)));
    // A list that changes between two pages may show one twice.
    found.dedup_by(|a, b| !a.arn.is_empty() && a.arn == b.arn);
    let counts = connectors.failure.is_none() && state != State::NotSubscribed;
    let quota = counts
        .then(|| Quota { used: found.iter().filter(|found| found.is_active()).count(), aws_default: DEFAULT_QUOTA });
    let failures = [connectors.failure, uses.failure].into_iter().flatten();
    let problems = if state == State::NotSubscribed { Vec::new() } else { failures.map(|f| Problem::of(&f)).collect() };
    Region { region: region.to_string(), state, quota, connectors: found, problems }
}

fn state_of(reading: &Reading) -> State {
    let nothing = reading.connectors.items.is_empty();
    match (&reading.connectors.failure, &reading.uses.failure) {
        (None, None) => State::Read,
        (Some(failure), _) if nothing && failure.class == ErrorClass::SubscriptionRequired => State::NotSubscribed,
        (Some(_), _) if nothing => State::NotRead,
        _ => State::PartlyRead,
    }
}

fn connector(
    listed: Connector,
    holders: &BTreeMap<String, Vec<Holder>>,
    all_read: bool,
    objects: Option<&[Object]>,
) -> Found {
    let arn = listed.arn.unwrap_or_default();
    let mut held_by = holders.get(&arn).cloned().unwrap_or_default();
    held_by.sort();
    let deletable = match listed.status.as_ref().map(ConnectorStatus::state) {
        Some(ConnectorState::Inactive) => Some(false),
        _ if !held_by.is_empty() => Some(false),
        Some(ConnectorState::Active) if all_read && !arn.is_empty() => Some(true),
        _ => None,
    };
    Found {
        name: listed.name.unwrap_or_default(),
        revision: listed.revision,
        status: listed.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        deletable,
        managed_by: objects.map(|objects| managers(&arn, objects)),
        held_by,
        subnets: listed.subnets,
        security_groups: listed.security_groups,
        created_at: listed.created_at.map(|at| whole_seconds(at).0),
        deleted_at: listed.deleted_at.map(|at| whole_seconds(at).0),
        arn,
    }
}

fn managers(arn: &str, objects: &[Object]) -> Vec<Manager> {
    let names = |object: &&Object| [&object.arn, &object.claimed].into_iter().flatten().any(|named| named == arn);
    let manager = |object: &Object| Manager {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        claimed: object.claimed.as_deref() == Some(arn),
    };
    let mut managers: Vec<_> = objects.iter().filter(names).map(manager).collect();
    managers.sort_by(|a, b| (!a.claimed, &a.namespace, &a.name).cmp(&(!b.claimed, &b.namespace, &b.name)));
    managers
}
