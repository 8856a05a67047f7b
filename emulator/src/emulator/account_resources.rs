//! The handle's functions for the resources around services.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Emulator;
use crate::model::account_region::AccountRegion;
use crate::model::arn::Kind;
use crate::model::clock::now;
use crate::model::configuration::{NewConfiguration, default_auto_scaling};
use crate::model::connection::NewConnection;
use crate::model::ids::random_hex;
use crate::model::ingress_connection::NewIngressConnection;
use crate::{ConnectionStatus, CustomDomainStatus, IngressConnectionStatus, IngressConnectionView};

/// Custom domains.
impl Emulator {
    /// Associates an ACTIVE custom domain with a service; returns false if the service does not exist.
    pub fn add_custom_domain(&self, service_arn: &str, domain: &str) -> bool {
        let state = &mut *self.shared.state();
        let Some((_, region)) = state.region_of_service(service_arn) else { return false };
        let domain = region.make_custom_domain(domain, true, CustomDomainStatus::Active);
        let service = region.services.iter_mut().find(|service| service.arn == service_arn);
        service.map(|service| service.custom_domains.push(domain)).is_some()
    }

    /// Sets the status of a custom domain; returns false if the service does not have it.
    pub fn set_custom_domain_status(&self, service_arn: &str, domain: &str, status: CustomDomainStatus) -> bool {
        let state = &mut *self.shared.state();
        let Some((_, region)) = state.region_of_service(service_arn) else { return false };
        let services = region.services.iter_mut().filter(|service| service.arn == service_arn);
        let mut domains = services.flat_map(|service| &mut service.custom_domains);
        domains.find(|found| found.name == domain).map(|found| found.status = status).is_some()
    }
}

/// VPC ingress connections.
impl Emulator {
    /// Creates an AVAILABLE VPC ingress connection to a service; returns its ARN, or nothing if the service does not
    /// exist.
    pub fn create_ingress_connection(&self, service_arn: &str, name: &str) -> Option<String> {
        let new = NewIngressConnection {
            name: name.to_owned(),
            service: service_arn.to_owned(),
            vpc: format!("vpc-{}", &random_hex()[..17]),
            vpc_endpoint: format!("vpce-{}", &random_hex()[..17]),
            tags: BTreeMap::new(),
        };
        let state = &mut *self.shared.state();
        let (owner, region) = state.region_of_service(service_arn)?;
        let connection = region.make_ingress_connection(&owner, new, 0, now());
        let arn = connection.arn.clone();
        region.ingress_connections.push(connection);
        Some(arn)
    }

    /// Sets the status of a VPC ingress connection until the next operation; returns false if it does not exist.
    pub fn set_ingress_connection_status(&self, arn: &str, status: IngressConnectionStatus) -> bool {
        let state = &mut *self.shared.state();
        let found = state.regions_mut().find_map(|region| region.find_ingress_connection(arn));
        found.map(|connection| connection.set_status(status, now())).is_some()
    }

    /// Returns a VPC ingress connection by its ARN, also a deleted one.
    pub fn ingress_connection(&self, arn: &str) -> Option<IngressConnectionView> {
        let mut connections = self.state().into_iter().flat_map(|region| region.ingress_connections);
        connections.find(|connection| connection.arn == arn)
    }
}

/// Configurations and connections.
impl Emulator {
    /// Creates an auto scaling configuration with the settings of App Runner's default; returns its ARN.
    pub fn create_auto_scaling_configuration(&self, account: &str, region: &str, name: &str) -> String {
        self.create_configuration(account, region, Kind::AutoScaling, name, default_auto_scaling())
    }

    /// Creates an observability configuration without tracing; returns its ARN.
    pub fn create_observability_configuration(&self, account: &str, region: &str, name: &str) -> String {
        self.create_configuration(account, region, Kind::Observability, name, Map::new())
    }

    fn create_configuration(
        &self,
        account: &str,
        region: &str,
        kind: Kind,
        name: &str,
        settings: Map<String, Value>,
    ) -> String {
        let now = now();
        let new = NewConfiguration { kind, name: name.to_owned(), settings, tags: BTreeMap::new() };
        let state = &mut *self.shared.state();
        let owner = AccountRegion::new(account, region);
        let (region, _) = state.region(&owner, now);
        let configuration = region.make_configuration(&owner, new, now);
        let arn = configuration.arn.clone();
        region.configurations.push(configuration);
        arn
    }

    /// Creates an AVAILABLE connection to GitHub; returns its ARN.
    pub fn create_connection(&self, account: &str, region: &str, name: &str) -> String {
        let now = now();
        let (provider, status) = ("GITHUB".to_owned(), ConnectionStatus::Available);
        let new = NewConnection { name: name.to_owned(), provider, status, tags: BTreeMap::new() };
        let state = &mut *self.shared.state();
        let owner = AccountRegion::new(account, region);
        let (region, _) = state.region(&owner, now);
        let connection = region.make_connection(&owner, new, now);
        let arn = connection.arn.clone();
        region.connections.push(connection);
        arn
    }

    /// Sets the status of a connection; returns false if it does not exist.
    pub fn set_connection_status(&self, arn: &str, status: ConnectionStatus) -> bool {
        let state = &mut *self.shared.state();
        let mut connections = state.regions_mut().flat_map(|region| &mut region.connections);
        connections.find(|connection| connection.arn == arn).map(|found| found.status = status).is_some()
    }
}
