//! The connectors of a report: who holds each, who owns and manages it, and whether it can be deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Blocker, ConnectorReport, ManagedBy, Owner, OwnerState, UnusedReport};
use super::objects::{ClusterState, Object};
use super::scan::{Described, Partial, RegionScan, Tagged};
use crate::api::{ConnectorState, ConnectorStatus, whole_seconds};
use crate::apprunner::inventory::{Configuration, ServiceSettings};
use crate::core::outcome::Failure;
use crate::core::ownership::ClusterId;

/// What the services of a region use.
pub(super) struct Uses {
    settings: Vec<ServiceSettings>,
    /// The services that use each connector.
    blockers: BTreeMap<String, Vec<Blocker>>,
    /// Every service was listed and described.
    complete: bool,
}

impl Uses {
    pub(super) fn of(scan: &RegionScan) -> Self {
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
    pub(super) fn unused(
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

pub(super) fn connector_reports(found: Vec<Tagged>, uses: &Uses, state: &ClusterState) -> Vec<ConnectorReport> {
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
