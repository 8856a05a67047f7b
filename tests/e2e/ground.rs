//! The preconditions of every other scenario.

use apprunner_emulator::{DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY};
use aws_sdk_apprunner::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_apprunner::types::VpcConnectorStatus;
use aws_sdk_apprunner::{Client, Config};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::world::{REGION, World, image, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("network", test_emulator_and_node_are_in_one_network),
        scenario("helm", helm_installs_and_uninstalls),
        scenario("emulator-image", emulator_image_serves_the_operator),
        scenario("arbitrary-user", both_images_run_as_any_user_with_group_0),
        Trial::test("missing-image", || {
            missing_image_archive_is_named_with_a_remedy();
            Ok(())
        }),
    ]
}

async fn test_emulator_and_node_are_in_one_network(world: &World) {
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 1);

    TcpStream::connect(world.emulator.address()).await.unwrap();
    assert_eq!(world.endpoint, format!("http://apprunner.test:{}", world.emulator.address().port()));
}

async fn helm_installs_and_uninstalls(world: &World) {
    let chart = world.cluster.directory().join("stand-in");
    let chart = chart.to_str().unwrap();
    world.helm(&["create", chart]);
    world.helm(&["install", "released", chart, "--set", "replicaCount=0"]);

    assert_eq!(world.helm(&["list", "--short"]), "released\n");
    let service = ["get", "service", "released-stand-in", "--output=name"];
    assert_eq!(world.kubectl(&service), "service/released-stand-in\n");

    world.helm(&["uninstall", "released", "--wait"]);
    assert_eq!(world.kubectl(&["get", "services", "--output=name"]), "");
}

async fn emulator_image_serves_the_operator(world: &World) {
    both_images(world, &json!({}), &[]).await;
}

/// As `OpenShift` runs them: with a user of the namespace's range, which no image knows, and with group 0.
async fn both_images_run_as_any_user_with_group_0(world: &World) {
    let values = [
        "podSecurityContext.runAsUser=1000700000",
        "podSecurityContext.runAsGroup=null",
        "podSecurityContext.fsGroup=null",
    ];
    both_images(world, &json!({"runAsUser": 1_000_700_000}), &values).await;
}

/// The operator with the emulator's image as its App Runner, from a claim to a deletion.
async fn both_images(world: &World, emulator: &Value, values: &[&str]) {
    world.apply(&emulator_pod(emulator));
    world.kubectl(&["wait", "pod/app-runner", "--for=condition=Ready", "--timeout=60s"]);
    let address = world.kubectl(&["get", "pod/app-runner", "--output=jsonpath={.status.podIP}"]);
    let url = format!("http://{address}:8787");
    let app_runner = client(&url);
    let created = app_runner.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send().await;
    let connector = created.unwrap().vpc_connector.unwrap();
    let arn = connector.vpc_connector_arn.unwrap();

    let key = format!("extraEnv[0].value={DEFAULT_ACCESS_KEY_ID}");
    let endpoint = format!("aws.endpointUrl={url}");
    world.install(&[&[endpoint.as_str(), "extraEnv[0].valueFrom=null", &key], values].concat());
    world.object_of("shop-egress", &arn);
    world.kubectl(&["wait", "vpcc/shop-egress", "--for=condition=Ready", "--timeout=60s"]);
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
    let described = app_runner.describe_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap();
    assert_eq!(described.vpc_connector.unwrap().status, Some(VpcConnectorStatus::Inactive));
    world.uninstall();
}

fn emulator_pod(user: &Value) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let container = json!({
        "name": "emulator",
        "image": format!("localhost/apprunner-emulator:{version}"),
        "imagePullPolicy": "Never",
        "readinessProbe": {"httpGet": {"path": "/_emulator/calls", "port": 8787}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let mut security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    security.as_object_mut().unwrap().extend(user.as_object().unwrap().clone());
    let spec = json!({"securityContext": security, "containers": [container]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app-runner"}, "spec": spec}).to_string()
}

/// A client with the emulator's default key.
fn client(url: &str) -> Client {
    let credentials = Credentials::new(DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, None, None, "tests");
    let config = Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new(REGION));
    Client::from_conf(config.credentials_provider(credentials).endpoint_url(url).build())
}

fn missing_image_archive_is_named_with_a_remedy() {
    let message = image("nobody").unwrap_err();
    let missing = concat!("target/image/nobody.tar is missing: make image IMAGE_TAG=", env!("CARGO_PKG_VERSION"));
    assert!(message.ends_with(missing), "{message}");
}
