//! Asks AWS: the connectors of each region, and the services that use them.
//!
//! The regions are read side by side, each within its rate limit. A report can wait, so what is likely to pass is tried a
//! few times; then the region counts as not read, or as read in part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{counted, say};
use crate::apprunner::Aws;
use crate::apprunner::client::{Call, Subject};
use crate::apprunner::session::Session;
use crate::cli::AwsArgs;
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::error_class::ErrorClass;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Connector, Failure, Operation, Page, Service};
use crate::core::rate_limit::Priority;

/// A call that failed this often in a row is given up.
const MOST_TRIES: u32 = 4;
/// More services than this take a while.
const MANY: usize = 10;
/// When this many services in a row were refused, the others would be as well.
const MOST_REFUSALS: u32 = 3;
/// Whose credentials these are is not asked again after this long.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(20);
/// A list of more pages than this has no end.
const MOST_PAGES: usize = 1000;
/// What a report needs, for whoever writes the policy.
pub const NEEDED: [Operation; 3] = [Operation::ListVpcConnectors, Operation::ListServices, Operation::DescribeService];

/// What AWS told of one region.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The region.
    pub region: Region,
    /// Its connectors.
    pub connectors: Part<Connector>,
    /// Who uses them.
    pub uses: Part<Use>,
}

/// What was read of a list, and what ended it too early.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<T> {
    /// What was read.
    pub items: Vec<T>,
    /// Why there may be more.
    pub failure: Option<Failure>,
}

/// A service, and the connector that its outgoing traffic goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The service.
    pub service: Service,
    /// The connector's ARN.
    pub connector: String,
}

struct Scan {
    aws: Aws,
    intervals: Intervals,
    account: AccountId,
}

/// Reads the regions of the account whose credentials these are.
pub async fn account(args: &AwsArgs) -> Result<(AccountId, Vec<Reading>), Failure> {
    let intervals = Intervals::default().divided_by(args.pace_divisor);
    let mut regions = args.regions.clone();
    regions.sort();
    regions.dedup();
    let (aws, account) = identify(args, &regions, &intervals).await?;
    say(&format!("reading {} of account {account}", counted(regions.len(), "region")));
    let scan = Scan { aws, intervals, account };
    let readings = join_all(regions.into_iter().map(|region| scan.region(region))).await;
    Ok((scan.account, readings))
}

/// One region that is down, or that does not know these credentials, is no reason not to ask in the next.
async fn identify(args: &AwsArgs, regions: &[Region], intervals: &Intervals) -> Result<(Aws, AccountId), Failure> {
    let started = Instant::now();
    let mut tries = 0;
    loop {
        let mut first = None;
        for region in regions {
            // Each time anew, because a failure is remembered; what is counted is read by nobody.
            let aws = Aws::new(args.limits(), intervals.rate_recovery, Arc::default(), Arc::default());
            let failure = match aws.sessions.identify(region).await {
                Ok(session) => return Ok((aws, session.account().clone())),
                Err(failure) => failure,
            };
            let nowhere = failure.operation == Operation::ResolveCredentials && !failure.class.is_transient();
            if nowhere || started.elapsed() > IDENTIFY_WITHIN {
                return Err(failure);
            }
            first = first.or(Some(failure));
        }
        tries += 1;
        let failure = first.unwrap_or_else(|| unproven(Operation::GetCallerIdentity, "there is no region to ask in"));
        if tries >= most_tries(failure.class) {
            return Err(failure);
        }
        tokio::time::sleep(intervals.retry.jittered(tries, rand::random())).await;
    }
}

impl Scan {
    async fn region(&self, region: Region) -> Reading {
        let connectors = self.connectors(&region).await;
        // What nothing can use is used by nobody.
        let uses = if connectors.items.is_empty() { Part::default() } else { self.uses(&region).await };
        let read = match connectors.failure.as_ref().or(uses.failure.as_ref()) {
            Some(failure) if failure.class == ErrorClass::SubscriptionRequired => {
                "not subscribed to App Runner".to_owned()
            }
            Some(failure) => format!("not read to the end: {} failed with {}", failure.operation, failure.code),
            None => counted(connectors.items.len(), "connector"),
        };
        say(&format!("{region}: {read}"));
        Reading { region, connectors, uses }
    }

    async fn connectors(&self, region: &Region) -> Part<Connector> {
        let list = async |session: &Session, token| session.list_connectors(region, token).await;
        self.list(region, Operation::ListVpcConnectors, list).await
    }

    async fn services(&self, region: &Region) -> Part<Service> {
        let list = async |session: &Session, token| session.list_services(region, token).await;
        self.list(region, Operation::ListServices, list).await
    }

    /// App Runner lists services without their network, so each is described.
    async fn uses(&self, region: &Region) -> Part<Use> {
        let listed = self.services(region).await;
        let there = listed.items.into_iter().filter(|service| !service.is_deleted());
        let services: BTreeMap<_, _> = there.map(|service| (service.arn.clone(), service)).collect();
        if services.len() > MANY {
            say(&format!("{region}: looking at {} services", services.len()));
        }
        let mut uses = Part { items: Vec::new(), failure: listed.failure };
        let mut refusals = 0;
        for (arn, service) in services {
            match self.egress(region, &arn).await {
                Ok(connector) => {
                    refusals = 0;
                    uses.items.extend(connector.map(|connector| Use { service, connector }));
                }
                // It went between the list and the look.
                Err(failure) if failure.class == ErrorClass::NotFound => {}
                // What is refused for one service may be granted for the next, and what lacks something may lack it
                // for one only.
                Err(failure) => {
                    refusals += 1;
                    let of_this_one = !failure.class.is_transient() || failure.class == ErrorClass::Unproven;
                    let hopeless = !of_this_one || refusals >= MOST_REFUSALS;
                    uses.failure = uses.failure.or(Some(failure));
                    if hopeless {
                        break;
                    }
                }
            }
        }
        uses
    }

    async fn egress(&self, region: &Region, service: &str) -> Result<Option<String>, Failure> {
        self.call(region, async |session: &Session| session.describe_service(region, service).await).await
    }

    async fn list<T>(
        &self,
        region: &Region,
        operation: Operation,
        list: impl AsyncFn(&Session, Option<String>) -> Call<Page<T>>,
    ) -> Part<T> {
        let (mut items, mut token) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let next = async |session: &Session| list(session, token.clone()).await;
            let page = match self.call(region, next).await {
                Ok(page) => page,
                Err(failure) => return Part { items, failure: Some(failure) },
            };
            items.extend(page.items);
            token = page.next;
            if token.is_none() {
                return Part { items, failure: None };
            }
        }
        Part { items, failure: Some(unproven(operation, "the list has no end")) }
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
            if tries >= most_tries(failure.class) {
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

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { items: Vec::new(), failure: None }
    }
}

/// Credentials that were rejected may have been renewed meanwhile.
fn most_tries(class: ErrorClass) -> u32 {
    match class {
        ErrorClass::CredentialsRejected => 2,
        class if class.is_transient() => MOST_TRIES,
        _ => 1,
    }
}

fn unproven(operation: Operation, message: &str) -> Failure {
    Failure::new(operation, ErrorClass::Unproven, "Unproven", message)
}
