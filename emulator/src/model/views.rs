//! What there is, as the control API and [`Emulator`](crate::Emulator) show it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One account's holdings in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionView {
    /// Account, 12 digits.
    pub account: String,
    /// Region, as in an ARN.
    pub region: String,
    /// Every connector there ever was, oldest first; also those that the API no longer finds.
    pub connectors: Vec<ConnectorView>,
    /// Every service there ever was, oldest first; also those that the API no longer finds.
    pub services: Vec<ServiceView>,
}

/// A VPC connector. Source: App Runner API, `VpcConnector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorView {
    /// Full ARN.
    pub arn: String,
    /// The customer's name.
    pub name: String,
    /// Revision, from 1.
    pub revision: u32,
    /// Subnet ids.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// What `DescribeVpcConnector` would show now, in the API model's spelling.
    pub status: ConnectorStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it became INACTIVE.
    pub deleted_at: Option<Timestamp>,
    /// Whether `DeleteVpcConnector` would be refused because of a service.
    pub in_use: bool,
    /// Tags by key, also those that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A service, as far as connectors go. Source: App Runner API, `Service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Full ARN.
    pub arn: String,
    /// The customer's name.
    pub name: String,
    /// What `DescribeService` would show now, in the API model's spelling.
    pub status: ServiceStatus,
    /// The connector that its outgoing traffic takes, if it takes one.
    pub connector: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Tags by key, also those that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A connector's status. Source: App Runner API, `VpcConnector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectorStatus {
    /// Can be used.
    Active,
    /// Is deleted.
    Inactive,
}

/// A service's status. Source: App Runner API, `Service`.
#[expect(missing_docs, reason = "the model explains none of them further")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    CreateFailed,
    Running,
    Deleted,
    DeleteFailed,
    Paused,
    OperationInProgress,
}
