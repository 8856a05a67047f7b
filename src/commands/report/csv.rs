//! The report as CSV: one row for each resource.

use super::model::{AccountReport, ConnectorReport, ManagedBy, RegionReport, Report, State};
use super::rows::{UNKNOWN, blocker, deletable, owner};

const COLUMNS: [&str; 12] = [
    "account",
    "region",
    "kind",
    "name",
    "status",
    "deletable",
    "owner",
    "managedBy",
    "heldBy",
    "uses",
    "customDomains",
    "arn",
];

/// What a row has beside its place. An absent value is empty, and an unknown one says so.
#[derive(Default)]
struct Row<'a> {
    kind: &'a str,
    name: &'a str,
    status: &'a str,
    deletable: &'a str,
    owner: String,
    managed_by: String,
    held_by: String,
    uses: String,
    custom_domains: String,
    arn: &'a str,
}

impl<'a> Row<'a> {
    /// The row of resources that could not be read, also if others of the list could: they would look absent.
    fn unread(kind: &'a str) -> Self {
        Self { kind, name: UNKNOWN, status: UNKNOWN, arn: UNKNOWN, ..Self::default() }
    }
}

/// Renders the report as CSV.
pub(super) fn render(report: &Report) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for account in &report.accounts {
        if account.problem.is_some() {
            write(&mut writer, account, UNKNOWN, &Row::unread(UNKNOWN))?;
        }
        for region in account.regions.iter().filter(|region| region.state != State::NotSubscribed) {
            for row in rows(region) {
                write(&mut writer, account, &region.region, &row)?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(
    writer: &mut csv::Writer<Vec<u8>>,
    account: &AccountReport,
    region: &str,
    row: &Row<'_>,
) -> Result<(), csv::Error> {
    let account = account.account.as_deref().unwrap_or(UNKNOWN);
    writer.write_record([
        account,
        region,
        row.kind,
        row.name,
        row.status,
        row.deletable,
        &row.owner,
        &row.managed_by,
        &row.held_by,
        &row.uses,
        &row.custom_domains,
        row.arn,
    ])
}

fn rows(region: &RegionReport) -> Vec<Row<'_>> {
    let ingress = region.ingress_connections.iter().flatten().map(|one| Row {
        kind: "VpcIngressConnection",
        name: one.name.as_deref().unwrap_or(UNKNOWN),
        status: one.status.as_deref().unwrap_or(UNKNOWN),
        uses: one.service.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        arn: &one.arn,
        ..Row::default()
    });
    let services = region.services.iter().flatten().map(|one| Row {
        kind: "Service",
        name: &one.name,
        status: &one.status,
        held_by: list(one.ingress_connections.as_deref()),
        uses: list(one.connectors.as_deref()),
        custom_domains: list(one.custom_domains.as_deref()),
        arn: &one.arn,
        ..Row::default()
    });
    let connectors = region.connectors.iter().flatten().map(|one| Row {
        kind: "VpcConnector",
        name: &one.name,
        status: &one.status,
        deletable: deletable(one),
        owner: owner(&one.owner),
        managed_by: list(one.managed_by.as_ref().map(|all| names(all)).as_deref()),
        held_by: held_by(one),
        arn: &one.arn,
        ..Row::default()
    });
    let unread = [
        ("VpcIngressConnection", region.complete.ingress_connections),
        ("Service", region.complete.services),
        ("VpcConnector", region.complete.connectors),
    ];
    let unread = unread.into_iter().filter(|(_, complete)| !complete).map(|(kind, _)| Row::unread(kind));
    ingress.chain(services).chain(connectors).chain(unread).collect()
}

fn names(managers: &[ManagedBy]) -> Vec<String> {
    managers.iter().map(|manager| format!("{}/{}", manager.namespace, manager.name)).collect()
}

fn held_by(connector: &ConnectorReport) -> String {
    let held: Option<Vec<String>> = connector.held_by.as_ref().map(|held| held.iter().map(blocker).collect());
    let text = list(held.as_deref());
    if held.is_some() && !connector.held_by_complete { format!("{text}; {UNKNOWN}") } else { text }
}

fn list(items: Option<&[String]>) -> String {
    items.map_or_else(|| UNKNOWN.to_owned(), |items| items.join("; "))
}
