//! `VpcConnector` objects for the connectors that no object manages, ready to be committed.
//!
//! A name is made of the connector's, and stays the same as long as the same connectors clash. Where two would have the
//! same, or an object has it already, all who would get it take what tells them apart behind it: the region, the revision,
//! the id.

use std::collections::{HashMap, HashSet};

use kube::Resource;
use serde::Serialize;

use super::found::{Found, Inventory};
use super::objects::Object;
use super::table::holder_in_words;
use super::yaml;
use crate::api::VpcConnector;
use crate::cli::Policy;
use crate::core::arn::ConnectorArn;

/// Source: Kubernetes, RFC 1123 labels.
const LONGEST_NAME: usize = 63;
/// No more services than this are named in a comment.
const NAMED: usize = 5;
/// No region has a longer name; one that had would leave no room.
const LONGEST_REGION: usize = 32;
/// As many characters of a connector's id tell it apart mostly.
const SHORT_ID: usize = 8;
/// The ways to make a name, from the shortest to the one that is surely nobody else's.
const WAYS: usize = 6;

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
    deletion_policy: Policy,
}

/// Writes an object for every ACTIVE connector that no object is known to manage.
pub fn rendered(
    inventory: &Inventory,
    objects: &[Object],
    namespace: Option<&str>,
    deletion_policy: Policy,
) -> Result<String, serde_saphyr::ser_error::Error> {
    let unmanaged: Vec<_> = unmanaged(inventory).collect();
    // Without a namespace they may go anywhere.
    let near = objects.iter().filter(|object| namespace.is_none_or(|namespace| object.namespace == namespace));
    let taken = near.map(|object| object.name.as_str()).collect();
    let names = names(&unmanaged.iter().map(|(_, arn)| arn).collect::<Vec<_>>(), &taken);
    let mut manifests = Vec::new();
    for ((found, arn), name) in unmanaged.iter().zip(&names) {
        let manifest = Manifest {
            api_version: VpcConnector::api_version(&()).into_owned(),
            kind: VpcConnector::kind(&()).into_owned(),
            metadata: Metadata { name, namespace },
            spec: Spec { arn: arn.as_str(), deletion_policy },
        };
        manifests.push(format!("# {}\n{}", comment(found, arn), yaml(&manifest)?));
    }
    Ok(manifests.join("---\n"))
}

/// What has no ARN to go by can't be managed.
fn unmanaged(inventory: &Inventory) -> impl Iterator<Item = (&Found, ConnectorArn)> {
    let all = inventory.regions.iter().flat_map(|region| &region.connectors);
    let unmanaged = all.filter(|found| found.is_active() && found.managed_by.as_ref().is_none_or(Vec::is_empty));
    unmanaged.filter_map(|found| Some((found, found.arn.parse().ok()?)))
}

fn comment(found: &Found, arn: &ConnectorArn) -> String {
    let holders: Vec<_> = found.held_by.iter().map(holder_in_words).collect();
    let (name, region) = (arn.name(), arn.region());
    match (holders.as_slice(), found.deletable) {
        ([], Some(_)) => format!("{name} in {region}: held by no service"),
        ([], None) => format!("{name} in {region}: which services hold it could not be read"),
        (holders, _) if holders.len() > NAMED => {
            let more = holders.len() - NAMED;
            format!("{name} in {region}: held by {} and {more} more", holders[..NAMED].join(", "))
        }
        (holders, _) => format!("{name} in {region}: held by {}", holders.join(", ")),
    }
}

/// A name for each, which no other of them has and none of the taken is.
pub(super) fn names(arns: &[&ConnectorArn], taken: &HashSet<&str>) -> Vec<String> {
    let mut ways = vec![0; arns.len()];
    loop {
        let names: Vec<_> = arns.iter().zip(&ways).map(|(arn, way)| name(arn, *way)).collect();
        let mut wanted = HashMap::<&str, usize>::new();
        for name in &names {
            *wanted.entry(name).or_default() += 1;
        }
        let clash = |n: usize| wanted[names[n].as_str()] > 1 || taken.contains(names[n].as_str());
        let clashing: Vec<_> = (0..arns.len()).filter(|n| ways[*n] + 1 < WAYS && clash(*n)).collect();
        if clashing.is_empty() {
            return names;
        }
        for n in clashing {
            ways[n] += 1;
        }
    }
}

fn name(arn: &ConnectorArn, way: usize) -> String {
    let region = arn.region().as_str();
    let region = region.get(..LONGEST_REGION).unwrap_or(region);
    let revision = format!("r{}", arn.revision());
    let id = arn.id().to_ascii_lowercase();
    let behind = match way {
        0 => String::new(),
        1 => format!("-{region}"),
        2 => format!("-{revision}"),
        3 => format!("-{region}-{revision}"),
        4 => format!("-{}", id.get(..SHORT_ID).unwrap_or(&id)),
        // An id may be longer than a name, and differ from another in case only.
        _ => format!("-{:016x}", digest(arn.as_str())),
    };
    let label: String = arn.name().to_ascii_lowercase().replace('_', "-");
    let room = LONGEST_NAME.saturating_sub(behind.len());
    let label = label.get(..room.min(label.len())).unwrap_or_default();
    format!("{}{}", label.trim_end_matches('-'), behind.trim_end_matches('-'))
}

/// The same number for the same ARN, today and in every later version. Source: FNV-1a, 64 bits.
fn digest(arn: &str) -> u64 {
    arn.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
