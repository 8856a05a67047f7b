//! The resource as the API server validates it and kubectl shows it.

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::{DeletionPolicy, VpcConnector, VpcConnectorSpec};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::cluster::{cluster, run};
use crate::support::{World, eventually};

const ARN: &str = "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";

async fn refused(world: &World, name: &str, arn: &str) -> String {
    let spec = VpcConnectorSpec { arn: arn.into(), deletion_policy: Some(DeletionPolicy::Delete) };
    let object = VpcConnector::new(name, spec);
    world.api.create(&PostParams::default(), &object).await.unwrap_err().to_string()
}

async fn patch_refused(world: &World, name: &str, patch: Value) -> String {
    let patch = Patch::Merge(patch);
    world.api.patch(name, &PatchParams::default(), &patch).await.unwrap_err().to_string()
}

#[tokio::test]
async fn api_server_refuses_invalid_objects_and_says_why() {
    let world = World::new().await;
    assert!(refused(&world, "egress", "shop").await.contains("spec.arn"));
    assert!(refused(&world, "egress", &ARN[..ARN.len() - 33]).await.contains("spec.arn"));
    let id = ARN.rsplit('/').next().unwrap();
    for bad in ["", "a_b", &"x".repeat(65)] {
        assert!(refused(&world, "egress", &ARN.replace(id, bad)).await.contains("spec.arn"), "{bad}");
    }
    for (n, good) in ["0", "6D0F4FD8-3c1e-4b52-9f4a-0c5cb0a1d9e7", &"x".repeat(64)].into_iter().enumerate() {
        world.create(&format!("of-another-form-{n}"), &ARN.replace(id, good)).await;
    }
    assert!(refused(&world, &"n".repeat(64), ARN).await.contains("at most 63 characters"));
    world.create("egress", ARN).await;
    let changed = json!({"spec": {"arn": ARN.replace("/1/", "/2/")}});
    assert!(patch_refused(&world, "egress", changed).await.contains("spec.arn is immutable"));
    let removed = patch_refused(&world, "egress", json!({"spec": {"arn": null}})).await;
    assert!(removed.contains("spec.arn"), "{removed}");
    let unknown = patch_refused(&world, "egress", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    assert!(unknown.contains("deletionPolicy"), "{unknown}");
    world.policy("egress", "Retain").await;
}

#[tokio::test]
async fn kubectl_shows_the_printer_columns() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let get = |arguments: &[&str]| run(cluster().kubectl().args(["-n", &world.namespace]).args(arguments));
    let table = get(&["get", "vpcc"]);
    for word in
        ["READY", "REASON", "AWS STATUS", "POLICY", "BLOCKED BY", "AGE", "True", "Available", "ACTIVE", "Delete"]
    {
        assert!(table.contains(word), "{word} is missing in {table}");
    }
    for category in ["aws", "apprunner"] {
        let wide = get(&["get", category, "-o", "wide"]);
        for word in ["DELETING", "ACCOUNT", "REGION", "ARN", "MESSAGE", "DELETED", DEFAULT_ACCOUNT, "us-east-1", &arn] {
            assert!(wide.contains(word), "{word} is missing in {wide}");
        }
    }
    get(&["wait", "--for=condition=Ready", "--timeout=10s", "vpcconnector/egress"]);
    let explained = get(&["explain", "vpcc.spec.deletionPolicy"]);
    assert!(explained.contains("the connector stays"), "{explained}");
}

#[tokio::test]
async fn admission_policy_restricts_a_namespace_to_its_connectors() {
    let world = World::new().await;
    let policy =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/admission-policy.yaml")).unwrap();
    let here = format!(
        "validationActions: [Deny]\n  matchResources:\n    namespaceSelector:\n      matchLabels:\n        kubernetes.io/metadata.name: {}",
        world.namespace
    );
    let file = cluster().directory().join(format!("{}-policy.yaml", world.namespace));
    std::fs::write(&file, policy.replace("validationActions: [Deny]", &here)).unwrap();
    run(cluster().kubectl().args(["apply", "-f"]).arg(&file));

    let attempt = async |arn: &str| {
        let object = VpcConnector::new("egress", VpcConnectorSpec { arn: arn.into(), ..VpcConnectorSpec::default() });
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        world.api.create(&dry, &object).await.err().map(|error| error.to_string())
    };
    let says = async |arn: &str, words: &str| {
        eventually(async || attempt(arn).await.filter(|refusal| refusal.contains(words))).await
    };
    assert!(says(ARN, "has no annotation apprunner-operator.dev/arn-prefix").await.is_some());
    let (own, other) = ARN.split_at(ARN.len() - 34);
    let annotate = |prefix: &str| {
        let annotation = format!("apprunner-operator.dev/arn-prefix={prefix}");
        run(cluster().kubectl().args(["annotate", "namespace", &world.namespace, "--overwrite", &annotation]));
    };
    // Without the slash the prefix would match "shopping" as well.
    annotate(own.trim_end_matches('/'));
    assert!(says(ARN, "ends in neither / nor -").await.is_some());
    annotate(own);
    assert!(eventually(async || attempt(ARN).await.is_none().then_some(())).await.is_some());
    let foreign = format!("{}{other}", own.replace("/shop/", "/shopping/"));
    assert!(says(&foreign, "may only name connectors whose ARN starts with").await.is_some());
}
