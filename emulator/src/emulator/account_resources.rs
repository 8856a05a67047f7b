//! The handle's functions for the resources around services.

use std::collections::BTreeMap;

use super::Emulator;
use crate::model::clock::now;
use crate::model::ids::random_hex;
use crate::model::ingress_connection::NewIngressConnection;
use crate::{IngressConnectionStatus, IngressConnectionView};

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
