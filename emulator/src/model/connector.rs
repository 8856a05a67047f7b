//! A VPC connector.

use jiff::Timestamp;

use super::behaviors::Behaviors;
use super::clock::later;
use super::tags::{TagMap, Tags};
use super::views::ConnectorStatus;

/// A connector; the emulator keeps it until a reset, longer than the API shows it.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) seq: u64,
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) revision: u32,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) created_at: Timestamp,
    /// Time from which the connector is INACTIVE; in the future after an eventual deletion.
    pub(super) inactive_at: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// The request for a new connector.
pub(crate) struct NewConnector {
    pub(crate) name: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) tags: TagMap,
}

impl Connector {
    pub(crate) fn status(&self, now: Timestamp) -> ConnectorStatus {
        if self.deleted_at(now).is_some() { ConnectorStatus::Inactive } else { ConnectorStatus::Active }
    }

    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.status(now) == ConnectorStatus::Active
    }

    /// Returns the time at which the connector became INACTIVE, if that is in the past.
    pub(crate) fn deleted_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.inactive_at.filter(|at| *at <= now)
    }

    /// Returns false from the delete request on: a service can no longer start to use the connector.
    pub(super) fn is_usable(&self) -> bool {
        self.inactive_at.is_none()
    }

    /// Returns false once the API answers that the connector does not exist.
    pub(crate) fn is_describable(&self, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.inactive_at.is_none_or(|at| now < at || now < later(at, behaviors.inactive_connector_kept_ms))
    }

    /// Makes the connector INACTIVE from the given time on; an earlier deletion keeps its time.
    pub(crate) fn delete(&mut self, at: Timestamp) {
        self.inactive_at.get_or_insert(at);
    }
}
