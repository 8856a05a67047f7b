//! The state of a running emulator, behind one lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, json};

use crate::auth::Credentials;
use crate::auth::roles::Roles;
use crate::call_log::CallLog;
use crate::faults::FaultQueue;
use crate::gate::Gate;
use crate::model::account_region::AccountRegion;
use crate::model::clock::now;
use crate::model::connector::{Connector, NewConnector};
use crate::model::ids::random_hex;
use crate::model::rate_limit::RateLimiter;
use crate::model::region::Region;
use crate::model::service::{NewService, Service};
use crate::{Behaviors, Config, RegionView};

/// The configuration, the gate and the state, shared by the endpoint, the control API and the handle.
#[derive(Debug)]
pub(crate) struct SharedState {
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    state: Mutex<EmulatorState>,
}

impl SharedState {
    pub(crate) fn new(config: Config) -> Self {
        let state = Mutex::new(EmulatorState::new(&config));
        Self { config, gate: Gate::default(), state }
    }

    /// Deletes everything, restores the configured behaviors and roles, and commands the server to accept connections.
    pub(crate) fn reset(&self) {
        self.state().reset(&self.config);
        self.gate.allow();
    }

    /// Returns the credentials with an access key id: a configured key, or those of a role session.
    pub(crate) fn credentials(&self, access_key_id: &str) -> Option<Credentials> {
        let configured = self.config.access_keys.iter().find(|key| key.id == access_key_id);
        let of_user = configured.cloned().map(Credentials::of_user);
        of_user.or_else(|| self.state().roles.session(access_key_id))
    }

    /// Locks the state. A poisoned lock is used as it is, because no request leaves the state half changed.
    pub(crate) fn state(&self) -> MutexGuard<'_, EmulatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resources of all accounts, the roles, the behaviors, the faults and the calls.
#[derive(Debug)]
pub(crate) struct EmulatorState {
    pub(crate) behaviors: Behaviors,
    pub(crate) roles: Roles,
    pub(crate) faults: FaultQueue,
    pub(crate) calls: CallLog,
    pub(crate) rate_limiter: RateLimiter,
    regions: BTreeMap<AccountRegion, Region>,
}

impl EmulatorState {
    fn new(config: &Config) -> Self {
        Self {
            behaviors: config.behaviors.clone(),
            roles: Roles::new(&config.roles),
            faults: FaultQueue::default(),
            calls: CallLog::default(),
            rate_limiter: RateLimiter::default(),
            regions: BTreeMap::new(),
        }
    }

    /// Deletes everything except the counters of calls and faults, so that no number is used twice.
    pub(crate) fn reset(&mut self, config: &Config) {
        self.behaviors = config.behaviors.clone();
        self.roles = Roles::new(&config.roles);
        self.faults.clear();
        self.calls.clear();
        self.rate_limiter = RateLimiter::default();
        self.regions.clear();
    }

    /// Returns the resources of an account in a region at the time `now`, and the behaviors.
    pub(crate) fn region(&mut self, at: &AccountRegion, now: Timestamp) -> (&mut Region, &Behaviors) {
        let region = self.regions.entry(at.clone()).or_insert_with(|| Region::new(at, now));
        region.finish_due_operations(&self.behaviors, now);
        (region, &self.behaviors)
    }

    /// Creates an ACTIVE connector with a new subnet and a new security group; returns its ARN.
    pub(crate) fn create_connector(&mut self, owner: &AccountRegion, name: &str, tags: &[(&str, &str)]) -> String {
        let now = now();
        let new = NewConnector {
            name: name.to_owned(),
            subnets: vec![format!("subnet-{}", &random_hex()[..17])],
            security_groups: vec![format!("sg-{}", &random_hex()[..17])],
            tags: tag_map(tags),
        };
        let (region, behaviors) = self.region(owner, now);
        let connector = region.make_connector(owner, new, behaviors, now);
        let arn = connector.arn.clone();
        region.connectors.push(connector);
        arn
    }

    /// Creates a RUNNING service, with a connector if one is given; returns its ARN.
    pub(crate) fn create_service(&mut self, owner: &AccountRegion, name: &str, connector: Option<&str>) -> String {
        let now = now();
        let source = json!({ "ImageRepository": { "ImageIdentifier": "example/web:1", "ImageRepositoryType": "ECR" } });
        let new = NewService {
            name: name.to_owned(),
            connector: connector.map(str::to_owned),
            settings: Map::from_iter([("SourceConfiguration".to_owned(), source)]),
            tags: BTreeMap::new(),
        };
        let (region, _) = self.region(owner, now);
        region.add_service(owner, new, now)
    }

    pub(crate) fn regions_mut(&mut self) -> impl Iterator<Item = &mut Region> {
        self.regions.values_mut()
    }

    /// Returns the region of a service, and its owner.
    pub(crate) fn region_of_service(&mut self, arn: &str) -> Option<(AccountRegion, &mut Region)> {
        self.regions
            .iter_mut()
            .find(|(_, region)| region.has_service(arn))
            .map(|(owner, region)| (owner.clone(), region))
    }

    /// Changes a service in any account and region; returns false if it does not exist.
    pub(crate) fn change_service(&mut self, arn: &str, at: Timestamp, change: impl FnOnce(&mut Service)) -> bool {
        let behaviors = &self.behaviors;
        let Some(region) = self.regions.values_mut().find(|region| region.has_service(arn)) else { return false };
        region.finish_due_operations(behaviors, at);
        region.change_service(arn, behaviors, at, change).is_some()
    }

    /// Changes a connector in any account and region; returns false if it does not exist.
    pub(crate) fn change_connector(&mut self, arn: &str, change: impl FnOnce(&mut Connector)) -> bool {
        let mut connectors = self.regions.values_mut().flat_map(|region| &mut region.connectors);
        connectors.find(|connector| connector.arn == arn).map(change).is_some()
    }

    /// Removes a connector from the state; returns false if it does not exist.
    pub(crate) fn forget_connector(&mut self, arn: &str) -> bool {
        let exists = self.change_connector(arn, |_| {});
        for region in self.regions.values_mut() {
            region.connectors.retain(|connector| connector.arn != arn);
        }
        exists
    }

    pub(crate) fn view(&mut self, now: Timestamp) -> Vec<RegionView> {
        let behaviors = &self.behaviors;
        let used = self.regions.iter_mut().filter(|(_, region)| !region.is_unused());
        let views = used.map(|(owner, region)| {
            region.finish_due_operations(behaviors, now);
            region.view(owner, behaviors, now)
        });
        views.collect()
    }
}

pub(crate) fn tag_map(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
