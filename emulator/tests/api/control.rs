//! The control API over HTTP, compared with the handle.

use apprunner_emulator::{CallFilter, DeleteAgain, Fault, FaultKind, Operation, Role, StatusCase};
use serde_json::{Value, json};

use crate::helpers::{ACCOUNT, REGION, RawRequest, RawResponse, TestBed};

async fn send(bed: &TestBed, method: &'static str, path: &'static str, body: impl Into<String>) -> RawResponse {
    RawRequest::new(method, path, body).send(&bed.emulator).await
}

async fn get(bed: &TestBed, path: &'static str) -> Value {
    let answer = send(bed, "GET", path, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn calls_contain_every_detail_except_secrets() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    bed.emulator.add_fault(Fault::new(FaultKind::AccessDenied));
    bed.delete(&arn).await;
    bed.delete(&arn).await;
    let answer = send(&bed, "GET", "/_emulator/calls", "").await;
    assert!(!answer.body.contains("not-a-secret") && !answer.body.contains("Signature"), "{}", answer.body);
    let calls = answer.json()["calls"].clone();
    let first = &calls[0];
    assert_eq!(
        (&first["seq"], &first["operation"], &first["arn"]),
        (&json!(1), &json!("DeleteVpcConnector"), &json!(arn))
    );
    assert_eq!((&first["account"], &first["region"]), (&json!(ACCOUNT), &json!(REGION)));
    assert_eq!((&first["access_key_id"], &first["status"]), (&json!("AKIDEXAMPLE"), &json!(400)));
    assert_eq!((&first["error"], &first["fault"]), (&json!("AccessDeniedException"), &json!("access_denied")));
    assert!(first["received_at"].is_string() && first["answered_at"].is_string() && first["duration_ms"].is_u64());
    assert_eq!(
        (&calls[1]["status"], &calls[1]["error"], &calls[1]["fault"]),
        (&json!(200), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn calls_can_be_filtered_and_cleared() {
    let bed = TestBed::start().await;
    let (one, two) = (bed.connector("one1"), bed.connector("two2"));
    for arn in [&one, &two, &one] {
        bed.describe(arn).await;
    }
    bed.listed().await;
    let seqs = async |path: &'static str| {
        let calls = get(&bed, path).await["calls"].as_array().unwrap().clone();
        calls.iter().map(|call| call["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs("/_emulator/calls?operation=DescribeVpcConnector").await, [1, 2, 3]);
    assert_eq!(seqs("/_emulator/calls?after=3").await, [4]);
    assert_eq!(seqs("/_emulator/calls?account=000000000000").await, [0; 0]);
    assert_eq!(seqs("/_emulator/calls?region=eu-central-1&operation=ListVpcConnectors").await, [4]);
    let filter = CallFilter { arn: Some(one), ..CallFilter::default() };
    assert_eq!(bed.emulator.calls_matching(&filter).len(), 2);
    assert_eq!(send(&bed, "GET", "/_emulator/calls?verb=x", "").await.status, 400);
    assert_eq!(send(&bed, "GET", "/_emulator/calls?after=x", "").await.status, 400);
    assert_eq!(send(&bed, "DELETE", "/_emulator/calls", "").await.status, 204);
    bed.listed().await;
    assert_eq!(seqs("/_emulator/calls").await, [5]);
}

#[tokio::test]
async fn behaviors_are_read_replaced_and_changed() {
    let bed = TestBed::with(|behaviors| behaviors.connector_quota = 3).await;
    assert_eq!(get(&bed, "/_emulator/behaviors").await["connector_quota"], 3);
    let changed = send(&bed, "PATCH", "/_emulator/behaviors", r#"{"delete_again":"inactive"}"#).await;
    assert_eq!((changed.status, &changed.json()["connector_quota"]), (200, &json!(3)));
    assert_eq!(bed.emulator.behaviors().delete_again, DeleteAgain::Inactive);
    let several = r#"{"status_case":"lower","in_use_message":"busy","tags_visible_after_ms":5}"#;
    assert_eq!(send(&bed, "PATCH", "/_emulator/behaviors", several).await.status, 200);
    let behaviors = bed.emulator.behaviors();
    assert_eq!((behaviors.status_case, behaviors.tags_visible_after_ms), (StatusCase::Lower, 5));
    assert_eq!(behaviors.in_use_message.as_deref(), Some("busy"));
    let replaced = send(&bed, "PUT", "/_emulator/behaviors", r#"{"list_inactive_connectors":true}"#).await;
    assert_eq!((replaced.status, &replaced.json()["connector_quota"]), (200, &json!(10)));
    for wrong in [r#"{"quota":1}"#, r#"{"delete_again":"maybe"}"#, "[]", ""] {
        for method in ["PUT", "PATCH"] {
            let answer = send(&bed, method, "/_emulator/behaviors", wrong).await;
            assert_eq!(answer.status, 400, "{method} {wrong}");
            assert!(answer.json()["error"].is_string());
        }
    }
    assert!(bed.emulator.behaviors().list_inactive_connectors);
}

#[tokio::test]
async fn faults_are_queued_listed_and_cleared() {
    let bed = TestBed::start().await;
    let fault = r#"{"operation":"DeleteVpcConnector","count":2,"kind":{"delay":{"ms":1}}}"#;
    let added = send(&bed, "POST", "/_emulator/faults", fault).await;
    assert_eq!((added.status, added.json()), (201, json!({ "id": 1 })));
    send(&bed, "POST", "/_emulator/faults", r#"{"kind":{"rewrite":{"remove":["/VpcConnector"]}}}"#).await;
    let queued = bed.emulator.faults();
    assert_eq!(queued[0].fault, Fault::new(FaultKind::Delay { ms: 1 }).on(Operation::DeleteVpcConnector).times(2));
    assert_eq!(queued[1].fault, Fault::new(FaultKind::without("/VpcConnector")));
    let listed = get(&bed, "/_emulator/faults").await;
    assert_eq!((&listed["faults"][0]["id"], &listed["faults"][0]["fault"]["count"]), (&json!(1), &json!(2)));
    assert_eq!(send(&bed, "DELETE", "/_emulator/faults/1", "").await.status, 204);
    assert_eq!(send(&bed, "DELETE", "/_emulator/faults/1", "").await.status, 404);
    assert_eq!(send(&bed, "DELETE", "/_emulator/faults", "").await.status, 204);
    assert!(bed.emulator.faults().is_empty());
    for wrong in [
        r#"{"operation":"Delete","kind":"access_denied"}"#,
        r#"{"kind":"access_denied","often":true}"#,
        r#"{"kind":{"error":{"code":"a b\n","status":400,"message":""}}}"#,
        r#"{"kind":{"error":{"code":"X","status":200,"message":""}}}"#,
        r#"{"kind":{"rewrite":{"remove":["VpcConnector"]}}}"#,
        r#"{"kind":{"slow":{"bytes_per_second":0}}}"#,
        r#"{"kind":{"redirect":{"status":200}}}"#,
        r#"{"kind":{"redirect":{"location":"a\nb"}}}"#,
        r#"{"kind":{"big_body":{"bytes":1000000001}}}"#,
    ] {
        let answer = send(&bed, "POST", "/_emulator/faults", wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn roles_are_added_replaced_listed_and_deleted() {
    let bed = TestBed::start().await;
    let (reader, writer) = ("arn:aws:iam::111122223333:role/reader", "arn:aws:iam::111122223333:role/writer");
    for body in [
        json!({ "arn": reader }),
        json!({ "arn": writer }),
        json!({ "arn": reader, "trusts": ["444455556666"], "external_id": "hush" }),
    ] {
        assert_eq!(send(&bed, "POST", "/_emulator/roles", body.to_string()).await.status, 204);
    }
    let listed = get(&bed, "/_emulator/roles").await;
    let first = json!({ "arn": reader, "trusts": ["444455556666"], "external_id": true });
    let second = json!({ "arn": writer, "trusts": [], "external_id": false });
    assert_eq!(listed, json!({ "roles": [first, second] }));
    let roles = [Role::new(reader).trusting("444455556666").with_external_id("hush"), Role::new(writer)];
    assert_eq!(bed.emulator.roles(), roles);
    let expire = async |body: &'static str| send(&bed, "POST", "/_emulator/expire-role-sessions", body).await;
    let expired = expire(r#"{"arn":"arn:aws:iam::111122223333:role/reader"}"#).await;
    assert_eq!((expired.status, expired.json()), (200, json!({ "expired": 0 })));
    assert_eq!(expire(r#"{"arn":"arn:aws:iam::111122223333:role/nobody"}"#).await.status, 404);
    let one = "/_emulator/roles?arn=arn:aws:iam::111122223333:role/reader";
    assert_eq!(send(&bed, "DELETE", one, "").await.status, 204);
    assert_eq!(send(&bed, "DELETE", one, "").await.status, 404);
    assert_eq!(send(&bed, "DELETE", "/_emulator/roles?name=x", "").await.status, 400);
    for wrong in [
        r#"{"arn":"reader"}"#,
        r#"{"arn":"arn:aws:iam::111122223333:role/x","trusts":["*"]}"#,
        r#"{"arn":"arn:aws:iam::111122223333:role/x","external_id":"h"}"#,
        r#"{"arn":"arn:aws:iam::111122223333:role/x","name":"x"}"#,
        "{}",
    ] {
        assert_eq!(send(&bed, "POST", "/_emulator/roles", wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(send(&bed, "DELETE", "/_emulator/roles", "").await.status, 204);
    assert!(bed.emulator.roles().is_empty());
}

#[tokio::test]
async fn state_shows_the_resources_of_all_accounts_and_regions() {
    let bed = TestBed::start().await;
    let arn = bed.emulator.create_connector_with_tags("444455556666", "us-east-1", "shop", &[("team", "web")]);
    bed.emulator.create_service("444455556666", "us-east-1", "web1", Some(&arn));
    let state = get(&bed, "/_emulator/state").await;
    let region = &state["regions"][0];
    assert_eq!((&region["account"], &region["region"]), (&json!("444455556666"), &json!("us-east-1")));
    let connector = &region["connectors"][0];
    assert_eq!((&connector["arn"], &connector["status"]), (&json!(arn), &json!("ACTIVE")));
    assert_eq!((&connector["in_use"], &connector["tags"]), (&json!(true), &json!({ "team": "web" })));
    assert_eq!(
        (&region["services"][0]["connector"], &region["services"][0]["status"]),
        (&json!(arn), &json!("RUNNING"))
    );
    assert_eq!(serde_json::to_value(bed.emulator.state()).unwrap(), state["regions"]);
}

#[tokio::test]
async fn reset_restores_the_state_of_the_start() {
    let bed = TestBed::with(|behaviors| behaviors.connector_quota = 3).await;
    bed.connector("shop");
    bed.listed().await;
    bed.emulator.add_fault(Fault::new(FaultKind::AccessDenied));
    bed.emulator.change_behaviors(|behaviors| behaviors.connector_quota = 1);
    bed.emulator.put_role(Role::new("arn:aws:iam::111122223333:role/reader"));
    assert_eq!(send(&bed, "POST", "/_emulator/reset", "").await.status, 204);
    assert!(bed.emulator.calls().is_empty() && bed.emulator.faults().is_empty());
    assert!(bed.emulator.state().is_empty() && bed.emulator.roles().is_empty());
    assert_eq!(bed.emulator.behaviors().connector_quota, 3);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_rejected() {
    let bed = TestBed::start().await;
    assert_eq!(send(&bed, "GET", "/_emulator/weather", "").await.status, 404);
    assert_eq!(send(&bed, "GET", "/_emulator/reset", "").await.status, 405);
    assert!(bed.emulator.calls().is_empty(), "the log does not contain requests to the control API");
}

#[tokio::test]
async fn connectors_and_services_are_created_without_a_client() {
    let bed = TestBed::start().await;
    let made = send(&bed, "POST", "/_emulator/connectors", r#"{"name":"shop","region":"eu-west-1"}"#).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let connector = made.json()["arn"].as_str().unwrap().to_owned();
    assert!(connector.starts_with("arn:aws:apprunner:eu-west-1:111122223333:vpcconnector/shop/1/"), "{connector}");
    let service = r#"{"name":"web","region":"eu-west-1","account":"111122223333","connector":"shop"}"#;
    let made = send(&bed, "POST", "/_emulator/services", service).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let arn = made.json()["arn"].as_str().unwrap().to_owned();
    assert_eq!(bed.emulator.service(&arn).unwrap().connector.as_deref(), Some(connector.as_str()));
    for (path, wrong) in [
        ("/_emulator/services", r#"{"name":"web","region":"eu-west-1","connector":"none"}"#),
        ("/_emulator/services", r#"{"name":"web"}"#),
        ("/_emulator/connectors", r#"{"name":"shop","region":"eu-west-1","tags":[]}"#),
    ] {
        assert_eq!(send(&bed, "POST", path, wrong).await.status, 400, "{wrong}");
    }
    let delete = async |query: String| {
        let request = RawRequest::new("DELETE", format!("/_emulator/services{query}").leak(), "");
        request.send(&bed.emulator).await.status
    };
    assert_eq!(delete(String::new()).await, 400);
    assert_eq!(delete(format!("?arn={arn}")).await, 204);
    assert_eq!(bed.emulator.service(&arn).unwrap().status, apprunner_emulator::ServiceStatus::Deleted);
    assert_eq!(delete("?arn=none".to_owned()).await, 404);
}
