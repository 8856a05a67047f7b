//! The handle of an emulator in the same process.

mod account_resources;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http::serve;
use crate::model::account_region::AccountRegion;
use crate::model::clock::now;
use crate::state::{SharedState, tag_map};
use crate::{
    Behaviors, Call, CallFilter, Config, ConnectorView, Error, Fault, FaultId, QueuedFault, RegionView, Role,
    ServiceStatus, ServiceView,
};

/// A running emulator; dropping it stops the server and closes every connection.
///
/// The server runs on the tokio runtime that [`Emulator::start`] was called on. The methods that are not async return
/// at once and need no runtime. They check no names and no quotas, and no fault matches them.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    shared: Arc<SharedState>,
    server: JoinHandle<()>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Emulator {
    /// Binds the address and starts the server; the emulator answers requests once this returns.
    pub async fn start(config: Config) -> Result<Self, Error> {
        config.check()?;
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(SharedState::new(config));
        let server = tokio::spawn(serve(listener, address, Arc::clone(&shared)));
        Ok(Self { address, shared, server })
    }

    /// Stops the server and returns once its port is free.
    pub async fn stop(mut self) {
        self.server.abort();
        // The task ends only by the abort, so its result is always an error.
        let _ = (&mut self.server).await;
    }

    /// Returns the server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for `AWS_ENDPOINT_URL`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all calls in order of arrival, also calls in flight.
    pub fn calls(&self) -> Vec<Call> {
        self.calls_matching(&CallFilter::default())
    }

    /// Returns the calls that match a filter, in order of arrival.
    pub fn calls_matching(&self, filter: &CallFilter) -> Vec<Call> {
        self.shared.state().calls.filtered(filter)
    }

    /// Deletes the calls so far from the log.
    pub fn clear_calls(&self) {
        self.shared.state().calls.clear();
    }

    /// Deletes resources, calls, faults and role sessions, and restores the behaviors and roles of the start. It also
    /// ends a refusal of connections, but returns before the server accepts connections.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Returns the current behaviors.
    pub fn behaviors(&self) -> Behaviors {
        self.shared.state().behaviors.clone()
    }

    /// Replaces the behaviors.
    pub fn set_behaviors(&self, behaviors: Behaviors) {
        self.shared.state().behaviors = behaviors;
    }

    /// Changes some of the behaviors.
    pub fn change_behaviors(&self, change: impl FnOnce(&mut Behaviors)) {
        change(&mut self.shared.state().behaviors);
    }

    /// Returns the roles that callers may assume.
    pub fn roles(&self) -> Vec<Role> {
        self.shared.state().roles.all()
    }

    /// Adds a role, or replaces the trust policy of the role with this ARN. Sessions of a replaced role continue.
    pub fn put_role(&self, role: Role) {
        self.shared.state().roles.put(role);
    }

    /// Deletes a role and makes the credentials of its sessions invalid; returns false if it does not exist.
    pub fn delete_role(&self, arn: &str) -> bool {
        self.shared.state().roles.delete(arn)
    }

    /// Makes the credentials of all sessions of a role expire now; returns the number of these sessions.
    pub fn expire_role_sessions(&self, role_arn: &str) -> usize {
        self.shared.state().roles.expire_sessions(role_arn, now())
    }

    /// Adds a fault at the end of the queue.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.state().faults.add(fault)
    }

    /// Returns the faults in the queue, with the rest of `skip` and `count` of each.
    pub fn faults(&self) -> Vec<QueuedFault> {
        self.shared.state().faults.all()
    }

    /// Removes a fault from the queue and closes the connections that it keeps open; returns false if it was not in the
    /// queue.
    pub fn remove_fault(&self, id: FaultId) -> bool {
        self.shared.state().faults.remove(id)
    }

    /// Removes all faults from the queue and closes the connections that they keep open.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Closes all connections and refuses new ones for a period; returns once the refusal is in force.
    pub async fn refuse_connections(&self, period: Duration) {
        self.shared.gate.completed(self.shared.gate.refuse(Some(period))).await;
    }

    /// Closes all connections and refuses new ones; returns once the refusal is in force.
    pub async fn refuse_connections_until_allowed(&self) {
        self.shared.gate.completed(self.shared.gate.refuse(None)).await;
    }

    /// Ends a refusal; returns once the emulator accepts connections.
    pub async fn allow_connections(&self) {
        self.shared.gate.completed(self.shared.gate.allow()).await;
    }

    /// Returns the resources of every account in every region.
    pub fn state(&self) -> Vec<RegionView> {
        self.shared.state().view(now())
    }

    /// Creates an ACTIVE connector with a new subnet and a new security group; returns its ARN.
    pub fn create_connector(&self, account: &str, region: &str, name: &str) -> String {
        self.create_connector_with_tags(account, region, name, &[])
    }

    /// Creates an ACTIVE connector with tags; returns its ARN.
    pub fn create_connector_with_tags(&self, account: &str, region: &str, name: &str, tags: &[(&str, &str)]) -> String {
        self.shared.state().create_connector(&AccountRegion::new(account, region), name, tags)
    }

    /// Deletes a connector, even if it is in use; returns false if it does not exist.
    pub fn delete_connector(&self, arn: &str) -> bool {
        self.shared.state().change_connector(arn, |connector| connector.delete(now()))
    }

    /// Removes a connector from the state, as AWS does after a deletion; returns false if it does not exist.
    pub fn forget_connector(&self, arn: &str) -> bool {
        self.shared.state().forget_connector(arn)
    }

    /// Returns a connector by its ARN, also one that the API no longer describes.
    pub fn connector(&self, arn: &str) -> Option<ConnectorView> {
        self.state().into_iter().flat_map(|region| region.connectors).find(|connector| connector.arn == arn)
    }

    /// Returns the latest tags of a resource, also tags that `ListTagsForResource` does not show yet.
    pub fn tags(&self, arn: &str) -> Option<BTreeMap<String, String>> {
        self.state().into_iter().find_map(|region| region.tags(arn))
    }

    /// Replaces the tags of a connector; returns false if it does not exist.
    pub fn set_tags(&self, arn: &str, tags: &[(&str, &str)]) -> bool {
        self.shared.state().change_connector(arn, |connector| connector.tags.write(tag_map(tags), now()))
    }

    /// Creates a RUNNING service, with a connector if one is given; returns its ARN.
    pub fn create_service(&self, account: &str, region: &str, name: &str, connector: Option<&str>) -> String {
        self.shared.state().create_service(&AccountRegion::new(account, region), name, connector)
    }

    /// Deletes a service at once; returns false if it does not exist.
    pub fn delete_service(&self, arn: &str) -> bool {
        self.set_service_status(arn, ServiceStatus::Deleted)
    }

    /// Sets the status of a service and ends the operation in progress; returns false if it does not exist.
    pub fn set_service_status(&self, arn: &str, status: ServiceStatus) -> bool {
        let now = now();
        self.shared.state().change_service(arn, now, |service| service.set_status(status, now))
    }

    /// Returns a service by its ARN, also one that the API no longer describes.
    pub fn service(&self, arn: &str) -> Option<ServiceView> {
        self.state().into_iter().flat_map(|region| region.services).find(|service| service.arn == arn)
    }
}
