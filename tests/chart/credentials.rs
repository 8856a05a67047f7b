//! Credentials and endpoints of AWS, for the operator and for the pod of `helm test`.

use serde_json::{Value, json};

use crate::support::{RELEASE, find, objects};

/// The fields of the containers of both pods, which are the same.
fn of_both(set: &str, field: &str) -> Value {
    let objects = objects(&["--set", set]);
    let operator = &find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"];
    let test = &find(&objects, "Pod", &format!("{RELEASE}-test"))["spec"];
    assert_eq!(operator["serviceAccountName"], test["serviceAccountName"]);
    assert_eq!(operator["volumes"], test["volumes"]);
    assert_eq!(operator["containers"][0][field], test["containers"][0][field]);
    operator["containers"][0][field].clone()
}

#[test]
fn aws_settings_follow_the_values_and_exclude_node_credentials() {
    let environment = |set: &str| of_both(set, "env");
    assert_eq!(environment(""), json!([{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}]));
    let all = "aws.instanceMetadata=true,aws.region=eu-west-1,aws.endpointUrl=http://emulator:8787,\
               extraEnv[0].name=AWS_PROFILE,extraEnv[0].value=shop";
    let expected = json!([
        {"name": "AWS_EC2_METADATA_DISABLED", "value": "false"},
        {"name": "AWS_REGION", "value": "eu-west-1"},
        {"name": "AWS_ENDPOINT_URL", "value": "http://emulator:8787"},
        {"name": "AWS_PROFILE", "value": "shop"},
    ]);
    assert_eq!(environment(all), expected);
}

#[test]
fn role_is_an_annotation_of_the_service_account() {
    let annotations =
        |set: &str| find(&objects(&["--set", set]), "ServiceAccount", RELEASE)["metadata"]["annotations"].clone();
    assert_eq!(annotations(""), Value::Null);
    let role = "arn:aws-cn:iam::111122223333:role/teams/apprunner-operator";
    let set = format!("aws.roleArn={role},serviceAccount.annotations.owner=platform");
    assert_eq!(annotations(&set), json!({"eks.amazonaws.com/role-arn": role, "owner": "platform"}));
}

#[test]
fn keys_of_a_secret_are_variables_of_the_container() {
    assert_eq!(of_both("", "envFrom"), Value::Null);
    let keys = json!({"secretRef": {"name": "keys"}});
    assert_eq!(of_both("aws.credentials.secretName=keys", "envFrom"), json!([keys]));
    let both = "aws.credentials.secretName=keys,extraEnvFrom[0].configMapRef.name=proxy";
    assert_eq!(of_both(both, "envFrom"), json!([keys, {"configMapRef": {"name": "proxy"}}]));
}

#[test]
fn accounts_and_mounts_are_those_of_the_operator() {
    let set = "aws.accounts[0].role=arn:aws:iam::444455556666:role/a,aws.accounts[0].namespaces={a},\
               extraVolumes[0].name=ca,extraVolumeMounts[0].name=ca,extraVolumeMounts[0].mountPath=/ca";
    let mounts = of_both(set, "volumeMounts");
    assert_eq!(mounts[0]["mountPath"], "/etc/apprunner-operator");
    assert_eq!(mounts[1], json!({"name": "ca", "mountPath": "/ca"}));
}
