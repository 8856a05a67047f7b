//! A service, as far as other resources depend on it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::behaviors::Behaviors;
use super::clock::later;
use super::custom_domain::CustomDomain;
use super::tags::{TagMap, Tags};
use super::views::{ServiceStatus, ServiceView};

/// A service; the emulator keeps it until a reset, longer than the API shows it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) seq: u64,
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) status: ServiceStatus,
    pub(super) pending: Option<PendingOperation>,
    pub(crate) connector: Option<String>,
    pub(crate) settings: Map<String, Value>,
    pub(crate) custom_domains: Vec<CustomDomain>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// An operation in progress: its end and the status of the service from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingOperation {
    pub(super) until: Timestamp,
    pub(super) then: ServiceStatus,
}

/// The request for a new service; describing the service returns `settings` unchanged.
#[derive(Default)]
pub(crate) struct NewService {
    pub(crate) name: String,
    pub(crate) connector: Option<String>,
    pub(crate) settings: Map<String, Value>,
    pub(crate) tags: TagMap,
}

impl Service {
    /// Returns the connector whose deletion this service blocks.
    pub(super) fn blocks(&self, behaviors: &Behaviors) -> Option<&str> {
        self.connector.as_deref().filter(|_| behaviors.holding_statuses.contains(&self.status))
    }

    pub(crate) fn auto_scaling_configuration(&self) -> Option<&str> {
        self.settings.get("AutoScalingConfigurationArn")?.as_str()
    }

    fn observability_configuration(&self) -> Option<&str> {
        self.settings.get("ObservabilityConfiguration")?.get("ObservabilityConfigurationArn")?.as_str()
    }

    fn connection(&self) -> Option<&str> {
        self.settings.get("SourceConfiguration")?.pointer("/AuthenticationConfiguration/ConnectionArn")?.as_str()
    }

    /// Returns true if the service names the configuration or the connection.
    pub(super) fn names(&self, arn: &str) -> bool {
        [self.auto_scaling_configuration(), self.observability_configuration(), self.connection()].contains(&Some(arn))
    }

    /// Returns false once the API answers that the service does not exist.
    pub(crate) fn is_describable(&self, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.deleted_at.is_none_or(|at| now < later(at, behaviors.deleted_service_kept_ms))
    }

    /// Starts an operation that ends in the given status, at once if it takes 0 ms.
    pub(crate) fn start_operation(&mut self, then: ServiceStatus, takes_ms: u64, at: Timestamp) {
        if takes_ms == 0 {
            return self.set_status(then, at);
        }
        self.set_status(ServiceStatus::OperationInProgress, at);
        self.pending = Some(PendingOperation { until: later(at, takes_ms), then });
    }

    /// Sets the status and drops the operation in progress; a deleted service loses its custom domains.
    pub(crate) fn set_status(&mut self, status: ServiceStatus, at: Timestamp) {
        self.status = status;
        self.updated_at = at;
        self.pending = None;
        self.deleted_at = (status == ServiceStatus::Deleted).then_some(at);
        if self.deleted_at.is_some() {
            self.custom_domains.clear();
        }
    }

    pub(crate) fn view(&self) -> ServiceView {
        ServiceView {
            arn: self.arn.clone(),
            name: self.name.clone(),
            status: self.status,
            connector: self.connector.clone(),
            auto_scaling_configuration: self.auto_scaling_configuration().map(str::to_owned),
            observability_configuration: self.observability_configuration().map(str::to_owned),
            connection: self.connection().map(str::to_owned),
            custom_domains: self.custom_domains.iter().map(CustomDomain::view).collect(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            deleted_at: self.deleted_at,
            tags: self.tags.latest().clone(),
        }
    }
}
