//! Services as far as connectors care: what they hold, since when, and when they let go.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::account_region::AccountRegion;
use crate::model::arn;
use crate::model::clock::later;
use crate::model::ids::random_hex;
use crate::state::Region;
use crate::tags::{TagMap, Tags};
use crate::{Behaviors, ServiceStatus, ServiceView};

/// A service as long as the emulator runs; the API forgets it earlier.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) seq: u64,
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) status: ServiceStatus,
    underway: Option<Underway>,
    pub(crate) connector: Option<String>,
    pub(crate) settings: Map<String, Value>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// An operation that is not over yet.
#[derive(Clone, Copy, Debug)]
struct Underway {
    until: Timestamp,
    then: ServiceStatus,
}

/// What a new service is made of; `settings` are shown again as they are.
#[derive(Default)]
pub(crate) struct NewService {
    pub(crate) name: String,
    pub(crate) connector: Option<String>,
    pub(crate) settings: Map<String, Value>,
    pub(crate) tags: TagMap,
}

impl Service {
    /// Gives the connector that a deletion would be refused for.
    fn held(&self, behaviors: &Behaviors) -> Option<&str> {
        self.connector.as_deref().filter(|_| behaviors.holding_statuses.contains(&self.status))
    }

    pub(crate) fn is_found(&self, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.deleted_at.is_none_or(|at| now < later(at, behaviors.deleted_service_kept_ms))
    }

    /// Starts an operation that ends in the given status, at once when it takes no time.
    pub(crate) fn start(&mut self, then: ServiceStatus, takes_ms: u64, at: Timestamp) {
        if takes_ms == 0 {
            return self.enter(then, at);
        }
        self.enter(ServiceStatus::OperationInProgress, at);
        self.underway = Some(Underway { until: later(at, takes_ms), then });
    }

    pub(crate) fn enter(&mut self, status: ServiceStatus, at: Timestamp) {
        self.status = status;
        self.updated_at = at;
        self.underway = None;
        self.deleted_at = (status == ServiceStatus::Deleted).then_some(at);
    }

    pub(crate) fn view(&self) -> ServiceView {
        ServiceView {
            arn: self.arn.clone(),
            name: self.name.clone(),
            status: self.status,
            connector: self.connector.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            deleted_at: self.deleted_at,
            tags: self.tags.latest().clone(),
        }
    }
}

impl Region {
    /// Adds a service that is RUNNING; its caller starts what makes it so.
    pub(crate) fn add_service(&mut self, owner: &AccountRegion, new: NewService, now: Timestamp) -> String {
        let id = random_hex();
        let service = Service {
            seq: self.next_seq(),
            arn: arn::service(&owner.account, &owner.region, &new.name, &id),
            name: new.name,
            url: format!("{}.{}.awsapprunner.com", &random_hex()[..10], owner.region),
            id,
            status: ServiceStatus::Running,
            underway: None,
            connector: new.connector,
            settings: new.settings,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            tags: Tags::new(new.tags),
        };
        let arn = service.arn.clone();
        self.services.push(service);
        arn
    }

    pub(crate) fn found_service(&mut self, arn: &str, behaviors: &Behaviors, now: Timestamp) -> Option<&mut Service> {
        self.services.iter_mut().find(|service| service.arn == arn && service.is_found(behaviors, now))
    }

    /// Changes a service and notes when it lets go of a connector thereby.
    pub(crate) fn change_service(
        &mut self,
        arn: &str,
        behaviors: &Behaviors,
        at: Timestamp,
        change: impl FnOnce(&mut Service),
    ) -> Option<&Service> {
        let service = self.services.iter_mut().find(|service| service.arn == arn)?;
        let before = service.held(behaviors).map(str::to_owned);
        change(service);
        if let Some(connector) = before.filter(|before| service.held(behaviors) != Some(before)) {
            let released = self.releases.entry(connector).or_insert(at);
            *released = at.max(*released);
        }
        Some(service)
    }

    /// Ends the operations whose time is over, each at its own time.
    pub(crate) fn settle(&mut self, behaviors: &Behaviors, now: Timestamp) {
        let over = |service: &Service| Some((service.arn.clone(), service.underway.filter(|work| work.until <= now)?));
        let ended: Vec<(String, Underway)> = self.services.iter().filter_map(over).collect();
        for (arn, work) in ended {
            self.change_service(&arn, behaviors, work.until, |service| service.enter(work.then, work.until));
        }
    }

    /// Says whether a service holds the connector, or let go of it too recently.
    pub(crate) fn is_in_use(&self, arn: &str, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.services.iter().any(|service| service.held(behaviors) == Some(arn))
            || self.releases.get(arn).is_some_and(|at| now < later(*at, behaviors.in_use_after_release_ms))
    }
}
