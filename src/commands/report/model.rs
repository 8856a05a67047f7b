//! The report as it is written: the types of its JSON, in the order in which resources can be removed.
//!
//! One rule holds everywhere: `null` is unknown, and an empty list is a list that was read to its end and has no items.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `apiVersion` of the JSON. It changes when a member changes its meaning or disappears.
pub(super) const API_VERSION: &str = "report.apprunner-operator.dev/v1";
/// `kind` of the JSON.
pub(super) const KIND: &str = "AppRunnerReport";
/// ACTIVE connectors of an account in a region, unless AWS raised it. Source: AWS General Reference, App Runner quotas.
pub(super) const DEFAULT_QUOTA: usize = 10;

/// Everything of App Runner that remains in some accounts and regions.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) api_version: String,
    pub(super) kind: String,
    #[schemars(with = "String")]
    pub(super) generated_at: Timestamp,
    /// The version of apprunner-operator that made the report.
    pub(super) operator_version: String,
    pub(super) cluster: Cluster,
    /// Sorted by account.
    pub(super) accounts: Vec<AccountReport>,
    pub(super) summary: Summary,
}

/// The cluster whose objects manage connectors.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    /// The objects were listed; otherwise the managers of all connectors are unknown.
    pub(super) read: bool,
    /// The name of the cluster in owner tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Why the objects or the id could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// One AWS account.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountReport {
    /// The account; null if it could not be found out.
    pub(super) account: Option<String>,
    pub(super) credentials: Credentials,
    /// Why nothing of the account could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
    /// Sorted by name.
    pub(super) regions: Vec<RegionReport>,
}

/// The credentials that an account was read with.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Credentials {
    /// Those that the AWS SDKs find.
    Current,
    /// Those of a profile of the AWS configuration.
    Profile(String),
    /// Those of a role, by its ARN.
    Role(String),
}

/// One region of an account.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegionReport {
    pub(super) region: String,
    pub(super) state: State,
    /// Null unless all connectors were listed.
    pub(super) quota: Option<Quota>,
    /// The VPC ingress connections, which hold services; sorted by name.
    pub(super) ingress_connections: Option<Vec<IngressReport>>,
    /// The services, which hold connectors; sorted by name.
    pub(super) services: Option<Vec<ServiceReport>>,
    /// The VPC connectors, sorted by name and revision.
    pub(super) connectors: Option<Vec<ConnectorReport>>,
    pub(super) unused: Unused,
    pub(super) complete: Complete,
    /// The calls that failed.
    pub(super) problems: Vec<Problem>,
}

/// The lists that were read to their end. Another list may lack items, also if it has some.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Complete {
    pub(super) ingress_connections: bool,
    pub(super) services: bool,
    pub(super) connectors: bool,
}

/// The completeness of a region.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Everything was read.
    Read,
    /// Some calls failed.
    PartlyRead,
    /// No list could be read.
    NotRead,
    /// The account is not subscribed to App Runner in the region.
    NotSubscribed,
}

/// Use of the quota of connectors.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quota {
    /// ACTIVE connectors.
    pub(super) used: usize,
    /// AWS's default. The App Runner API does not report a raised quota.
    pub(super) aws_default: usize,
}

/// A VPC ingress connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct IngressReport {
    /// `VpcIngressConnectionArn`
    pub(super) arn: String,
    /// `VpcIngressConnectionName`
    pub(super) name: Option<String>,
    /// App Runner's word.
    pub(super) status: Option<String>,
    /// The ARN of the service that it holds.
    pub(super) service: Option<String>,
}

/// A service.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceReport {
    /// `ServiceArn`
    pub(super) arn: String,
    /// `ServiceName`
    pub(super) name: String,
    /// App Runner's word.
    pub(super) status: String,
    /// The ARN of the connector that it uses, or none; null if the service could not be described.
    pub(super) connectors: Option<Vec<String>>,
    /// The ARNs of the VPC ingress connections that hold it; null if none is known and not all of them could be read.
    pub(super) ingress_connections: Option<Vec<String>>,
    /// Its custom domains.
    pub(super) custom_domains: Option<Vec<String>>,
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated_at: Option<Timestamp>,
}

/// A VPC connector, and the facts that its deletion depends on.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectorReport {
    /// `VpcConnectorArn`
    pub(super) arn: String,
    /// `VpcConnectorName`
    pub(super) name: String,
    /// `VpcConnectorRevision`
    pub(super) revision: Option<i32>,
    /// App Runner's word.
    pub(super) status: String,
    /// True for an ACTIVE connector that no service uses, false for an INACTIVE or a used one; null if that is unknown.
    pub(super) deletable: Option<bool>,
    /// The owner that the connector's tag names.
    pub(super) owner: Owner,
    /// The objects that name the connector, those that claimed it first; null if the objects could not be listed.
    pub(super) managed_by: Option<Vec<ManagedBy>>,
    /// The services whose outgoing traffic goes through the connector, sorted by name; null if none is known and not all
    /// services could be read.
    pub(super) held_by: Option<Vec<Blocker>>,
    /// False if not all services could be read, so that `heldBy` may lack some.
    pub(super) held_by_complete: bool,
    /// `Subnets`
    pub(super) subnets: Vec<String>,
    /// `SecurityGroups`
    pub(super) security_groups: Vec<String>,
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<Timestamp>,
}

/// The owner of a connector.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    pub(super) state: OwnerState,
    /// The value of the owner tag: `CLUSTER/NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
}

/// The meaning of an owner tag.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// An object of this cluster, which exists and names the connector.
    Object,
    /// This cluster, and an object that does not exist or names another connector.
    Orphan,
    AnotherCluster,
    /// There is no owner tag.
    Nobody,
    /// The tags, the cluster's id or its objects could not be read.
    Unknown,
}

/// An object that names the connector.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedBy {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The object has claimed the connector; otherwise only its spec names it.
    pub(super) claimed: bool,
    /// The reason of its Ready condition.
    pub(super) reason: Option<String>,
    /// The policy in force: `spec.deletionPolicy`, or the recorded default of an object without one
    pub(super) deletion_policy: Option<String>,
    /// It has a deletionTimestamp.
    pub(super) deleting: bool,
}

/// A service that uses the connector and keeps it from being deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blocker {
    /// `ServiceName`
    pub(super) name: String,
    /// App Runner's word.
    pub(super) status: String,
    /// `ServiceArn`
    pub(super) arn: String,
}

/// What no service uses, and what is left over without services.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unused {
    pub(super) auto_scaling_configurations: Option<Vec<UnusedReport>>,
    /// Connections to providers of source code.
    pub(super) source_connections: Option<Vec<UnusedReport>>,
    pub(super) observability_configurations: Option<Vec<UnusedReport>>,
}

/// One resource that no service uses.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnusedReport {
    pub(super) name: String,
    pub(super) arn: String,
}

/// A failed call.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    pub(super) operation: String,
    /// AWS's code, or the operator's word if AWS did not answer.
    pub(super) code: String,
    /// The cause, and AWS's message.
    pub(super) message: String,
    /// The IAM action that the policy does not allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing_action: Option<String>,
    /// The request id, which AWS support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

/// Numbers over all accounts and regions, of what could be read.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) accounts: usize,
    /// The regions of all accounts, without those that an account is not subscribed to.
    pub(super) regions: usize,
    pub(super) ingress_connections: usize,
    pub(super) services: usize,
    /// The connectors that are not deleted.
    pub(super) connectors: usize,
    pub(super) deletable: usize,
    pub(super) held: usize,
    pub(super) orphans: usize,
    /// Everything was read.
    pub(super) complete: bool,
}
