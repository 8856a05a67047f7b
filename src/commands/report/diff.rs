//! The difference between two reports: what went, what came, and what changed.
//!
//! A resource counts as gone only if the list that it was in was read to its end this time, and as new only if it was
//! read to its end before.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascii;
use super::model::{API_VERSION, KIND, RegionReport, Report, State};
use super::rows::{deletable, owner};

/// Why an older report cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum OldReportError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It is no report of this version.
    #[error("it is no report of `apprunner-operator report --output json` ({API_VERSION}): {0}")]
    NoReport(String),
}

/// The difference, as its JSON shows it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    pub(super) gone: Vec<Resource>,
    pub(super) new: Vec<Resource>,
    pub(super) changed: Vec<Changed>,
    /// Resources of the older report whose list could not be read to its end this time.
    pub(super) unknown: Vec<Resource>,
}

/// One resource.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) arn: String,
}

/// A resource whose state changed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    #[serde(flatten)]
    pub(super) resource: Resource,
    pub(super) before: String,
    pub(super) after: String,
}

/// Reads an older report.
pub(super) fn read(path: &Path) -> Result<Report, OldReportError> {
    let text = std::fs::read_to_string(path)?;
    let no_report = |error: serde_json::Error| OldReportError::NoReport(error.to_string());
    let value: serde_json::Value = serde_json::from_str(&text).map_err(no_report)?;
    if value["apiVersion"] != API_VERSION || value["kind"] != KIND {
        let found = format!("its apiVersion is {}, its kind {}", value["apiVersion"], value["kind"]);
        return Err(OldReportError::NoReport(found));
    }
    serde_json::from_value(value).map_err(no_report)
}

/// The resources of a report with their states, and the lists that were read to their end.
struct Index {
    resources: BTreeMap<String, (Resource, String)>,
    /// Account, region and kind.
    complete: Vec<(String, String, &'static str)>,
}

/// Compares two reports.
pub(super) fn compare(old: &Report, new: &Report) -> Difference {
    let (old, new) = (Index::of(old), Index::of(new));
    let mut difference = Difference::default();
    for (arn, (resource, before)) in &old.resources {
        match new.resources.get(arn) {
            Some((_, after)) if after == before => {}
            Some((resource, after)) => difference.changed.push(Changed {
                resource: resource.clone(),
                before: before.clone(),
                after: after.clone(),
            }),
            None if new.read_all(resource) => difference.gone.push(resource.clone()),
            None => difference.unknown.push(resource.clone()),
        }
    }
    let came = new.resources.iter().filter(|(arn, (one, _))| !old.resources.contains_key(*arn) && old.read_all(one));
    difference.new = came.map(|(_, (resource, _))| resource.clone()).collect();
    for list in [&mut difference.gone, &mut difference.new, &mut difference.unknown] {
        list.sort();
    }
    difference.changed.sort_by(|a, b| a.resource.cmp(&b.resource));
    difference
}

impl Index {
    fn of(report: &Report) -> Self {
        let mut index = Self { resources: BTreeMap::new(), complete: Vec::new() };
        for account in &report.accounts {
            let Some(id) = &account.account else { continue };
            for region in &account.regions {
                index.add(id, region);
            }
        }
        index
    }

    fn add(&mut self, account: &str, region: &RegionReport) {
        let failed = |operation: &str| region.problems.iter().any(|problem| problem.operation == operation);
        let lists = [
            ("VpcIngressConnection", region.ingress_connections.is_some(), "ListVpcIngressConnections"),
            ("Service", region.services.is_some(), "ListServices"),
            ("VpcConnector", region.connectors.is_some(), "ListVpcConnectors"),
        ];
        for (kind, read, operation) in lists {
            if (read && !failed(operation)) || region.state == State::NotSubscribed {
                self.complete.push((account.to_owned(), region.region.clone(), kind));
            }
        }
        let mut put = |kind: &str, name: &str, arn: &str, state: String| {
            let (account, region) = (account.to_owned(), region.region.clone());
            let resource = Resource { account, region, kind: kind.into(), name: name.into(), arn: arn.into() };
            self.resources.insert(arn.to_owned(), (resource, state));
        };
        for one in region.ingress_connections.iter().flatten() {
            put(
                "VpcIngressConnection",
                one.name.as_deref().unwrap_or(&one.arn),
                &one.arn,
                one.status.clone().unwrap_or_else(|| "unknown".to_owned()),
            );
        }
        for one in region.services.iter().flatten() {
            put("Service", &one.name, &one.arn, one.status.clone());
        }
        for one in region.connectors.iter().flatten().filter(|one| !one.is_inactive()) {
            let held = one.held_by.as_ref().map(|held| held.iter().map(|one| one.name.as_str()).collect::<Vec<_>>());
            let held = held.map_or_else(|| "unknown".to_owned(), |held| held.join(" "));
            let state = format!("deletable {}, owner {}, held by [{held}]", deletable(one), owner(&one.owner));
            put("VpcConnector", &one.name, &one.arn, state);
        }
    }

    fn read_all(&self, resource: &Resource) -> bool {
        let Resource { account, region, kind, .. } = resource;
        self.complete.iter().any(|(a, r, k)| (a, r, *k) == (account, region, kind.as_str()))
    }
}

/// Renders the difference for readers.
pub(super) fn render(difference: &Difference, since: &Report) -> String {
    let mut text = format!("Since {}:\n", since.generated_at);
    let line = |one: &Resource| ascii(&format!("  {} {} {} {}", one.account, one.region, one.kind, one.name)) + "\n";
    for (title, list) in [("Gone", &difference.gone), ("New", &difference.new), ("Unknown", &difference.unknown)] {
        if !list.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{title}:");
            text.extend(list.iter().map(line));
        }
    }
    if !difference.changed.is_empty() {
        text += "\nChanged:\n";
        for Changed { resource, before, after } in &difference.changed {
            text += line(resource).trim_end();
            let _ = writeln!(text, "{}", ascii(&format!(": {before} -> {after}")));
        }
    }
    if *difference == Difference::default() {
        text += "\nNothing changed.\n";
    }
    text
}
