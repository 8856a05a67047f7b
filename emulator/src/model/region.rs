//! All resources of one account in one region.

use std::collections::HashMap;

use jiff::Timestamp;

use super::account_region::AccountRegion;
use super::arn::{self, Kind};
use super::behaviors::Behaviors;
use super::clock::later;
use super::configuration::Configuration;
use super::connection::Connection;
use super::connector::{Connector, NewConnector};
use super::ids::random_hex;
use super::ingress_connection::IngressConnection;
use super::pages::PageTokens;
use super::service::{NewService, PendingOperation, Service};
use super::tags::Tags;
use super::views::{ConnectorView, RegionView, ServiceStatus};

/// The resources of one account in one region, in order of creation.
#[derive(Debug, Default)]
pub(crate) struct Region {
    pub(crate) connectors: Vec<Connector>,
    pub(crate) services: Vec<Service>,
    pub(crate) ingress_connections: Vec<IngressConnection>,
    pub(crate) configurations: Vec<Configuration>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) page_tokens: PageTokens,
    /// Time at which the last service stopped blocking the deletion of a connector, by the connector's ARN.
    unblocked_at: HashMap<String, Timestamp>,
    last_seq: u64,
}

impl Region {
    /// Makes a region with the auto scaling configuration that App Runner provides.
    pub(crate) fn new(owner: &AccountRegion, now: Timestamp) -> Self {
        let mut region = Self::default();
        let configuration = region.make_default_auto_scaling(owner, now);
        region.configurations.push(configuration);
        region
    }

    /// Returns true as long as the region never had another resource than the one that App Runner provides.
    pub(crate) fn is_unused(&self) -> bool {
        self.last_seq <= 1
    }

    /// Returns the next number in the order of creation, by which lists are sorted.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    pub(crate) fn view(&self, owner: &AccountRegion, behaviors: &Behaviors, now: Timestamp) -> RegionView {
        RegionView {
            account: owner.account.clone(),
            region: owner.region.clone(),
            connectors: self
                .connectors
                .iter()
                .map(|connector| self.connector_view(connector, behaviors, now))
                .collect(),
            services: self.services.iter().map(Service::view).collect(),
            ingress_connections: self.ingress_connections.iter().map(|connection| connection.view(now)).collect(),
            auto_scaling_configurations: self.configuration_views(Kind::AutoScaling),
            observability_configurations: self.configuration_views(Kind::Observability),
            connections: self.connections.iter().map(Connection::view).collect(),
        }
    }
}

/// Connectors.
impl Region {
    /// Makes a connector with the next revision of its name; the caller adds it to the region.
    pub(crate) fn make_connector(
        &mut self,
        owner: &AccountRegion,
        new: NewConnector,
        behaviors: &Behaviors,
        now: Timestamp,
    ) -> Connector {
        let same_name = |connector: &&Connector| connector.is_active(now) && connector.name == new.name;
        let revisions = self.connectors.iter().filter(same_name).map(|connector| connector.revision);
        let revision = revisions.max().unwrap_or(0) + 1;
        Connector {
            seq: self.next_seq(),
            arn: arn::new_connector(&owner.account, &owner.region, &new.name, revision, behaviors.connector_ids),
            name: new.name,
            revision,
            subnets: new.subnets,
            security_groups: new.security_groups,
            created_at: now,
            inactive_at: None,
            tags: Tags::new(new.tags),
        }
    }

    /// Returns a connector that the API still describes.
    pub(crate) fn find_connector(
        &mut self,
        arn: &str,
        behaviors: &Behaviors,
        now: Timestamp,
    ) -> Option<&mut Connector> {
        self.connectors.iter_mut().find(|connector| connector.arn == arn && connector.is_describable(behaviors, now))
    }

    /// Returns true if a service may start to use this connector.
    pub(crate) fn has_usable_connector(&self, arn: &str) -> bool {
        self.connectors.iter().any(|connector| connector.arn == arn && connector.is_usable())
    }

    fn connector_view(&self, connector: &Connector, behaviors: &Behaviors, now: Timestamp) -> ConnectorView {
        ConnectorView {
            arn: connector.arn.clone(),
            name: connector.name.clone(),
            revision: connector.revision,
            subnets: connector.subnets.clone(),
            security_groups: connector.security_groups.clone(),
            status: connector.status(now),
            created_at: connector.created_at,
            deleted_at: connector.deleted_at(now),
            in_use: self.is_in_use(&connector.arn, behaviors, now),
            tags: connector.tags.latest().clone(),
        }
    }

    /// Returns true if a service blocks the deletion of the connector, or did until too short a time ago.
    pub(crate) fn is_in_use(&self, arn: &str, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.services.iter().any(|service| service.blocks(behaviors) == Some(arn))
            || self.unblocked_at.get(arn).is_some_and(|at| now < later(*at, behaviors.in_use_after_release_ms))
    }
}

/// Services.
impl Region {
    /// Adds a RUNNING service; the caller starts the operation that creates it.
    pub(crate) fn add_service(&mut self, owner: &AccountRegion, mut new: NewService, now: Timestamp) -> String {
        let id = random_hex();
        if let Some(default) = self.configurations.iter().find(|configuration| configuration.is_default) {
            new.settings.entry("AutoScalingConfigurationArn").or_insert_with(|| default.arn.clone().into());
        }
        let service = Service {
            seq: self.next_seq(),
            arn: arn::service(&owner.account, &owner.region, &new.name, &id),
            name: new.name,
            url: format!("{}.{}.awsapprunner.com", &random_hex()[..10], owner.region),
            id,
            status: ServiceStatus::Running,
            pending: None,
            connector: new.connector,
            settings: new.settings,
            custom_domains: Vec::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            tags: Tags::new(new.tags),
        };
        let arn = service.arn.clone();
        self.services.push(service);
        arn
    }

    /// Returns the services that name the configuration or the connection.
    pub(crate) fn services_with<'a>(&'a self, arn: &'a str) -> impl Iterator<Item = &'a Service> {
        self.services.iter().filter(move |service| service.deleted_at.is_none() && service.names(arn))
    }

    /// Returns true if the region has the service, also a deleted one.
    pub(crate) fn has_service(&self, arn: &str) -> bool {
        self.services.iter().any(|service| service.arn == arn)
    }

    /// Returns a service that the API still describes.
    pub(crate) fn find_service(&mut self, arn: &str, behaviors: &Behaviors, now: Timestamp) -> Option<&mut Service> {
        self.services.iter_mut().find(|service| service.arn == arn && service.is_describable(behaviors, now))
    }

    /// Changes a service and records the time if the service stops blocking a connector by that.
    pub(crate) fn change_service(
        &mut self,
        arn: &str,
        behaviors: &Behaviors,
        at: Timestamp,
        change: impl FnOnce(&mut Service),
    ) -> Option<&Service> {
        let service = self.services.iter_mut().find(|service| service.arn == arn)?;
        let before = service.blocks(behaviors).map(str::to_owned);
        change(service);
        if let Some(connector) = before.filter(|before| service.blocks(behaviors) != Some(before)) {
            let unblocked_at = self.unblocked_at.entry(connector).or_insert(at);
            *unblocked_at = at.max(*unblocked_at);
        }
        Some(service)
    }

    /// Ends the operations whose end has come, each at the time of its end.
    pub(crate) fn finish_due_operations(&mut self, behaviors: &Behaviors, now: Timestamp) {
        let due = |service: &Service| Some((service.arn.clone(), service.pending.filter(|work| work.until <= now)?));
        let ended: Vec<(String, PendingOperation)> = self.services.iter().filter_map(due).collect();
        for (arn, work) in ended {
            self.change_service(&arn, behaviors, work.until, |service| service.set_status(work.then, work.until));
        }
    }
}
