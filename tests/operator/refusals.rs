//! Writes that the API server refuses: the object reports the refusal, and continues once the write is allowed.
//!
//! Policies and webhooks apply to the whole cluster; each of these selects only the namespace of its test.

use apprunner_emulator::Operation;
use apprunner_operator::api::VpcConnector;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::cluster::{cluster, run};
use crate::support::operator::Operator;
use crate::support::{World, eventually, message, policy};

/// Message of the policy in these tests.
const MESSAGE: &str = "every VpcConnector here has a label team";
/// Parts of an operator's rights.
const READS: (&str, [&str; 2]) =
    ("reads", ["--verb=get,list,watch", "--resource=vpcconnectors.apprunner-operator.dev"]);
const FINALIZES: (&str, [&str; 2]) = ("finalizes", ["--verb=patch", "--resource=vpcconnectors.apprunner-operator.dev"]);
const WRITES_STATUS: (&str, [&str; 2]) =
    ("writes-status", ["--verb=patch", "--resource=vpcconnectors.apprunner-operator.dev/status"]);
const PUBLISHES: (&str, [&str; 2]) = ("publishes", ["--verb=create,patch", "--resource=events.events.k8s.io"]);
const OBJECTS: &[&str] = &["vpcconnectors"];
const OBJECTS_AND_STATUS: &[&str] = &["vpcconnectors", "vpcconnectors/status"];

impl World {
    /// Requires a label of every object in this namespace, and waits until an object without one is refused.
    async fn require_a_label(&self, operations: &[&str], resources: &[&str], refused: &str) {
        let has_label = "has(object.metadata.labels) && 'team' in object.metadata.labels";
        policy::create(&self.client, &self.namespace, (operations, resources), (has_label, MESSAGE)).await;
        self.until_changes_are_refused(refused).await;
    }

    async fn require_nothing(&self) {
        policy::delete(&self.client, &self.namespace).await;
    }

    /// Leaves a confined operator only these rights.
    fn confine_to(&self, operator: &Operator, rights: &[(&str, [&str; 2])]) {
        let (namespace, user) = (["--namespace", &self.namespace], format!("--user={}", operator.user));
        for (role, rights) in rights {
            run(cluster().kubectl().args(["create", "role", role]).args(rights).args(namespace));
            let bind = ["create", "rolebinding", role, &format!("--role={role}"), &user];
            run(cluster().kubectl().args(bind).args(namespace));
        }
        self.revoke("operator");
    }

    fn revoke(&self, binding: &str) {
        run(cluster().kubectl().args(["delete", "rolebinding", binding, "--namespace", &self.namespace]));
    }

    async fn until_forbidden(&self, operator: &Operator, right: [&str; 2]) {
        let (namespace, user) = (["--namespace", &self.namespace], format!("--as={}", operator.user));
        let ask =
            || cluster().kubectl().args(["auth", "can-i"]).args(right).args(namespace).arg(&user).output().unwrap();
        let denied = async || ask().stdout.starts_with(b"no").then_some(());
        assert!(eventually(denied).await.is_some(), "{right:?} is still allowed");
    }

    /// Gives a confined operator all of its rights.
    fn grant_all_to(&self, operator: &Operator) {
        let (namespace, user) = (["--namespace", &self.namespace], format!("--user={}", operator.user));
        let bind = ["create", "rolebinding", "operator", "--clusterrole=apprunner-operator", &user];
        run(cluster().kubectl().args(bind).args(namespace));
    }

    /// Waits until the API server refuses changes of an object.
    async fn until_changes_are_refused(&self, name: &str) {
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"example.org/probe": "1"}}}));
        let refused = async || self.api.patch(name, &dry, &patch).await.is_err().then_some(());
        assert!(eventually(refused).await.is_some(), "it never came into force");
    }

    /// Waits until an object reports a lasting refusal of a write, and checks that its message contains `words`.
    async fn until_stalled_with(&self, name: &str, words: &str) -> VpcConnector {
        let stalled = |object: &VpcConnector| {
            let stalled = object.status.as_ref().and_then(|status| status.condition("Stalled"));
            stalled.is_some_and(|condition| condition.reason == "WriteRefused")
        };
        let object = self.until(name, "Stalled with WriteRefused", stalled).await;
        assert!(message(&object).contains(words), "{}", message(&object));
        object
    }
}

#[tokio::test]
async fn policy_that_keeps_the_finalizer_on_is_reported_and_recovers() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    world.require_a_label(&["CREATE", "UPDATE"], OBJECTS, "egress").await;
    world.delete("egress").await;

    let held = world.until_stalled_with("egress", MESSAGE).await;
    assert!(message(&held).contains("remove the finalizer"), "{}", message(&held));
    let status = held.status.unwrap();
    assert_eq!((status.status.as_deref(), status.deleted_at.is_some()), (Some("INACTIVE"), true), "the receipt");
    assert!(status.attempts.unwrap() > 1 && status.next_attempt_time.is_some());
    assert!(world.event("egress", "WriteRefused").await.contains(MESSAGE));
    assert!(world.inactive(&arn));

    world.require_nothing().await;
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 1, "AWS was not asked again");
}

#[tokio::test]
async fn policy_that_keeps_the_finalizer_off_is_reported_and_recovers() {
    let world = World::new().await;
    let probe = world.connector("conn-probe");
    world.create("probe", &probe).await;
    world.require_a_label(&["UPDATE"], OBJECTS, "probe").await;
    world.delete("probe").await;
    let _operator = world.operator();
    let arn = world.connector("conn-egress");
    world.create("egress", &arn).await;

    let held = world.until_stalled_with("egress", MESSAGE).await;
    assert!(message(&held).contains("add the finalizer") && held.finalizer_index().is_none(), "{held:#?}");
    assert!(world.event("egress", "WriteRefused").await.contains(MESSAGE));
    for operation in [Operation::DescribeVpcConnector, Operation::ListTagsForResource, Operation::TagResource] {
        assert_eq!(world.calls(operation).len(), 0, "{operation:?} before the finalizer is on");
    }

    world.require_nothing().await;
    let object = world.reason("egress", "Available").await;
    assert!(object.finalizer_index().is_some());
    assert!(object.status.unwrap().condition("Stalled").is_none());
}

#[tokio::test]
async fn adding_the_required_label_lets_the_object_continue() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    world.require_a_label(&["CREATE", "UPDATE"], OBJECTS, "egress").await;
    world.delete("egress").await;
    world.reason("egress", "WriteRefused").await;
    world.merge("egress", json!({"metadata": {"labels": {"team": "shop"}}})).await;
    world.until_deleted("egress").await;
    world.require_nothing().await;
}

#[tokio::test]
async fn refused_status_write_is_published_as_an_event_and_counted() {
    let world = World::new().await;
    let operator = world.operator_with(&["--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"]);
    let arn = world.claimed("egress").await;
    world.require_a_label(&["UPDATE"], OBJECTS_AND_STATUS, "egress").await;
    world.delete("egress").await;

    let note = world.event("egress", "WriteRefused").await;
    assert!(note.contains(MESSAGE) && note.contains("write the status"), "{note}");
    let counted = async || {
        let (_, text) = operator.http_get(1, "/metrics").await;
        let counter = r#"apprunner_operator_kubernetes_write_refusals_total{verb="WriteStatus",code="422"} "#;
        let count = text.lines().find_map(|line| line.strip_prefix(counter)?.parse::<u32>().ok());
        count.filter(|count| *count > 1)
    };
    assert!(eventually(counted).await.is_some(), "it is not counted");
    let held = world.api.get("egress").await.unwrap();
    assert_eq!(held.status.unwrap().ready_reason(), Some("Available"), "nothing could be written");
    assert!(held.metadata.finalizers.is_some() && world.inactive(&arn));

    world.require_nothing().await;
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 1);
    let receipt = world.history("egress").await.pop().unwrap();
    assert_eq!((receipt.status.as_deref(), receipt.ready_reason()), (Some("INACTIVE"), Some("Deleted")));
}

#[tokio::test]
async fn removed_right_is_reported_and_used_again_when_restored() {
    let world = World::new().await;
    let operator = world.operator_confined(&["--cluster-id=blue"]);
    let arn = world.claimed("egress").await;
    world.confine_to(&operator, &[READS, WRITES_STATUS, PUBLISHES]);
    world.until_forbidden(&operator, ["patch", "vpcconnectors.apprunner-operator.dev"]).await;
    world.delete("egress").await;

    let held = world.until_stalled_with("egress", "cannot patch resource \"vpcconnectors\"").await;
    assert!(message(&held).contains("remove the finalizer (403)"), "{}", message(&held));
    assert!(world.event("egress", "WriteRefused").await.contains("cannot patch"));
    assert!(world.inactive(&arn));

    world.grant_all_to(&operator);
    world.until_deleted("egress").await;
    assert_eq!(world.deletes(), 1);
}

#[tokio::test]
async fn forbidden_events_are_logged_once_and_counted() {
    let world = World::new().await;
    let arguments = ["--cluster-id=blue", "--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"];
    let operator = world.operator_confined(&arguments);
    world.confine_to(&operator, &[READS, FINALIZES, WRITES_STATUS]);
    world.until_forbidden(&operator, ["create", "events.events.k8s.io"]).await;
    let warned = || operator.logged("an Event was not taken; more of them are only counted").len();
    let lost = async |count: u32| {
        let line = format!("apprunner_operator_events_lost_total{{reason=\"Forbidden\"}} {count}\n");
        let counted = async || operator.http_get(1, "/metrics").await.1.contains(&line).then_some(());
        assert!(eventually(counted).await.is_some(), "{count} Events are not counted");
    };
    for name in ["a", "b", "c"] {
        world.claimed(name).await;
    }
    lost(3).await;
    assert_eq!(warned(), 1);

    world.grant_all_to(&operator);
    world.claimed("d").await;
    world.event("d", "Available").await;
    world.revoke("operator");
    world.until_forbidden(&operator, ["create", "events.events.k8s.io"]).await;
    world.claimed("e").await;
    lost(4).await;
    assert_eq!(warned(), 2, "an Event was accepted in between");
}

#[tokio::test]
async fn unanswered_webhook_is_reported() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let webhook: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": world.namespace},
        "webhooks": [{
            "name": "labels.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": policy::selects(&world.namespace),
            "rules": [{
                "apiGroups": ["apprunner-operator.dev"],
                "apiVersions": ["*"],
                "operations": ["UPDATE"],
                "resources": OBJECTS,
            }],
        }],
    }))
    .unwrap();
    let webhooks = Api::all(world.client.clone());
    webhooks.create(&PostParams::default(), &webhook).await.unwrap();
    world.until_changes_are_refused("egress").await;
    world.delete("egress").await;
    world.until_stalled_with("egress", "labels.example.org").await;

    webhooks.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

/// A foreign finalizer keeps the object after ours was removed; the refusal reported before is no longer true then.
#[tokio::test]
async fn object_with_other_finalizers_keeps_a_true_status_after_its_release() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    let foreign = json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "example.org/other"}]);
    let foreign = Patch::Json::<()>(serde_json::from_value(foreign).unwrap());
    world.api.patch("egress", &PatchParams::default(), &foreign).await.unwrap();
    world.require_a_label(&["UPDATE"], OBJECTS, "egress").await;
    world.delete("egress").await;
    world.until_stalled_with("egress", MESSAGE).await;

    world.require_nothing().await;
    let corrected = world.reason("egress", "Deleted").await;
    assert_eq!(corrected.metadata.finalizers.clone().unwrap(), ["example.org/other"]);
    let status = corrected.status.unwrap();
    assert!(status.condition("Stalled").is_none() && status.status.as_deref() == Some("INACTIVE"));
    world.merge("egress", json!({"metadata": {"finalizers": null}})).await;
    world.until_deleted("egress").await;
}

/// As with an organisation's policy that removes unknown finalizers.
const STRIPS: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules:
      - {apiGroups: [apprunner-operator.dev], apiVersions: ["*"], resources: [vpcconnectors], operations: [CREATE, UPDATE]}
  matchConditions:
    - {name: has-finalizers, expression: has(object.metadata.finalizers)}
  mutations:
    - patchType: JSONPatch
      jsonPatch: {expression: '[JSONPatch{op: "remove", path: "/metadata/finalizers"}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE}
"#;

#[tokio::test]
async fn policy_that_strips_the_finalizer_is_reported_and_recovers() {
    let world = World::new().await;
    let file = world.cluster.directory().join(format!("strips-{}.yaml", world.namespace));
    std::fs::write(&file, STRIPS.replace("NAMESPACE", &world.namespace)).unwrap();
    run(cluster().kubectl().args(["apply", "-f"]).arg(&file));
    let stripped = async || {
        let mut probe = VpcConnector::new("probe", apprunner_operator::api::VpcConnectorSpec::default());
        probe.spec.arn = world.connector("probe");
        crate::support::with_finalizer(&mut probe);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let made = world.api.create(&dry, &probe).await.unwrap();
        made.metadata.finalizers.is_none().then_some(())
    };
    assert!(eventually(stripped).await.is_some(), "the policy never came into force");

    let operator = world.operator();
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    let held = world.reason("egress", "WriteRefused").await;
    assert!(message(&held).contains("undone"), "{}", message(&held));
    assert!(world.emulator.calls().iter().all(|call| call.arn.as_deref() != Some(&arn)), "AWS is not called before it");
    assert!(operator.logged("released the object").is_empty());
    run(cluster().kubectl().args(["delete", "-f"]).arg(&file));
    world.reason("egress", "Available").await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}
