//! Everything the emulator remembers, behind one lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::call_log::CallLog;
use crate::faults::FaultQueue;
use crate::gate::Gate;
use crate::model::account_region::AccountRegion;
use crate::model::connector::Connector;
use crate::model::rate_limit::RateLimiter;
use crate::model::region::Region;
use crate::model::service::Service;
use crate::{Behaviors, Config, RegionView};

/// What the HTTP side, the control API and the handle have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let world = Mutex::new(World::new(config.behaviors.clone()));
        Self { config, gate: Gate::default(), world }
    }

    /// Forgets everything and behaves as at the start; connections are accepted again in a moment.
    pub(crate) fn reset(&self) {
        self.world().reset(self.config.behaviors.clone());
        self.gate.allow();
    }

    /// Locks the world; no request leaves it half changed, so a panic elsewhere is no reason to stop.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of all accounts, and what happens to calls.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) behaviors: Behaviors,
    pub(crate) faults: FaultQueue,
    pub(crate) calls: CallLog,
    pub(crate) rate_limiter: RateLimiter,
    regions: BTreeMap<AccountRegion, Region>,
}

impl World {
    fn new(behaviors: Behaviors) -> Self {
        Self {
            behaviors,
            faults: FaultQueue::default(),
            calls: CallLog::default(),
            rate_limiter: RateLimiter::default(),
            regions: BTreeMap::new(),
        }
    }

    /// Forgets everything but the numbers of calls and faults, which never come twice.
    pub(crate) fn reset(&mut self, behaviors: Behaviors) {
        self.behaviors = behaviors;
        self.faults.clear();
        self.calls.clear();
        self.rate_limiter = RateLimiter::default();
        self.regions.clear();
    }

    /// Returns the resources of an account in a region at this time, and the behaviors.
    pub(crate) fn region(&mut self, at: &AccountRegion, now: Timestamp) -> (&mut Region, &Behaviors) {
        let region = self.regions.entry(at.clone()).or_default();
        region.finish_due_operations(&self.behaviors, now);
        (region, &self.behaviors)
    }

    /// Changes a service wherever it is; says whether it exists.
    pub(crate) fn change_service(&mut self, arn: &str, at: Timestamp, change: impl FnOnce(&mut Service)) -> bool {
        let behaviors = &self.behaviors;
        let has_it = |region: &&mut Region| region.services.iter().any(|service| service.arn == arn);
        let Some(region) = self.regions.values_mut().find(has_it) else { return false };
        region.finish_due_operations(behaviors, at);
        region.change_service(arn, behaviors, at, change).is_some()
    }

    /// Changes a connector wherever it is; says whether it exists.
    pub(crate) fn change_connector(&mut self, arn: &str, change: impl FnOnce(&mut Connector)) -> bool {
        let mut connectors = self.regions.values_mut().flat_map(|region| &mut region.connectors);
        connectors.find(|connector| connector.arn == arn).map(change).is_some()
    }

    /// Loses a connector without a trace; says whether it existed.
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
