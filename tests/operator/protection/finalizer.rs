//! While no operator runs nothing puts its finalizer back, so nobody else may take it off.

use std::path::PathBuf;
use std::sync::Arc;

use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, VpcConnectorSpec};
use devcluster::DevCluster;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{lift, operator, refusal};
use crate::support::cluster::run;
use crate::support::{World, message};

const RELEASE: &str = "apprunner-operator.dev/allow-release";
const FOREIGN: &str = "example.org/finalizer";

/// A claimed object that nobody protects, and no operator any more.
struct Away {
    world: World,
    arn: String,
}

impl Away {
    async fn new(cluster: &Arc<DevCluster>) -> Self {
        let world = World::on(cluster.clone()).await;
        let operator = operator(&world);
        let arn = world.claimed("egress").await;
        drop(operator);
        Self { world, arn }
    }

    /// The object as Git has it: neither finalizers nor what anybody has written on it since.
    fn in_git(&self) -> VpcConnector {
        VpcConnector::new("egress", VpcConnectorSpec { arn: self.arn.clone(), deletion_policy: DeletionPolicy::Delete })
    }

    /// Argo CD's `Replace=true`: what Git has is put in place of the version that is there.
    async fn put(&self, change: impl FnOnce(&mut VpcConnector)) -> kube::Result<VpcConnector> {
        let live = self.world.api.get("egress").await.unwrap();
        let mut object = self.in_git();
        object.metadata.resource_version = live.resource_version();
        change(&mut object);
        self.world.api.replace("egress", &PostParams::default(), &object).await
    }

    async fn patch(&self, patch: Value) -> kube::Result<VpcConnector> {
        self.world.api.patch("egress", &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// What the user sees when the manifest of Git replaces the object.
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

    async fn is_held(&self) -> bool {
        self.world.api.get("egress").await.unwrap().finalizer_index().is_some()
    }
}

pub(super) async fn is_only_taken_off_by_the_operator(cluster: &Arc<DevCluster>) {
    let away = Away::new(cluster).await;
    let finalizers = r#"{"metadata": {"finalizers": null}}"#;
    let by_index = r#"[{"op": "remove", "path": "/metadata/finalizers/0"}]"#;
    let said = [
        away.kubectl_replace(),
        away.kubectl_fails(&["patch", "vpcc", "egress", "--type=merge", "--patch", finalizers]),
        away.kubectl_fails(&["patch", "vpcc", "egress", "--type=json", "--patch", by_index]),
        refusal(away.put(|_| {}).await),
        refusal(away.put(|object| object.metadata.finalizers = Some(vec![FOREIGN.into()])).await),
    ];
    let object = format!("VpcConnector {}/egress would lose the finalizer {}", away.world.namespace, api::FINALIZER);
    for words in [&*object, "its connector would stay in AWS", "devcluster-admin is not named as one", RELEASE] {
        assert!(said.iter().all(|refusal| refusal.contains(words)), "{words}: {said:?}");
    }
    assert!(away.is_held().await);
    everything_else_may_change(&away).await;

    // The report that made this rule: replaced, then deleted, while no operator runs.
    away.kubectl_replace();
    away.world.delete("egress").await;
    assert!(away.kubectl_replace().contains(&object), "nor from an object that is being deleted");
    let _operator = operator(&away.world);
    away.world.gone("egress").await;
    assert!(away.world.inactive(&away.arn));
}

async fn everything_else_may_change(away: &Away) {
    let with_ours = json!({"metadata": {"finalizers": [api::FINALIZER, FOREIGN], "labels": {"a": "b"}}});
    away.patch(with_ours).await.unwrap();
    let held = |object: &mut VpcConnector| object.metadata.finalizers = Some(vec![api::FINALIZER.into()]);
    away.put(held).await.unwrap();
    away.world.policy("egress", "Retain").await;
    away.world.policy("egress", "Delete").await;
    away.world.merge_status("egress", json!({"revision": 7})).await;
    assert!(away.is_held().await);
}

pub(super) async fn is_not_taken_off_by_an_operator_of_another_name(cluster: &Arc<DevCluster>) {
    let away = Away::new(cluster).await;
    let unknown = away.world.operator();
    away.world.delete("egress").await;
    let object = away.world.reason("egress", "WriteRefused").await;
    let said = message(&object);
    assert!(
        said.contains(&format!("{} is not named as one", unknown.user)) && away.world.inactive(&away.arn),
        "{said}"
    );
    drop(unknown);
    let _operator = operator(&away.world);
    away.world.gone("egress").await;
    assert_eq!(away.world.deletes(), 1);
}

pub(super) async fn is_taken_off_by_hand_only_on_purpose(cluster: &Arc<DevCluster>) {
    let away = Away::new(cluster).await;
    lift(cluster, &refusal(away.put(|_| {}).await));
    // The manifest in Git knows nothing of the annotation that somebody has left on the object.
    assert!(away.kubectl_replace().contains(RELEASE));
    assert!(away.is_held().await);
    let patch = ["patch", "vpcc", "egress", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#];
    run(away.world.cluster.kubectl().args(patch).args(["--namespace", &away.world.namespace]));
    assert!(!away.is_held().await);
    // Without the finalizer the object may be replaced.
    away.put(|_| {}).await.unwrap();
}
