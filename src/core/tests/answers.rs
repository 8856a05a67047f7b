//! The replies to a delete, and the next decision after each.

use super::evidence::{
    ARN, NOW, OTHER_ARN, claimed, connector, described, failure, not_sent, refused, scan_services, unanswered,
    unclaimed, unknown,
};
use crate::core::effect::{AwsCall, Effect, Proof, StatusWrite};
use crate::core::error_class::{ErrorClass, Retry, Stall};
use crate::core::evidence::Evidence;
use crate::core::outcome::{
    Connector, Failure, NO_CREDENTIALS, Operation, Outcome, WRONG_ACCOUNT, WireError, classify,
};
use crate::core::state::{Deletion, ObjectState};
use std::time::Duration;

use crate::api::Reason;
use crate::core::status;
use crate::core::wait::explain;

const DELETE: Operation = Operation::DeleteVpcConnector;

fn deleted_with(outcome: Outcome<Connector>) -> Evidence {
    claimed().deleting().after_delete(outcome)
}

#[test]
fn inactive_is_recorded_as_the_receipt() {
    let e = deleted_with(described("INACTIVE"));
    assert_eq!(e.acts(), StatusWrite::Receipt);
    let (status, events) = status::status_after(&e, &StatusWrite::Receipt);
    let Connector { name, revision, subnets, security_groups, .. } = connector("INACTIVE");
    assert_eq!((status.name.as_deref(), status.revision), (name.as_deref(), revision));
    assert_eq!((&status.subnets, &status.security_groups), (&subnets, &security_groups));
    assert_eq!(status.arn.as_deref(), Some(ARN));
    assert_eq!(status.status.as_deref(), Some("INACTIVE"));
    assert_eq!(status.created_at.unwrap().0.as_second(), 1_780_000_000);
    assert_eq!(status.deleted_at.unwrap().0.as_second(), 1_794_999_999);
    assert_eq!(events[0].reason.to_string(), "Deleted");
    let note = format!("App Runner reports the connector INACTIVE: {ARN}, DeletedAt 2026-11-18T11:06:39Z");
    assert_eq!(events[0].note(), note);
    let recorded = e.after_write(StatusWrite::Receipt);
    assert_eq!(recorded.acts(), Proof::Receipt);
}

#[test]
fn a_receipt_in_lower_case_counts_and_is_shown_unchanged() {
    let e = deleted_with(described("inactive"));
    assert_eq!(e.acts(), StatusWrite::Receipt);
    let (status, _) = status::status_after(&e, &StatusWrite::Receipt);
    assert_eq!(status.status.as_deref(), Some("inactive"));
    let recorded = e.after_write(StatusWrite::Receipt);
    assert_eq!(recorded.acts(), Proof::Receipt);
    let accepted = deleted_with(described("active"));
    assert!(matches!(accepted.state.deletion, Deletion::Accepted { .. }));
}

#[test]
fn not_found_is_recorded_without_a_status_or_a_deletion_time() {
    let e = deleted_with(refused(DELETE, ErrorClass::NotFound));
    assert_eq!(e.acts(), StatusWrite::AlreadyGone);
    let events = status::status_after(&e, &StatusWrite::AlreadyGone).1;
    assert_eq!(events[0].note(), format!("App Runner no longer knows the connector: {ARN}"));
    let recorded = e.after_write(StatusWrite::AlreadyGone);
    assert_eq!(recorded.object.status.ready_reason(), Some("AlreadyGone"));
    assert_eq!((recorded.object.status.status.as_deref(), recorded.object.status.deleted_at.clone()), (None, None));
    assert_eq!(recorded.acts(), Proof::NotFound);
}

#[test]
fn an_accepted_delete_is_polled_and_sent_again_after_two_minutes() {
    let mut e = deleted_with(described("ACTIVE"));
    let mut waits = Vec::new();
    while e.acts_after_wait() == AwsCall::Describe {
        waits.push(e.waits_for());
        e = e.next_attempt().after_describe(described("ACTIVE"));
    }
    let seconds: Vec<u64> = waits.iter().map(|(_, s)| *s).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30], "the next describe would be later than two minutes");
    assert!(waits.iter().all(|(reason, _)| *reason == Reason::Deleting));
    assert_eq!(e.waits().until, NOW.after(Duration::from_mins(2)));
    assert_eq!(e.next_attempt().acts_if_ours(), AwsCall::Delete);
}

impl Evidence {
    fn acts_after_wait(&self) -> Effect {
        self.clone().next_attempt().acts()
    }
}

#[test]
fn an_accepted_delete_ends_with_inactive_or_not_found() {
    let e = deleted_with(described("ACTIVE")).next_attempt();
    assert_eq!(e.acts(), AwsCall::Describe);
    assert_eq!(e.clone().after_describe(described("INACTIVE")).acts(), StatusWrite::Receipt);
    let gone = e.clone().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    assert_eq!(gone.acts(), StatusWrite::AlreadyGone);
    let denied = e.after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::AccessDenied));
    assert_eq!(denied.waits().reason, Reason::Deleting, "a refused describe is no failure of the deletion");
}

#[test]
fn a_reply_that_proves_nothing_is_unproven() {
    let odd = |change: fn(&mut Connector)| {
        let mut reply = connector("INACTIVE");
        change(&mut reply);
        Outcome::Done(reply)
    };
    for (what, outcome) in [
        ("no VpcConnector", Outcome::Done(Connector::default())),
        ("no Status", odd(|c| c.status = None)),
        ("an unknown Status", described("DELETING")),
        ("another ARN", odd(|c| c.arn = Some(OTHER_ARN.into()))),
        ("no ARN", odd(|c| c.arn = None)),
    ] {
        let e = deleted_with(outcome);
        assert_eq!(e.waits_for(), (Reason::Unproven, 1), "{what}");
        assert_eq!(e.waits().failure.unwrap().operation, DELETE, "{what}");
        assert_eq!(e.next_attempt().acts(), AwsCall::Describe, "{what}");
    }
}

#[test]
fn after_an_unknown_outcome_one_describe_precedes_the_next_delete() {
    for (class, reason) in
        [(ErrorClass::ServiceError, Reason::ServiceError), (ErrorClass::Unreachable, Reason::Unreachable)]
    {
        let e = deleted_with(unknown(DELETE, class));
        assert_eq!(e.waits_for(), (reason, 1));
        let again = e.next_attempt();
        assert_eq!(again.acts(), AwsCall::Describe);
        assert_eq!(again.clone().after_describe(described("INACTIVE")).acts(), StatusWrite::Receipt);
        let gone = again.clone().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
        assert_eq!(gone.acts(), StatusWrite::AlreadyGone);
        let describe = Operation::DescribeVpcConnector;
        for not_gone in [
            described("ACTIVE"),
            refused(describe, ErrorClass::AccessDenied),
            unknown(describe, ErrorClass::Unreachable),
            not_sent(describe, ErrorClass::Unreachable),
            Outcome::Done(Connector::default()),
        ] {
            assert_eq!(again.clone().after_describe(not_gone).acts_if_ours(), AwsCall::Delete);
        }
    }
}

#[test]
fn an_unknown_outcome_is_also_described_after_a_restart() {
    let e = deleted_with(unknown(DELETE, ErrorClass::Unreachable));
    let status = status::status_while(&e, &e.waits()).0;
    assert_eq!(ObjectState::from_status(&status).deletion, unanswered());
    let refused = deleted_with(refused(DELETE, ErrorClass::InUse));
    let status = status::status_while(&refused, &refused.waits()).0;
    assert_eq!(ObjectState::from_status(&status).deletion, Deletion::NotSent);
}

#[test]
fn a_delete_that_was_not_sent_is_sent_without_a_describe() {
    for class in [ErrorClass::Unreachable, ErrorClass::CredentialsRejected] {
        let e = deleted_with(not_sent(DELETE, class));
        assert_eq!(e.waits().reason, class.reason());
        assert_eq!(e.next_attempt().acts_if_ours(), AwsCall::Delete);
    }
    let unknown_before = claimed().deleting().deletion(unanswered());
    let e = unknown_before.with(|e| e.attempt.described = true).after_delete(not_sent(DELETE, ErrorClass::Unreachable));
    assert_eq!(e.next_attempt().acts(), AwsCall::Describe, "the outcome is still unknown");
}

#[test]
fn an_unexplained_refusal_leads_to_one_describe() {
    let e = deleted_with(refused(DELETE, ErrorClass::InvalidRequest));
    assert_eq!(e.acts(), AwsCall::Describe);
    assert_eq!(e.clone().after_describe(described("INACTIVE")).acts(), StatusWrite::Receipt);
    let gone = e.clone().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    assert_eq!(gone.acts(), StatusWrite::AlreadyGone);
    let active = e.after_describe(described("ACTIVE"));
    assert_eq!(active.acts(), scan_services(), "it may be in use: AWS's message for that is not documented");
}

#[test]
fn throttling_and_missing_rights_back_off_and_recover() {
    for (class, reason, seconds) in [
        (ErrorClass::Throttled, Reason::Throttled, 1),
        (ErrorClass::AccessDenied, Reason::AccessDenied, 45),
        (ErrorClass::CredentialsRejected, Reason::CredentialsRejected, 45),
        (ErrorClass::SubscriptionRequired, Reason::SubscriptionRequired, 45),
        (ErrorClass::Untrusted, Reason::UntrustedCertificate, 45),
    ] {
        let e = deleted_with(refused(DELETE, class));
        assert_eq!(e.waits_for(), (reason, seconds));
        let healed = e.next_attempt().after_delete(described("INACTIVE"));
        assert_eq!(healed.state.failures, None);
        assert_eq!(healed.acts(), StatusWrite::Receipt);
    }
}

#[test]
fn access_denied_names_the_action_and_a_wrong_clock_is_named() {
    let denied = deleted_with(refused(DELETE, ErrorClass::AccessDenied)).waits();
    assert!(denied.message.contains("apprunner:DeleteVpcConnector"), "{}", denied.message);
    let mut skew = failure(DELETE, ErrorClass::CredentialsRejected);
    skew.message = "Signature expired: 20261123T080000Z is now earlier than 20261123T081000Z".into();
    let skewed = deleted_with(Outcome::Refused(skew)).waits();
    assert!(skewed.message.contains("clock"), "{}", skewed.message);
}

#[test]
fn an_endpoint_of_another_region_is_reported_with_its_variable() {
    for (operation, variable) in
        [(DELETE, "AWS_ENDPOINT_URL_APPRUNNER"), (Operation::GetCallerIdentity, "AWS_ENDPOINT_URL_STS")]
    {
        let error = WireError {
            http_status: 403,
            code: Some("InvalidSignatureException"),
            message: Some("Credential should be scoped to a valid region."),
            request_id: None,
        };
        let failure = classify(operation, &error);
        assert!(failure.is_of_signature());
        let words = explain(&failure);
        assert!(
            words.starts_with(&format!("the endpoint in {variable} or AWS_ENDPOINT_URL serves another")),
            "{words}"
        );
    }
    assert!(!failure(DELETE, ErrorClass::CredentialsRejected).is_of_signature(), "an expired token concerns the keys");
}

#[test]
fn consecutive_failures_back_off() {
    let mut e = claimed().deleting().with(|e| e.jitter = 1.0);
    let mut seconds = Vec::new();
    for _ in 0..8 {
        e = e.after_delete(unknown(DELETE, ErrorClass::ServiceError));
        seconds.push(e.waits_for().1);
        e = e.next_attempt().after_describe(described("ACTIVE"));
    }
    assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(e.state.failures.unwrap().attempts, 8);
}

#[test]
fn a_wrong_clock_is_recognized_by_its_code_or_message_only() {
    let message_of = |code: &str, message: &str| {
        let rejected = failure(DELETE, ErrorClass::CredentialsRejected);
        deleted_with(Outcome::Refused(Failure { code: code.into(), message: message.into(), ..rejected }))
            .waits()
            .message
    };
    for (code, words) in [
        ("InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
        ("SignatureDoesNotMatch", "Signature not yet current: 2 is still later than 1"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        ("RequestExpired", "Request has expired."),
    ] {
        let message = message_of(code, words);
        assert!(message.contains("clock") && message.contains(code) && !message.contains(words), "{message}");
    }
    let message = message_of("ExpiredTokenException", "The token has expired");
    assert!(!message.contains("clock") && message.contains("The token has expired"), "{message}");
}

#[test]
fn a_failure_to_find_credentials_does_not_claim_that_aws_answered() {
    let message_of = |class, code: &str, message: &str| {
        let failure = Failure::new(Operation::ResolveCredentials, class, code, message);
        unclaimed().after_identify(Outcome::Refused(failure)).waits().message
    };
    let rejected = ErrorClass::CredentialsRejected;
    for (class, code, message, words) in [
        (rejected, NO_CREDENTIALS, "nothing is set", "no AWS credentials were found: nothing is set"),
        (rejected, "CredentialsNotLoaded", "a bad file", "AWS credentials could not be loaded: a bad file"),
        (rejected, "CredentialsNotLoaded", "", "AWS credentials could not be loaded: CredentialsNotLoaded"),
        (
            ErrorClass::Unreachable,
            "Timeout",
            "no answer",
            "the source of the AWS credentials does not answer: no answer",
        ),
    ] {
        assert_eq!(message_of(class, code, message), words);
    }
    let message =
        message_of(rejected, "CredentialsNotLoaded", "SignatureDoesNotMatch: Signature expired: 1 is earlier than 2");
    assert!(message.contains("clock") && !message.contains("earlier"), "{message}");
}

#[test]
fn each_cause_of_rejected_credentials_has_its_own_message() {
    let message_of =
        |operation, class, code: &str, message: &str| explain(&Failure::new(operation, class, code, message));
    let rejected = ErrorClass::CredentialsRejected;
    assert_eq!(
        message_of(Operation::GetCallerIdentity, rejected, WRONG_ACCOUNT, "of another account"),
        "of another account"
    );
    let invalid = message_of(DELETE, rejected, "UnrecognizedClientException", "The security token is invalid.");
    assert!(invalid.starts_with("AWS does not accept the credentials for DeleteVpcConnector: "), "{invalid}");
    let untrusted =
        message_of(Operation::ResolveCredentials, ErrorClass::Untrusted, "UntrustedCertificate", "set AWS_CA_BUNDLE");
    assert_eq!(untrusted, "set AWS_CA_BUNDLE");
}

/// A row of the page's table of answers: the answer, the reaction, and the reasons.
fn documented_answers() -> Vec<[&'static str; 3]> {
    let page = include_str!("../../../docs/reference/errors.md");
    let table = page.split_once("| answer to DeleteVpcConnector |").expect("the table of answers").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').splitn(3, " | ").collect::<Vec<_>>().try_into().expect("three cells"))
        .collect()
}

#[test]
fn the_documented_answers_are_those_of_the_table_of_errors() {
    let rows = documented_answers();
    for class in ErrorClass::ALL {
        let row = class.handling();
        let of_class = |reasons: &str| reasons.split([',', ' ']).any(|word| word == row.reason.as_str());
        // NotFound of a delete confirms the deletion.
        let documented = class == ErrorClass::NotFound || rows.iter().any(|[.., reasons]| of_class(reasons));
        assert!(documented, "no row for {class:?}");
    }
    for [answer, reaction, reasons] in rows {
        let stalls = reasons.contains("\\*");
        let classes: Vec<_> =
            ErrorClass::ALL.into_iter().filter(|class| reasons.contains(class.reason().as_str())).collect();
        assert_eq!(stalls, classes.iter().any(|class| class.handling().stall != Stall::Never), "{reasons}");
        for code in answer.split([',', ' ']).filter(|word| word.ends_with("Exception") || word.ends_with("Required")) {
            let class = ErrorClass::of(400, Some(code), answer);
            let expected = class == ErrorClass::NotFound || classes.contains(&class);
            assert!(expected, "{code} is {class:?}, and not of the reasons {reasons}");
        }
        let backoff = classes.iter().map(|class| class.handling().retry).collect::<Vec<_>>();
        for (interval, retry) in
            [("1 to 60 s", Retry::Soon), ("30 s to 5 min", Retry::Access), ("1 to 5 min", Retry::Invalid)]
        {
            assert!(!reaction.contains(interval) || backoff.contains(&retry), "{answer}: {reaction}");
        }
    }
}
