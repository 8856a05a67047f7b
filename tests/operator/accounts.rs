//! The account of the credentials, which the operator reads before any call that names an ARN.

use std::path::PathBuf;

use apprunner_emulator::{FaultKind, Operation};
use apprunner_operator::api;
use futures::future::join_all;

use crate::support::{ACCOUNT, OTHER, World, message, with_finalizer};

#[tokio::test]
async fn credentials_of_another_account_make_no_call_and_release_nothing() {
    let world = World::new().await;
    let names = ["a", "b", "c", "d"];
    let arns = {
        let _operator = world.operator();
        join_all(names.map(|name| world.claimed(name))).await
    };
    {
        let _operator = world.operator_of_other_account();
        world.create("unclaimed", &world.connector("unclaimed")).await;
        join_all(names.map(|name| world.delete(name))).await;
        for name in names.into_iter().chain(["unclaimed"]) {
            let held = world.reason(name, "WrongAccount").await;
            let message = message(&held);
            assert!(message.contains(ACCOUNT) && message.contains(OTHER.2), "{message}");
        }
        let foreign = world.emulator.calls().into_iter().filter(|call| call.account.as_deref() == Some(OTHER.2));
        let operations: Vec<_> = foreign.map(|call| call.operation.unwrap()).collect();
        assert_eq!(operations, ["GetCallerIdentity"]);
    }
    let _operator = world.operator();
    join_all(names.map(|name| world.until_deleted(name))).await;
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    assert_eq!(world.deletes(), names.len());
}

#[tokio::test]
async fn configured_account_id_does_not_replace_the_answer_of_sts() {
    let mut world = World::new().await;
    let arn = world.connector("shop");
    world.create_with("egress", &arn, with_finalizer).await;
    world.delete("egress").await;
    // The keys belong to one account, and the variable names another: the account of the ARN.
    world.settings.access_key = (OTHER.0.into(), OTHER.1.into());
    world.settings.environment.push(("AWS_ACCOUNT_ID".into(), ACCOUNT.into()));
    let _operator = world.operator();
    world.reason("egress", "WrongAccount").await;
    assert!(!world.inactive(&arn));
}

#[tokio::test]
async fn without_sts_the_account_in_the_credentials_counts() {
    for kind in [FaultKind::ClosedBeforeEffect, FaultKind::error("InvalidAction", 404, "no such action here")] {
        let mut world = World::new().await;
        world.lasting_fault(Operation::GetCallerIdentity, kind);
        world.settings.environment.push(("AWS_ACCOUNT_ID".into(), ACCOUNT.into()));
        let _operator = world.operator();
        world.claimed("egress").await;
    }
}

#[tokio::test]
async fn one_sts_call_serves_all_objects() {
    let world = World::new().await;
    let _operator = world.operator();
    let names = ["a", "b", "c", "d"];
    for name in names {
        world.claimed(name).await;
    }
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 1);
}

#[tokio::test]
async fn no_other_call_is_made_while_the_account_is_unknown() {
    let world = World::new().await;
    let arn = world.connector("shop");
    world.lasting_fault(Operation::GetCallerIdentity, FaultKind::InternalErrorBeforeEffect);
    let _operator = world.operator();
    world.create("egress", &arn).await;
    world.reason("egress", "ServiceError").await;
    assert!(world.emulator.calls().iter().all(|c| c.operation.as_deref() == Some("GetCallerIdentity")));
    world.emulator.clear_faults();
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn unknown_or_missing_keys_are_reported_as_rejected_credentials() {
    let mut world = World::new().await;
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    world.settings.access_key = ("AKIDNOBODY".into(), "nothing".into());
    {
        let _operator = world.operator();
        let held = world.reason("egress", "CredentialsRejected").await;
        assert!(message(&held).starts_with("AWS does not accept the credentials"), "{}", message(&held));
        assert_eq!(held.status.unwrap().last_error.unwrap().operation, "GetCallerIdentity");
    }
    world.settings.access_key = (String::new(), String::new());
    let _operator = world.operator();
    let none = |o: &api::VpcConnector| {
        let error = o.status.as_ref().and_then(|status| status.last_error.clone());
        error.is_some_and(|error| error.operation == "ResolveCredentials")
    };
    let held = world.until("egress", "without credentials", none).await;
    assert!(message(&held).starts_with("no AWS credentials were found: "), "{}", message(&held));
}

#[tokio::test]
async fn failing_credential_source_is_not_reported_as_an_error_of_aws() {
    let mut world = World::new().await;
    world.settings.access_key = (String::new(), String::new());
    world.create("egress", &world.connector("shop")).await;
    let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{}", world.namespace));
    std::fs::write(&config, "[default]\ncredential_process = false\n").unwrap();
    let mut messages = Vec::new();
    for (variable, value, reason) in [
        ("AWS_CONFIG_FILE", config.display().to_string(), "CredentialsRejected"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/".to_owned(), "Unreachable"),
    ] {
        world.settings.environment = vec![(variable.into(), value)];
        let _operator = world.operator();
        messages.push(message(&world.reason("egress", reason).await).to_owned());
    }
    assert!(messages[0].starts_with("AWS credentials could not be loaded: "), "{}", messages[0]);
    assert!(messages[1].starts_with("the source of the AWS credentials does not answer: "), "{}", messages[1]);
    assert_eq!(world.emulator.calls(), []);
    std::fs::remove_file(config).unwrap();
}

#[tokio::test]
async fn region_that_is_not_served_is_not_called() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--regions=eu-west-1"]);
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    let held = world.reason("egress", "WrongAccount").await;
    let message = message(&held);
    assert!(message.contains("us-east-1") && message.contains("--regions"), "{message}");
    assert_eq!(world.emulator.calls(), []);
}

#[tokio::test]
async fn rejected_credentials_are_loaded_again() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    world.fault(
        Operation::DeleteVpcConnector,
        FaultKind::error("ExpiredTokenException", 403, "The security token included in the request is expired"),
    );
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 2);
}
