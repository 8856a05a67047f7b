//! Authentication: accepted callers, and the errors of the others.

use std::time::{Duration, SystemTime};

use apprunner_emulator::{AccessKey, Config, Emulator};
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use aws_smithy_async::time::TimeSource;

use crate::helpers::{ACCOUNT, Caller, OTHER_ACCOUNT, OTHER_KEY, REGION, RawRequest, TestBed, code, message};

/// Lists connectors; returns the HTTP status, code and message of the error.
async fn rejection(client: aws_sdk_apprunner::Client) -> (u16, String, String) {
    let error = client.list_vpc_connectors().send().await.unwrap_err();
    (error.raw_response().unwrap().status().as_u16(), code(&error), message(&error))
}

#[tokio::test]
async fn sts_returns_the_identity_of_the_caller() {
    let bed = TestBed::start().await;
    for (id, account) in [(Caller::default().id, ACCOUNT), (OTHER_KEY, OTHER_ACCOUNT)] {
        let caller = Caller { id, ..Caller::default() };
        let identity = caller.sts(&bed.emulator.url()).get_caller_identity().send().await.unwrap();
        assert_eq!(identity.account(), Some(account));
        assert_eq!(identity.arn(), Some(format!("arn:aws:iam::{account}:user/{id}").as_str()));
        assert!(identity.user_id().unwrap().starts_with("AIDA"));
    }
}

#[tokio::test]
async fn unknown_keys_wrong_secrets_and_unexpected_tokens_are_rejected() {
    let bed = TestBed::start().await;
    for (caller, expected) in [
        (Caller { id: "AKIDUNKNOWN", ..Caller::default() }, "UnrecognizedClientException"),
        (Caller { secret: "wrong", ..Caller::default() }, "InvalidSignatureException"),
        (Caller { token: Some("unasked"), ..Caller::default() }, "UnrecognizedClientException"),
    ] {
        let (status, code, _) = rejection(bed.client_of(&caller)).await;
        assert_eq!((status, code.as_str()), (403, expected));
    }
    let calls = bed.emulator.calls();
    assert!(calls.iter().all(|call| call.account.is_none() && call.status == Some(403)), "{calls:?}");
    assert_eq!(calls[0].access_key_id.as_deref(), Some("AKIDUNKNOWN"));
    assert_eq!(calls[1].error.as_deref(), Some("InvalidSignatureException"));
}

#[tokio::test]
async fn sts_rejects_with_its_own_error_codes() {
    let bed = TestBed::start().await;
    for (caller, expected) in [
        (Caller { id: "AKIDUNKNOWN", ..Caller::default() }, "InvalidClientTokenId"),
        (Caller { secret: "wrong", ..Caller::default() }, "SignatureDoesNotMatch"),
    ] {
        let error = caller.sts(&bed.emulator.url()).get_caller_identity().send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
        assert_eq!(error.code(), Some(expected));
        assert!(!error.message().unwrap_or_default().is_empty());
    }
}

#[tokio::test]
async fn session_tokens_must_match_and_can_expire() {
    let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
    let access_keys = vec![
        AccessKey::new("ASIAGOOD", "not-a-secret", ACCOUNT).with_session_token("token", None),
        AccessKey::new("ASIAOLD", "not-a-secret", ACCOUNT).with_session_token("token", Some(long_ago)),
    ];
    let emulator = Emulator::start(Config { access_keys, ..Config::default() }).await.unwrap();
    let client = |id, token| Caller { id, token, ..Caller::default() }.client(&emulator.url());
    client("ASIAGOOD", Some("token")).list_vpc_connectors().send().await.unwrap();
    assert_eq!(rejection(client("ASIAGOOD", Some("other"))).await.1, "UnrecognizedClientException");
    assert_eq!(rejection(client("ASIAGOOD", None)).await.1, "UnrecognizedClientException");
    let (status, code, _) = rejection(client("ASIAOLD", Some("token"))).await;
    assert_eq!((status, code.as_str()), (403, "ExpiredTokenException"));
}

/// A clock that shows a fixed time.
#[derive(Debug)]
struct Skewed(SystemTime);

impl TimeSource for Skewed {
    fn now(&self) -> SystemTime {
        self.0
    }
}

#[tokio::test]
async fn wrong_clocks_are_rejected_with_the_time_limit() {
    let bed = TestBed::start().await;
    let skew = Duration::from_mins(6);
    let now = SystemTime::now();
    for (clock, part) in [(now - skew, "Signature expired: "), (now + skew, "Signature not yet current: ")] {
        let config = Caller::default().config(&bed.emulator.url()).time_source(Skewed(clock));
        let (status, code, message) = rejection(aws_sdk_apprunner::Client::from_conf(config.build())).await;
        assert_eq!((status, code.as_str()), (403, "InvalidSignatureException"));
        assert!(message.starts_with(part), "{message}");
    }
}

#[tokio::test]
async fn the_signature_covers_service_body_and_headers() {
    let bed = TestBed::start().await;
    let emulator = &bed.emulator;
    let list = || RawRequest::call("AppRunner.ListVpcConnectors", "{}");
    assert_eq!(list().signed(emulator).send(emulator).await.status, 200);
    for mut changed in [list().signed_for("sts", emulator), list().signed(emulator), list().signed(emulator)] {
        match emulator.calls().len() {
            2 => changed.body = "{ }".to_owned(),
            3 => changed.headers[0].1 = "AppRunner.ListServices".to_owned(),
            _ => {}
        }
        let answer = changed.send(emulator).await;
        assert_eq!((answer.status, answer.header("x-amzn-errortype")), (403, Some("InvalidSignatureException")));
    }
}

#[tokio::test]
async fn unsigned_and_partly_signed_requests_are_rejected() {
    let bed = TestBed::start().await;
    let list = || RawRequest::call("AppRunner.ListVpcConnectors", "{}");
    let answer = list().send(&bed.emulator).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["__type"], "MissingAuthenticationTokenException");
    let answer = list().header("authorization", "AWS4-HMAC-SHA256 Credential=x").send(&bed.emulator).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["__type"], "IncompleteSignatureException");
    let calls = bed.emulator.calls();
    assert_eq!(calls[0].operation.as_deref(), Some("ListVpcConnectors"));
    assert_eq!((calls[0].account.as_deref(), calls[0].region.as_deref()), (None, None));
}

#[tokio::test]
async fn an_operation_that_is_not_signed_is_rejected() {
    let bed = TestBed::start().await;
    let signed = RawRequest::new("POST", "/", "{}").signed(&bed.emulator);
    let answer = signed.header("x-amz-target", "AppRunner.ListVpcConnectors").send(&bed.emulator).await;
    assert_eq!((answer.status, answer.header("x-amzn-errortype")), (403, Some("InvalidSignatureException")));
    assert_eq!(answer.json()["Message"], "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.");
}

#[tokio::test]
async fn the_region_is_taken_from_the_signature() {
    let bed = TestBed::start().await;
    let client = bed.client_of(&Caller { region: "us-west-2", ..Caller::default() });
    let new = client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1");
    let connector = new.send().await.unwrap().vpc_connector.unwrap();
    assert!(connector.vpc_connector_arn().unwrap().contains(":us-west-2:"));
    assert_ne!(REGION, "us-west-2");
    assert!(bed.listed().await.is_empty());
}
