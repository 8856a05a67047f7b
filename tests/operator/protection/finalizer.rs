//! While no operator runs, nothing adds its finalizer again, so no other user may remove it.

use std::path::PathBuf;
use std::sync::Arc;

use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, VpcConnectorSpec};
use devcluster::DevCluster;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{operator, refusal, run_printed_command};
use crate::support::cluster::run;
use crate::support::{World, message};

const RELEASE: &str = "apprunner-operator.dev/allow-release";
const FOREIGN: &str = "example.org/finalizer";

/// A claimed object without protection, and no running operator.
struct WithoutOperator {
    world: World,
    arn: String,
}

impl WithoutOperator {
    async fn new(cluster: &Arc<DevCluster>) -> Self {
        let world = World::on_cluster(cluster.clone()).await;
        let operator = operator(&world);
        let arn = world.claimed("egress").await;
        drop(operator);
        Self { world, arn }
    }

    /// The object as Git has it: without finalizers and without later changes.
    fn in_git(&self) -> VpcConnector {
        VpcConnector::new(
            "egress",
            VpcConnectorSpec { arn: self.arn.clone(), deletion_policy: Some(DeletionPolicy::Delete) },
        )
    }

    /// Argo CD's `Replace=true`: the manifest in Git replaces the stored object.
    async fn replace_from_git(&self, change: impl FnOnce(&mut VpcConnector)) -> kube::Result<VpcConnector> {
        let live = self.world.api.get("egress").await.unwrap();
        let mut object = self.in_git();
        object.metadata.resource_version = live.resource_version();
        change(&mut object);
        self.world.api.replace("egress", &PostParams::default(), &object).await
    }

    async fn patch(&self, patch: Value) -> kube::Result<VpcConnector> {
        self.world.api.patch("egress", &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Output for a user whose manifest from Git replaces the object.
    fn kubectl_replace(&self) -> String {
        let manifest = serde_json::to_string(&self.in_git()).unwrap();
        let file: PathBuf = self.world.cluster.directory().join(format!("{}.json", self.world.namespace));
        std::fs::write(&file, manifest).unwrap();
        self.kubectl_fails(&["replace", "--filename", file.to_str().unwrap()])
    }

    fn kubectl_fails(&self, arguments: &[&str]) -> String {
        let mut kubectl = self.world.cluster.kubectl();
        let output = kubectl.args(arguments).args(["--namespace", &self.world.namespace]).output().unwrap();
        assert!(!output.status.success(), "{arguments:?} was not refused");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn has_our_finalizer(&self) -> bool {
        self.world.api.get("egress").await.unwrap().finalizer_index().is_some()
    }
}

pub(super) async fn is_removed_only_by_the_operator(cluster: &Arc<DevCluster>) {
    let setup = WithoutOperator::new(cluster).await;
    let finalizers = r#"{"metadata": {"finalizers": null}}"#;
    let by_index = r#"[{"op": "remove", "path": "/metadata/finalizers/0"}]"#;
    let refusals = [
        setup.kubectl_replace(),
        setup.kubectl_fails(&["patch", "vpcc", "egress", "--type=merge", "--patch", finalizers]),
        setup.kubectl_fails(&["patch", "vpcc", "egress", "--type=json", "--patch", by_index]),
        refusal(setup.replace_from_git(|_| {}).await),
        refusal(setup.replace_from_git(|object| object.metadata.finalizers = Some(vec![FOREIGN.into()])).await),
    ];
    let object = format!("VpcConnector {}/egress would lose the finalizer {}", setup.world.namespace, api::FINALIZER);
    for words in [&*object, "its connector would stay in AWS", "devcluster-admin is not named as one", RELEASE] {
        assert!(refusals.iter().all(|refusal| refusal.contains(words)), "{words}: {refusals:?}");
    }
    assert!(setup.has_our_finalizer().await);
    everything_else_may_change(&setup).await;

    // The reported case behind this rule: replaced, then deleted, while no operator runs.
    setup.kubectl_replace();
    setup.world.delete("egress").await;
    assert!(
        setup.kubectl_replace().contains(&object),
        "the finalizer cannot be removed from an object that is being deleted either"
    );
    let _operator = operator(&setup.world);
    setup.world.until_deleted("egress").await;
    assert!(setup.world.inactive(&setup.arn));
}

async fn everything_else_may_change(setup: &WithoutOperator) {
    let with_ours = json!({"metadata": {"finalizers": [api::FINALIZER, FOREIGN], "labels": {"a": "b"}}});
    setup.patch(with_ours).await.unwrap();
    let with_ours = |object: &mut VpcConnector| object.metadata.finalizers = Some(vec![api::FINALIZER.into()]);
    setup.replace_from_git(with_ours).await.unwrap();
    setup.world.policy("egress", "Retain").await;
    setup.world.policy("egress", "Delete").await;
    setup.world.merge_status("egress", json!({"revision": 7})).await;
    assert!(setup.has_our_finalizer().await);
}

pub(super) async fn is_not_removed_by_an_operator_of_another_name(cluster: &Arc<DevCluster>) {
    let setup = WithoutOperator::new(cluster).await;
    let unknown = setup.world.operator();
    setup.world.delete("egress").await;
    let object = setup.world.reason("egress", "WriteRefused").await;
    let refusals = message(&object);
    assert!(
        refusals.contains(&format!("{} is not named as one", unknown.user)) && setup.world.inactive(&setup.arn),
        "{refusals}"
    );
    drop(unknown);
    let _operator = operator(&setup.world);
    setup.world.until_deleted("egress").await;
    assert_eq!(setup.world.deletes(), 1);
}

pub(super) async fn is_removed_by_hand_only_with_the_annotation(cluster: &Arc<DevCluster>) {
    let setup = WithoutOperator::new(cluster).await;
    run_printed_command(cluster, &refusal(setup.replace_from_git(|_| {}).await));
    // The manifest in Git does not have the annotation that a user has set on the object.
    assert!(setup.kubectl_replace().contains(RELEASE));
    assert!(setup.has_our_finalizer().await);
    let patch = ["patch", "vpcc", "egress", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#];
    run(setup.world.cluster.kubectl().args(patch).args(["--namespace", &setup.world.namespace]));
    assert!(!setup.has_our_finalizer().await);
    // Without the finalizer the object may be replaced.
    setup.replace_from_git(|_| {}).await.unwrap();
}
