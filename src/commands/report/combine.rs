//! Combines the replies of AWS and of the cluster into the report.
//!
//! This module is pure, and its order does not depend on the order of the replies.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::model::{
    API_VERSION, AccountReport, Blocker, Cluster, ConnectorReport, DEFAULT_QUOTA, IngressReport, KIND, ManagedBy,
    Owner, OwnerState, Problem, Quota, RegionReport, Report, ServiceReport, State, Summary, Unused, UnusedReport,
};
use super::objects::{ClusterState, Object};
use super::scan::{Described, Partial, RegionScan, Tagged};
use crate::api::{ConnectorState, ConnectorStatus, whole_seconds};
use crate::apprunner::inventory::{Configuration, IngressConnection, ServiceSettings};
use crate::core::arn::Region;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation};
use crate::core::ownership::ClusterId;
use crate::core::wait::explain;

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
    pub(super) credentials: String,
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
    let (failures, completeness) = (failures(&scan), state_of(&scan));
    let uses = Uses::of(&scan);
    let RegionScan { connectors, services, ingress_connections, auto_scaling, source_connections, observability } =
        scan;
    let listed_all = connectors.failure.is_none();
    let connectors = readable(connectors).map(|found| connector_reports(found, &uses, state));
    let active = connectors.iter().flatten().filter(|connector| connector.is_active()).count();
    let ingress = readable(ingress_connections).map(ingress_reports);
    let services = readable(services).map(|found| service_reports(found, ingress.as_deref()));
    RegionReport {
        region: region.to_string(),
        state: completeness,
        quota: (listed_all && connectors.is_some()).then_some(Quota { used: active, aws_default: DEFAULT_QUOTA }),
        ingress_connections: ingress,
        services,
        connectors,
        unused: Unused {
            auto_scaling_configurations: uses.unused(&auto_scaling, |settings| settings.auto_scaling.as_deref()),
            source_connections: uses.unused(&source_connections, |settings| settings.source_connection.as_deref()),
            observability_configurations: uses.unused(&observability, |settings| settings.observability.as_deref()),
        },
        problems: if completeness == State::NotSubscribed { Vec::new() } else { problems(&failures) },
    }
}

/// A list that could not be read, and has no item, is unknown.
fn readable<T>(list: Partial<T>) -> Option<Vec<T>> {
    (list.failure.is_none() || !list.items.is_empty()).then_some(list.items)
}

/// Every failure of a scan.
fn failures(scan: &RegionScan) -> Vec<Failure> {
    let lists = [
        scan.connectors.failure.as_ref(),
        scan.services.failure.as_ref(),
        scan.ingress_connections.failure.as_ref(),
        scan.auto_scaling.failure.as_ref(),
        scan.source_connections.failure.as_ref(),
        scan.observability.failure.as_ref(),
    ];
    let tags = scan.connectors.items.iter().map(|one| one.owner_tag.as_ref().err());
    let services = scan.services.items.iter();
    let services = services.flat_map(|one| [one.settings.as_ref().err(), one.custom_domains.as_ref().err()]);
    lists.into_iter().chain(tags).chain(services).flatten().cloned().collect()
}

fn state_of(scan: &RegionScan) -> State {
    let failures = failures(scan);
    let lists = [scan.connectors.failure.is_some(), scan.services.failure.is_some()];
    let nothing = scan.connectors.items.is_empty() && scan.services.items.is_empty();
    let unsubscribed = |failure: &Failure| failure.class == ErrorClass::SubscriptionRequired;
    match failures.as_slice() {
        [] => State::Read,
        all if nothing && all.iter().any(unsubscribed) => State::NotSubscribed,
        _ if nothing && lists == [true, true] => State::NotRead,
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

/// What the services of a region use.
struct Uses {
    settings: Vec<ServiceSettings>,
    /// The services that use each connector.
    blockers: BTreeMap<String, Vec<Blocker>>,
    /// Every service was listed and described.
    complete: bool,
}

impl Uses {
    fn of(scan: &RegionScan) -> Self {
        let complete = scan.services.failure.is_none() && scan.services.items.iter().all(|one| one.settings.is_ok());
        let mut blockers = BTreeMap::<String, Vec<Blocker>>::new();
        for Described { service, settings, .. } in &scan.services.items {
            let used = settings.as_ref().ok().and_then(|settings| settings.connector.clone());
            let blocker =
                || Blocker { name: service.name.clone(), status: service.status.clone(), arn: service.arn.clone() };
            if let Some(connector) = used {
                blockers.entry(connector).or_default().push(blocker());
            }
        }
        for services in blockers.values_mut() {
            services.sort();
        }
        let settings = scan.services.items.iter().filter_map(|one| one.settings.as_ref().ok().cloned()).collect();
        Self { settings, blockers, complete }
    }

    /// The resources that no service uses; unknown if the list or a service could not be read.
    fn unused(
        &self,
        list: &Partial<Configuration>,
        used: impl Fn(&ServiceSettings) -> Option<&str>,
    ) -> Option<Vec<UnusedReport>> {
        let known = list.items.iter().all(|one| one.used.is_some());
        if list.failure.is_some() || !(known || self.complete) {
            return None;
        }
        let of_services: BTreeSet<&str> = self.settings.iter().filter_map(used).collect();
        let is_used = |one: &Configuration| one.used.unwrap_or_else(|| of_services.contains(one.arn.as_str()));
        let unused = list.items.iter().filter(|one| !one.built_in && !is_used(one));
        let mut unused: Vec<_> =
            unused.map(|one| UnusedReport { name: one.name.clone(), arn: one.arn.clone() }).collect();
        unused.sort();
        Some(unused)
    }
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

fn service_reports(found: Vec<Described>, ingress: Option<&[IngressReport]>) -> Vec<ServiceReport> {
    let holding = |arn: &str| {
        let of_service = |all: &[IngressReport]| {
            all.iter().filter(|one| one.service.as_deref() == Some(arn)).map(|one| one.arn.clone()).collect()
        };
        ingress.map(of_service)
    };
    let report = |Described { service, settings, custom_domains }: Described| ServiceReport {
        ingress_connections: holding(&service.arn),
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

fn connector_reports(found: Vec<Tagged>, uses: &Uses, state: &ClusterState) -> Vec<ConnectorReport> {
    let mut reports: Vec<_> = found.into_iter().map(|one| connector_report(one, uses, state)).collect();
    reports.sort_by(|a, b| (&a.name, a.revision, &a.arn).cmp(&(&b.name, b.revision, &b.arn)));
    // A list that changes while its pages are read may show a connector twice.
    reports.dedup_by(|a, b| !a.arn.is_empty() && a.arn == b.arn);
    reports
}

fn connector_report(found: Tagged, uses: &Uses, state: &ClusterState) -> ConnectorReport {
    let Tagged { connector, owner_tag } = found;
    let arn = connector.arn.unwrap_or_default();
    let blockers = uses.blockers.get(&arn).cloned().unwrap_or_default();
    let deletable = match connector.status.as_ref().map(ConnectorStatus::state) {
        Some(ConnectorState::Inactive) => Some(false),
        _ if !blockers.is_empty() => Some(false),
        Some(ConnectorState::Active) if uses.complete && !arn.is_empty() => Some(true),
        _ => None,
    };
    let objects = state.objects.as_deref().ok();
    ConnectorReport {
        name: connector.name.unwrap_or_default(),
        revision: connector.revision,
        status: connector.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        deletable,
        owner: owner(&arn, owner_tag.as_ref(), state.id.as_ref().ok(), objects),
        managed_by: objects.map(|objects| managers(&arn, objects)),
        held_by: (uses.complete || !blockers.is_empty()).then_some(blockers),
        held_by_complete: uses.complete,
        subnets: connector.subnets,
        security_groups: connector.security_groups,
        created_at: connector.created_at.map(|at| whole_seconds(at).0),
        deleted_at: connector.deleted_at.map(|at| whole_seconds(at).0),
        arn,
    }
}

fn owner(
    arn: &str,
    tag: Result<&Option<String>, &Failure>,
    cluster: Option<&ClusterId>,
    objects: Option<&[Object]>,
) -> Owner {
    let of = |state, tag: &str| Owner { state, tag: Some(tag.to_owned()) };
    let Ok(tag) = tag else { return Owner { state: OwnerState::Unknown, tag: None } };
    let Some(tag) = tag else { return Owner { state: OwnerState::Nobody, tag: None } };
    let Some(cluster) = cluster else { return of(OwnerState::Unknown, tag) };
    let Some((_, object)) = tag.split_once('/').filter(|(id, _)| *id == cluster.as_str()) else {
        return of(OwnerState::AnotherCluster, tag);
    };
    let Some(objects) = objects else { return of(OwnerState::Unknown, tag) };
    let names_it = |one: &&Object| format!("{}/{}", one.namespace, one.name) == object && one.names(arn);
    of(if objects.iter().any(|one| names_it(&one)) { OwnerState::Object } else { OwnerState::Orphan }, tag)
}

fn managers(arn: &str, objects: &[Object]) -> Vec<ManagedBy> {
    let manager = |object: &Object| ManagedBy {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        claimed: object.claimed.as_deref() == Some(arn),
        reason: object.reason.clone(),
        deletion_policy: object.deletion_policy.clone(),
        deleting: object.deleting,
    };
    let mut managers: Vec<_> = objects.iter().filter(|object| object.names(arn)).map(manager).collect();
    managers.sort_by(|a, b| (!a.claimed, &a.namespace, &a.name).cmp(&(!b.claimed, &b.namespace, &b.name)));
    managers
}

fn summary(accounts: &[AccountReport]) -> Summary {
    let subscribed = |region: &&RegionReport| region.state != State::NotSubscribed;
    let regions: Vec<_> = accounts.iter().flat_map(|account| &account.regions).filter(subscribed).collect();
    let connectors = regions.iter().flat_map(|region| region.connectors.iter().flatten());
    let connectors: Vec<_> = connectors.filter(|connector| !connector.is_inactive()).collect();
    let count = |is: &dyn Fn(&ConnectorReport) -> bool| connectors.iter().filter(|connector| is(connector)).count();
    Summary {
        accounts: accounts.len(),
        regions: regions.len(),
        ingress_connections: regions.iter().flat_map(|region| region.ingress_connections.iter().flatten()).count(),
        services: regions.iter().flat_map(|region| region.services.iter().flatten()).count(),
        connectors: connectors.len(),
        deletable: count(&|connector| connector.deletable == Some(true)),
        held: count(&|connector| connector.held_by.as_ref().is_some_and(|held| !held.is_empty())),
        orphans: count(&|connector| connector.owner.state == OwnerState::Orphan),
        complete: accounts.iter().all(|account| account.problem.is_none())
            && regions.iter().all(|region| region.state == State::Read),
    }
}

impl Object {
    /// True if the object names the connector, or has claimed it.
    fn names(&self, arn: &str) -> bool {
        [&self.arn, &self.claimed].into_iter().flatten().any(|named| named == arn)
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

impl Problem {
    pub(super) fn new(failure: &Failure) -> Self {
        Self {
            operation: failure.operation.to_string(),
            code: failure.code.clone(),
            message: explain(failure),
            missing_action: (failure.class == ErrorClass::AccessDenied).then(|| failure.operation.iam_action()),
            request_id: failure.request_id.clone(),
        }
    }

    /// Two problems with the same key are shown once. The key of a missing IAM action is the action, because IAM's message
    /// names a resource.
    pub(super) fn dedup_key(&self) -> &str {
        self.missing_action.as_deref().unwrap_or(&self.message)
    }
}

impl Report {
    /// Text for what could not be read, with each missing IAM action and each failure once; empty if everything was read.
    pub(super) fn unread(&self) -> String {
        let mut problems = BTreeMap::<&str, (&str, Vec<String>)>::new();
        let mut denied = false;
        for account in &self.accounts {
            let name = account.account.as_deref().unwrap_or(&account.credentials);
            let whole = account.problem.iter().map(|problem| (name.to_owned(), problem));
            let one_account = self.accounts.len() == 1;
            let parts = account.regions.iter().flat_map(|region| {
                let place = if one_account { region.region.clone() } else { format!("{name} {}", region.region) };
                region.problems.iter().map(move |problem| (place.clone(), problem))
            });
            for (place, problem) in whole.chain(parts) {
                denied |= problem.missing_action.as_deref().is_some_and(|action| action.starts_with("apprunner:"));
                problems.entry(problem.dedup_key()).or_insert((&problem.message, Vec::new())).1.push(place);
            }
        }
        let lines = problems.values().map(|(message, places)| format!("in {}: {message}", places.join(", ")));
        let lines: Vec<_> = lines.collect();
        let actions = CALLS.map(Operation::iam_action).join(", ");
        let needed = if denied { format!(". A report needs {actions}") } else { String::new() };
        if lines.is_empty() { String::new() } else { format!("not all could be read: {}{needed}", lines.join("; ")) }
    }
}
