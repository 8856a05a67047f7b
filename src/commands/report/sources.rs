//! The accounts of a report, each with the credentials that read it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::apprunner::Aws;
use crate::apprunner::sessions::Identities;
use crate::cli::{AwsArgs, IdentityArgs};
use crate::core::accounts::Accounts;
use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::intervals::Intervals;
use crate::core::outcome::{Failure, Operation};

use super::model::Credentials;
use super::progress::eprint;
use super::scan::max_tries;

/// The account of the credentials is not requested again after this time.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(20);

/// An account to read.
pub(super) struct Source {
    pub(super) aws: Arc<Aws>,
    pub(super) account: AccountId,
    pub(super) regions: Vec<Region>,
    pub(super) credentials: Credentials,
}

/// Credentials whose account could not be found out, or an account whose role cannot be assumed.
pub(super) struct Unread {
    pub(super) account: Option<AccountId>,
    pub(super) credentials: Credentials,
    pub(super) failure: Failure,
}

/// Finds out the accounts of the credentials.
pub(super) async fn find(aws: &AwsArgs, identities: &IdentityArgs) -> Vec<Result<Source, Unread>> {
    let found = if identities.profiles.is_empty() {
        let accounts = Arc::new(identities.accounts.clone().unwrap_or_default());
        let own = own(aws, None, &accounts).await;
        let roles = match &own {
            Ok(own) => join_all(accounts.iter().map(|(id, _)| role(aws, own, id, &accounts))).await,
            Err(_) => Vec::new(),
        };
        std::iter::once(own).chain(roles).collect()
    } else {
        let accounts = Arc::default();
        join_all(identities.profiles.iter().map(|profile| own(aws, Some(profile), &accounts))).await
    };
    once_each(found)
}

/// Two profiles may be of one account, and an account may be listed that is the own one; the later one counts, which is
/// the one with a role.
fn once_each(found: Vec<Result<Source, Unread>>) -> Vec<Result<Source, Unread>> {
    let mut seen = BTreeSet::new();
    let mut is_first = |source: &Source| {
        let first = seen.insert(source.account.clone());
        if !first && let Credentials::Profile(name) = &source.credentials {
            eprint(&format!("profile {name} is of account {}, which another profile reads", source.account));
        }
        first
    };
    let mut kept: Vec<_> =
        found.into_iter().rev().filter(|source| source.as_ref().map_or(true, &mut is_first)).collect();
    kept.sort_by_key(|source| match source {
        Ok(source) => Some(source.account.clone()),
        Err(unread) => unread.account.clone(),
    });
    kept
}

/// Requests the account of the operator's own credentials, or of a profile, in each region until one answers: a region may
/// be down, or may not accept these credentials.
async fn own(args: &AwsArgs, profile: Option<&String>, accounts: &Arc<Accounts>) -> Result<Source, Unread> {
    let credentials = profile.map_or(Credentials::Current, |name| Credentials::Profile(name.clone()));
    let regions = regions(args);
    let intervals = Intervals::default().divided_by(args.pace_divisor);
    let identities = Identities { profile: profile.cloned(), accounts: accounts.clone() };
    match identify(args, &regions, &intervals, &identities).await {
        Ok((aws, account)) => Ok(Source { aws: Arc::new(aws), account, regions, credentials }),
        Err(failure) => Err(Unread { account: None, credentials, failure }),
    }
}

/// The account of a role, read with the credentials of the role.
///
/// The regions of the entry say where the account may be used, and not where it has resources, so all are read.
async fn role(args: &AwsArgs, own: &Source, account: &AccountId, accounts: &Accounts) -> Result<Source, Unread> {
    let credentials = Credentials::Role(accounts.get(account).map_or_else(String::new, |entry| entry.role.to_string()));
    let retry = Intervals::default().divided_by(args.pace_divisor).retry;
    let mut tries = 0;
    loop {
        let mut first = None;
        for region in own.regions.clone() {
            let place = AccountRegion { account: account.clone(), region };
            match own.aws.sessions.for_account_region(&place).await {
                Ok(_) => {
                    let (aws, regions) = (own.aws.clone(), own.regions.clone());
                    return Ok(Source { aws, account: account.clone(), regions, credentials });
                }
                Err(failure) => first.get_or_insert(failure),
            };
        }
        tries += 1;
        let failure = first.unwrap_or_else(no_region);
        if tries >= max_tries(failure.class) {
            return Err(Unread { account: Some(account.clone()), credentials, failure });
        }
        tokio::time::sleep(retry.jittered(tries, rand::random())).await;
    }
}

fn no_region() -> Failure {
    Failure::unproven(Operation::GetCallerIdentity, "there is no region to ask in")
}

/// The regions to read, each once.
fn regions(args: &AwsArgs) -> Vec<Region> {
    args.regions.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

async fn identify(
    args: &AwsArgs,
    regions: &[Region],
    intervals: &Intervals,
    identities: &Identities,
) -> Result<(Aws, AccountId), Failure> {
    let started = Instant::now();
    let mut tries = 0;
    loop {
        let mut first = None;
        for region in regions {
            // New clients for each try, because a client remembers its failure. The metrics are not served.
            let recovery = intervals.rate_recovery;
            let aws = Aws::new(identities.clone(), args.limits(), recovery, Arc::default(), Arc::default());
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
        let failure = first.unwrap_or_else(no_region);
        if tries >= max_tries(failure.class) {
            return Err(failure);
        }
        tokio::time::sleep(intervals.retry.jittered(tries, rand::random())).await;
    }
}
