//! Combines the replies of AWS and of the cluster into the report.
//!
//! This module is pure, and its order does not depend on the order of the replies. [`super::connectors`] judges the connectors,
//! [`super::summary`] counts.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::connectors::{Uses, connector_reports};
use super::model::{
    API_VERSION, AccountReport, Cluster, Complete, Credentials, DEFAULT_QUOTA, IngressReport, KIND, Problem, Quota,
    RegionReport, Report, ServiceReport, State, Unused,
};
use super::objects::ClusterState;
use super::scan::{Described, Partial, RegionScan};
use super::summary::summary;
use crate::api::whole_seconds;
use crate::apprunner::inventory::IngressConnection;
use crate::core::arn::Region;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation};

/// The calls of a report, which an IAM policy has to allow. Source: examples/iam/report.json.
pub(crate) const CALLS: [Operation; 10] = [
    Operation::ListVpcConnectors,
    Operation::ListTagsForResource,
    Operation::ListServices,
    Operation::DescribeService,
    Operation::DescribeCustomDomains,
    Operation::ListVpcIngressConnections,
    Operation::DescribeVpcIngressConnection,
    Operation::ListAutoScalingConfigurations,
    Operation::ListConnections,
    Operation::ListObservabilityConfigurations,
];

/// What was read of one account.
pub(super) struct AccountScan {
    pub(super) account: Option<String>,
    pub(super) credentials: Credentials,
    pub(super) regions: Result<Vec<(Region, RegionScan)>, Failure>,
}

/// Combines the scans with the objects of the cluster.
pub(super) fn report(scans: Vec<AccountScan>, state: &ClusterState, now: Timestamp) -> Report {
    let cluster = cluster(state);
    let accounts: Vec<_> = scans.into_iter().map(|scan| account(scan, state)).collect();
    let summary = summary(&accounts);
    Report {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        generated_at: whole_seconds(now).0,
        operator_version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster,
        accounts,
        summary,
    }
}

fn cluster(state: &ClusterState) -> Cluster {
    let problems: BTreeSet<_> = [state.objects.as_ref().err(), state.id.as_ref().err()].into_iter().flatten().collect();
    let problem = problems.into_iter().map(String::as_str).collect::<Vec<_>>().join("; ");
    Cluster {
        read: state.objects.is_ok(),
        id: state.id.as_ref().ok().map(|id| id.as_str().to_owned()),
        problem: (!problem.is_empty()).then_some(problem),
    }
}

fn account(scan: AccountScan, state: &ClusterState) -> AccountReport {
    let AccountScan { account, credentials, regions } = scan;
    let (regions, problem) = match regions {
        Ok(regions) => (regions.into_iter().map(|(region, scan)| region_report(&region, scan, state)).collect(), None),
        Err(failure) => (Vec::new(), Some(Problem::new(&failure))),
    };
    let mut report = AccountReport { account, credentials, problem, regions };
    report.regions.sort_by(|a, b| a.region.cmp(&b.region));
    report
}

fn region_report(region: &Region, scan: RegionScan, state: &ClusterState) -> RegionReport {
    let (failures, completeness, complete) = (scan.failures(), state_of(&scan), complete(&scan));
    let uses = Uses::of(&scan);
    let RegionScan { connectors, services, ingress_connections, auto_scaling, source_connections, observability } =
        scan;
    let connectors = readable(connectors).map(|found| connector_reports(found, &uses, state));
    let active = connectors.iter().flatten().filter(|connector| connector.is_active()).count();
    let ingress = readable(ingress_connections).map(ingress_reports);
    let holders = Holders { ingress: ingress.as_deref().unwrap_or_default(), complete: complete.ingress_connections };
    let services = readable(services).map(|found| service_reports(found, &holders));
    RegionReport {
        region: region.to_string(),
        state: completeness,
        quota: complete.connectors.then_some(Quota { used: active, aws_default: DEFAULT_QUOTA }),
        ingress_connections: ingress,
        services,
        connectors,
        unused: Unused {
            auto_scaling_configurations: uses.unused(&auto_scaling, |settings| settings.auto_scaling.as_deref()),
            source_connections: uses.unused(&source_connections, |settings| settings.source_connection.as_deref()),
            observability_configurations: uses.unused(&observability, |settings| settings.observability.as_deref()),
        },
        complete,
        problems: if completeness == State::NotSubscribed { Vec::new() } else { problems(&failures) },
    }
}

/// A list that could not be read, and has no item, is unknown.
fn readable<T>(list: Partial<T>) -> Option<Vec<T>> {
    (list.failure.is_none() || !list.items.is_empty()).then_some(list.items)
}

fn complete(scan: &RegionScan) -> Complete {
    let [connectors, services, ingress_connections, ..] = scan.list_failures().map(|failure| failure.is_none());
    Complete { ingress_connections, services, connectors }
}

/// Not subscribed only if both lists say so that every account may read: one refusal hides nothing else.
fn state_of(scan: &RegionScan) -> State {
    let lists = scan.list_failures();
    let unsubscribed =
        |failure: Option<&Failure>| failure.is_some_and(|failure| failure.class == ErrorClass::SubscriptionRequired);
    let nothing =
        scan.connectors.items.is_empty() && scan.services.items.is_empty() && scan.ingress_connections.items.is_empty();
    match nothing {
        true if lists[..2].iter().copied().all(unsubscribed) => State::NotSubscribed,
        true if lists.iter().all(Option::is_some) => State::NotRead,
        _ if scan.failures().is_empty() => State::Read,
        _ => State::PartlyRead,
    }
}

/// Each failure once, in the order of the calls.
fn problems(failures: &[Failure]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for problem in failures.iter().map(Problem::new) {
        if !problems.iter().any(|other| other.dedup_key() == problem.dedup_key()) {
            problems.push(problem);
        }
    }
    problems
}

fn ingress_reports(found: Vec<IngressConnection>) -> Vec<IngressReport> {
    let report = |one: IngressConnection| IngressReport {
        arn: one.arn,
        name: one.name,
        status: one.status,
        service: one.service,
    };
    let mut reports: Vec<_> = found.into_iter().map(report).collect();
    reports.sort_by(|a, b| (&a.name, &a.arn).cmp(&(&b.name, &b.arn)));
    reports
}

/// The VPC ingress connections of a region.
struct Holders<'a> {
    ingress: &'a [IngressReport],
    complete: bool,
}

impl Holders<'_> {
    /// Those of a service; unknown if none is known, and one that was not read, or that names no service, may hold it.
    fn of(&self, service: &str) -> Option<Vec<String>> {
        let known = self.complete && self.ingress.iter().all(|one| one.service.is_some());
        let holding = self.ingress.iter().filter(|one| one.service.as_deref() == Some(service));
        let holding: Vec<_> = holding.map(|one| one.arn.clone()).collect();
        (known || !holding.is_empty()).then_some(holding)
    }
}

fn service_reports(found: Vec<Described>, holders: &Holders<'_>) -> Vec<ServiceReport> {
    let report = |Described { service, settings, custom_domains }: Described| ServiceReport {
        ingress_connections: holders.of(&service.arn),
        connectors: settings.as_ref().ok().map(|settings| settings.connector.iter().cloned().collect()),
        custom_domains: custom_domains.ok(),
        created_at: settings.ok().and_then(|settings| settings.created_at).map(|at| whole_seconds(at).0),
        updated_at: service.updated_at.map(|at| whole_seconds(at).0),
        arn: service.arn,
        name: service.name,
        status: service.status,
    };
    let mut reports: Vec<_> = found.into_iter().map(report).collect();
    reports.sort_by(|a, b| (&a.name, &a.arn).cmp(&(&b.name, &b.arn)));
    reports
}
