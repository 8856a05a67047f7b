//! The resources as the control API and [`Emulator`](crate::Emulator) show them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The resources of one account in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionView {
    /// Account, 12 digits.
    pub account: String,
    /// Region, as in an ARN.
    pub region: String,
    /// All connectors since the last reset, oldest first; also connectors that the API no longer describes.
    pub connectors: Vec<ConnectorView>,
    /// All services since the last reset, oldest first; also services that the API no longer describes.
    pub services: Vec<ServiceView>,
    /// All VPC ingress connections since the last reset, oldest first; also deleted ones.
    pub ingress_connections: Vec<IngressConnectionView>,
    /// All auto scaling configurations since the last reset, oldest first; also deleted ones. The first is the one that
    /// App Runner provides.
    pub auto_scaling_configurations: Vec<ConfigurationView>,
    /// All observability configurations since the last reset, oldest first; also deleted ones.
    pub observability_configurations: Vec<ConfigurationView>,
    /// All connections that are not deleted, oldest first.
    pub connections: Vec<ConnectionView>,
}

impl RegionView {
    /// Returns the tags of a resource.
    pub(crate) fn tags(self, arn: &str) -> Option<BTreeMap<String, String>> {
        let connectors = self.connectors.into_iter().map(|view| (view.arn, view.tags));
        let services = self.services.into_iter().map(|view| (view.arn, view.tags));
        let ingress_connections = self.ingress_connections.into_iter().map(|view| (view.arn, view.tags));
        let configurations = self.auto_scaling_configurations.into_iter().chain(self.observability_configurations);
        let configurations = configurations.map(|view| (view.arn, view.tags));
        let connections = self.connections.into_iter().map(|view| (view.arn, view.tags));
        let mut all = connectors.chain(services).chain(ingress_connections).chain(configurations).chain(connections);
        all.find(|(found, _)| found == arn).map(|(_, tags)| tags)
    }
}

/// A VPC connector. Source: App Runner API, `VpcConnector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorView {
    /// Full ARN.
    pub arn: String,
    /// Name in the create request.
    pub name: String,
    /// Revision, from 1.
    pub revision: u32,
    /// Subnet ids.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Current status, in the API model's spelling.
    pub status: ConnectorStatus,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the connector became INACTIVE; absent while it is ACTIVE.
    pub deleted_at: Option<Timestamp>,
    /// True if `DeleteVpcConnector` would answer that services use the connector.
    pub in_use: bool,
    /// Latest tags by key, also tags that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A service, as far as connectors depend on it. Source: App Runner API, `Service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Full ARN.
    pub arn: String,
    /// Name in the create request.
    pub name: String,
    /// Current status, in the API model's spelling.
    pub status: ServiceStatus,
    /// ARN of the connector for outgoing traffic, if the service has one.
    pub connector: Option<String>,
    /// ARN of the auto scaling configuration.
    pub auto_scaling_configuration: Option<String>,
    /// ARN of the observability configuration, if the service has one.
    pub observability_configuration: Option<String>,
    /// ARN of the connection to the provider of the source code, if the service has one.
    pub connection: Option<String>,
    /// Custom domains, in order of their association.
    pub custom_domains: Vec<CustomDomainView>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// Time of the deletion; absent unless the service is DELETED.
    pub deleted_at: Option<Timestamp>,
    /// Latest tags by key, also tags that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A custom domain of a service. Source: App Runner API, `CustomDomain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomDomainView {
    /// Name of the domain.
    pub domain: String,
    /// True if the association includes the subdomain `www`.
    pub enable_www: bool,
    /// Current status, in the API model's spelling.
    pub status: CustomDomainStatus,
}

/// A VPC ingress connection. Source: App Runner API, `VpcIngressConnection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressConnectionView {
    /// Full ARN.
    pub arn: String,
    /// Name in the create request.
    pub name: String,
    /// ARN of the service.
    pub service: String,
    /// Id of the VPC endpoint.
    pub vpc_endpoint: String,
    /// Current status, in the API model's spelling.
    pub status: IngressConnectionStatus,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the deletion; absent unless the connection is DELETED.
    pub deleted_at: Option<Timestamp>,
    /// Latest tags by key, also tags that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A revision of an auto scaling or observability configuration. Source: App Runner API, `AutoScalingConfiguration`,
/// `ObservabilityConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationView {
    /// Full ARN.
    pub arn: String,
    /// Name in the create request.
    pub name: String,
    /// Revision, from 1.
    pub revision: u32,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the deletion; absent while the configuration is ACTIVE.
    pub deleted_at: Option<Timestamp>,
    /// Latest tags by key, also tags that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A connection to a provider of source code. Source: App Runner API, `Connection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Full ARN.
    pub arn: String,
    /// Name in the create request.
    pub name: String,
    /// Current status, in the API model's spelling.
    pub status: ConnectionStatus,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Latest tags by key, also tags that `ListTagsForResource` does not show yet.
    pub tags: BTreeMap<String, String>,
}

/// A connector's status. Source: App Runner API, `VpcConnector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectorStatus {
    /// The connector is not deleted, or its eventual deletion has not ended.
    Active,
    /// The connector is deleted.
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

/// The status of a VPC ingress connection. Source: App Runner API, `VpcIngressConnection`.
#[expect(missing_docs, reason = "the model explains none of them further")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IngressConnectionStatus {
    Available,
    PendingCreation,
    PendingUpdate,
    PendingDeletion,
    FailedCreation,
    FailedUpdate,
    FailedDeletion,
    Deleted,
}

/// The status of a custom domain. Source: App Runner API, `CustomDomain`.
#[expect(missing_docs, reason = "the model explains none of them further")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CustomDomainStatus {
    Creating,
    CreateFailed,
    Active,
    Deleting,
    DeleteFailed,
    PendingCertificateDnsValidation,
    BindingCertificate,
}

/// The status of a connection. Source: App Runner API, `Connection`.
#[expect(missing_docs, reason = "the model explains none of them further")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionStatus {
    PendingHandshake,
    Available,
    Error,
    Deleted,
}
