//! Reads one account and region: everything of App Runner that remains there.
//!
//! The account and regions are read side by side, each within its rate limit. A report may take its time, so a call that
//! failed with a transient failure is repeated up to 3 times; after that its part counts as not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::counted;
use crate::apprunner::Aws;
use crate::apprunner::CALL_DEADLINE;
use crate::apprunner::client::{Call, Subject};
use crate::apprunner::inventory::{Configuration, IngressConnection, ServiceSettings};
use crate::apprunner::session::Session;
use crate::core::arn::{AccountRegion, ConnectorArn, Region};
use crate::core::error_class::ErrorClass;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Connector, Failure, Operation, Page, Service};
use crate::core::rate_limit::Priority;

/// A call that failed this often in a row is not repeated.
const MAX_TRIES: u32 = 4;
/// After this many refused calls of one kind in a row, the remaining ones of the kind are not made.
const MAX_REFUSALS: u32 = 3;
/// A list with more pages counts as endless.
const MAX_PAGES: usize = 1000;

/// AWS's replies for one account and region.
#[derive(Clone, Debug, Default)]
pub(super) struct RegionScan {
    pub(super) connectors: Partial<Tagged>,
    pub(super) services: Partial<Described>,
    pub(super) ingress_connections: Partial<IngressConnection>,
    pub(super) auto_scaling: Partial<Configuration>,
    pub(super) source_connections: Partial<Configuration>,
    pub(super) observability: Partial<Configuration>,
}

/// A connector, and the value of its owner tag.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    pub(super) connector: Connector,
    pub(super) owner_tag: Read<Option<String>>,
}

/// A service, and the resources that it refers to.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) service: Service,
    pub(super) settings: Read<ServiceSettings>,
    pub(super) custom_domains: Read<Vec<String>>,
}

/// What was read, or why it was not.
pub(super) type Read<T> = Result<T, Failure>;

/// A list that may be incomplete.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partial<T> {
    /// The items that were read.
    pub(super) items: Vec<T>,
    /// The failure that makes the list incomplete.
    pub(super) failure: Option<Failure>,
}

/// Reads one account and region.
pub(super) struct Scanner {
    pub(super) aws: Arc<Aws>,
    pub(super) intervals: Intervals,
    pub(super) place: AccountRegion,
}

/// Stops the calls of one kind that are refused again and again.
#[derive(Default)]
struct Refusals {
    in_a_row: u32,
    last: Option<Failure>,
}

impl Scanner {
    pub(super) async fn scan(&self) -> RegionScan {
        let (connectors, services, ingress_connections, configurations) =
            tokio::join!(self.connectors(), self.services(), self.ingress_connections(), self.configurations());
        let [auto_scaling, source_connections, observability] = configurations;
        RegionScan { connectors, services, ingress_connections, auto_scaling, source_connections, observability }
    }

    async fn connectors(&self) -> Partial<Tagged> {
        let list = async |session: &Session, token| session.list_connectors(self.region(), token).await;
        let listed = self.list(Operation::ListVpcConnectors, list).await;
        let (mut refusals, mut items) = (Refusals::default(), Vec::new());
        for connector in listed.items {
            let arn: Option<ConnectorArn> = connector.arn.as_deref().and_then(|arn| arn.parse().ok());
            let owner_tag = match arn {
                Some(arn) => refusals.unless_too_many(self.owner_tag(&arn)).await,
                None => Err(Failure::unproven(Operation::ListTagsForResource, "the connector has no ARN")),
            };
            items.push(Tagged { connector, owner_tag });
        }
        Partial { items, failure: listed.failure }
    }

    async fn owner_tag(&self, arn: &ConnectorArn) -> Read<Option<String>> {
        self.call(async |session: &Session| session.read_owner_tag(arn, CALL_DEADLINE).await).await
    }

    /// App Runner lists services without their network configuration, so each service is described.
    async fn services(&self) -> Partial<Described> {
        let list = async |session: &Session, token| session.list_services(self.region(), token).await;
        let listed = self.list(Operation::ListServices, list).await;
        let existing = listed.items.into_iter().filter(|service| !service.is_deleted());
        let services: BTreeMap<_, _> = existing.map(|service| (service.arn.clone(), service)).collect();
        let (mut describes, mut domains, mut items) = (Refusals::default(), Refusals::default(), Vec::new());
        for (arn, service) in services {
            let settings = describes.unless_too_many(self.settings(&arn)).await;
            // The service was deleted after it was listed.
            if settings.as_ref().is_err_and(|failure| failure.class == ErrorClass::NotFound) {
                continue;
            }
            let custom_domains = domains.unless_too_many(self.custom_domains(&arn)).await;
            items.push(Described { service, settings, custom_domains });
        }
        Partial { items, failure: listed.failure }
    }

    async fn settings(&self, service: &str) -> Read<ServiceSettings> {
        self.call(async |session: &Session| session.describe_settings(self.region(), service).await).await
    }

    async fn custom_domains(&self, service: &str) -> Read<Vec<String>> {
        let list = async |session: &Session, token| session.custom_domains(self.region(), service, token).await;
        let listed = self.list(Operation::DescribeCustomDomains, list).await;
        listed.failure.map_or(Ok(listed.items), Err)
    }

    /// App Runner lists VPC ingress connections without their statuses, so each one is described.
    async fn ingress_connections(&self) -> Partial<IngressConnection> {
        let list = async |session: &Session, token| session.list_ingress_connections(self.region(), token).await;
        let mut listed = self.list(Operation::ListVpcIngressConnections, list).await;
        let mut refusals = Refusals::default();
        let mut items = Vec::new();
        for one in std::mem::take(&mut listed.items) {
            let describe = async |session: &Session| session.describe_ingress_connection(self.region(), &one.arn).await;
            match refusals.unless_too_many(self.call(describe)).await {
                Ok(described) => items.push(described),
                // It was deleted after it was listed.
                Err(failure) if failure.class == ErrorClass::NotFound => {}
                Err(failure) => {
                    listed.failure.get_or_insert(failure);
                    items.push(one.clone());
                }
            }
        }
        items.retain(|one| !one.status.as_deref().is_some_and(is_deleted));
        Partial { items, ..listed }
    }

    async fn configurations(&self) -> [Partial<Configuration>; 3] {
        let region = self.region();
        let scaling = async |session: &Session, token| session.list_auto_scaling(region, token).await;
        let source = async |session: &Session, token| session.list_source_connections(region, token).await;
        let observability = async |session: &Session, token| session.list_observability(region, token).await;
        [
            self.list(Operation::ListAutoScalingConfigurations, scaling).await,
            self.list(Operation::ListConnections, source).await,
            self.list(Operation::ListObservabilityConfigurations, observability).await,
        ]
    }

    fn region(&self) -> &Region {
        &self.place.region
    }

    async fn list<T>(
        &self,
        operation: Operation,
        list: impl AsyncFn(&Session, Option<String>) -> Call<Page<T>>,
    ) -> Partial<T> {
        let (mut items, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let next = async |session: &Session| list(session, token.clone()).await;
            let page = match self.call(next).await {
                Ok(page) => page,
                Err(failure) => return Partial { items, failure: Some(failure) },
            };
            items.extend(page.items);
            token = page.next;
            if token.is_none() {
                return Partial { items, failure: None };
            }
        }
        Partial { items, failure: Some(Failure::unproven(operation, "the list has no end")) }
    }

    /// Makes a call, and repeats it after a transient failure.
    async fn call<T>(&self, call: impl AsyncFn(&Session) -> Call<T>) -> Read<T> {
        let mut tries = 0;
        loop {
            let failure = match self.call_once(&call).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            tries += 1;
            if tries >= max_tries(failure.class) {
                return Err(failure);
            }
            tokio::time::sleep(self.intervals.retry.jittered(tries, rand::random())).await;
        }
    }

    async fn call_once<T>(&self, call: &impl AsyncFn(&Session) -> Call<T>) -> Read<T> {
        let session = self.aws.sessions.for_account_region(&self.place).await?;
        self.wait_for_rate_limit().await;
        // Boxed, because the future of a call is much larger than that of everything around it.
        let call = Box::pin(call(&session)).await;
        self.aws.record_response(&self.place, &session, &call, Subject::default());
        call.outcome.into_result()
    }

    async fn wait_for_rate_limit(&self) {
        loop {
            match self.aws.rate_limits.acquire(&self.place, "report", Priority::Other, 1) {
                Ok(mut permit) => return permit.spend(),
                Err(allowed_in) => tokio::time::sleep(allowed_in).await,
            }
        }
    }
}

impl RegionScan {
    /// The failure of each list, the connectors and the services first.
    pub(super) fn list_failures(&self) -> [Option<&Failure>; 6] {
        [
            self.connectors.failure.as_ref(),
            self.services.failure.as_ref(),
            self.ingress_connections.failure.as_ref(),
            self.auto_scaling.failure.as_ref(),
            self.source_connections.failure.as_ref(),
            self.observability.failure.as_ref(),
        ]
    }

    /// Every failure, of lists and of single resources.
    pub(super) fn failures(&self) -> Vec<Failure> {
        let tags = self.connectors.items.iter().map(|one| one.owner_tag.as_ref().err());
        let services = self.services.items.iter();
        let services = services.flat_map(|one| [one.settings.as_ref().err(), one.custom_domains.as_ref().err()]);
        self.list_failures().into_iter().chain(tags).chain(services).flatten().cloned().collect()
    }

    /// One line about the result.
    pub(super) fn in_words(&self) -> String {
        match self.list_failures().into_iter().flatten().next() {
            Some(failure) if failure.class == ErrorClass::SubscriptionRequired => {
                "not subscribed to App Runner".to_owned()
            }
            Some(failure) => format!("not read to the end: {} failed with {}", failure.operation, failure.code),
            None => {
                let (services, connectors) = (self.services.items.len(), self.connectors.items.len());
                format!("{}, {}", counted(services, "service"), counted(connectors, "connector"))
            }
        }
    }
}

impl Refusals {
    /// Makes a call, unless the last ones of its kind were refused.
    ///
    /// An IAM policy may allow the call for the next resource, and the reply for the next resource may be complete, so a
    /// single refusal says nothing about the others. A failure that is not about the resource does.
    async fn unless_too_many<T>(&mut self, call: impl Future<Output = Read<T>>) -> Read<T> {
        if let Some(failure) = self.last.as_ref().filter(|_| self.in_a_row >= MAX_REFUSALS) {
            return Err(failure.clone());
        }
        let read = call.await;
        match &read {
            Ok(_) => *self = Self::default(),
            Err(failure) if failure.class == ErrorClass::NotFound => {}
            Err(failure) => {
                let of_this_resource = !failure.class.is_transient() || failure.class == ErrorClass::Unproven;
                self.in_a_row = if of_this_resource { self.in_a_row + 1 } else { MAX_REFUSALS };
                self.last = Some(failure.clone());
            }
        }
        read
    }
}

/// True for the status of a VPC ingress connection that is deleted and still listed.
fn is_deleted(status: &str) -> bool {
    crate::core::words::same(status, "DELETED")
}

impl<T> Default for Partial<T> {
    fn default() -> Self {
        Self { items: Vec::new(), failure: None }
    }
}

/// Rejected credentials get a second try, because they may have been renewed after the first.
pub(super) fn max_tries(class: ErrorClass) -> u32 {
    match class {
        ErrorClass::CredentialsRejected => 2,
        class if class.is_transient() => MAX_TRIES,
        _ => 1,
    }
}
