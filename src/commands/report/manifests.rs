//! Manifests of `VpcConnector` objects for the connectors that no object manages, ready to be committed.
//!
//! The name of an object is that of its connector and region, so it does not depend on the regions that were read. If
//! several connectors would get the same name, or an object has that name already, all of them get a digest of their ARN
//! in addition.

use std::collections::{HashMap, HashSet};

use kube::Resource;
use serde::Serialize;

use super::model::{ConnectorReport, OwnerState, Report};
use super::objects::Object;
use super::rows::{blocker, owner};
use super::yaml;
use crate::api::{DeletionPolicy, VpcConnector};
use crate::core::accounts::Accounts;
use crate::core::arn::ConnectorArn;

/// Source: Kubernetes, RFC 1123 labels.
const LONGEST_NAME: usize = 63;
/// Services that a comment names at most.
const MAX_NAMED: usize = 5;
/// A longer region name is cut, to leave room for the name of the connector. No region of today has one.
const LONGEST_REGION: usize = 32;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: String,
    kind: String,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    arn: &'a str,
    deletion_policy: &'a DeletionPolicy,
}

/// The connectors that no listed object manages.
pub(super) struct Unmanaged<'a> {
    connectors: Vec<(&'a ConnectorReport, ConnectorArn)>,
    /// ACTIVE connectors whose ARN is missing or does not parse, so that no object can manage them.
    pub(super) skipped: usize,
}

impl<'a> Unmanaged<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let regions = report.accounts.iter().flat_map(|account| &account.regions);
        let all = regions.flat_map(|region| region.connectors.iter().flatten());
        let unmanaged =
            all.filter(|connector| connector.is_active() && connector.managed_by.as_ref().is_none_or(Vec::is_empty));
        let (mut connectors, mut skipped) = (Vec::new(), 0);
        for connector in unmanaged {
            match connector.arn.parse() {
                Ok(arn) => connectors.push((connector, arn)),
                Err(_) => skipped += 1,
            }
        }
        Self { connectors, skipped }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connectors.is_empty()
    }
}

/// Where the objects are to be created.
pub(super) struct Into<'a> {
    /// The objects that exist; none if they could not be listed.
    pub(super) objects: Option<&'a [Object]>,
    pub(super) namespace: Option<&'a str>,
    pub(super) deletion_policy: &'a DeletionPolicy,
    /// The accounts of the operator, if it has several.
    pub(super) accounts: Option<&'a Accounts>,
}

/// Renders an object for each connector.
pub(super) fn render(unmanaged: &Unmanaged<'_>, into: &Into<'_>) -> Result<String, serde_saphyr::ser_error::Error> {
    let Into { objects, namespace, deletion_policy, .. } = *into;
    // Manifests without a namespace may be applied to any.
    let in_namespace = objects
        .iter()
        .copied()
        .flatten()
        .filter(|object| namespace.is_none_or(|namespace| object.namespace == namespace));
    let taken = in_namespace.map(|object| object.name.as_str()).collect();
    let names = names(&unmanaged.connectors.iter().map(|(_, arn)| arn).collect::<Vec<_>>(), &taken);
    let mut manifests = Vec::new();
    for ((connector, arn), name) in unmanaged.connectors.iter().zip(&names) {
        let manifest = Manifest {
            api_version: VpcConnector::api_version(&()).into_owned(),
            kind: VpcConnector::kind(&()).into_owned(),
            metadata: Metadata { name, namespace },
            spec: Spec { arn: arn.as_str(), deletion_policy },
        };
        manifests.push(format!("{}{}", comments(into, connector, arn), yaml(&manifest)?));
    }
    Ok(manifests.join("---\n"))
}

fn comments(into: &Into<'_>, connector: &ConnectorReport, arn: &ConnectorArn) -> String {
    let why = match connector.owner.state {
        OwnerState::Object | OwnerState::Nobody => None,
        OwnerState::Unknown => Some("careful: its owner is not known"),
        OwnerState::Orphan => Some("its owner tag is of this cluster, and its object is gone"),
        OwnerState::AnotherCluster => Some("careful: it belongs to another owner, so this object cannot claim it"),
    };
    let owned = why.map(|why| format!("{why}: {}", owner(&connector.owner)));
    let unread = into
        .objects
        .is_none()
        .then(|| "careful: an object may manage it already; the cluster could not be read".into());
    let denied = into.accounts.zip(into.namespace).and_then(|(accounts, namespace)| accounts.denial(namespace, arn));
    let denied = denied.map(|why| format!("careful: {why}"));
    let comments = [Some(comment(connector, arn)), owned, unread, denied];
    comments.into_iter().flatten().fold(String::new(), |text, line| text + "# " + &line + "\n")
}

fn comment(connector: &ConnectorReport, arn: &ConnectorArn) -> String {
    let blockers: Vec<_> = connector.held_by.iter().flatten().map(blocker).collect();
    let place = format!("{} in {} of account {}", arn.name(), arn.region(), arn.account());
    let others = if connector.held_by_complete { "" } else { ", and perhaps by services that could not be read" };
    match (connector.held_by.is_some(), blockers.as_slice()) {
        (false, _) => format!("{place}: which services hold it could not be read"),
        (true, []) => format!("{place}: held by no service"),
        (true, blockers) if blockers.len() > MAX_NAMED => {
            let more = blockers.len() - MAX_NAMED;
            format!("{place}: held by {} and {more} more{others}", blockers[..MAX_NAMED].join(", "))
        }
        (true, blockers) => format!("{place}: held by {}{others}", blockers.join(", ")),
    }
}

/// A unique name for each connector, none of them taken.
pub(super) fn names(arns: &[&ConnectorArn], taken: &HashSet<&str>) -> Vec<String> {
    let short: Vec<_> = arns.iter().map(|arn| name(arn, false)).collect();
    let mut uses = HashMap::<&str, usize>::new();
    for name in &short {
        *uses.entry(name).or_default() += 1;
    }
    let conflicts = |name: &str| uses[name] > 1 || taken.contains(name);
    arns.iter().zip(&short).map(|(arn, short)| if conflicts(short) { name(arn, true) } else { short.clone() }).collect()
}

fn name(arn: &ConnectorArn, with_digest: bool) -> String {
    let region = arn.region().as_str();
    let region = region.get(..LONGEST_REGION).unwrap_or(region);
    let digest = if with_digest { format!("-{:016x}", digest(arn.as_str())) } else { String::new() };
    let suffix = format!("-{region}{digest}");
    let label: String = arn.name().to_ascii_lowercase().replace('_', "-");
    let room = LONGEST_NAME.saturating_sub(suffix.len());
    let label = label.get(..room.min(label.len())).unwrap_or_default();
    format!("{}{}", label.trim_end_matches('-'), suffix.trim_end_matches('-'))
}

/// Hash of an ARN, the same in all versions of the operator. Source: FNV-1a, 64 bits.
fn digest(arn: &str) -> u64 {
    arn.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
