//! Combines the replies of AWS and of the cluster: the managers and the blockers of each connector, and whether it can be
//! deleted now.
//!
//! JSON and YAML show these types. The module is pure, and its order does not depend on the order of the replies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::objects::Object;
use super::scan::{REQUIRED_CALLS, RegionScan};
use crate::api::{ConnectorState, ConnectorStatus, whole_seconds};
use crate::core::arn::AccountId;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Connector, Failure, Operation};
use crate::core::wait::explain;

/// ACTIVE connectors of an account in a region, unless AWS raised it. Source: AWS General Reference, App Runner quotas.
pub(super) const DEFAULT_QUOTA: usize = 10;

/// The report of an account.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inventory {
    pub(super) account: String,
    pub(super) cluster: Cluster,
    /// Sorted by name.
    pub(super) regions: Vec<RegionReport>,
}

/// The result of listing the objects.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    /// The objects were listed; otherwise the managers of all connectors are unknown.
    pub(super) read: bool,
    /// The error of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// The report of a region.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegionReport {
    pub(super) region: String,
    pub(super) state: State,
    /// None unless all connectors were listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quota: Option<Quota>,
    /// Sorted by name and revision.
    pub(super) connectors: Vec<ConnectorReport>,
    /// The failed calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<Problem>,
}

/// The completeness of a region.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Everything.
    Read,
    PartlyRead,
    /// Nothing.
    NotRead,
    /// The account is not subscribed to App Runner in the region.
    NotSubscribed,
}

/// Use of the quota of connectors.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quota {
    /// ACTIVE connectors.
    pub(super) used: usize,
    /// AWS's default. The App Runner API does not report a raised quota.
    pub(super) aws_default: usize,
}

/// A connector, and the facts that its deletion depends on.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectorReport {
    /// `VpcConnectorArn`
    pub(super) arn: String,
    /// `VpcConnectorName`
    pub(super) name: String,
    /// `VpcConnectorRevision`
    pub(super) revision: Option<i32>,
    /// App Runner's word.
    pub(super) status: String,
    /// True for an ACTIVE connector without blockers, false for an INACTIVE or a blocked one; null if that is unknown.
    pub(super) deletable: Option<bool>,
    /// The objects that name the connector, those that claimed it first; null if the objects could not be listed.
    pub(super) managed_by: Option<Vec<ManagedBy>>,
    /// The services whose outgoing traffic goes through the connector, sorted by name. Incomplete if some services could
    /// not be described.
    #[serde(rename = "heldBy")]
    pub(super) blocked_by: Vec<Blocker>,
    /// `Subnets`
    pub(super) subnets: Vec<String>,
    /// `SecurityGroups`
    pub(super) security_groups: Vec<String>,
    /// `CreatedAt`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Timestamp>,
    /// `DeletedAt`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<Timestamp>,
}

/// An object that names the connector.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedBy {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The object has claimed the connector; otherwise only its spec names it.
    pub(super) claimed: bool,
}

/// A service that uses the connector and keeps it from being deleted.
#[derive(Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blocker {
    /// `ServiceName`
    pub(super) name: String,
    /// App Runner's word.
    pub(super) status: String,
    /// `ServiceArn`
    pub(super) arn: String,
}

/// A failed call.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    pub(super) operation: String,
    /// AWS's code, or the operator's word if AWS did not answer.
    pub(super) code: String,
    /// The cause, and AWS's message.
    pub(super) message: String,
    /// The IAM action that the policy does not allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing_action: Option<String>,
    /// The request id, which AWS support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

impl Inventory {
    /// Combines the scans of the regions with the listed objects.
    pub(super) fn new(account: &AccountId, scans: Vec<RegionScan>, objects: &Result<Vec<Object>, String>) -> Self {
        let cluster = Cluster { read: objects.is_ok(), problem: objects.as_ref().err().cloned() };
        let objects = objects.as_deref().ok();
        let mut regions: Vec<_> = scans.into_iter().map(|scan| region_report(scan, objects)).collect();
        regions.sort_by(|a, b| a.region.cmp(&b.region));
        Self { account: account.to_string(), cluster, regions }
    }

    /// Text for the failed calls, with each missing IAM action and each failure once; empty if no call failed.
    pub(super) fn problems_text(&self) -> String {
        let mut problems = BTreeMap::<&str, (&str, Vec<&str>)>::new();
        let mut denied = false;
        for region in &self.regions {
            for problem in &region.problems {
                denied |= problem.missing_action.is_some();
                problems.entry(problem.dedup_key()).or_insert((&problem.message, Vec::new())).1.push(&region.region);
            }
        }
        let lines = problems.values().map(|(message, regions)| format!("in {}: {message}", regions.join(", ")));
        let lines: Vec<_> = lines.collect();
        let needed = if denied { format!(". A report needs {}", required_actions()) } else { String::new() };
        if lines.is_empty() { String::new() } else { format!("not all could be read: {}{needed}", lines.join("; ")) }
    }
}

impl Problem {
    fn new(failure: &Failure) -> Self {
        Self {
            operation: failure.operation.to_string(),
            code: failure.code.clone(),
            message: explain(failure),
            missing_action: (failure.class == ErrorClass::AccessDenied).then(|| failure.operation.iam_action()),
            request_id: failure.request_id.clone(),
        }
    }

    /// Two problems with the same key are printed once. The key of a missing IAM action is the action, because IAM's message
    /// names a resource, which differs between regions.
    fn dedup_key(&self) -> &str {
        self.missing_action.as_deref().unwrap_or(&self.message)
    }
}

impl ConnectorReport {
    /// True if the connector counts toward the quota and can be claimed.
    pub(super) fn is_active(&self) -> bool {
        ConnectorStatus::from(self.status.as_str()).state() == ConnectorState::Active
    }

    /// True if the connector is deleted; App Runner may still list it.
    pub(super) fn is_inactive(&self) -> bool {
        ConnectorStatus::from(self.status.as_str()).state() == ConnectorState::Inactive
    }
}

fn required_actions() -> String {
    let [first, second, third] = REQUIRED_CALLS.map(Operation::iam_action);
    format!("{first}, {second} and {third}")
}

fn region_report(scan: RegionScan, objects: Option<&[Object]>) -> RegionReport {
    let state = state_of(&scan);
    let RegionScan { region, connectors, uses } = scan;
    let mut blockers = BTreeMap::<String, Vec<Blocker>>::new();
    for used in uses.items {
        let blocker = Blocker { name: used.service.name, status: used.service.status, arn: used.service.arn };
        blockers.entry(used.connector).or_default().push(blocker);
    }
    let complete = uses.failure.is_none();
    let reports = connectors.items.into_iter().map(|one| connector_report(one, &blockers, complete, objects));
    let mut reports: Vec<_> = reports.collect();
    reports.sort_by(|a, b| (&a.name, a.revision, &a.arn).cmp(&(&b.name, b.revision, &b.arn)));
    // A list that changes while its pages are read may show a connector twice.
    reports.dedup_by(|a, b| !a.arn.is_empty() && a.arn == b.arn);
    let all_listed = connectors.failure.is_none() && state != State::NotSubscribed;
    let used = reports.iter().filter(|report| report.is_active()).count();
    let quota = all_listed.then_some(Quota { used, aws_default: DEFAULT_QUOTA });
    let failures = [connectors.failure, uses.failure].into_iter().flatten();
    let problems =
        if state == State::NotSubscribed { Vec::new() } else { failures.map(|f| Problem::new(&f)).collect() };
    RegionReport { region: region.to_string(), state, quota, connectors: reports, problems }
}

fn state_of(scan: &RegionScan) -> State {
    let none_listed = scan.connectors.items.is_empty();
    match (&scan.connectors.failure, &scan.uses.failure) {
        (None, None) => State::Read,
        (Some(failure), _) if none_listed && failure.class == ErrorClass::SubscriptionRequired => State::NotSubscribed,
        (Some(_), _) if none_listed => State::NotRead,
        _ => State::PartlyRead,
    }
}

fn connector_report(
    listed: Connector,
    blockers: &BTreeMap<String, Vec<Blocker>>,
    complete: bool,
    objects: Option<&[Object]>,
) -> ConnectorReport {
    let arn = listed.arn.unwrap_or_default();
    let mut blocked_by = blockers.get(&arn).cloned().unwrap_or_default();
    blocked_by.sort();
    let deletable = match listed.status.as_ref().map(ConnectorStatus::state) {
        Some(ConnectorState::Inactive) => Some(false),
        _ if !blocked_by.is_empty() => Some(false),
        Some(ConnectorState::Active) if complete && !arn.is_empty() => Some(true),
        _ => None,
    };
    ConnectorReport {
        name: listed.name.unwrap_or_default(),
        revision: listed.revision,
        status: listed.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        deletable,
        managed_by: objects.map(|objects| managers(&arn, objects)),
        blocked_by,
        subnets: listed.subnets,
        security_groups: listed.security_groups,
        created_at: listed.created_at.map(|at| whole_seconds(at).0),
        deleted_at: listed.deleted_at.map(|at| whole_seconds(at).0),
        arn,
    }
}

fn managers(arn: &str, objects: &[Object]) -> Vec<ManagedBy> {
    let names = |object: &&Object| [&object.arn, &object.claimed].into_iter().flatten().any(|named| named == arn);
    let manager = |object: &Object| ManagedBy {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        claimed: object.claimed.as_deref() == Some(arn),
    };
    let mut managers: Vec<_> = objects.iter().filter(names).map(manager).collect();
    managers.sort_by(|a, b| (!a.claimed, &a.namespace, &a.name).cmp(&(!b.claimed, &b.namespace, &b.name)));
    managers
}
