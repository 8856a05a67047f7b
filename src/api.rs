//! The `VpcConnector` resource of the Kubernetes API.
//!
//! Everything that users write or read is here and nowhere else: the spec, the status, the rules the API server checks,
//! the columns, and the names (reasons, annotations, the finalizer) that runbooks and other tools match on.
//!
//! Two rules keep objects deletable for ever. Validation is on `spec` or below, where the API server ratchets it (a write
//! of the status only from Kubernetes 1.33): a rule at the root also runs on status and finalizer patches, so the operator
//! could never release a stored object that breaks it. And everything in `status`, and every enum, parses leniently: this
//! operator must be able to read an object that an older or newer operator wrote.

#![allow(unreachable_pub, reason = "kube's derive repeats the visibility of the spec inside a function")]

mod schema;

use clap::ValueEnum;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use schema::json_schema;

/// The API group; annotations, the finalizer and the owner tag in AWS start with it.
pub const GROUP: &str = "apprunner-operator.dev";
/// The finalizer holds an object until a proof shows that its connector is deleted or has another owner.
pub const FINALIZER: &str = "apprunner-operator.dev/finalizer";
/// Annotation: stops every AWS call and finalizer change while it is `"true"`, or any value but `"false"` and `""`.
pub const PAUSED: &str = "apprunner-operator.dev/paused";
/// Annotation: holds a deletion while it is `"true"`, or any value but `"false"` and `""`.
pub const PROTECTED: &str = "apprunner-operator.dev/protected";
/// Annotation: requests an attempt at once when its value changes; `status.lastHandledReconcileAt` shows the last one.
pub const RECONCILE_REQUESTED_AT: &str = "apprunner-operator.dev/reconcile-requested-at";
/// Annotation of a namespace: the deletion policy of its objects that have none in their spec.
pub const DEFAULT_DELETION_POLICY: &str = "apprunner-operator.dev/default-deletion-policy";
/// The tag on the connector in AWS that names the owning object.
pub const OWNER_TAG: &str = "apprunner-operator.dev/owner";

/// Condition types, as `kubectl wait --for=condition=…` takes them.
pub mod condition {
    /// True while the connector is claimed and was last seen ACTIVE. Follows kstatus.
    pub const READY: &str = "Ready";
    /// True only while the operator works towards Ready; absent otherwise. Follows kstatus.
    pub const RECONCILING: &str = "Reconciling";
    /// True only while the object needs a user's action; absent otherwise.
    pub const STALLED: &str = "Stalled";
    /// True only while the object is paused; absent otherwise.
    pub const PAUSED: &str = "Paused";
}

/// Represents one VPC connector in AWS App Runner; deleting the object deletes the connector.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "apprunner-operator.dev",
    version = "v1alpha1",
    kind = "VpcConnector",
    plural = "vpcconnectors",
    shortname = "vpcc",
    category = "aws",
    category = "apprunner",
    namespaced,
    status = "VpcConnectorStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "VpcConnector represents one VPC connector in AWS App Runner. Deleting the object deletes the connector.",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("metadata.name is at most 63 characters: it is part of the owner tag on the connector"),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"AWS Status","type":"string","description":"App Runner's status of the connector: ACTIVE or INACTIVE","jsonPath":".status.status"}"#,
    printcolumn = r#"{"name":"Policy","type":"string","description":"Delete: the connector is deleted with the object; Retain: it stays","jsonPath":".status.deletionPolicy"}"#,
    printcolumn = r#"{"name":"Blocked By","type":"string","description":"The App Runner services that block the deletion","jsonPath":".status.blockedBySummary"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Deleting","type":"date","priority":1,"description":"Time since the deletion of the object was requested","jsonPath":".metadata.deletionTimestamp"}"#,
    printcolumn = r#"{"name":"Account","type":"string","priority":1,"jsonPath":".status.account"}"#,
    printcolumn = r#"{"name":"Region","type":"string","priority":1,"jsonPath":".status.region"}"#,
    printcolumn = r#"{"name":"ARN","type":"string","priority":1,"jsonPath":".spec.arn"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name":"Deleted","type":"string","priority":1,"description":"DeletedAt of App Runner's reply","jsonPath":".status.deletedAt"}"#
)]
#[x_kube(validation = Rule::new("self.arn == oldSelf.arn").message(
    "spec.arn is immutable: a VpcConnector represents one connector. To release the connector without deleting it, set \
     spec.deletionPolicy to Retain and delete the object; to claim another connector, create another VpcConnector"
))]
#[serde(rename_all = "camelCase")]
pub struct VpcConnectorSpec {
    /// The full ARN of an existing connector, including its revision and id:
    /// arn:aws:apprunner:REGION:ACCOUNT:vpcconnector/NAME/REVISION/ID. Immutable.
    #[serde(default)]
    #[schemars(!default, schema_with = "arn_schema")]
    pub arn: String,
    /// The effect of deleting this object. Delete: the operator deletes the connector in AWS. Retain: only the object is
    /// deleted, and the connector stays in AWS. May be changed at any time, also while the object is being deleted.
    /// Without it, status.deletionPolicy records the default of the namespace or of the operator when the object is adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "policy_schema")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// The effect of deleting the object on the connector.
#[derive(Serialize, Deserialize, ValueEnum, Clone, Debug, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum DeletionPolicy {
    /// The operator deletes the connector in AWS.
    Delete,
    /// The connector stays in AWS.
    Retain,
    /// A value that this version does not know; the operator deletes and releases nothing for it.
    #[serde(untagged)]
    #[value(skip)]
    Other(Box<str>),
}

impl DeletionPolicy {
    /// The word of the spec.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
            Self::Other(word) => word,
        }
    }
}

fn policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Delete", "Retain"]})
}

fn arn_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1011,
        "pattern": r"^arn:aws[a-z-]*:apprunner:[a-z0-9-]{1,63}:[0-9]{12}:vpcconnector/[A-Za-z0-9][A-Za-z0-9_-]{3,39}/[0-9]{1,9}/[A-Za-z0-9-]{1,64}$",
    })
}

/// The operator's knowledge of the connector, and the wait of the object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcConnectorStatus {
    /// The metadata.generation that the operator made this status from; -1 before the first reconcile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The one connector this object may ever delete; written only after the operator has established ownership.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<Box<str>>,
    /// The deletion policy in force: that of the spec, or the default when the object was adopted. A default that changes
    /// later does not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// The AWS account of the ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Box<str>>,
    /// The AWS region of the ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Box<str>>,
    /// `VpcConnectorName` of App Runner's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// `VpcConnectorRevision` of App Runner's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// The ids of the subnets that App Runner attaches services to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// The ids of the security groups that App Runner attaches services to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// App Runner's status of the connector: ACTIVE, or INACTIVE once it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub status: Option<ConnectorStatus>,
    /// The connector's creation time in App Runner's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// The connector's deletion time in App Runner's reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    /// The App Runner services that send their outgoing traffic through the connector and so block its deletion: sorted
    /// by ARN, and at most 20 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "readable_list")]
    pub blocked_by: Vec<BlockingService>,
    /// The number of blocking services, which may exceed 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by_count: Option<i32>,
    /// A short text with the first two blocking services: "jobs, web +3".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by_summary: Option<Box<str>>,
    /// Failed attempts since the last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The latest time of the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The last attempt that failed; absent after a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Box<LastError>>,
    /// The last value of the reconcile-requested-at annotation that the operator acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<Box<str>>,
    /// Ready always; Reconciling while the operator works towards it; Stalled while the object needs a user's action;
    /// Paused while paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "readable_list")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Skips entries of another version that this one can't read, so that the object still parses.
fn readable_list<'de, T: serde::de::DeserializeOwned, D: serde::Deserializer<'de>>(
    stored: D,
) -> Result<Vec<T>, D::Error> {
    let stored = Vec::<Box<RawValue>>::deserialize(stored)?;
    Ok(stored.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect())
}

/// An App Runner service that blocks the connector's deletion.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockingService {
    /// `ServiceArn` of App Runner's reply.
    pub arn: String,
    /// `ServiceName` of App Runner's reply.
    pub name: String,
    /// App Runner's status of the service: RUNNING, PAUSED, `OPERATION_IN_PROGRESS`, `CREATE_FAILED` or
    /// `DELETE_FAILED`.
    pub status: String,
}

/// The last attempt that failed, in AWS's own words.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct LastError {
    /// The operation of the App Runner or STS API.
    pub operation: String,
    /// AWS's error code, or the operator's own code if AWS did not answer.
    pub code: String,
    /// AWS's message, cut to 700 characters.
    pub message: String,
    /// The request id, for AWS Support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The status of a connector: App Runner's word, and its meaning. An unknown word is kept and means nothing.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct ConnectorStatus(Box<str>);

/// The meaning of a connector's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorState {
    /// It can be used.
    Active,
    /// It was deleted.
    Inactive,
    /// The word is not in the API's model; it proves nothing.
    Unknown,
}

impl ConnectorStatus {
    /// App Runner's word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The meaning of the word, in any case.
    pub fn state(&self) -> ConnectorState {
        match self.as_str() {
            word if word.eq_ignore_ascii_case("ACTIVE") => ConnectorState::Active,
            word if word.eq_ignore_ascii_case("INACTIVE") => ConnectorState::Inactive,
            _ => ConnectorState::Unknown,
        }
    }
}

impl From<&str> for ConnectorStatus {
    fn from(word: &str) -> Self {
        Self(word.into())
    }
}

impl std::ops::Deref for ConnectorStatus {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// The uid of an object. The API server gives every object one. Maps have it as their key, so it takes little memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(UidForm);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum UidForm {
    Uuid(Uuid),
    Other(Box<str>),
}

impl Default for Uid {
    fn default() -> Self {
        Self::from("")
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            UidForm::Uuid(uuid) => uuid.hyphenated().fmt(f),
            UidForm::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        // A UUID can be written in several ways; two texts that differ are two uids.
        let same = |uuid: &Uuid| uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
        let uuid = Uuid::try_parse(text).ok().filter(same);
        Self(uuid.map_or_else(|| UidForm::Other(text.into()), UidForm::Uuid))
    }
}

impl From<&Self> for Uid {
    fn from(uid: &Self) -> Self {
        uid.clone()
    }
}

impl From<Option<String>> for Uid {
    fn from(uid: Option<String>) -> Self {
        Self::from(uid.as_deref().unwrap_or_default())
    }
}

/// The reason of a Ready condition or of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The connector is claimed and ACTIVE.
    Available,
    /// The operator is describing and claiming the connector.
    Adopting,
    /// App Runner accepted the deletion and has not reported it done yet.
    Deleting,
    /// App Runner reported the connector INACTIVE; the status is the receipt.
    Deleted,
    /// At the delete, App Runner no longer knew the connector.
    AlreadyGone,
    /// App Runner refuses to delete the connector while a service uses it.
    InUse,
    /// The protected annotation holds the deletion.
    Protected,
    /// The operator released the object and left the connector in AWS.
    Retained,
    /// No connector of this ARN exists.
    NotFound,
    /// The connector was deleted before this object claimed it.
    Inactive,
    /// Another user or tool deleted the claimed connector.
    Gone,
    /// The owner tag names another object or another cluster.
    OwnedByAnother,
    /// The credentials belong to another account than the ARN, or the operator does not serve the region.
    WrongAccount,
    /// IAM does not allow the call.
    AccessDenied,
    /// AWS does not accept the credentials, or there are none.
    CredentialsRejected,
    /// The account is not subscribed to App Runner.
    SubscriptionRequired,
    /// App Runner refused the request for a reason of its own, or the operator cannot act on the object.
    InvalidRequest,
    /// AWS throttles the calls.
    Throttled,
    /// App Runner answered with an internal failure.
    ServiceError,
    /// AWS did not answer.
    Unreachable,
    /// The certificate of the answering server is not trusted, or the trusted certificates cannot be read.
    UntrustedCertificate,
    /// AWS's answer proves nothing.
    Unproven,
    /// The API server refuses a write to the object.
    WriteRefused,
}

impl Reason {
    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Adopting => "Adopting",
            Self::Deleting => "Deleting",
            Self::Deleted => "Deleted",
            Self::AlreadyGone => "AlreadyGone",
            Self::InUse => "InUse",
            Self::Protected => "Protected",
            Self::Retained => "Retained",
            Self::NotFound => "NotFound",
            Self::Inactive => "Inactive",
            Self::Gone => "Gone",
            Self::OwnedByAnother => "OwnedByAnother",
            Self::WrongAccount => "WrongAccount",
            Self::AccessDenied => "AccessDenied",
            Self::CredentialsRejected => "CredentialsRejected",
            Self::SubscriptionRequired => "SubscriptionRequired",
            Self::InvalidRequest => "InvalidRequest",
            Self::Throttled => "Throttled",
            Self::ServiceError => "ServiceError",
            Self::Unreachable => "Unreachable",
            Self::UntrustedCertificate => "UntrustedCertificate",
            Self::Unproven => "Unproven",
            Self::WriteRefused => "WriteRefused",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl VpcConnectorStatus {
    /// Returns the condition of this type, if there is one.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }

    /// Returns the reason of the Ready condition, if there is one.
    pub fn ready_reason(&self) -> Option<&str> {
        self.condition(condition::READY).map(|c| c.reason.as_str())
    }

    /// Returns true if the Ready condition has this reason.
    pub fn says(&self, reason: Reason) -> bool {
        self.ready_reason() == Some(reason.as_str())
    }

    /// Returns true if App Runner's status of the connector in it is INACTIVE, in any case.
    pub(crate) fn says_inactive(&self) -> bool {
        self.status.as_ref().map(ConnectorStatus::state) == Some(ConnectorState::Inactive)
    }

    /// Sets a condition, keeping the time of its last transition while its status stays the same.
    pub(crate) fn set_condition(&mut self, mut new: Condition) {
        match self.conditions.iter_mut().find(|c| c.type_ == new.type_) {
            Some(old) => {
                if old.status == new.status {
                    new.last_transition_time = old.last_transition_time.clone();
                }
                *old = new;
            }
            None => self.conditions.push(new),
        }
    }

    /// Removes a condition; an ended condition is absent, not False.
    pub(crate) fn clear_condition(&mut self, type_: &str) {
        self.conditions.retain(|c| c.type_ != type_);
    }
}

impl VpcConnector {
    /// Returns the value of an annotation, if it exists.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Returns the value of an annotation that holds the object: any but the empty one and `"false"`, in any case. An
    /// unknown value holds as well, because the user who wrote it meant to set the annotation.
    pub fn held_by(&self, key: &str) -> Option<&str> {
        self.annotation(key).filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("false"))
    }

    /// Returns the index of our finalizer, if the object has it.
    pub fn finalizer_index(&self) -> Option<usize> {
        self.metadata.finalizers.as_ref()?.iter().position(|f| f == FINALIZER)
    }

    /// Its uid.
    pub fn id(&self) -> Uid {
        Uid::from(self.metadata.uid.as_deref().unwrap_or_default())
    }

    /// True if it has a deletionTimestamp.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// The `CustomResourceDefinition`.
///
/// A default gives an object a status with the generation -1 before its first reconcile: without a status, tools that
/// follow kstatus would treat the object as finished, for ever if no operator runs.
fn crd() -> CustomResourceDefinition {
    let mut crd = VpcConnector::crd();
    let schemas = crd.spec.versions.iter_mut().filter_map(|v| v.schema.as_mut()?.open_api_v3_schema.as_mut());
    let statuses = schemas.filter_map(|schema| schema.properties.as_mut()?.get_mut("status"));
    statuses.for_each(|status| status.default = Some(JSON(serde_json::json!({"observedGeneration": -1}))));
    crd
}

/// Returns the CRD as the YAML that is committed in `crds/`.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser_error::Error> {
    let yaml = serde_saphyr::to_string(&crd())?;
    Ok(format!("# Generated by `apprunner-operator crd`; `make crds` generates it.\n{yaml}"))
}

/// Makes a time as the Kubernetes API writes it: whole seconds, UTC.
pub(crate) fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    const ARN: &str = "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";

    fn connector(name: &str, arn: &str) -> VpcConnector {
        VpcConnector::new(name, VpcConnectorSpec { arn: arn.into(), deletion_policy: Some(DeletionPolicy::Delete) })
    }

    #[test]
    fn the_status_of_a_connector_is_understood_in_any_case_and_kept_as_it_is() {
        for (word, expected) in [
            ("ACTIVE", ConnectorState::Active),
            ("active", ConnectorState::Active),
            ("INACTIVE", ConnectorState::Inactive),
            ("Inactive", ConnectorState::Inactive),
            ("DELETING", ConnectorState::Unknown),
            ("", ConnectorState::Unknown),
        ] {
            let status = ConnectorStatus::from(word);
            assert_eq!((status.state(), status.as_str()), (expected, word));
        }
    }

    #[test]
    fn uids_are_equal_only_if_their_texts_are() {
        let uid = "0b7bd1d6-2b58-4a2c-8dcb-8f6b1d2b8c11";
        let others = ["0B7BD1D6-2B58-4A2C-8DCB-8F6B1D2B8C11", "0b7bd1d62b584a2c8dcb8f6b1d2b8c11", "u1", ""];
        for other in others {
            assert_eq!(Uid::from(other).to_string(), other);
            assert_ne!(Uid::from(other), Uid::from(uid));
        }
        assert_eq!((Uid::from(uid), Uid::from(uid).to_string()), (Uid::from(Some(uid.to_owned())), uid.to_owned()));
        assert_eq!(Uid::default(), Uid::from(None));
    }

    #[test]
    fn the_committed_crd_matches_the_code() {
        assert_committed("crds/apprunner-operator.dev_vpcconnectors.yaml", &crd_yaml().unwrap(), "make crds");
    }

    #[test]
    fn the_arn_is_immutable_and_the_policy_is_not() {
        let old = connector("egress", ARN);
        let mut new = old.clone();
        new.spec.deletion_policy = Some(DeletionPolicy::Retain);
        assert!(new.validate_cel_update(&old).is_ok());
        new.spec.arn = ARN.replace("/1/", "/2/");
        let refused = new.validate_cel_update(&old).unwrap_err().to_string();
        assert!(refused.contains("spec.arn is immutable"), "{refused}");
    }

    #[test]
    fn a_name_fits_into_the_owner_tag() {
        assert!(connector(&"n".repeat(63), ARN).validate_cel().is_ok());
        let refused = connector(&"n".repeat(64), ARN).validate_cel().unwrap_err().to_string();
        assert!(refused.contains("63 characters"), "{refused}");
    }

    #[test]
    fn objects_of_older_and_newer_operators_parse() {
        let stored = serde_json::json!({
            "apiVersion": "apprunner-operator.dev/v1alpha1",
            "kind": "VpcConnector",
            "metadata": {"name": "egress", "namespace": "shop"},
            "spec": {"deletionPolicy": "Orphan", "subnets": ["subnet-0a"]},
            "status": {
                "status": "DELETING",
                "lastError": {"code": "X"},
                "conditions": [
                    {"type": "Old", "status": "True"},
                    {"type": "Ready", "status": "Maybe", "reason": "SomethingNew", "message": "",
                     "lastTransitionTime": "2026-11-23T08:00:00Z"},
                ],
                "somethingNew": {"a": 1},
            },
        });
        let object: VpcConnector = serde_json::from_value(stored).unwrap();
        assert_eq!(object.spec.deletion_policy, Some(DeletionPolicy::Other("Orphan".into())));
        assert_eq!(object.spec.arn, "");
        let status = object.status.unwrap();
        assert_eq!(status.status.as_deref(), Some("DELETING"));
        assert_eq!(status.ready_reason(), Some("SomethingNew"));
    }
}
