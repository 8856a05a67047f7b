//! The questions that AWS's documentation leaves open, as switches.
//!
//! A tool that works against one answer only works by luck, so the emulator plays them all, one at a time.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::views::{ConnectorStatus, ServiceStatus};

/// How App Runner behaves where nobody has confirmed it, and the limits that an account can have changed.
///
/// In JSON, a member that is absent has its default; durations are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviors {
    /// ACTIVE connectors that an account may have in a region. Default: 10, AWS's own.
    pub connector_quota: usize,
    /// What `CreateVpcConnector` does when an ACTIVE connector has the name. Default: a new revision.
    pub create_existing_name: CreateExistingName,
    /// What the ARN of a new connector ends with. Default: 32 hexadecimal digits.
    pub connector_ids: ConnectorIds,
    /// What a successful `DeleteVpcConnector` shows. Default: INACTIVE at once.
    pub delete_reply: DeleteReply,
    /// How long a connector stays ACTIVE with [`DeleteReply::Eventual`]. Default: 1000.
    pub delete_settles_after_ms: u64,
    /// What `DeleteVpcConnector` says about an INACTIVE connector. Default: not found.
    pub delete_again: DeleteAgain,
    /// How long an INACTIVE connector can still be described before it is not found. Default: an hour.
    pub inactive_connector_kept_ms: u64,
    /// Whether `ListVpcConnectors` shows INACTIVE connectors that can still be described. Default: no.
    pub list_inactive_connectors: bool,
    /// States in which a service holds its connector. Default: all but DELETED.
    pub holding_statuses: Vec<ServiceStatus>,
    /// How long a connector stays "in use" after the last service let go of it. Default: 0.
    pub in_use_after_release_ms: u64,
    /// Answer to an ARN that is no ARN of the kind asked for. Default: invalid request.
    pub malformed_arn: ArnAnswer,
    /// Answer to an ARN of the caller's account in another region. Default: not found.
    pub other_region_arn: ArnAnswer,
    /// Answer to another account's ARN. Default: not found.
    pub other_account_arn: ArnAnswer,
    /// How long creating, updating, pausing, resuming and deleting a service takes, `OPERATION_IN_PROGRESS` meanwhile.
    /// Default: 0, which skips that state.
    pub service_operation_ms: u64,
    /// How long a DELETED service can still be described before it is not found. Default: an hour.
    pub deleted_service_kept_ms: u64,
    /// Whether `ListServices` shows DELETED services that can still be described. Default: no.
    pub list_deleted_services: bool,
    /// How the status of a connector or a service is spelt in every reply. Default: as the API model spells it.
    pub status_case: StatusCase,
    /// What `DeleteVpcConnector` says about a connector in use, instead of AWS's own words. Default: AWS's.
    pub in_use_message: Option<String>,
    /// How long `ListTagsForResource` goes on to show the tags as they were before a change. Default: 0.
    pub tags_visible_after_ms: u64,
    /// App Runner requests that an account may send a second in a region, as a burst or spread out. Default: no limit.
    pub requests_per_second: Option<u32>,
}

const AN_HOUR_MS: u64 = 3_600_000;

impl Default for Behaviors {
    fn default() -> Self {
        Self {
            connector_quota: 10,
            create_existing_name: CreateExistingName::NewRevision,
            connector_ids: ConnectorIds::Hex,
            delete_reply: DeleteReply::Inactive,
            delete_settles_after_ms: 1000,
            delete_again: DeleteAgain::NotFound,
            inactive_connector_kept_ms: AN_HOUR_MS,
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
            deleted_service_kept_ms: AN_HOUR_MS,
            list_deleted_services: false,
            status_case: StatusCase::AsDocumented,
            in_use_message: None,
            tags_visible_after_ms: 0,
            requests_per_second: None,
        }
    }
}

impl Behaviors {
    /// Spells a connector's status as replies show it.
    pub(crate) fn connector_status(&self, status: ConnectorStatus) -> Value {
        self.status_case.spelt(json!(status))
    }

    /// Spells a service's status as replies show it.
    pub(crate) fn service_status(&self, status: ServiceStatus) -> Value {
        self.status_case.spelt(json!(status))
    }
}

/// How the status of a connector or a service is spelt on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCase {
    /// As the API model spells it: `ACTIVE`, `OPERATION_IN_PROGRESS`.
    AsDocumented,
    /// In lower case: `active`, `operation_in_progress`.
    Lower,
}

impl StatusCase {
    fn spelt(self, documented: Value) -> Value {
        match (self, documented) {
            (Self::Lower, Value::String(word)) => word.to_ascii_lowercase().into(),
            (_, documented) => documented,
        }
    }
}

/// What `CreateVpcConnector` does when an ACTIVE connector has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateExistingName {
    /// Creates the next revision of that name.
    NewRevision,
    /// Answers `InvalidRequestException`.
    Refused,
}

/// What the ARN of a new connector ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorIds {
    /// 32 hexadecimal digits, as every ARN of AWS's that was seen.
    Hex,
    /// A UUID, with its hyphens.
    Uuid,
}

/// What a successful `DeleteVpcConnector` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteReply {
    /// INACTIVE, with `DeletedAt`: the deletion is done.
    Inactive,
    /// ACTIVE, which turns INACTIVE after [`Behaviors::delete_settles_after_ms`].
    Eventual,
}

/// What `DeleteVpcConnector` says about an INACTIVE connector that can still be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteAgain {
    /// Answers `ResourceNotFoundException`.
    NotFound,
    /// Answers 200 with the same INACTIVE connector.
    Inactive,
    /// Answers `InvalidRequestException`.
    InvalidRequest,
}

/// What an operation says about an ARN that cannot name anything of the caller's.
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
