//! The emulator as a value: started, watched and steered from the same process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http::serve;
use crate::model::account_region::AccountRegion;
use crate::model::clock::now;
use crate::model::connector::NewConnector;
use crate::model::ids::random_hex;
use crate::model::service::NewService;
use crate::state::Shared;
use crate::{
    Behaviors, Call, CallFilter, Config, ConnectorView, Error, Fault, FaultId, QueuedFault, RegionView, ServiceStatus,
    ServiceView,
};

/// A running emulator; dropping it stops the server and closes every connection.
///
/// The server runs on the tokio runtime that [`Emulator::start`] was called on. The methods that are not
/// async return at once, need no runtime, and skip what only a request is checked for: names, quotas, faults.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Emulator {
    /// Binds the address and starts to serve; when it returns, requests are answered.
    pub async fn start(config: Config) -> Result<Self, Error> {
        config.check()?;
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(config));
        let server = tokio::spawn(serve(listener, address, Arc::clone(&shared)));
        Ok(Self { address, shared, server })
    }

    /// Stops the server and returns when its port is free again.
    pub async fn stop(mut self) {
        self.server.abort();
        // The task's end is what is waited for, and an abort is its only one.
        let _ = (&mut self.server).await;
    }

    /// Gives the address that is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the URL for `AWS_ENDPOINT_URL`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lists all calls in order of arrival, also those still under way.
    pub fn calls(&self) -> Vec<Call> {
        self.calls_matching(&CallFilter::default())
    }

    /// Lists the calls that fit a filter, in order of arrival.
    pub fn calls_matching(&self, filter: &CallFilter) -> Vec<Call> {
        self.shared.world().calls.filtered(filter)
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.shared.world().calls.clear();
    }

    /// Forgets everything, and behaves as at the start.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Tells how it behaves now.
    pub fn behaviors(&self) -> Behaviors {
        self.shared.world().behaviors.clone()
    }

    /// Makes it behave otherwise from now on.
    pub fn set_behaviors(&self, behaviors: Behaviors) {
        self.shared.world().behaviors = behaviors;
    }

    /// Changes some behaviors and leaves the others.
    pub fn change_behaviors(&self, change: impl FnOnce(&mut Behaviors)) {
        change(&mut self.shared.world().behaviors);
    }

    /// Queues a fault behind those that wait.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.world().faults.add(fault)
    }

    /// Lists the faults that wait, with what is left of each.
    pub fn faults(&self) -> Vec<QueuedFault> {
        self.shared.world().faults.all()
    }

    /// Takes a fault out of the queue and hangs up on the calls it holds; says whether it was still there.
    pub fn remove_fault(&self, id: FaultId) -> bool {
        self.shared.world().faults.remove(id)
    }

    /// Takes all faults out of the queue and hangs up on the calls they hold.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Cuts all connections and refuses new ones for some time; returns when nobody can connect.
    pub async fn refuse_connections(&self, period: Duration) {
        self.shared.gate.done(self.shared.gate.refuse(Some(period))).await;
    }

    /// Cuts all connections and refuses new ones; returns when nobody can connect.
    pub async fn refuse_connections_until_allowed(&self) {
        self.shared.gate.done(self.shared.gate.refuse(None)).await;
    }

    /// Ends a refusal early; returns when everybody can connect.
    pub async fn allow_connections(&self) {
        self.shared.gate.done(self.shared.gate.allow()).await;
    }

    /// Lists what every account has in every region.
    pub fn state(&self) -> Vec<RegionView> {
        self.shared.world().view(now())
    }

    /// Creates an ACTIVE connector with a subnet and a security group of its own; gives its ARN.
    pub fn create_connector(&self, account: &str, region: &str, name: &str) -> String {
        self.create_connector_with_tags(account, region, name, &[])
    }

    /// Creates an ACTIVE connector with tags; gives its ARN.
    pub fn create_connector_with_tags(&self, account: &str, region: &str, name: &str, tags: &[(&str, &str)]) -> String {
        let now = now();
        let new = NewConnector {
            name: name.to_owned(),
            subnets: vec![format!("subnet-{}", &random_hex()[..17])],
            security_groups: vec![format!("sg-{}", &random_hex()[..17])],
            tags: owned(tags),
        };
        let world = &mut *self.shared.world();
        let owner = AccountRegion::new(account, region);
        let (region, behaviors) = world.region(&owner, now);
        let connector = region.make_connector(&owner, new, behaviors, now);
        let arn = connector.arn.clone();
        region.connectors.push(connector);
        arn
    }

    /// Deletes a connector as somebody else would, in use or not; says whether it exists.
    pub fn delete_connector(&self, arn: &str) -> bool {
        self.shared.world().change_connector(arn, |connector| connector.delete(now()))
    }

    /// Lets a connector vanish as if AWS had removed it for good; says whether it existed.
    pub fn forget_connector(&self, arn: &str) -> bool {
        self.shared.world().forget_connector(arn)
    }

    /// Finds a connector by its ARN, also one that the API no longer finds.
    pub fn connector(&self, arn: &str) -> Option<ConnectorView> {
        self.state().into_iter().flat_map(|region| region.connectors).find(|connector| connector.arn == arn)
    }

    /// Gives the tags of a connector or a service, also those that a list does not show yet.
    pub fn tags(&self, arn: &str) -> Option<BTreeMap<String, String>> {
        let of_connector = self.connector(arn).map(|connector| connector.tags);
        of_connector.or_else(|| self.service(arn).map(|service| service.tags))
    }

    /// Gives a connector other tags, as somebody else's request would; says whether it exists.
    pub fn set_tags(&self, arn: &str, tags: &[(&str, &str)]) -> bool {
        self.shared.world().change_connector(arn, |connector| connector.tags.write(owned(tags), now()))
    }

    /// Creates a RUNNING service, its traffic through a connector if one is given; gives its ARN.
    pub fn create_service(&self, account: &str, region: &str, name: &str, connector: Option<&str>) -> String {
        let now = now();
        let source = json!({ "ImageRepository": { "ImageIdentifier": "example/web:1", "ImageRepositoryType": "ECR" } });
        let new = NewService {
            name: name.to_owned(),
            connector: connector.map(str::to_owned),
            settings: Map::from_iter([("SourceConfiguration".to_owned(), source)]),
            tags: BTreeMap::new(),
        };
        let world = &mut *self.shared.world();
        let owner = AccountRegion::new(account, region);
        let (region, _) = world.region(&owner, now);
        region.add_service(&owner, new, now)
    }

    /// Deletes a service at once; says whether it exists.
    pub fn delete_service(&self, arn: &str) -> bool {
        self.set_service_status(arn, ServiceStatus::Deleted)
    }

    /// Puts a service into a status at once, ending any operation on it; says whether it exists.
    pub fn set_service_status(&self, arn: &str, status: ServiceStatus) -> bool {
        let now = now();
        self.shared.world().change_service(arn, now, |service| service.set_status(status, now))
    }

    /// Finds a service by its ARN, also one that the API no longer finds.
    pub fn service(&self, arn: &str) -> Option<ServiceView> {
        self.state().into_iter().flat_map(|region| region.services).find(|service| service.arn == arn)
    }
}

fn owned(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
