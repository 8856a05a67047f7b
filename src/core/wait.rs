//! Every wait: its reason, its message, and its end.
//!
//! The messages that users read in `kubectl describe` are written here. A message changes only when its meaning changes, so a
//! time in it is absolute, and never that of an attempt.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;

use super::arn::{AccountId, ConnectorArn};
use super::blocker::{Arrival, Blocker};
use super::blockers::{Blockers, Services};
use super::clock::Moment;
use super::error_class::ErrorClass;
use super::evidence::{Evidence, Phase};
use super::outcome::{Failure, NO_CREDENTIALS, Operation, WRONG_ACCOUNT};
use super::state::{PendingClaim, RefusedDelete, Wait};
use super::words;
use crate::api::{OWNER_TAG, Reason};

/// The message for a claimed connector that is ACTIVE.
pub(super) const AVAILABLE: &str = "the connector is ACTIVE and owned by this object";
const AVAILABLE_UNTAGGED: &str = "the connector is ACTIVE and owned by this object; another tool removes its owner tag, \
     which is written again at most once an hour";
const UNREFERENCED: &str =
    "App Runner still reports the connector in use, but no service references it; waiting for App Runner to release it";
const THEN: &str = "the connector is deleted as soon as they release it";
/// The services that a message names; the status names more.
const NAMED: usize = 5;

/// Until a user changes something.
pub(super) fn until_user_acts(evidence: &Evidence, reason: Reason, message: String) -> Wait {
    Wait { reason, message, until: evidence.moment_after(evidence.rules.intervals.user_action), failure: None }
}

/// Until the next resync of a connector that is ACTIVE.
pub(super) fn available(until: Moment) -> Wait {
    Wait { reason: Reason::Available, message: AVAILABLE.into(), until, failure: None }
}

/// Until the next resync of a connector whose owner tag another tool removes.
pub(super) fn available_untagged(until: Moment) -> Wait {
    Wait { message: AVAILABLE_UNTAGGED.into(), ..available(until) }
}

/// Until the owner tag that was written is read back.
pub(super) fn tag_written(evidence: &Evidence) -> Wait {
    let message = "the owner tag is written, and is read back before the claim is recorded".to_owned();
    let until = evidence.moment_after(evidence.rules.intervals.tag_settle.drawn(evidence.jitter));
    Wait { reason: Reason::Adopting, message, until, failure: None }
}

/// Until App Runner shows the owner tag that was written.
pub(super) fn tag_not_shown(evidence: &Evidence, pending: &PendingClaim) -> Wait {
    let message = "the owner tag is written, and App Runner does not show it yet".to_owned();
    let until = evidence.moment_after(evidence.rules.intervals.tag_not_shown.jittered(pending.unseen, evidence.jitter));
    Wait { reason: Reason::Adopting, message, until, failure: None }
}

/// Until another owner has released the connector.
pub(super) fn owned_by_another(evidence: &Evidence, arn: &ConnectorArn, tag: &str) -> Wait {
    let region = arn.region();
    let message = format!(
        "the connector's owner tag names {tag}; if that object exists, its deletion with deletionPolicy Retain frees the \
         connector; if it does not, so does: aws apprunner untag-resource --resource-arn {arn} --tag-keys {OWNER_TAG} \
         --region {region}"
    );
    let until = evidence.moment_after(evidence.rules.intervals.ownership);
    Wait { reason: Reason::OwnedByAnother, message, until, failure: None }
}

/// Until App Runner reports an accepted deletion as done.
pub(super) fn until_deleted(evidence: &Evidence, since: Moment, describes: u32) -> Wait {
    let next = evidence.moment_after(evidence.rules.intervals.accepted.without_jitter(describes.saturating_add(1)));
    Wait {
        reason: Reason::Deleting,
        message: "App Runner accepted the deletion and still reports the connector ACTIVE".into(),
        until: next.min(delete_retry_at(evidence, since)),
        failure: None,
    }
}

/// The time at which an accepted deletion is requested again.
pub(super) fn delete_retry_at(evidence: &Evidence, since: Moment) -> Moment {
    since.after(evidence.rules.intervals.delete_again)
}

/// Until the rate limit allows a call. Keeps the reason and message of the wait before, if there was one.
pub(crate) fn until_rate_limit(evidence: &Evidence, allowed_in: Duration) -> Wait {
    let until = evidence.moment_after(allowed_in);
    if let Some(wait) = evidence.state.wait.clone() {
        return Wait { until, ..wait };
    }
    let reason = match evidence.object.phase() {
        Phase::Claimed => return available(until),
        Phase::Unclaimed => Reason::Adopting,
        Phase::DeletingUnclaimed | Phase::DeletingClaimed => Reason::Deleting,
    };
    let message = "waiting for the rate limit of calls to AWS in one account and region (--aws-rate)".to_owned();
    Wait { reason, message, until, failure: None }
}

/// The message of an object whose account is neither listed nor that of the credentials.
pub(super) fn of_another_account(evidence: &Evidence, credentials: &AccountId, arn: &ConnectorArn) -> String {
    let account = arn.account();
    if evidence.rules.accounts.is_empty() {
        return format!("the credentials are of account {credentials}, the connector is of {account}");
    }
    format!("account {account} is not listed in --accounts, and the operator's own account is {credentials}")
}

/// Until the services release the connector.
///
/// After a release the delete is repeated at once. Otherwise a release may have been missed, so the delete is
/// repeated with backoff; when many objects wait, less often, so that calls remain for the service scan.
pub(super) fn after_refusal(evidence: &Evidence, refused: &RefusedDelete, blockers: &Blockers) -> Wait {
    let unexplained = refused.failure.class == ErrorClass::InvalidRequest;
    let retry_since = blockers.retry_since(unexplained);
    let since = retry_since.unwrap_or(refused.since).max(refused.since);
    let lasted = refused.last.since(since);
    let (reason, message, wait) = match &blockers.services {
        Services::Blocking(services) => {
            let backoff = evidence.rules.intervals.in_use;
            (Reason::InUse, blocked_by(services), backoff.initial.max(lasted).min(backoff.max))
        }
        services if unexplained => unexplained_refusal(evidence, refused, services),
        services => in_use_but_not_blocked(evidence, refused, services, lasted),
    };
    let at_once = retry_since.is_some_and(|at| at > refused.last);
    let wait = if at_once { Duration::ZERO } else { wait.max(blockers.min_interval) };
    Wait { reason, message, until: refused.last.after(wait), failure: Some(Box::new(refused.failure.clone())) }
}

/// App Runner reports the connector in use, and no service is seen to use it.
fn in_use_but_not_blocked(
    evidence: &Evidence,
    refused: &RefusedDelete,
    services: &Services,
    lasted: Duration,
) -> (Reason, String, Duration) {
    let intervals = &evidence.rules.intervals;
    let (message, wait) = match services {
        Services::Unreadable(failure) => (unreadable(refused, failure), intervals.in_use_but_unreadable),
        Services::None => (UNREFERENCED.to_owned(), intervals.in_use_but_unreferenced),
        Services::Unknown | Services::Blocking(_) => {
            let message = format!("{}; scanning for the services that use it", explain(&refused.failure));
            (message, intervals.in_use_but_unreferenced)
        }
    };
    (Reason::InUse, message, intervals.step(wait, lasted))
}

/// App Runner refuses the delete with an undocumented message, and no service is seen to use the connector.
fn unexplained_refusal(
    evidence: &Evidence,
    refused: &RefusedDelete,
    services: &Services,
) -> (Reason, String, Duration) {
    let wait = evidence.rules.intervals.invalid.without_jitter(consecutive_failures(evidence));
    match services {
        Services::Unreadable(failure) => (Reason::InvalidRequest, unreadable(refused, failure), wait),
        Services::None => (Reason::InvalidRequest, explain(&refused.failure), wait),
        Services::Unknown | Services::Blocking(_) => {
            let message = format!("{}; scanning for services that may use it", explain(&refused.failure));
            (Reason::Deleting, message, wait)
        }
    }
}

fn unreadable(refused: &RefusedDelete, failure: &Failure) -> String {
    format!("{}; the services that use it cannot be read: {}", explain(&refused.failure), explain(failure))
}

fn blocked_by(services: &[Blocker]) -> String {
    let mut ordered: Vec<_> = services.iter().collect();
    // Those that a user should look at are named before those that merely run.
    ordered.sort_by_key(|service| (!service.is_unfinished(), service.arrival.is_none()));
    let named: Vec<_> = ordered.into_iter().take(NAMED).map(named).collect();
    let more = services.len().saturating_sub(NAMED);
    match (named.as_slice(), more) {
        ([only], 0) => format!("used by App Runner service {only}; the connector is deleted as soon as it releases it"),
        ([first @ .., last], 0) => format!("used by App Runner services {} and {last}; {THEN}", first.join(", ")),
        (all, more) => format!("used by App Runner services {} and {more} more; {THEN}", all.join(", ")),
    }
}

/// A service, its status, and the times that matter: those of an operation without an end, and of a use that began late.
fn named(service: &Blocker) -> String {
    let Blocker { name, status, arrival, .. } = service;
    let since = service.unfinished_since().map(|at| format!(" since {}", minute(at))).unwrap_or_default();
    let arrival = arrival.map(|Arrival { again, since }| {
        let again = if again { " again" } else { "" };
        format!(", uses it{again} since {}", minute(since))
    });
    format!("{name} ({status}{since}{})", arrival.unwrap_or_default())
}

fn minute(at: Timestamp) -> impl Display {
    at.strftime("%Y-%m-%dT%H:%MZ")
}

/// Until the attempt after one that failed.
pub(super) fn after_failure(evidence: &Evidence, failure: &Failure) -> Wait {
    let wait = evidence.rules.intervals.after_failure(failure.class, consecutive_failures(evidence), evidence.jitter);
    let until = evidence.moment_after(wait);
    // A failed describe changes nothing: the connector was ACTIVE when it was last described.
    let was_available = evidence.object.status.says(Reason::Available);
    if evidence.object.phase() == Phase::Claimed && failure.class.is_transient() && was_available {
        return Wait { failure: Some(Box::new(failure.clone())), ..available(until) };
    }
    Wait { reason: failure.class.reason(), message: explain(failure), until, failure: Some(Box::new(failure.clone())) }
}

fn consecutive_failures(evidence: &Evidence) -> u32 {
    evidence.state.failures.map_or(1, |failures| failures.of_class)
}

/// A failure in a sentence: its cause, and AWS's code and message.
pub(crate) fn explain(failure: &Failure) -> String {
    let (Failure { operation, code, .. }, said) = (failure, failure.code_and_message());
    match failure.class {
        _ if *operation == Operation::ResolveCredentials => explain_credentials(failure),
        ErrorClass::AccessDenied => format!("IAM does not allow {}: {said}", operation.iam_action()),
        ErrorClass::CredentialsRejected if is_of_clock(failure) => {
            // AWS's words hold times, which would make every attempt another message; they stand in lastError.
            format!("the clock here differs from AWS's, which therefore rejects {operation}: {code}")
        }
        ErrorClass::CredentialsRejected if *code == WRONG_ACCOUNT => failure.message.clone(),
        ErrorClass::CredentialsRejected if is_of_region(failure) => {
            let endpoint = endpoint_of(*operation);
            format!(
                "the endpoint in {endpoint} or AWS_ENDPOINT_URL serves another region, and refuses {operation}: {said}"
            )
        }
        ErrorClass::CredentialsRejected => format!("AWS does not accept the credentials for {operation}: {said}"),
        ErrorClass::SubscriptionRequired => {
            format!("the account is not subscribed to App Runner in this region: {said}")
        }
        ErrorClass::InUse => format!("App Runner does not delete a connector in use: {said}"),
        ErrorClass::Throttled => format!("AWS throttles {operation}: {said}"),
        ErrorClass::Unreachable => format!("no answer to {operation}: {said}"),
        ErrorClass::Untrusted => format!("{operation} was not sent: {}", failure.message),
        ErrorClass::Unproven => format!("{operation} proved nothing: {}", failure.message),
        ErrorClass::NotFound | ErrorClass::InvalidRequest | ErrorClass::ServiceError => {
            format!("{operation} failed: {said}")
        }
    }
}

/// Without credentials AWS is not asked anything, so nothing here may sound as if it had answered.
fn explain_credentials(failure: &Failure) -> String {
    let cause = if failure.message.is_empty() { &failure.code } else { &failure.message };
    match failure.class {
        ErrorClass::Unreachable => format!("the source of the AWS credentials does not answer: {cause}"),
        ErrorClass::Untrusted => cause.clone(),
        _ if is_of_clock(failure) => {
            "the clock here differs from AWS's, which therefore rejects the request for credentials".to_owned()
        }
        _ if failure.code == NO_CREDENTIALS => format!("no AWS credentials were found: {cause}"),
        _ => format!("AWS credentials could not be loaded: {cause}"),
    }
}

/// True if AWS rejects the call because it was signed for another region than the one that the endpoint serves.
pub(crate) fn is_of_region(failure: &Failure) -> bool {
    ["scoped to a valid region", "scoped to correct region"].iter().any(|said| words::says(&failure.message, said))
}

/// The variable that gives a call an endpoint of its own.
fn endpoint_of(operation: Operation) -> &'static str {
    match operation {
        Operation::GetCallerIdentity | Operation::AssumeRole | Operation::ResolveCredentials => "AWS_ENDPOINT_URL_STS",
        _ => "AWS_ENDPOINT_URL_APPRUNNER",
    }
}

/// True if AWS rejects the call because of the time here.
pub(crate) fn is_of_clock(failure: &Failure) -> bool {
    let said = |text: &str, phrases: [&str; 2]| phrases.iter().any(|phrase| words::says(text, phrase));
    said(&failure.message, ["Signature expired", "Signature not yet current"])
        || said(&failure.code, ["Skewed", "RequestExpired"])
}
