//! Switches for the details that AWS's documentation leaves open.
//!
//! A tool that is tested with one answer only may fail with another, so the emulator can give each of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::views::ServiceStatus;

/// The undocumented behaviors of App Runner, and the limits that AWS raises for an account on request.
///
/// In JSON, an absent member has its default; durations are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviors {
    /// Maximum number of ACTIVE connectors of an account in a region. Default: 10, as in AWS.
    pub connector_quota: usize,
    /// Effect of `CreateVpcConnector` with the name of an ACTIVE connector. Default: a new revision.
    pub create_existing_name: CreateExistingName,
    /// Last part of the ARN of a new connector. Default: 32 hexadecimal digits.
    pub connector_ids: ConnectorIds,
    /// Status in the reply of a successful `DeleteVpcConnector`. Default: INACTIVE.
    pub delete_reply: DeleteReply,
    /// Time from the deletion until the connector is INACTIVE with [`DeleteReply::Eventual`]. Default: 1000.
    pub delete_settles_after_ms: u64,
    /// Answer of `DeleteVpcConnector` for an INACTIVE connector. Default: not found.
    pub delete_again: DeleteAgain,
    /// Time for which `DescribeVpcConnector` shows an INACTIVE connector before it answers not found. Default: 1 hour.
    pub inactive_connector_kept_ms: u64,
    /// If true, `ListVpcConnectors` shows the INACTIVE connectors that can be described. Default: false.
    pub list_inactive_connectors: bool,
    /// Statuses in which a service blocks the deletion of its connector. Default: all except DELETED.
    pub holding_statuses: Vec<ServiceStatus>,
    /// Time for which a connector stays "in use" after the last service stopped using it. Default: 0.
    pub in_use_after_release_ms: u64,
    /// Answer to a malformed ARN or an ARN of another kind. Default: invalid request.
    pub malformed_arn: ArnAnswer,
    /// Answer to an ARN of the caller's account in another region. Default: not found.
    pub other_region_arn: ArnAnswer,
    /// Answer to another account's ARN. Default: not found.
    pub other_account_arn: ArnAnswer,
    /// Time for which a service is `OPERATION_IN_PROGRESS` while App Runner creates, updates, pauses, resumes or
    /// deletes it. Default: 0, which skips that status.
    pub service_operation_ms: u64,
    /// Time for which a VPC ingress connection is `PENDING_CREATION` or `PENDING_DELETION`. Default: 0, which skips these
    /// statuses.
    pub ingress_connection_operation_ms: u64,
    /// Time for which `DescribeService` shows a DELETED service before it answers not found. Default: 1 hour.
    pub deleted_service_kept_ms: u64,
    /// If true, `ListServices` shows the DELETED services that can be described. Default: false.
    pub list_deleted_services: bool,
    /// Spelling of the status of a resource in every reply. Default: as in the API model.
    pub status_case: StatusCase,
    /// Message of `DeleteVpcConnector` for a connector in use. Default: the message of AWS.
    pub in_use_message: Option<String>,
    /// Time for which `ListTagsForResource` still shows the tags from before a change. Default: 0.
    pub tags_visible_after_ms: u64,
    /// Maximum number of App Runner requests of an account in a region in one second, as a burst or spread
    /// out. Default: no limit.
    pub requests_per_second: Option<u32>,
    /// Lifetime of a new role session, instead of the one in the request. Default: the one in the request.
    pub role_session_ms: Option<u64>,
}

const ONE_HOUR_MS: u64 = 3_600_000;

impl Default for Behaviors {
    fn default() -> Self {
        Self {
            connector_quota: 10,
            create_existing_name: CreateExistingName::NewRevision,
            connector_ids: ConnectorIds::Hex,
            delete_reply: DeleteReply::Inactive,
            delete_settles_after_ms: 1000,
            delete_again: DeleteAgain::NotFound,
            inactive_connector_kept_ms: ONE_HOUR_MS,
            list_inactive_connectors: false,
            holding_statuses: vec![
                ServiceStatus::CreateFailed,
                ServiceStatus::Running,
                ServiceStatus::DeleteFailed,
                ServiceStatus::Paused,
                ServiceStatus::OperationInProgress,
            ],
            in_use_after_release_ms: 0,
            malformed_arn: ArnAnswer::InvalidRequest,
            other_region_arn: ArnAnswer::NotFound,
            other_account_arn: ArnAnswer::NotFound,
            service_operation_ms: 0,
            ingress_connection_operation_ms: 0,
            deleted_service_kept_ms: ONE_HOUR_MS,
            list_deleted_services: false,
            status_case: StatusCase::AsDocumented,
            in_use_message: None,
            tags_visible_after_ms: 0,
            requests_per_second: None,
            role_session_ms: None,
        }
    }
}

impl Behaviors {
    /// Renders the status of a resource for a reply.
    pub(crate) fn status(&self, status: impl Serialize) -> Value {
        self.status_case.spell(json!(status))
    }
}

/// Spelling of the status of a resource in replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCase {
    /// As in the API model: `ACTIVE`, `OPERATION_IN_PROGRESS`.
    AsDocumented,
    /// In lower case: `active`, `operation_in_progress`.
    Lower,
}

impl StatusCase {
    fn spell(self, documented: Value) -> Value {
        match (self, documented) {
            (Self::Lower, Value::String(word)) => word.to_ascii_lowercase().into(),
            (_, documented) => documented,
        }
    }
}

/// Effect of `CreateVpcConnector` with the name of an ACTIVE connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateExistingName {
    /// Creates the next revision of that name.
    NewRevision,
    /// Answers `InvalidRequestException`.
    Refused,
}

/// Last part of the ARN of a new connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorIds {
    /// 32 hexadecimal digits, as in all known ARNs of AWS.
    Hex,
    /// A UUID with hyphens.
    Uuid,
}

/// Status in the reply of a successful `DeleteVpcConnector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteReply {
    /// INACTIVE, with `DeletedAt`: the connector is deleted.
    Inactive,
    /// ACTIVE; the connector becomes INACTIVE after [`Behaviors::delete_settles_after_ms`].
    Eventual,
}

/// Answer of `DeleteVpcConnector` for an INACTIVE connector that can be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteAgain {
    /// Answers `ResourceNotFoundException`.
    NotFound,
    /// Answers 200 with the INACTIVE connector.
    Inactive,
    /// Answers `InvalidRequestException`.
    InvalidRequest,
}

/// Answer of an operation to an ARN that cannot name a resource of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArnAnswer {
    /// Answers `InvalidRequestException`.
    InvalidRequest,
    /// Answers `ResourceNotFoundException`.
    NotFound,
    /// Answers `AccessDeniedException`.
    AccessDenied,
}
