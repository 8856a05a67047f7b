//! Manifests of `VpcConnector` objects for the connectors that no object manages, ready to be committed.
//!
//! The name of an object is made from the name of its connector. If several connectors would get the same name, or an
//! object has that name already, all of them get a suffix that distinguishes them: the region, the revision, or the id. A
//! name stays the same as long as the same connectors conflict.

use std::collections::{HashMap, HashSet};

use kube::Resource;
use serde::Serialize;

use super::inventory::{ConnectorReport, Inventory};
use super::objects::Object;
use super::table::blocker_text;
use super::yaml;
use crate::api::{DeletionPolicy, VpcConnector};
use crate::core::arn::ConnectorArn;

/// Source: Kubernetes, RFC 1123 labels.
const LONGEST_NAME: usize = 63;
/// Services that a comment names at most.
const MAX_NAMED: usize = 5;
/// A longer region name is cut, to leave room for the name of the connector. No region of today has one.
const LONGEST_REGION: usize = 32;
/// Characters of a connector's id in a suffix; so many usually distinguish two ids.
const SHORT_ID: usize = 8;
/// Number of schemes to make a name, from the shortest name to a name that contains a digest of the whole ARN.
const NAMING_SCHEMES: usize = 6;

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

/// Renders an object for each ACTIVE connector that no listed object manages.
pub(super) fn render(
    inventory: &Inventory,
    objects: &[Object],
    namespace: Option<&str>,
    deletion_policy: &DeletionPolicy,
) -> Result<String, serde_saphyr::ser_error::Error> {
    let unmanaged: Vec<_> = unmanaged(inventory).collect();
    // Manifests without a namespace may be applied to any.
    let in_namespace = objects.iter().filter(|object| namespace.is_none_or(|namespace| object.namespace == namespace));
    let taken = in_namespace.map(|object| object.name.as_str()).collect();
    let names = names(&unmanaged.iter().map(|(_, arn)| arn).collect::<Vec<_>>(), &taken);
    let mut manifests = Vec::new();
    for ((connector, arn), name) in unmanaged.iter().zip(&names) {
        let manifest = Manifest {
            api_version: VpcConnector::api_version(&()).into_owned(),
            kind: VpcConnector::kind(&()).into_owned(),
            metadata: Metadata { name, namespace },
            spec: Spec { arn: arn.as_str(), deletion_policy },
        };
        manifests.push(format!("# {}\n{}", comment(connector, arn), yaml(&manifest)?));
    }
    Ok(manifests.join("---\n"))
}

/// The ACTIVE connectors without an object. An object cannot manage a connector whose ARN is missing or does not parse.
fn unmanaged(inventory: &Inventory) -> impl Iterator<Item = (&ConnectorReport, ConnectorArn)> {
    let all = inventory.regions.iter().flat_map(|region| &region.connectors);
    let unmanaged =
        all.filter(|connector| connector.is_active() && connector.managed_by.as_ref().is_none_or(Vec::is_empty));
    unmanaged.filter_map(|connector| Some((connector, connector.arn.parse().ok()?)))
}

fn comment(connector: &ConnectorReport, arn: &ConnectorArn) -> String {
    let blockers: Vec<_> = connector.blocked_by.iter().map(blocker_text).collect();
    let (name, region) = (arn.name(), arn.region());
    match (blockers.as_slice(), connector.deletable) {
        ([], Some(_)) => format!("{name} in {region}: held by no service"),
        ([], None) => format!("{name} in {region}: which services hold it could not be read"),
        (blockers, _) if blockers.len() > MAX_NAMED => {
            let more = blockers.len() - MAX_NAMED;
            format!("{name} in {region}: held by {} and {more} more", blockers[..MAX_NAMED].join(", "))
        }
        (blockers, _) => format!("{name} in {region}: held by {}", blockers.join(", ")),
    }
}

/// A unique name for each connector, none of them taken.
pub(super) fn names(arns: &[&ConnectorArn], taken: &HashSet<&str>) -> Vec<String> {
    let mut schemes = vec![0; arns.len()];
    loop {
        let names: Vec<_> = arns.iter().zip(&schemes).map(|(arn, scheme)| name(arn, *scheme)).collect();
        let mut uses = HashMap::<&str, usize>::new();
        for name in &names {
            *uses.entry(name).or_default() += 1;
        }
        let conflicts = |n: usize| uses[names[n].as_str()] > 1 || taken.contains(names[n].as_str());
        let conflicting: Vec<_> =
            (0..arns.len()).filter(|n| schemes[*n] + 1 < NAMING_SCHEMES && conflicts(*n)).collect();
        if conflicting.is_empty() {
            return names;
        }
        for n in conflicting {
            schemes[n] += 1;
        }
    }
}

fn name(arn: &ConnectorArn, scheme: usize) -> String {
    let region = arn.region().as_str();
    let region = region.get(..LONGEST_REGION).unwrap_or(region);
    let revision = format!("r{}", arn.revision());
    let id = arn.id().to_ascii_lowercase();
    let suffix = match scheme {
        0 => String::new(),
        1 => format!("-{region}"),
        2 => format!("-{revision}"),
        3 => format!("-{region}-{revision}"),
        4 => format!("-{}", id.get(..SHORT_ID).unwrap_or(&id)),
        // An id may be longer than a name, and may differ from another id in case only.
        _ => format!("-{:016x}", digest(arn.as_str())),
    };
    let label: String = arn.name().to_ascii_lowercase().replace('_', "-");
    let room = LONGEST_NAME.saturating_sub(suffix.len());
    let label = label.get(..room.min(label.len())).unwrap_or_default();
    format!("{}{}", label.trim_end_matches('-'), suffix.trim_end_matches('-'))
}

/// Hash of an ARN, the same in all versions of the operator. Source: FNV-1a, 64 bits.
fn digest(arn: &str) -> u64 {
    arn.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
