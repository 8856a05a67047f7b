//! The lines below the tables: quotas, what is unused, what could not be read, and the summary.

use super::model::{
    AccountReport, Cluster, DEFAULT_QUOTA, Problem, RegionReport, Report, State, Summary, UnusedReport,
};
use super::rows::UNKNOWN;
use super::{ascii, counted};

/// The notes about an account.
pub(super) fn of_account(account: &AccountReport) -> Vec<String> {
    let regions = |title: &str, of: &dyn Fn(&RegionReport) -> Option<String>| {
        let named: Vec<_> = account.regions.iter().filter_map(of).collect();
        (!named.is_empty()).then(|| format!("{title}: {}", named.join(", ")))
    };
    let in_state = |state| move |region: &RegionReport| (region.state == state).then(|| region.region.clone());
    let failed = |state| move |region: &RegionReport| (region.state == state).then(|| failed(region));
    let unread = account.problem.as_ref().map(|problem| format!("Not read: {}", ascii(&problem.message)));
    [
        unread,
        regions(&format!("Quota used ({DEFAULT_QUOTA} is AWS's default; yours may be higher)"), &quota),
        regions("Unused auto scaling configurations", &|region| {
            unused(region, region.unused.auto_scaling_configurations.as_deref())
        }),
        regions("Unused source connections", &|region| unused(region, region.unused.source_connections.as_deref())),
        regions("Unused observability configurations", &|region| {
            unused(region, region.unused.observability_configurations.as_deref())
        }),
        regions("Nothing in", &|region| is_empty(region).then(|| region.region.clone())),
        regions("Not subscribed to App Runner", &in_state(State::NotSubscribed)),
        regions("Read in part", &failed(State::PartlyRead)),
        regions("Not read", &failed(State::NotRead)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The note about a cluster that could not be read.
pub(super) fn of_cluster(cluster: &Cluster) -> Option<String> {
    let why = cluster.problem.as_deref().map(ascii)?;
    Some(format!("Who manages and owns what is not fully known, since the cluster could not be read: {why}"))
}

/// The summary in one line.
pub(super) fn summary(report: &Report) -> String {
    let Summary { accounts, regions, ingress_connections, services, connectors, deletable, held, orphans, complete } =
        &report.summary;
    let unknown = connectors.saturating_sub(deletable + held);
    let mut parts = vec![format!("{deletable} deletable"), format!("{held} held by services")];
    if unknown > 0 {
        parts.push(format!("{unknown} {UNKNOWN}"));
    }
    if *orphans > 0 {
        parts.push(counted(*orphans, "orphan"));
    }
    let incomplete = if *complete { "" } else { " Not everything could be read." };
    format!(
        "{}, {}: {}, {}, {} ({}).{incomplete}",
        counted(*accounts, "account"),
        counted(*regions, "region"),
        counted(*ingress_connections, "VPC ingress connection"),
        counted(*services, "service"),
        counted(*connectors, "VPC connector"),
        parts.join(", ")
    )
}

fn quota(region: &RegionReport) -> Option<String> {
    let quota = region.quota.filter(|_| region.connectors.as_ref().is_some_and(|all| !all.is_empty()))?;
    Some(format!("{} {} of {}", region.region, quota.used, quota.aws_default))
}

fn unused(region: &RegionReport, list: Option<&[UnusedReport]>) -> Option<String> {
    if matches!(region.state, State::NotRead | State::NotSubscribed) {
        return None;
    }
    let Some(list) = list else { return Some(format!("{} {UNKNOWN}", region.region)) };
    let names: Vec<_> = list.iter().map(|one| ascii(&one.name)).collect();
    (!names.is_empty()).then(|| format!("{} {}", region.region, names.join(" ")))
}

fn is_empty(region: &RegionReport) -> bool {
    let lists = [
        region.ingress_connections.as_ref().map(Vec::is_empty),
        region.services.as_ref().map(Vec::is_empty),
        region.connectors.as_ref().map(Vec::is_empty),
    ];
    region.state == State::Read && lists == [Some(true); 3]
}

fn failed(region: &RegionReport) -> String {
    let text = |problem: &Problem| format!("{} {}", problem.operation, problem.code);
    let failures: Vec<_> = region.problems.iter().map(text).collect();
    ascii(&format!("{} ({})", region.region, failures.join("; ")))
}
