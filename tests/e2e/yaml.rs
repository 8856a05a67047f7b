//! An installation without Helm: what `apprunner-operator install` prints works in a cluster as it is.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{SECRET, World, run, scenario};

const DEPLOYMENT: &str = "deployment/apprunner-operator";

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("install-yaml", printed_manifests_install_the_operator)]
}

async fn printed_manifests_install_the_operator(world: &World) {
    let image = format!("localhost/apprunner-operator:{}", env!("CARGO_PKG_VERSION"));
    let manifests = run(Command::new(env!("CARGO_BIN_EXE_apprunner-operator"))
        .args(["install", "--namespace", world.name, "--image", &image])
        .args(["--", "--watch-namespace", world.name]));
    world.apply(&manifests);
    world.kubectl(&["patch", DEPLOYMENT, "--patch", &credentials(world)]);
    world.kubectl(&["rollout", "status", DEPLOYMENT, "--timeout=60s"]);

    let arn = world.claimed("egress");
    world.kubectl(&["delete", "vpcc/egress", "--wait=false"]);
    world.until_deleted("egress", &arn);
    let bound = ["clusterrole/apprunner-operator", "clusterrolebinding/apprunner-operator"];
    world.kubectl(&[&["delete", DEPLOYMENT, "crd/vpcconnectors.apprunner-operator.dev"], &bound[..]].concat());
}

/// A patch of the Deployment with the emulator as its AWS. The access key of a pod is its address.
fn credentials(world: &World) -> String {
    let environment = json!([
        {"name": "AWS_ENDPOINT_URL", "value": world.endpoint},
        {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "AWS_SECRET_ACCESS_KEY", "value": SECRET},
    ]);
    json!({"spec": {"template": {"spec": {"containers": [{"name": "operator", "env": environment}]}}}}).to_string()
}
