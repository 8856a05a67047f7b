//! The rows of the report for readers, which the table, Markdown and CSV share.

use super::ascii;
use super::model::{
    AccountReport, Blocker, ConnectorReport, Credentials, IngressReport, ManagedBy, Owner, OwnerState, RegionReport,
    ServiceReport,
};

/// A table with a title.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) headings: Vec<&'static str>,
    /// The cells of each row; a cell has one line for each item.
    pub(super) rows: Vec<Vec<Vec<String>>>,
}

/// The word for what could not be read.
pub(super) const UNKNOWN: &str = "unknown";
/// The word for nothing.
const NONE: &str = "-";

/// The resources of an account, in the order in which they can be removed.
pub(super) fn sections(account: &AccountReport, wide: bool) -> Vec<Section> {
    let all = [ingress_connections(account, wide), services(account, wide), connectors(account, wide)];
    all.into_iter().filter(|section| !section.rows.is_empty()).collect()
}

fn ingress_connections(account: &AccountReport, wide: bool) -> Section {
    let row = |region: &RegionReport, one: &IngressReport| {
        let holds = one.service.as_deref().map_or(UNKNOWN, |arn| service_name(region, arn));
        let mut row = vec![
            cell(&region.region),
            cell(one.name.as_deref().unwrap_or(UNKNOWN)),
            cell(one.status.as_deref().unwrap_or(UNKNOWN)),
            cell(holds),
        ];
        row.extend(wide.then(|| cell(&one.arn)));
        row
    };
    let rows = account.regions.iter().flat_map(|region| {
        region.ingress_connections.iter().flatten().map(move |one| row(region, one)).collect::<Vec<_>>()
    });
    let mut headings = vec!["REGION", "INGRESS CONNECTION", "STATUS", "HOLDS SERVICE"];
    headings.extend(wide.then_some("ARN"));
    Section { title: "VPC ingress connections", headings, rows: rows.collect() }
}

fn services(account: &AccountReport, wide: bool) -> Section {
    let row = |region: &RegionReport, one: &ServiceReport| {
        let connector = |arn: &String| connector_name(region, arn).to_owned();
        let ingress = |arn: &String| ingress_name(region, arn).to_owned();
        let mut row = vec![
            cell(&region.region),
            cell(&one.name),
            cell(&one.status),
            list(one.connectors.as_ref().map(|all| all.iter().map(connector).collect())),
            list(one.ingress_connections.as_ref().map(|all| all.iter().map(ingress).collect())),
            list(one.custom_domains.clone()),
        ];
        if wide {
            row.push(cell(&one.updated_at.map_or_else(|| NONE.to_owned(), |at| at.to_string())));
            row.push(cell(&one.arn));
        }
        row
    };
    let rows = account
        .regions
        .iter()
        .flat_map(|region| region.services.iter().flatten().map(move |one| row(region, one)).collect::<Vec<_>>());
    let mut headings = vec!["REGION", "SERVICE", "STATUS", "CONNECTOR", "HELD BY", "CUSTOM DOMAINS"];
    headings.extend(wide.then_some(["UPDATED", "ARN"]).into_iter().flatten());
    Section { title: "Services", headings, rows: rows.collect() }
}

fn connectors(account: &AccountReport, wide: bool) -> Section {
    let row = |region: &RegionReport, one: &ConnectorReport| {
        let mut row = vec![
            cell(&region.region),
            cell(&one.name),
            cell(&one.revision.map_or_else(|| "?".into(), |revision| revision.to_string())),
            cell(&one.status),
            cell(deletable(one)),
            cell(&owner(&one.owner)),
            list(one.managed_by.as_ref().map(|all| all.iter().map(managed_by).collect())),
            held_by(one),
        ];
        if wide {
            row.extend([list(Some(one.subnets.clone())), list(Some(one.security_groups.clone())), cell(&one.arn)]);
        }
        row
    };
    let rows = account
        .regions
        .iter()
        .flat_map(|region| region.connectors.iter().flatten().map(move |one| row(region, one)).collect::<Vec<_>>());
    let mut headings = vec!["REGION", "CONNECTOR", "REVISION", "STATUS", "DELETABLE", "OWNER", "MANAGED BY", "HELD BY"];
    headings.extend(wide.then_some(["SUBNETS", "SECURITY GROUPS", "ARN"]).into_iter().flatten());
    Section { title: "VPC connectors", headings, rows: rows.collect() }
}

fn cell(text: &str) -> Vec<String> {
    vec![ascii(text)]
}

/// A cell with one line for each item; unknown and empty never look alike.
fn list(items: Option<Vec<String>>) -> Vec<String> {
    match items {
        None => cell(UNKNOWN),
        Some(items) if items.is_empty() => cell(NONE),
        Some(items) => items.iter().map(|item| ascii(item)).collect(),
    }
}

fn held_by(connector: &ConnectorReport) -> Vec<String> {
    let mut held = list(connector.held_by.as_ref().map(|held| held.iter().map(blocker).collect()));
    if connector.held_by.is_some() && !connector.held_by_complete {
        held.push("and perhaps others, which could not be read".to_owned());
    }
    held
}

/// A blocking service with its status.
pub(super) fn blocker(blocker: &Blocker) -> String {
    ascii(&format!("{} ({})", blocker.name, blocker.status))
}

pub(super) fn deletable(connector: &ConnectorReport) -> &'static str {
    match connector.deletable {
        _ if connector.is_inactive() => "deleted",
        Some(true) => "yes",
        Some(false) => "no",
        None => UNKNOWN,
    }
}

/// The owner that the tag names, for readers.
pub(super) fn owner(owner: &Owner) -> String {
    let tag = owner.tag.as_deref().unwrap_or_default();
    let (cluster, object) = tag.split_once('/').unwrap_or((tag, ""));
    match owner.state {
        OwnerState::Object => object.to_owned(),
        OwnerState::Orphan => format!("{object} (orphan)"),
        OwnerState::AnotherCluster if object.is_empty() => format!("another: {tag}"),
        OwnerState::AnotherCluster => format!("cluster {cluster}: {object}"),
        OwnerState::Nobody => NONE.to_owned(),
        OwnerState::Unknown if tag.is_empty() => "?".to_owned(),
        OwnerState::Unknown => format!("? ({tag})"),
    }
}

fn managed_by(manager: &ManagedBy) -> String {
    let ManagedBy { namespace, name, claimed, reason, deletion_policy, deleting } = manager;
    let mut notes = Vec::new();
    if !claimed {
        notes.push("not claimed".to_owned());
    }
    if *deleting {
        notes.push("being deleted".to_owned());
    }
    // The reason of an object that is as it should be says nothing.
    notes.extend(reason.clone().filter(|reason| reason != "Available"));
    notes.extend(deletion_policy.clone().filter(|policy| policy != "Delete"));
    if notes.is_empty() { format!("{namespace}/{name}") } else { format!("{namespace}/{name} ({})", notes.join(", ")) }
}

/// The credentials of an account, for readers.
pub(super) fn credentials(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Current => "current credentials".to_owned(),
        Credentials::Profile(name) => format!("profile {name}"),
        Credentials::Role(arn) => arn.clone(),
    }
}

/// The name of a service of the region, or its ARN.
pub(super) fn service_name<'a>(region: &'a RegionReport, arn: &'a str) -> &'a str {
    let found = region.services.iter().flatten().find(|service| service.arn == arn);
    found.map_or(arn, |service| &service.name)
}

fn connector_name<'a>(region: &'a RegionReport, arn: &'a str) -> &'a str {
    let found = region.connectors.iter().flatten().find(|connector| connector.arn == arn);
    found.map_or(arn, |connector| &connector.name)
}

/// The name of a VPC ingress connection of the region, or its ARN.
pub(super) fn ingress_name<'a>(region: &'a RegionReport, arn: &'a str) -> &'a str {
    let found = region.ingress_connections.iter().flatten().find(|ingress| ingress.arn == arn);
    found.and_then(|ingress| ingress.name.as_deref()).unwrap_or(arn)
}
