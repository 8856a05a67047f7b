//! The protocols: invalid requests, and the headers of every response.

use serde_json::{Value, json};

use crate::helpers::{RawRequest, TestBed};

#[tokio::test]
async fn responses_have_the_headers_of_aws() {
    let bed = TestBed::start().await;
    let answer = RawRequest::call("AppRunner.ListVpcConnectors", "{}").signed(&bed.emulator).send(&bed.emulator).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "VpcConnectors": [] })));
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36));
    assert_eq!(answer.header("x-amzn-errortype"), None);
}

#[tokio::test]
async fn an_empty_body_has_no_parameters() {
    let bed = TestBed::start().await;
    let answer = RawRequest::call("AppRunner.ListServices", "").signed(&bed.emulator).send(&bed.emulator).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "ServiceSummaryList": [] })));
}

#[tokio::test]
async fn unknown_operations_are_rejected_and_logged() {
    let bed = TestBed::start().await;
    for raw in [
        RawRequest::call("AppRunner.StartDeployment", "{}"),
        RawRequest::call("AppRunner.GetCallerIdentity", "{}"),
        RawRequest::call("DynamoDB_20120810.ListTables", "{}"),
        RawRequest::new("POST", "/", "{}"),
        RawRequest::new("GET", "/", ""),
        RawRequest::new("POST", "/elsewhere", "{}").header("x-amz-target", "AppRunner.ListServices"),
    ] {
        let answer = raw.signed(&bed.emulator).send(&bed.emulator).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["__type"], "UnknownOperationException");
        assert_eq!(answer.header("x-amzn-errortype"), Some("UnknownOperationException"));
    }
    let names: Vec<_> = bed.emulator.calls().into_iter().map(|call| call.operation).collect();
    assert_eq!(names[0].as_deref(), Some("StartDeployment"));
    assert_eq!((names.len(), names[3].as_deref()), (6, None));
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_rejected() {
    let bed = TestBed::start().await;
    for body in ["{", "[]", "null and void"] {
        let raw = RawRequest::call("AppRunner.ListServices", body).signed(&bed.emulator);
        let answer = raw.send(&bed.emulator).await;
        assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some("SerializationException")), "{body}");
    }
}

#[tokio::test]
async fn errors_name_the_invalid_parameter() {
    let bed = TestBed::start().await;
    let long = "a".repeat(1012);
    for (operation, body, member) in [
        ("DeleteVpcConnector", json!({}), "VpcConnectorArn"),
        ("DeleteVpcConnector", json!({ "VpcConnectorArn": long }), "VpcConnectorArn"),
        ("CreateVpcConnector", json!({ "Subnets": ["subnet-1"] }), "VpcConnectorName"),
        ("CreateVpcConnector", json!({ "VpcConnectorName": "sh.p", "Subnets": ["subnet-1"] }), "VpcConnectorName"),
        ("CreateVpcConnector", json!({ "VpcConnectorName": "shop" }), "Subnets"),
        ("CreateVpcConnector", json!({ "VpcConnectorName": "shop", "Subnets": [] }), "Subnets"),
        ("CreateVpcConnector", json!({ "VpcConnectorName": "shop", "Subnets": ["s"], "Tags": [{}] }), "Tags.1.Key"),
        ("TagResource", json!({ "ResourceArn": "x" }), "Tags"),
        ("UntagResource", json!({ "ResourceArn": "x" }), "TagKeys"),
        ("CreateService", json!({ "ServiceName": "web1", "SourceConfiguration": {} }), "SourceConfiguration"),
    ] {
        assert_rejected(&bed, operation, &body, "InvalidRequestException", member).await;
    }
}

#[tokio::test]
async fn errors_name_the_parameter_of_a_wrong_type() {
    let bed = TestBed::start().await;
    let connector = |more: Value| {
        let mut body = json!({ "VpcConnectorName": "shop", "Subnets": ["subnet-1"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (operation, body, member) in [
        ("DeleteVpcConnector", json!({ "VpcConnectorArn": 5 }), "VpcConnectorArn"),
        ("CreateVpcConnector", connector(json!({ "Subnets": "subnet-1" })), "Subnets"),
        ("CreateVpcConnector", connector(json!({ "Subnets": [1] })), "Subnets"),
        ("CreateVpcConnector", connector(json!({ "Tags": {} })), "Tags"),
        ("CreateVpcConnector", connector(json!({ "Tags": ["team"] })), "Tags"),
        ("CreateVpcConnector", connector(json!({ "Tags": [{ "Key": true }] })), "Tags.1.Key"),
        ("ListVpcConnectors", json!({ "MaxResults": "2" }), "MaxResults"),
        ("ListServices", json!({ "NextToken": 1 }), "NextToken"),
        ("CreateService", json!({ "ServiceName": "web1", "SourceConfiguration": "x" }), "SourceConfiguration"),
    ] {
        assert_rejected(&bed, operation, &body, "SerializationException", member).await;
    }
    assert!(bed.emulator.state().iter().all(|region| region.connectors.is_empty() && region.services.is_empty()));
}

async fn assert_rejected(bed: &TestBed, operation: &str, body: &Value, code: &str, member: &str) {
    let raw = RawRequest::call(&format!("AppRunner.{operation}"), body.to_string()).signed(&bed.emulator);
    let answer = raw.send(&bed.emulator).await;
    assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some(code)), "{body}");
    assert!(answer.json()["Message"].as_str().unwrap().contains(&format!("'{member}'")), "{}", answer.body);
}

#[tokio::test]
async fn sts_answers_in_xml() {
    let bed = TestBed::start().await;
    let form =
        |body: &str| RawRequest::new("POST", "/", body).header("content-type", "application/x-www-form-urlencoded");
    let signed = form("Action=GetCallerIdentity&Version=2011-06-15").signed_for("sts", &bed.emulator);
    let answer = signed.send(&bed.emulator).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")));
    assert!(answer.body.contains("<Account>111122223333</Account>"), "{}", answer.body);
    assert!(answer.header("x-amzn-requestid").is_some_and(|id| answer.body.contains(id)));
    for body in ["Action=GetSessionToken&Version=2011-06-15", "Action=GetCallerIdentity", "Version=2011-06-15"] {
        let answer = form(body).signed_for("sts", &bed.emulator).send(&bed.emulator).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("<Type>Sender</Type><Code>InvalidAction</Code>"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_body_above_1_mib_is_rejected() {
    let bed = TestBed::start().await;
    let raw = RawRequest::call("AppRunner.ListServices", " ".repeat(1024 * 1024 + 1)).signed(&bed.emulator);
    let answer = raw.send(&bed.emulator).await;
    assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some("SerializationException")));
}
