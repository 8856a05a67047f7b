//! The faults that corrupt the answer or withhold it.

use std::time::{Duration, Instant};

use apprunner_emulator::{ConnectorStatus, Fault, FaultId, FaultKind, Operation};
use aws_sdk_apprunner::error::SdkError;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::helpers::{RawRequest, RawResponse, TestBed, code, eventually, message};

/// A connector and a fault for its next deletion.
struct Case {
    bed: TestBed,
    arn: String,
    fault: FaultId,
}

impl Case {
    async fn with_fault(kind: FaultKind) -> Self {
        let bed = TestBed::start().await;
        let arn = bed.connector("shop");
        let fault = bed.emulator.add_fault(Fault::new(kind).on(Operation::DeleteVpcConnector));
        Self { bed, arn, fault }
    }

    fn took_effect(&self) -> bool {
        self.bed.emulator.connector(&self.arn).unwrap().status == ConnectorStatus::Inactive
    }

    fn raw(&self) -> RawRequest {
        let body = json!({ "VpcConnectorArn": self.arn }).to_string();
        RawRequest::call("AppRunner.DeleteVpcConnector", body).signed(&self.bed.emulator)
    }

    async fn bytes(&self) -> Vec<u8> {
        self.raw().bytes(&self.bed.emulator).await
    }

    async fn answer(&self) -> RawResponse {
        self.raw().send(&self.bed.emulator).await
    }

    /// Checks that a call is in flight, and still is after 100 ms.
    async fn assert_in_flight(&self) {
        eventually("the call arrives", async || self.bed.emulator.calls().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(self.bed.emulator.calls()[0].answered_at, None);
    }

    async fn assert_closed(&self) {
        eventually("the call ends", async || self.bed.emulator.calls()[0].answered_at.is_some()).await;
        assert_eq!(self.bed.emulator.calls()[0].status, None);
    }
}

#[tokio::test]
async fn takes_effect_is_true_exactly_if_the_effect_takes_place() {
    let all = FaultKind::catalogue().into_iter().map(|(name, kind)| async move {
        let expected = kind.takes_effect();
        let case = Case::with_fault(kind.clone()).await;
        // Some of the calls never end.
        let _ = timeout(Duration::from_secs(2), case.bytes()).await;
        assert_eq!(case.took_effect(), expected, "{name}");
        assert_eq!(case.bed.emulator.calls()[0].fault, Some(kind), "{name}");
    });
    let all: Vec<_> = all.map(tokio::spawn).collect();
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn the_emulator_survives_every_kind_at_app_runner_and_sts() {
    let bed = TestBed::start().await;
    let sts = || RawRequest::new("POST", "/", "Action=GetCallerIdentity&Version=2011-06-15");
    let sts = || sts().header("content-type", "application/x-www-form-urlencoded").signed_for("sts", &bed.emulator);
    for (name, kind) in FaultKind::catalogue() {
        if matches!(kind, FaultKind::ConnectionRefused { .. }) {
            continue;
        }
        for call in [RawRequest::call("AppRunner.ListServices", "{}").signed(&bed.emulator), sts()] {
            bed.emulator.add_fault(Fault::new(kind.clone()));
            let _ = timeout(Duration::from_millis(100), call.bytes(&bed.emulator)).await;
            assert!(bed.emulator.faults().is_empty(), "{name}");
        }
    }
    bed.emulator.clear_faults();
    assert_eq!(sts().send(&bed.emulator).await.status, 200);
}

#[tokio::test]
async fn half_body_is_shorter_than_its_announced_length() {
    let case = Case::with_fault(FaultKind::HalfBody).await;
    let answer = case.answer().await;
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, promised / 2));
    assert!(answer.body.starts_with("{\"VpcConnector\":{"), "{}", answer.body);
    assert!(case.took_effect());

    let case = Case::with_fault(FaultKind::HalfBody).await;
    let error = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send().await.unwrap_err();
    assert!(matches!(error, SdkError::ResponseError(_) | SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(case.bed.describe(&case.arn).await, "INACTIVE", "the next connection works");
}

#[tokio::test]
async fn a_black_hole_keeps_its_call_open_until_it_is_cleared() {
    type Clearing = fn(&Case);
    let clearings: [Clearing; 3] = [
        |case| case.bed.emulator.clear_faults(),
        |case| assert!(!case.bed.emulator.remove_fault(case.fault), "it no longer waits in the queue"),
        |case| case.bed.emulator.reset(),
    ];
    for (clear, after_effect) in clearings.into_iter().zip([true, false, true]) {
        let case = Case::with_fault(FaultKind::BlackHole { after_effect }).await;
        tokio::join!(async { assert_eq!(case.bytes().await, b"") }, async {
            case.assert_in_flight().await;
            assert_eq!(case.took_effect(), after_effect);
            clear(&case);
        });
    }
}

#[tokio::test]
async fn a_black_hole_ends_when_the_client_or_the_emulator_ends() {
    let case = Case::with_fault(FaultKind::BlackHole { after_effect: false }).await;
    assert!(timeout(Duration::from_millis(200), case.bytes()).await.is_err());
    case.assert_closed().await;

    let case = Case::with_fault(FaultKind::BlackHole { after_effect: false }).await;
    let raw = case.raw();
    let address = case.bed.emulator.address();
    let held = tokio::spawn(async move { raw.bytes_from(address).await });
    case.assert_in_flight().await;
    case.bed.emulator.stop().await;
    assert_eq!(timeout(Duration::from_secs(10), held).await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn slow_answers_are_complete() {
    for (bytes_per_second, least) in [(1_000, 200), (1_000_000, 0)] {
        let case = Case::with_fault(FaultKind::Slow { bytes_per_second }).await;
        let started = Instant::now();
        let reply = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send().await.unwrap();
        assert_eq!(reply.vpc_connector().unwrap().status().unwrap().as_str(), "INACTIVE");
        assert!(started.elapsed() >= Duration::from_millis(least), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_slow_answer_sends_its_head_at_once_and_then_one_byte_a_second() {
    let case = Case::with_fault(FaultKind::Slow { bytes_per_second: 1 }).await;
    let started = Instant::now();
    let seen = case.raw().bytes_received_in(&case.bed.emulator, Duration::from_millis(1_500)).await;
    let text = String::from_utf8(seen).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert!((1..=2).contains(&body.len()), "{body:?}");
    assert!(started.elapsed() >= Duration::from_millis(1_500));
    assert!(case.took_effect());
}

#[tokio::test]
async fn bodies_are_truncated_empty_or_a_web_page() {
    let case = Case::with_fault(FaultKind::TruncatedJson).await;
    let answer = case.answer().await;
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(answer.status == 200 && serde_json::from_str::<Value>(&answer.body).unwrap_err().is_eof());
    let case = Case::with_fault(FaultKind::EmptyBody).await;
    let answer = case.answer().await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.as_str()), (200, Some("0"), ""));
    let case = Case::with_fault(FaultKind::Html200 { after_effect: true }).await;
    let answer = case.answer().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.body.starts_with("<!DOCTYPE html>"));
    for kind in [FaultKind::TruncatedJson, FaultKind::Html200 { after_effect: false }] {
        let case = Case::with_fault(kind).await;
        let error = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send().await.unwrap_err();
        // The SDK returns a service error without a code and with status 200.
        assert_eq!((code(&error).as_str(), error.raw_response().unwrap().status().as_u16()), ("no code", 200));
    }
}

#[tokio::test]
async fn a_corrupted_error_keeps_its_status() {
    let case = Case::with_fault(FaultKind::EmptyBody).await;
    case.bed.service("web1", &case.arn);
    let answer = case.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, ""));
    let call = case.bed.emulator.calls().remove(0);
    assert_eq!((call.status, call.error.as_deref()), (Some(400), Some("InvalidRequestException")));
}

#[tokio::test]
async fn a_big_body_contains_the_real_reply() {
    let case = Case::with_fault(FaultKind::BigBody { bytes: 10_000_000 }).await;
    let answer = case.answer().await;
    assert!(answer.body.len() > 10_000_000);
    assert_eq!(answer.json()["VpcConnector"]["Status"], "INACTIVE");
}

#[tokio::test]
async fn gzip_compresses_the_answer_unasked() {
    let case = Case::with_fault(FaultKind::Gzip).await;
    let bytes = case.bytes().await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert_eq!(body[..4], [0x1f, 0x8b, 8, 0]);
    // 10 bytes of gzip header and 5 of block header before the block; 5 bytes of the last block and 8 of checksums
    // after it.
    let reply: Value = serde_json::from_slice(&body[15..body.len() - 13]).unwrap();
    assert_eq!(reply["VpcConnector"]["VpcConnectorArn"], case.arn);
}

#[tokio::test]
async fn redirects_have_the_configured_status_and_location() {
    let elsewhere = "http://127.0.0.1:1/other".to_owned();
    for (status, location, expected) in
        [(301, None, "http://elsewhere.invalid/"), (302, Some(elsewhere.clone()), elsewhere.as_str())]
    {
        let case = Case::with_fault(FaultKind::Redirect { status, location }).await;
        let answer = case.answer().await;
        assert_eq!((answer.status, answer.header("location")), (status, Some(expected)));
        assert_eq!(case.bed.emulator.calls()[0].status, Some(status));
    }
}

#[tokio::test]
async fn error_constructors_have_the_codes_and_words_of_aws() {
    for (kind, status, name, words) in [
        (FaultKind::expired_token(), 403, "ExpiredTokenException", "is expired"),
        (FaultKind::unknown_key(), 403, "UnrecognizedClientException", "is invalid."),
        (FaultKind::bad_signature(), 403, "InvalidSignatureException", "does not match the signature you provided"),
        (FaultKind::skewed_clock(), 403, "InvalidSignatureException", "Signature expired: "),
        (FaultKind::service_unavailable(), 503, "ServiceUnavailable", "temporary failure"),
    ] {
        let case = Case::with_fault(kind).await;
        let error = case.bed.client.delete_vpc_connector().vpc_connector_arn(&case.arn).send().await.unwrap_err();
        assert_eq!(code(&error), name);
        assert!(message(&error).contains(words), "{}", message(&error));
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn rewrite_constructors_change_the_connector_in_the_reply() {
    type Expected = fn(&Value) -> bool;
    let cases: [(FaultKind, Expected); 5] = [
        (FaultKind::without_connector(), |reply| *reply == json!({})),
        (FaultKind::without_status(), |reply| reply["VpcConnector"].get("Status").is_none()),
        (FaultKind::with_status("inactive"), |reply| reply["VpcConnector"]["Status"] == "inactive"),
        (FaultKind::with_other_arn(), |reply| {
            reply["VpcConnector"]["VpcConnectorArn"].as_str().unwrap().contains(":999999999999:")
        }),
        (FaultKind::with_absurd_times(), |reply| {
            let time = |name: &str| reply["VpcConnector"][name].as_f64().unwrap();
            time("CreatedAt") > 1e14 && time("DeletedAt") < -1e11
        }),
    ];
    for (kind, expected) in cases {
        let answer = Case::with_fault(kind).await.answer().await;
        assert!(answer.status == 200 && expected(&answer.json()), "{}", answer.body);
    }
}
