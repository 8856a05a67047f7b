//! The difference between two reports: what went, what came, and what changed.
//!
//! A resource counts as gone only if the list that it was in was read to its end this time, and as new only if it was
//! read to its end before.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::ascii;
use super::model::{API_VERSION, KIND, RegionReport, Report};
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

/// `kind` of the JSON of a difference.
const DIFFERENCE: &str = "AppRunnerReportDifference";

/// The difference, as its JSON shows it.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// The times of the two reports.
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) gone: Vec<Resource>,
    pub(super) new: Vec<Resource>,
    pub(super) changed: Vec<Changed>,
    /// Resources of the older report whose list was not read to its end this time.
    pub(super) unknown: Vec<Resource>,
    /// Resources of this report whose list was not read to its end before.
    pub(super) first_seen: Vec<Resource>,
    /// Both reports have read every list of every account and region that one of them has.
    pub(super) complete: bool,
}

/// One resource.
#[derive(Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) arn: String,
}

/// A resource whose state changed.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
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

/// The resources of a report with their states, and whether each list was read to its end.
struct Index {
    resources: BTreeMap<String, (Resource, String)>,
    lists: BTreeMap<List, bool>,
}

/// The account, the region and the kind of a list.
type List = (String, String, &'static str);

/// Compares two reports.
pub(super) fn compare(old: &Report, new: &Report) -> Difference {
    let (since, until) = (old.generated_at, new.generated_at);
    let (old, new) = (Index::of(old), Index::of(new));
    let mut all = old.lists.keys().chain(new.lists.keys());
    let complete = all.all(|list| old.has_read(list) && new.has_read(list));
    let mut difference =
        Difference { api_version: API_VERSION, kind: DIFFERENCE, since, until, complete, ..Difference::default() };
    for (arn, (resource, before)) in &old.resources {
        match new.resources.get(arn) {
            Some((_, after)) if after == before => {}
            Some((resource, after)) => difference.changed.push(Changed {
                resource: resource.clone(),
                before: before.clone(),
                after: after.clone(),
            }),
            None if new.has_read(&resource.list()) => difference.gone.push(resource.clone()),
            None => difference.unknown.push(resource.clone()),
        }
    }
    let came = new.resources.iter().filter(|(arn, _)| !old.resources.contains_key(*arn));
    let came = came.map(|(_, (resource, _))| resource.clone());
    (difference.new, difference.first_seen) = came.partition(|resource| old.has_read(&resource.list()));
    let Difference { gone, new, unknown, first_seen, .. } = &mut difference;
    for list in [gone, new, unknown, first_seen] {
        list.sort();
    }
    difference.changed.sort_by(|a, b| a.resource.cmp(&b.resource));
    difference
}

impl Resource {
    fn list(&self) -> List {
        (self.account.clone(), self.region.clone(), self.kind)
    }
}

impl Difference {
    fn is_empty(&self) -> bool {
        let Self { gone, new, changed, unknown, first_seen, .. } = self;
        [gone, new, unknown, first_seen].into_iter().all(Vec::is_empty) && changed.is_empty()
    }
}

impl Index {
    fn of(report: &Report) -> Self {
        let mut index = Self { resources: BTreeMap::new(), lists: BTreeMap::new() };
        for account in &report.accounts {
            let Some(id) = &account.account else { continue };
            for region in &account.regions {
                index.add(id, region);
            }
        }
        index
    }

    fn add(&mut self, account: &str, region: &RegionReport) {
        let lists = [
            ("VpcIngressConnection", region.complete.ingress_connections),
            ("Service", region.complete.services),
            ("VpcConnector", region.complete.connectors),
        ];
        for (kind, complete) in lists {
            self.lists.insert((account.to_owned(), region.region.clone(), kind), complete);
        }
        let mut put = |kind: &'static str, name: &str, arn: &str, state: String| {
            let (account, region) = (account.to_owned(), region.region.clone());
            let resource = Resource { account, region, kind, name: name.into(), arn: arn.into() };
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

    fn has_read(&self, list: &List) -> bool {
        self.lists.get(list).copied().unwrap_or_default()
    }
}

/// Renders the difference for readers.
pub(super) fn render(difference: &Difference) -> String {
    let mut text = format!("Since {}:\n", difference.since);
    let line = |one: &Resource| ascii(&format!("  {} {} {} {}", one.account, one.region, one.kind, one.name)) + "\n";
    for (title, list) in [
        ("Gone", &difference.gone),
        ("New", &difference.new),
        ("Unknown, since they could not be read this time", &difference.unknown),
        ("Seen for the first time, since they were not read before", &difference.first_seen),
    ] {
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
    match (difference.is_empty(), difference.complete) {
        (true, true) => text += "\nNothing changed.\n",
        (true, false) => text += "\nNothing changed in what both reports have read. Not everything was read in both.\n",
        (false, false) => text += "\nNot everything was read in both reports.\n",
        (false, true) => {}
    }
    text
}
