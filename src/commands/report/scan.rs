//! Reads AWS: the connectors of each region, and the services that use them.
//!
//! The regions are read concurrently, each within its rate limit. A report may take its time, so a call that failed with a
//! transient failure is repeated up to 3 times; after that the region counts as not read, or as partly read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{counted, eprint};
use crate::apprunner::Aws;
use crate::apprunner::client::{Call, Subject};
use crate::apprunner::session::Session;
use crate::cli::AwsArgs;
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::error_class::ErrorClass;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Connector, Failure, Operation, Page, Service};
use crate::core::rate_limit::Priority;

/// A call that failed this often in a row is not repeated.
const MAX_TRIES: u32 = 4;
/// With more services than this, a progress line is printed.
const PROGRESS_ABOVE: usize = 10;
/// After this many refused describes in a row, the remaining services are not described.
const MAX_REFUSALS: u32 = 3;
/// The account of the credentials is not requested again after this time.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(20);
/// A list with more pages counts as endless.
const MAX_PAGES: usize = 1000;
/// The calls that the IAM policy has to allow.
pub(super) const REQUIRED_CALLS: [Operation; 3] =
    [Operation::ListVpcConnectors, Operation::ListServices, Operation::DescribeService];

/// AWS's replies for one region.
#[derive(Clone, Debug)]
pub(super) struct RegionScan {
    pub(super) region: Region,
    pub(super) connectors: Partial<Connector>,
    pub(super) uses: Partial<ServiceUse>,
}

/// A list that may be incomplete.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partial<T> {
    /// The items that were read.
    pub(super) items: Vec<T>,
    /// The failure that makes the list incomplete.
    pub(super) failure: Option<Failure>,
}

/// A service, and the connector that its outgoing traffic goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceUse {
    pub(super) service: Service,
    /// The connector's ARN.
    pub(super) connector: String,
}

struct Scanner {
    aws: Aws,
    intervals: Intervals,
    account: AccountId,
}

/// Scans the regions of the account that the credentials belong to.
pub(super) async fn scan_account(args: &AwsArgs) -> Result<(AccountId, Vec<RegionScan>), Failure> {
    let intervals = Intervals::default().divided_by(args.pace_divisor);
    let mut regions = args.regions.clone();
    regions.sort();
    regions.dedup();
    let (aws, account) = identify(args, &regions, &intervals).await?;
    eprint(&format!("reading {} of account {account}", counted(regions.len(), "region")));
    let scanner = Scanner { aws, intervals, account };
    let scans = join_all(regions.into_iter().map(|region| scanner.scan(region))).await;
    Ok((scanner.account, scans))
}

/// Requests the account of the credentials in each region until one answers, because a region may be down, or may not accept
/// these credentials.
async fn identify(args: &AwsArgs, regions: &[Region], intervals: &Intervals) -> Result<(Aws, AccountId), Failure> {
    let started = Instant::now();
    let mut tries = 0;
    loop {
        let mut first = None;
        for region in regions {
            // A new client for each try, because a client remembers its failure. Its metrics are not served.
            let aws = Aws::new(Arc::default(), args.limits(), intervals.rate_recovery, Arc::default(), Arc::default());
            let failure = match aws.sessions.own(region).await {
                Ok(session) => return Ok((aws, session.account().clone())),
                Err(failure) => failure,
            };
            let no_credentials = failure.operation == Operation::ResolveCredentials && !failure.class.is_transient();
            if no_credentials || started.elapsed() > IDENTIFY_WITHIN {
                return Err(failure);
            }
            first = first.or(Some(failure));
        }
        tries += 1;
        let failure =
            first.unwrap_or_else(|| Failure::unproven(Operation::GetCallerIdentity, "there is no region to ask in"));
        if tries >= max_tries(failure.class) {
            return Err(failure);
        }
        tokio::time::sleep(intervals.retry.jittered(tries, rand::random())).await;
    }
}

impl Scanner {
    async fn scan(&self, region: Region) -> RegionScan {
        let connectors = self.list_connectors(&region).await;
        // Without connectors no service can use one.
        let uses = if connectors.items.is_empty() { Partial::default() } else { self.list_uses(&region).await };
        let read = match connectors.failure.as_ref().or(uses.failure.as_ref()) {
            Some(failure) if failure.class == ErrorClass::SubscriptionRequired => {
                "not subscribed to App Runner".to_owned()
            }
            Some(failure) => format!("not read to the end: {} failed with {}", failure.operation, failure.code),
            None => counted(connectors.items.len(), "connector"),
        };
        eprint(&format!("{region}: {read}"));
        RegionScan { region, connectors, uses }
    }

    async fn list_connectors(&self, region: &Region) -> Partial<Connector> {
        let list = async |session: &Session, token| session.list_connectors(region, token).await;
        self.list(region, Operation::ListVpcConnectors, list).await
    }

    async fn list_services(&self, region: &Region) -> Partial<Service> {
        let list = async |session: &Session, token| session.list_services(region, token).await;
        self.list(region, Operation::ListServices, list).await
    }

    /// App Runner lists services without their network configuration, so each service is described.
    async fn list_uses(&self, region: &Region) -> Partial<ServiceUse> {
        let listed = self.list_services(region).await;
        let existing = listed.items.into_iter().filter(|service| !service.is_deleted());
        let services: BTreeMap<_, _> = existing.map(|service| (service.arn.clone(), service)).collect();
        if services.len() > PROGRESS_ABOVE {
            eprint(&format!("{region}: describing {} services", services.len()));
        }
        let mut uses = Partial { items: Vec::new(), failure: listed.failure };
        let mut refusals = 0;
        for (arn, service) in services {
            match self.egress_connector(region, &arn).await {
                Ok(connector) => {
                    refusals = 0;
                    uses.items.extend(connector.map(|connector| ServiceUse { service, connector }));
                }
                // The service was deleted after it was listed.
                Err(failure) if failure.class == ErrorClass::NotFound => {}
                // An IAM policy may allow the describe of the next service, and the reply for the next service may be
                // complete.
                Err(failure) => {
                    refusals += 1;
                    let concerns_this_service = !failure.class.is_transient() || failure.class == ErrorClass::Unproven;
                    let stop = !concerns_this_service || refusals >= MAX_REFUSALS;
                    uses.failure = uses.failure.or(Some(failure));
                    if stop {
                        break;
                    }
                }
            }
        }
        uses
    }

    async fn egress_connector(&self, region: &Region, service: &str) -> Result<Option<String>, Failure> {
        self.call(region, async |session: &Session| session.describe_service(region, service).await).await
    }

    async fn list<T>(
        &self,
        region: &Region,
        operation: Operation,
        list: impl AsyncFn(&Session, Option<String>) -> Call<Page<T>>,
    ) -> Partial<T> {
        let (mut items, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let next = async |session: &Session| list(session, token.clone()).await;
            let page = match self.call(region, next).await {
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
    async fn call<T>(&self, region: &Region, call: impl AsyncFn(&Session) -> Call<T>) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            let failure = match self.call_once(region, &call).await {
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

    async fn call_once<T>(&self, region: &Region, call: &impl AsyncFn(&Session) -> Call<T>) -> Result<T, Failure> {
        let account_region = AccountRegion { account: self.account.clone(), region: region.clone() };
        let session = self.aws.sessions.for_account_region(&account_region).await?;
        self.wait_for_rate_limit(&account_region).await;
        let call = call(&session).await;
        self.aws.record_response(&account_region, &session, &call, Subject::default());
        call.outcome.into_result()
    }

    async fn wait_for_rate_limit(&self, account_region: &AccountRegion) {
        loop {
            match self.aws.rate_limits.acquire(account_region, "report", Priority::Other, 1) {
                Ok(mut permit) => return permit.spend(),
                Err(allowed_in) => tokio::time::sleep(allowed_in).await,
            }
        }
    }
}

impl<T> Default for Partial<T> {
    fn default() -> Self {
        Self { items: Vec::new(), failure: None }
    }
}

/// Rejected credentials get a second try, because they may have been renewed after the first.
fn max_tries(class: ErrorClass) -> u32 {
    match class {
        ErrorClass::CredentialsRejected => 2,
        class if class.is_transient() => MAX_TRIES,
        _ => 1,
    }
}
