//! Every wait: its reason, its words, and when it ends.
//!
//! What people read in `kubectl describe` is written here. A message holds no time of ours, and changes only when what it
//! says changes.

use std::time::Duration;

use super::arn::ConnectorArn;
use super::blockers::Blockers;
use super::clock::Moment;
use super::error_class::ErrorClass;
use super::evidence::{Evidence, PendingClaim, RefusedDelete, Wait};
use super::outcome::{Failure, NO_CREDENTIALS, Operation, Service, WRONG_ACCOUNT};
use super::words;
use crate::api::{OWNER_TAG, Reason};

/// Says of a claimed connector that it is well.
pub(super) const AVAILABLE: &str = "the connector is ACTIVE and owned by this object";
const AVAILABLE_UNTAGGED: &str = "the connector is ACTIVE and owned by this object; something takes its owner tag off, \
     which is written again at most once an hour";
const LETTING_GO: &str = "App Runner still reports it in use, but no service references it; it is letting go";
const THEN: &str = "the connector is deleted as soon as they let go";
/// A message names no more services than this; the status names more.
const NAMED: usize = 5;

/// Until a person changes something.
pub(super) fn until_user_acts(e: &Evidence, reason: Reason, message: String) -> Wait {
    Wait { reason, message, until: e.from_now(e.rules.intervals.user_action), failure: None }
}

/// Until the next look at a connector that is well.
pub(super) fn available(until: Moment) -> Wait {
    Wait { reason: Reason::Available, message: AVAILABLE.into(), until, failure: None }
}

/// Until the next look at a connector whose owner tag something else takes off.
pub(super) fn available_untagged(until: Moment) -> Wait {
    Wait { message: AVAILABLE_UNTAGGED.into(), ..available(until) }
}

/// Until the owner tag that was written is read back.
pub(super) fn tag_written(e: &Evidence) -> Wait {
    let message = "the owner tag is written, and is read back before the claim is recorded".to_owned();
    let until = e.from_now(e.rules.intervals.tag_settle.drawn(e.jitter));
    Wait { reason: Reason::Adopting, message, until, failure: None }
}

/// Until App Runner shows the owner tag that was written.
pub(super) fn tag_not_shown(e: &Evidence, pending: &PendingClaim) -> Wait {
    let message = "the owner tag is written, and App Runner does not show it yet".to_owned();
    let until = e.from_now(e.rules.intervals.tag_not_shown.jittered(pending.unseen, e.jitter));
    Wait { reason: Reason::Adopting, message, until, failure: None }
}

/// Until the connector is somebody else's no more.
pub(super) fn owned_by_another(e: &Evidence, tag: &str) -> Wait {
    let arn = e.object.target.as_ref().map(ConnectorArn::as_str).unwrap_or_default();
    let region = e.object.target.as_ref().map(|arn| arn.region().as_str()).unwrap_or_default();
    let message = format!(
        "the connector's owner tag names {tag}; if that object exists, its deletion with deletionPolicy Retain frees the \
         connector; if it does not, so does: aws apprunner untag-resource --resource-arn {arn} --tag-keys {OWNER_TAG} \
         --region {region}"
    );
    Wait { reason: Reason::OwnedByAnother, message, until: e.from_now(e.rules.intervals.ownership), failure: None }
}

/// Until App Runner reports a deletion done that it accepted.
pub(super) fn until_deleted(e: &Evidence, since: Moment, looks: u32) -> Wait {
    let next = e.from_now(e.rules.intervals.accepted.without_jitter(looks.saturating_add(1)));
    Wait {
        reason: Reason::Deleting,
        message: "App Runner accepted the deletion and still reports the connector ACTIVE".into(),
        until: next.min(delete_retry_at(e, since)),
        failure: None,
    }
}

/// When a deletion that App Runner accepted is asked for again.
pub(super) fn delete_retry_at(e: &Evidence, since: Moment) -> Moment {
    since.after(e.rules.intervals.delete_again)
}

/// Until it is this object's turn to have AWS called; what it waited for before is what it still waits for.
pub(crate) fn until_rate_limit(e: &Evidence, turn: Duration) -> Wait {
    let until = e.from_now(turn);
    if let Some(wait) = e.memory.wait.clone() {
        return Wait { until, ..wait };
    }
    if !e.object.deleting && e.object.claimed().is_some() {
        return available(until);
    }
    let reason = if e.object.deleting { Reason::Deleting } else { Reason::Adopting };
    let message = "waiting for its turn: calls to AWS in one account and region are limited (--aws-rate)".to_owned();
    Wait { reason, message, until, failure: None }
}

/// Until the services release the connector, or nothing is seen to use it.
///
/// When one releases it there is nothing to wait for. Otherwise what is not seen may still have happened, so the delete
/// is tried again now and then; when many objects wait, less often, so that calls are left for looking.
pub(super) fn after_refusal(e: &Evidence, refused: &RefusedDelete, blockers: &Blockers) -> Wait {
    let unexplained = refused.failure.class == ErrorClass::InvalidRequest;
    let retry_since = blockers.retry_since(unexplained);
    let since = retry_since.unwrap_or(refused.since).max(refused.since);
    let lasted = refused.last.since(since);
    let (reason, message, wait) = match blockers {
        Blockers { services, unreadable: None, .. } if !services.is_empty() => {
            let range = e.rules.intervals.in_use;
            (Reason::InUse, used_by(services), range.initial.max(lasted).min(range.max))
        }
        _ if unexplained => unexplained_refusal(e, refused, blockers),
        _ => in_use_by_none(e, refused, blockers, lasted),
    };
    let wait =
        if retry_since.is_some_and(|at| at > refused.last) { Duration::ZERO } else { wait.max(blockers.min_interval) };
    Wait { reason, message, until: refused.last.after(wait), failure: Some(refused.failure.clone()) }
}

/// App Runner says that the connector is in use, and no service is seen to use it.
fn in_use_by_none(
    e: &Evidence,
    refused: &RefusedDelete,
    blockers: &Blockers,
    lasted: Duration,
) -> (Reason, String, Duration) {
    let intervals = &e.rules.intervals;
    let (message, steps) = match blockers {
        Blockers { unreadable: Some(failure), .. } => (hidden(refused, failure), intervals.in_use_but_unreadable),
        Blockers { complete: true, .. } => (LETTING_GO.to_owned(), intervals.in_use_but_unreferenced),
        _ => {
            let message = format!("{}; the services that use it are being looked for", explain(&refused.failure));
            (message, intervals.in_use_but_unreferenced)
        }
    };
    (Reason::InUse, message, intervals.step(steps, lasted))
}

/// App Runner refuses the delete in words that nobody has documented, and no service is seen to use the connector.
fn unexplained_refusal(e: &Evidence, refused: &RefusedDelete, blockers: &Blockers) -> (Reason, String, Duration) {
    let failures = e.memory.streak.map_or(1, |streak| streak.failures);
    let wait = e.rules.intervals.invalid.without_jitter(failures);
    match blockers {
        Blockers { unreadable: Some(failure), .. } => (Reason::InvalidRequest, hidden(refused, failure), wait),
        Blockers { complete: true, .. } => (Reason::InvalidRequest, explain(&refused.failure), wait),
        _ => {
            let message = format!("{}; the services that may use it are being looked for", explain(&refused.failure));
            (Reason::Deleting, message, wait)
        }
    }
}

fn hidden(refused: &RefusedDelete, failure: &Failure) -> String {
    format!("{}; which services use it can't be seen: {}", explain(&refused.failure), explain(failure))
}

fn used_by(services: &[Service]) -> String {
    let named: Vec<_> =
        services.iter().take(NAMED).map(|service| format!("{} ({})", service.name, service.status)).collect();
    let more = services.len().saturating_sub(NAMED);
    match (named.as_slice(), more) {
        ([only], 0) => format!("used by App Runner service {only}; the connector is deleted as soon as it lets go"),
        ([first @ .., last], 0) => format!("used by App Runner services {} and {last}; {THEN}", first.join(", ")),
        (all, more) => format!("used by App Runner services {} and {more} more; {THEN}", all.join(", ")),
    }
}

/// Until the attempt after one that failed.
pub(super) fn after_failure(e: &Evidence, failure: &Failure) -> Wait {
    let failures = e.memory.streak.map_or(1, |streak| streak.failures);
    let until = e.from_now(e.rules.intervals.after_failure(failure.class, failures, e.jitter));
    // A look that failed takes nothing back: the connector was ACTIVE when it was last seen.
    if !e.object.deleting && e.object.claimed().is_some() && failure.class.is_transient() && e.object.was_available() {
        return Wait { failure: Some(failure.clone()), ..available(until) };
    }
    Wait { reason: failure.class.reason(), message: explain(failure), until, failure: Some(failure.clone()) }
}

/// A failure in words: whose it is, and what AWS said.
pub(crate) fn explain(failure: &Failure) -> String {
    let (Failure { operation, code, .. }, said) = (failure, failure.said());
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
            "the clock here differs from AWS's, which therefore gives no credentials to whoever signs with it"
                .to_owned()
        }
        _ if failure.code == NO_CREDENTIALS => format!("no AWS credentials were found: {cause}"),
        _ => format!("AWS credentials could not be loaded: {cause}"),
    }
}

/// Whether AWS rejects the call because it was signed for another region than the one that the endpoint serves.
pub(crate) fn is_of_region(failure: &Failure) -> bool {
    ["scoped to a valid region", "scoped to correct region"].iter().any(|said| words::says(&failure.message, said))
}

/// The variable that gives a call an endpoint of its own.
fn endpoint_of(operation: Operation) -> &'static str {
    match operation {
        Operation::GetCallerIdentity | Operation::ResolveCredentials => "AWS_ENDPOINT_URL_STS",
        _ => "AWS_ENDPOINT_URL_APPRUNNER",
    }
}

/// Whether AWS rejects the call because of the time here.
pub(crate) fn is_of_clock(failure: &Failure) -> bool {
    let said = |text: &str, phrases: [&str; 2]| phrases.iter().any(|phrase| words::says(text, phrase));
    said(&failure.message, ["Signature expired", "Signature not yet current"])
        || said(&failure.code, ["Skewed", "RequestExpired"])
}
