//! The report as people read it: one row a connector, and a line for each service that holds it.

use super::found::{DEFAULT_QUOTA, Found, Holder, Inventory, Manager, Region, State};
use super::plain;

const HEADINGS: [&str; 7] = ["REGION", "CONNECTOR", "REVISION", "STATUS", "DELETABLE", "MANAGED BY", "HELD BY"];
/// Between two columns.
const GAP: usize = 3;

type Row = [String; HEADINGS.len()];

/// Writes the report as a table, with what does not fit into it below.
pub fn rendered(inventory: &Inventory) -> String {
    let mut text = format!("Account {}\n\n", inventory.account);
    let rows: Vec<Row> = inventory
        .regions
        .iter()
        .flat_map(|region| region.connectors.iter().flat_map(|found| rows(region, found)))
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

fn rows(region: &Region, found: &Found) -> Vec<Row> {
    let first = [
        region.region.clone(),
        plain(&found.name),
        found.revision.map_or_else(|| "?".into(), |revision| revision.to_string()),
        plain(&found.status),
        deletable(found).to_owned(),
        managed_by(found.managed_by.as_deref()),
        held_by(found),
    ];
    let further = found.held_by.iter().skip(1).map(|holder| {
        let mut row = Row::default();
        row[HEADINGS.len() - 1] = holder_in_words(holder);
        row
    });
    std::iter::once(first).chain(further).collect()
}

fn deletable(found: &Found) -> &'static str {
    match found.deletable {
        _ if found.is_inactive() => "deleted",
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn managed_by(managers: Option<&[Manager]>) -> String {
    let named = |manager: &Manager| {
        let claimed = if manager.claimed { "" } else { " (not claimed)" };
        format!("{}/{}{claimed}", manager.namespace, manager.name)
    };
    match managers {
        None => "unknown".into(),
        Some([]) => "-".into(),
        Some(managers) => managers.iter().map(named).collect::<Vec<_>>().join(", "),
    }
}

fn held_by(found: &Found) -> String {
    match (found.held_by.first(), found.deletable) {
        (Some(holder), _) => holder_in_words(holder),
        (None, None) => "unknown".into(),
        (None, Some(_)) => "-".into(),
    }
}

/// A service and its status.
pub(super) fn holder_in_words(holder: &Holder) -> String {
    plain(&format!("{} ({})", holder.name, holder.status))
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
    let regions = |title: &str, of: &dyn Fn(&Region) -> Option<String>| {
        let named: Vec<_> = inventory.regions.iter().filter_map(of).collect();
        (!named.is_empty()).then(|| format!("{title}: {}", named.join(", ")))
    };
    let in_state = |state| move |region: &Region| (region.state == state).then(|| region.region.clone());
    let failed = |state| move |region: &Region| (region.state == state).then(|| failed(region));
    let empty =
        |region: &Region| (region.state == State::Read && region.connectors.is_empty()).then(|| region.region.clone());
    let unread = inventory.cluster.problem.as_deref().map(plain);
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

fn quota(region: &Region) -> Option<String> {
    let quota = region.quota.filter(|_| !region.connectors.is_empty())?;
    Some(format!("{} {} of {}", region.region, quota.used, quota.aws_default))
}

fn failed(region: &Region) -> String {
    let failures: Vec<_> =
        region.problems.iter().map(|problem| format!("{} {}", problem.operation, problem.code)).collect();
    plain(&format!("{} ({})", region.region, failures.join("; ")))
}
