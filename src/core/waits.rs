//! Every wait: its reason, its words, and when it ends.
//!
//! What people read in `kubectl describe` is written here. A message holds no time of ours, and changes only when what it
//! says changes.

use jiff::Timestamp;

use super::arn::ConnectorArn;
use super::evidence::{Evidence, Hold};
use super::outcome::{Class, Failure};
use crate::api::{OWNER_TAG, Reason};

/// Says of a claimed connector that it is well.
pub(super) const AVAILABLE: &str = "the connector is ACTIVE and owned by this object";

/// Until a person changes something.
pub(super) fn for_person(e: &Evidence, reason: Reason, message: String) -> Hold {
    Hold { reason, message, until: e.from_now(e.rules.pace.person), failure: None }
}

/// Until the next look at a connector that is well.
pub(super) fn available(until: Timestamp) -> Hold {
    Hold { reason: Reason::Available, message: AVAILABLE.into(), until, failure: None }
}

/// Until the connector is somebody else's no more.
pub(super) fn owned_by_another(e: &Evidence, tag: &str) -> Hold {
    let arn = e.object.target.as_ref().map(ConnectorArn::as_str).unwrap_or_default();
    let message = format!(
        "the connector's owner tag names {tag}; whoever may decide it frees it with: aws apprunner untag-resource \
         --resource-arn {arn} --tag-keys {OWNER_TAG}"
    );
    Hold { reason: Reason::OwnedByAnother, message, until: e.from_now(e.rules.pace.ownership), failure: None }
}

/// Until App Runner reports a deletion done that it accepted.
pub(super) fn for_aws(e: &Evidence, since: Timestamp, looks: u32) -> Hold {
    let next = e.from_now(e.rules.pace.accepted.exact(looks.saturating_add(1)));
    Hold {
        reason: Reason::Deleting,
        message: "App Runner accepted the deletion and still reports the connector ACTIVE".into(),
        until: next.min(asked_again(e, since)),
        failure: None,
    }
}

/// When a deletion that App Runner accepted is asked for again.
pub(super) fn asked_again(e: &Evidence, since: Timestamp) -> Timestamp {
    since.checked_add(e.rules.pace.delete_again).unwrap_or(Timestamp::MAX)
}

/// Until the attempt after one that failed.
pub(super) fn after(e: &Evidence, failure: &Failure) -> Hold {
    let failures = e.memory.streak.map_or(1, |streak| streak.failures);
    let until = e.from_now(e.rules.pace.after_failure(failure.class, failures, e.jitter));
    // A look that failed takes nothing back: the connector was ACTIVE when it was last seen.
    if !e.object.deleting && e.object.claimed().is_some() && failure.class.passes() && e.object.was_available() {
        return Hold { failure: Some(failure.clone()), ..available(until) };
    }
    Hold { reason: failure.class.reason(), message: explain(failure), until, failure: Some(failure.clone()) }
}

fn explain(failure: &Failure) -> String {
    let Failure { operation, code, message, .. } = failure;
    let said = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    match failure.class {
        Class::AccessDenied => format!("IAM does not allow {}: {said}", operation.iam_action()),
        Class::CredentialsRejected if is_of_clock(failure) => {
            // AWS's words hold times, which would make every attempt another message; they stand in lastError.
            format!("the clock here differs from AWS's, which therefore rejects {operation}: {code}")
        }
        Class::CredentialsRejected => format!("AWS does not accept the credentials for {operation}: {said}"),
        Class::SubscriptionRequired => format!("the account is not subscribed to App Runner in this region: {said}"),
        Class::InUse => format!("App Runner does not delete a connector in use: {said}"),
        Class::Throttled => format!("AWS throttles {operation}: {said}"),
        Class::Unreachable => format!("no answer to {operation}: {said}"),
        Class::Unproven => format!("the answer to {operation} proves nothing: {said}"),
        Class::NotFound | Class::InvalidRequest | Class::ServiceError => format!("{operation} failed: {said}"),
    }
}

fn is_of_clock(failure: &Failure) -> bool {
    let worded = ["Signature expired", "Signature not yet current"].iter().any(|words| failure.message.contains(words));
    worded || failure.code.contains("Skewed") || failure.code.contains("RequestExpired")
}
