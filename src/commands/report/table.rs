//! The report as a table: one row for each connector, and a line for each further blocker.

use super::ascii;
use super::inventory::{Blocker, ConnectorReport, DEFAULT_QUOTA, Inventory, ManagedBy, RegionReport, State};

const HEADINGS: [&str; 7] = ["REGION", "CONNECTOR", "REVISION", "STATUS", "DELETABLE", "MANAGED BY", "HELD BY"];
/// Spaces between two columns.
const GAP: usize = 3;

type Row = [String; HEADINGS.len()];

/// Renders the report as a table, with notes about regions and the cluster below.
pub(super) fn render(inventory: &Inventory) -> String {
    let mut text = format!("Account {}\n\n", inventory.account);
    let rows: Vec<Row> = inventory
        .regions
        .iter()
        .flat_map(|region| region.connectors.iter().flat_map(|connector| rows(region, connector)))
        .collect();
    if !rows.is_empty() {
        text.push_str(&aligned(&rows));
        text.push('\n');
    }
    for line in notes(inventory) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn rows(region: &RegionReport, connector: &ConnectorReport) -> Vec<Row> {
    let first = [
        region.region.clone(),
        ascii(&connector.name),
        connector.revision.map_or_else(|| "?".into(), |revision| revision.to_string()),
        ascii(&connector.status),
        deletable(connector).to_owned(),
        managed_by(connector.managed_by.as_deref()),
        blocked_by(connector),
    ];
    let further = connector.blocked_by.iter().skip(1).map(|blocker| {
        let mut row = Row::default();
        row[HEADINGS.len() - 1] = blocker_text(blocker);
        row
    });
    std::iter::once(first).chain(further).collect()
}

fn deletable(connector: &ConnectorReport) -> &'static str {
    match connector.deletable {
        _ if connector.is_inactive() => "deleted",
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn managed_by(managers: Option<&[ManagedBy]>) -> String {
    let named = |manager: &ManagedBy| {
        let claimed = if manager.claimed { "" } else { " (not claimed)" };
        format!("{}/{}{claimed}", manager.namespace, manager.name)
    };
    match managers {
        None => "unknown".into(),
        Some([]) => "-".into(),
        Some(managers) => managers.iter().map(named).collect::<Vec<_>>().join(", "),
    }
}

fn blocked_by(connector: &ConnectorReport) -> String {
    match (connector.blocked_by.first(), connector.deletable) {
        (Some(blocker), _) => blocker_text(blocker),
        (None, None) => "unknown".into(),
        (None, Some(_)) => "-".into(),
    }
}

/// The name and the status of a blocking service.
pub(super) fn blocker_text(blocker: &Blocker) -> String {
    ascii(&format!("{} ({})", blocker.name, blocker.status))
}

fn aligned(rows: &[Row]) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<_> = (0..HEADINGS.len()).map(|n| all().map(|row| row[n].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = width + GAP));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn notes(inventory: &Inventory) -> Vec<String> {
    let regions = |title: &str, of: &dyn Fn(&RegionReport) -> Option<String>| {
        let named: Vec<_> = inventory.regions.iter().filter_map(of).collect();
        (!named.is_empty()).then(|| format!("{title}: {}", named.join(", ")))
    };
    let in_state = |state| move |region: &RegionReport| (region.state == state).then(|| region.region.clone());
    let failed = |state| move |region: &RegionReport| (region.state == state).then(|| failed(region));
    let empty = |region: &RegionReport| {
        (region.state == State::Read && region.connectors.is_empty()).then(|| region.region.clone())
    };
    let unread = inventory.cluster.problem.as_deref().map(ascii);
    let unknown = unread.map(|why| format!("Who manages what is unknown, since the cluster could not be read: {why}"));
    [
        regions(&format!("Quota used ({DEFAULT_QUOTA} is AWS's default; yours may be higher)"), &quota),
        regions("No connectors", &empty),
        regions("Not subscribed to App Runner", &in_state(State::NotSubscribed)),
        regions("Read in part", &failed(State::PartlyRead)),
        regions("Not read", &failed(State::NotRead)),
        unknown,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn quota(region: &RegionReport) -> Option<String> {
    let quota = region.quota.filter(|_| !region.connectors.is_empty())?;
    Some(format!("{} {} of {}", region.region, quota.used, quota.aws_default))
}

fn failed(region: &RegionReport) -> String {
    let failures: Vec<_> =
        region.problems.iter().map(|problem| format!("{} {}", problem.operation, problem.code)).collect();
    ascii(&format!("{} ({})", region.region, failures.join("; ")))
}
