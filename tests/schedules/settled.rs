//! The state that each object reaches once nothing disturbs the operator, derived from the object's spec and annotations
//! and from the emulator, not from the operator's word.

use std::time::Duration;

use apprunner_emulator::{ConnectorStatus, ConnectorView, ServiceStatus};
use apprunner_operator::api::{self, DeletionPolicy, VpcConnector};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::invariants::has_receipt;
use crate::run::{CLUSTER, Run, owner_tag};
use crate::support::OTHER;

/// Longest time until all objects are settled. The longest wait of the operator, 10 minutes, takes 15 s here, and a call
/// that was not answered another 10 s.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// The settled state of an object.
#[derive(Debug, PartialEq)]
enum Expected {
    Gone,
    Paused,
    /// The Ready condition has one of these reasons, and its message has all of these words.
    Ready(&'static [&'static str], Vec<String>),
}

impl Run {
    /// Waits until every object is settled; returns the objects that are not.
    pub async fn until_settled(&self) -> Result<(), Vec<String>> {
        let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            let all = self.objects.list(&ListParams::default()).await.unwrap().items;
            let unsettled: Vec<_> = all.iter().filter_map(|object| self.unsettled(object, &all)).collect();
            if unsettled.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(unsettled);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no object is left.
    pub async fn until_all_are_gone(&self) -> Result<(), Vec<String>> {
        let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            let all = self.objects.list(&ListParams::default()).await.unwrap().items;
            if all.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(all
                    .iter()
                    .map(|object| format!("{} is left: {:?}", object.name_any(), object.status))
                    .collect());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn unsettled(&self, object: &VpcConnector, all: &[VpcConnector]) -> Option<String> {
        let expected = self.expected(object, all);
        let status = object.status.clone().unwrap_or_default();
        let ready = status.condition(api::condition::READY);
        let matches = match &expected {
            Expected::Gone => false,
            Expected::Paused => ready.is_some() && status.condition(api::condition::PAUSED).is_some(),
            Expected::Ready(reasons, words) => ready.is_some_and(|ready| {
                reasons.contains(&ready.reason.as_str())
                    && words.iter().all(|word| ready.message.contains(word))
                    && (ready.status == "True") == (ready.reason == "Available")
                    && self.blockers_are_right(object)
                    && object.finalizer_index().is_some()
                    && status.observed_generation == object.metadata.generation
                    && (ready.reason != "Available" || status.arn.as_deref() == Some(object.spec.arn.as_str()))
                    && (ready.reason != "OwnedByAnother" || status.arn.is_none())
            }),
        };
        let found = ready.map(|ready| (&ready.reason, &ready.message));
        let connector = self.emulator().connector(&object.spec.arn);
        (!matches).then(|| format!("{}: expected {expected:?}, found {found:?}; {connector:?}", object.name_any()))
    }

    fn expected(&self, object: &VpcConnector, all: &[VpcConnector]) -> Expected {
        let has_receipt = has_receipt(object);
        let ready = |reasons, words: &[&str]| Expected::Ready(reasons, words.iter().map(|&word| word.into()).collect());
        let paused = object.held_by(api::PAUSED).is_some();
        let connector = self.emulator().connector(&object.spec.arn);
        let connector = connector.filter(|connector| connector.status == ConnectorStatus::Active);
        let foreign_tag = connector.as_ref().and_then(|connector| foreign_tag(object, connector, all));
        let other_account = object.spec.arn.contains(OTHER.2);
        if object.deleting() {
            return match connector {
                _ if object.finalizer_index().is_none() => Expected::Gone,
                _ if object.spec.deletion_policy == Some(DeletionPolicy::Retain) => Expected::Gone,
                _ if paused => Expected::Paused,
                _ if has_receipt => Expected::Gone,
                _ if object.held_by(api::PROTECTED).is_some() => ready(&["Protected"], &[api::PROTECTED]),
                _ if other_account => ready(&["WrongAccount"], &[OTHER.2]),
                // A connector may be "in use" without a service for a moment, and is deleted after it.
                Some(connector) if foreign_tag.is_none() && !self.blockers(&connector.arn).is_empty() => {
                    Expected::Ready(&["InUse"], self.blockers(&connector.arn))
                }
                _ => Expected::Gone,
            };
        }
        match (connector, foreign_tag) {
            _ if paused => Expected::Paused,
            _ if other_account => ready(&["WrongAccount"], &[OTHER.2]),
            (None, _) => ready(&["NotFound", "Inactive", "Gone"], &[]),
            (Some(_), Some(tag)) => ready(&["OwnedByAnother"], &[&tag]),
            (Some(_), None) => ready(&["Available"], &[]),
        }
    }

    /// The names of the services that use a connector.
    fn blockers(&self, arn: &str) -> Vec<String> {
        let services = self.emulator().state().into_iter().flat_map(|region| region.services);
        let users = services.filter(|s| s.connector.as_deref() == Some(arn) && s.status != ServiceStatus::Deleted);
        let mut names: Vec<_> = users.map(|service| service.name).collect();
        names.sort();
        names
    }

    /// True if the status names exactly the services that block the deletion of a held object.
    fn blockers_are_right(&self, object: &VpcConnector) -> bool {
        let status = object.status.clone().unwrap_or_default();
        let mut named: Vec<_> = status.blocked_by.iter().map(|service| service.name.clone()).collect();
        named.sort();
        let held = object.deleting() && status.ready_reason() == Some("InUse");
        if held { named == self.blockers(&object.spec.arn) } else { named.is_empty() }
    }
}

/// The owner tag of a connector, if it names another owner than this object.
fn foreign_tag(object: &VpcConnector, connector: &ConnectorView, all: &[VpcConnector]) -> Option<String> {
    let tag = connector.tags.get(api::OWNER_TAG)?;
    let namespace = object.namespace()?;
    let names = |other: &&VpcConnector| *tag == owner_tag(&namespace, &other.name_any());
    let foreign = match all.iter().find(names) {
        Some(other) => other.uid() != object.uid() && other.spec.arn == object.spec.arn,
        // The tag of an object that is gone counts for nothing.
        None => !tag.starts_with(&format!("{CLUSTER}/{namespace}/")),
    };
    foreign.then(|| tag.clone())
}
