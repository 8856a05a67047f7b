//! The answer and the effect of every fault.

use std::time::{Duration, Instant};

use apprunner_emulator::{ConnectorStatus, Fault, FaultKind, Operation, ThrottlingCode};
use aws_sdk_apprunner::error::SdkError;
use aws_sdk_apprunner::operation::delete_vpc_connector::DeleteVpcConnectorOutput;
use aws_sdk_apprunner::types::VpcConnectorStatus;
use serde_json::{Value, json};

use crate::helpers::{Caller, OTHER_ACCOUNT, OTHER_KEY, RawRequest, RawResponse, TestBed, code, eventually, message};

/// A connector and a fault for its next deletion.
struct Case {
    bed: TestBed,
    arn: String,
}

impl Case {
    async fn with_fault(kind: FaultKind) -> Self {
        let bed = TestBed::start().await;
        let arn = bed.connector("shop");
        bed.emulator.add_fault(Fault::new(kind).on(Operation::DeleteVpcConnector));
        Self { bed, arn }
    }

    fn took_effect(&self) -> bool {
        self.bed.emulator.connector(&self.arn).unwrap().status == ConnectorStatus::Inactive
    }

    async fn delete(&self) -> DeleteVpcConnectorOutput {
        self.bed.client.delete_vpc_connector().vpc_connector_arn(&self.arn).send().await.unwrap()
    }

    fn raw(&self) -> RawRequest {
        let body = json!({ "VpcConnectorArn": self.arn }).to_string();
        RawRequest::call("AppRunner.DeleteVpcConnector", body).signed(&self.bed.emulator)
    }

    async fn answer(&self) -> RawResponse {
        self.raw().send(&self.bed.emulator).await
    }
}

#[tokio::test]
async fn internal_error_before_and_after_the_effect() {
    for (kind, effect) in [(FaultKind::InternalErrorBeforeEffect, false), (FaultKind::InternalErrorAfterEffect, true)] {
        let case = Case::with_fault(kind.clone()).await;
        let request = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn);
        let error = request.send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert!(error.into_service_error().is_internal_service_error_exception());
        assert_eq!(case.took_effect(), effect);
        assert_eq!(case.bed.emulator.calls()[0].fault, Some(kind));
        assert!(case.bed.emulator.faults().is_empty());
    }
}

#[tokio::test]
async fn closed_before_and_after_the_effect_sends_no_byte() {
    for (kind, effect) in [(FaultKind::ClosedBeforeEffect, false), (FaultKind::ClosedAfterEffect, true)] {
        let case = Case::with_fault(kind).await;
        assert_eq!(case.raw().bytes(&case.bed.emulator).await, b"");
        assert_eq!(case.took_effect(), effect);
        let call = case.bed.emulator.calls().remove(0);
        assert_eq!((call.status, call.error.as_deref()), (None, None));
        assert!(call.answered_at.is_some());
    }
}

#[tokio::test]
async fn closed_connections_look_like_a_lost_reply_to_the_sdk() {
    let case = Case::with_fault(FaultKind::ClosedAfterEffect).await;
    let request = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn);
    let error = request.send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(case.bed.describe(&case.arn).await, "INACTIVE", "the next connection works");
}

#[tokio::test]
async fn a_delayed_call_takes_effect_late_and_delays_no_other_call() {
    let case = Case::with_fault(FaultKind::Delay { ms: 1000 }).await;
    let started = Instant::now();
    let (reply, other) = tokio::join!(case.delete(), async {
        eventually("the call is in flight", async || case.bed.emulator.calls().len() == 1).await;
        let before = case.took_effect();
        case.bed.client.list_vpc_connectors().send().await.unwrap();
        (before, case.bed.emulator.calls())
    });
    assert_eq!(reply.vpc_connector().unwrap().status(), Some(&VpcConnectorStatus::Inactive));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(!other.0, "the effect comes after the delay");
    assert_eq!((other.1[0].answered_at, other.1[1].status), (None, Some(200)));
    assert!(case.bed.emulator.calls()[0].duration_ms >= Some(1000));
}

#[tokio::test]
async fn a_delayed_effect_takes_place_after_the_client_is_gone() {
    let case = Case::with_fault(FaultKind::Delay { ms: 500 }).await;
    let sent = tokio::spawn(case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send());
    eventually("the call is in flight", async || case.bed.emulator.calls().len() == 1).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    eventually("the effect takes place", async || case.took_effect()).await;
}

#[tokio::test]
async fn late_answer_comes_after_the_effect() {
    let case = Case::with_fault(FaultKind::LateAnswer { ms: 60_000 }).await;
    let request = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn);
    let sent = tokio::spawn(request.send());
    eventually("the effect takes place", async || case.took_effect()).await;
    assert!(!sent.is_finished());
    sent.abort();
}

#[tokio::test]
async fn throttling_has_both_error_codes() {
    use ThrottlingCode::{ThrottlingException, TooManyRequestsException};
    for (spelling, retry_after_ms, status, name) in [
        (ThrottlingException, None, 400, "ThrottlingException"),
        (TooManyRequestsException, Some(1500), 429, "TooManyRequestsException"),
    ] {
        let case = Case::with_fault(FaultKind::Throttling { code: spelling, retry_after_ms }).await;
        let answer = case.answer().await;
        assert_eq!((answer.status, answer.json()["__type"].as_str()), (status, Some(name)));
        let wait = retry_after_ms.map(|ms| ms.to_string());
        assert_eq!(answer.header("x-amz-retry-after"), wait.as_deref());
        assert!(!case.took_effect());
    }
}

#[tokio::test]
async fn access_denied_names_caller_action_and_resource() {
    let case = Case::with_fault(FaultKind::AccessDenied).await;
    let error = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send().await.unwrap_err();
    assert_eq!(code(&error), "AccessDeniedException");
    let expected = format!(
        "User: arn:aws:iam::111122223333:user/AKIDEXAMPLE is not authorized to perform: \
         apprunner:DeleteVpcConnector on resource: {}",
        case.arn
    );
    assert!(message(&error).starts_with(&expected), "{}", message(&error));
    assert!(!case.took_effect());
}

#[tokio::test]
async fn an_error_is_answered_with_or_without_the_effect() {
    for after_effect in [false, true] {
        let (code, message) = ("SubscriptionRequiredException".to_owned(), "no subscription".to_owned());
        let case = Case::with_fault(FaultKind::Error { code, status: 403, message, after_effect }).await;
        let answer = case.answer().await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(), json!({ "__type": "SubscriptionRequiredException", "Message": "no subscription" }));
        assert_eq!(answer.header("x-amzn-errortype"), Some("SubscriptionRequiredException"));
        assert_eq!(case.took_effect(), after_effect);
    }
}

#[tokio::test]
async fn a_rewrite_changes_the_reply_after_the_effect() {
    type Expected = fn(&Value) -> bool;
    let cases: [(FaultKind, Expected); 4] = [
        (FaultKind::without("/VpcConnector"), |reply| *reply == json!({})),
        (FaultKind::without("/VpcConnector/Status"), |reply| {
            reply["VpcConnector"].get("Status").is_none() && reply["VpcConnector"]["VpcConnectorArn"].is_string()
        }),
        (FaultKind::with("/VpcConnector/Status", "inactive"), |reply| reply["VpcConnector"]["Status"] == "inactive"),
        (FaultKind::with("/VpcConnector/VpcConnectorArn", "arn:other"), |reply| {
            reply["VpcConnector"]["VpcConnectorArn"] == "arn:other" && reply["VpcConnector"]["Status"] == "INACTIVE"
        }),
    ];
    for (kind, expected) in cases {
        let case = Case::with_fault(kind).await;
        let answer = case.answer().await;
        assert_eq!(answer.status, 200);
        assert!(expected(&answer.json()), "{}", answer.body);
        assert!(case.took_effect());
    }
}

#[tokio::test]
async fn the_sdk_parses_rewritten_replies() {
    let case = Case::with_fault(FaultKind::with("/VpcConnector/Status", "DELETING")).await;
    let status = case.delete().await.vpc_connector.unwrap().status.unwrap();
    assert_eq!((status.as_str(), VpcConnectorStatus::values().contains(&status.as_str())), ("DELETING", false));
    let case = Case::with_fault(FaultKind::without("/VpcConnector")).await;
    assert!(case.delete().await.vpc_connector().is_none_or(|connector| connector.status().is_none()));
}

#[tokio::test]
async fn faults_are_injected_only_into_matching_calls() {
    let bed = TestBed::start().await;
    let (one, two) = (bed.connector("one1"), bed.connector("two2"));
    bed.emulator.add_fault(Fault::new(FaultKind::AccessDenied).arn(&two).times(2).skip(1));
    let others = Fault::new(FaultKind::AccessDenied).account(OTHER_ACCOUNT).access_key_id(OTHER_KEY).forever();
    let id = bed.emulator.add_fault(others);
    assert_eq!(bed.describe(&one).await, "ACTIVE");
    assert_eq!(bed.describe(&two).await, "ACTIVE");
    assert_eq!(bed.describe(&two).await, "AccessDeniedException");
    assert_eq!(bed.delete(&two).await, "AccessDeniedException");
    assert_eq!(bed.delete(&two).await, "INACTIVE");
    let other = bed.client_of(&Caller { id: OTHER_KEY, ..Caller::default() });
    assert!(other.list_vpc_connectors().send().await.is_err());
    assert!(other.list_services().send().await.is_err());
    assert!(bed.emulator.remove_fault(id));
    assert!(!bed.emulator.remove_fault(id));
    assert!(other.list_services().send().await.is_ok());
}

#[tokio::test]
async fn faults_apply_to_sts_too() {
    let bed = TestBed::start().await;
    let sts = Caller::default().sts(&bed.emulator.url());
    let on_sts = |kind| Fault::new(kind).on(Operation::GetCallerIdentity);
    bed.emulator.add_fault(on_sts(FaultKind::error("ExpiredTokenException", 403, "old")));
    bed.emulator.add_fault(on_sts(FaultKind::with("/Account", "999999999999")));
    let error = sts.get_caller_identity().send().await.unwrap_err();
    assert_eq!(aws_sdk_sts::error::ProvideErrorMetadata::code(&error), Some("ExpiredToken"));
    assert_eq!(sts.get_caller_identity().send().await.unwrap().account(), Some("999999999999"));
}
