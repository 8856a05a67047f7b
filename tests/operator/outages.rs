//! The objects when the API server, the CRD or the rights are removed and restored.

use std::time::{Duration, Instant};

use apprunner_operator::api::{self, VpcConnector, VpcConnectorSpec};
use devcluster::Component;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::cluster::{cluster, install_crd, private, run};
use crate::support::gitops_health::{Health, Kstatus, checked, kstatus};
use crate::support::operator::Operator;
use crate::support::{World, eventually};

const CRD: &str = "vpcconnectors.apprunner-operator.dev";

#[tokio::test]
async fn removed_and_restored_rights_only_pause_the_work() {
    let world = World::new().await;
    let operator = world.operator_confined(&["--cluster-id=blue"]);
    let arn = world.claimed("egress").await;
    let binding = ["rolebinding", "operator", "--namespace", &world.namespace];
    run(cluster().kubectl().arg("delete").args(binding));
    world.delete("egress").await;
    let refused = async || operator.log().contains("refused").then_some(());
    assert!(eventually(refused).await.is_some(), "nothing was refused");
    assert!(world.api.get_opt("egress").await.unwrap().is_some());

    let user = format!("--user={}", operator.user);
    run(cluster().kubectl().arg("create").args(binding).args(["--clusterrole=apprunner-operator", &user]));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.history("egress").await.pop().unwrap().status.as_deref(), Some("INACTIVE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_outage_and_recovery_lose_nothing() {
    let cluster = tokio::task::spawn_blocking(private).await.unwrap();
    let world = World::on_cluster(cluster.clone()).await;
    let operator = world.operator();
    let unknown = async || operator.log().contains("crd | kubectl apply").then_some(());
    assert!(eventually(unknown).await.is_some(), "the log gives no instruction for the missing CRD");
    install_crd(&cluster);
    let (stopped, upgraded) = (world.claimed("stopped").await, world.claimed("upgraded").await);

    the_api_server_stops(&world, &stopped).await;
    the_crd_is_upgraded(&world, &operator, &upgraded).await;
    an_object_does_not_parse(&world).await;
}

async fn the_api_server_stops(world: &World, arn: &str) {
    world.delay_delete_answer(1_000);
    world.delete("stopped").await;
    assert!(eventually(async || (world.deletes() == 1).then_some(())).await.is_some());
    // AWS answers while no API server runs that could store the status.
    let cluster = world.cluster.clone();
    tokio::task::spawn_blocking(move || {
        cluster.stop_component(Component::ApiServer).unwrap();
        std::thread::sleep(Duration::from_mins(1));
        cluster.start_component(Component::ApiServer).unwrap();
    })
    .await
    .unwrap();
    world.until_deleted_after_outage("stopped").await;
    assert!(world.inactive(arn));
    assert_eq!(world.deletes(), 1);
}

fn object(name: &str, arn: &str) -> VpcConnector {
    VpcConnector::new(name, VpcConnectorSpec { arn: arn.to_owned(), ..VpcConnectorSpec::default() })
}

/// Before 1.33 the API server checks every rule on `spec` when a status is written.
async fn ratchets_statuses(world: &World) -> bool {
    let version = world.client.apiserver_version().await.unwrap().git_version;
    version.split('.').nth(1).unwrap().parse::<u32>().unwrap() >= 33
}

/// CRD ratcheting accepts a stored object that breaks a new rule on `spec`, so the object can still be released.
async fn the_crd_is_upgraded(world: &World, operator: &Operator, arn: &str) {
    let stricter = json!([{
        "op": "add",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations/-",
        "value": {"rule": "self.deletionPolicy == 'Retain'", "message": "a rule that no stored object keeps"},
    }]);
    run(world.cluster.kubectl().args(["patch", "crd", CRD, "--type=json", "--patch", &stricter.to_string()]));
    let strict = async || {
        let object = object("refused", arn);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        world
            .api
            .create(&dry, &object)
            .await
            .err()
            .filter(|e| e.to_string().contains("no stored object keeps"))
            .map(drop)
    };
    assert!(eventually(strict).await.is_some(), "the stricter rule never came into force");
    world.delete("upgraded").await;
    if !ratchets_statuses(world).await {
        let refused = async || operator.log().contains("refused to write the status (422)").then_some(());
        assert!(eventually(refused).await.is_some(), "no write of the status was refused");
        assert!(world.api.get_opt("upgraded").await.unwrap().is_some(), "released without a receipt");
        let removed = json!([{
            "op": "remove",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations/1",
        }]);
        run(world.cluster.kubectl().args(["patch", "crd", CRD, "--type=json", "--patch", &removed.to_string()]));
    }
    world.until_deleted("upgraded").await;
    assert!(world.inactive(arn));
}

/// A later version of the CRD may store values that this version cannot parse.
async fn an_object_does_not_parse(world: &World) {
    let loose = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/subnets",
        "value": {"x-kubernetes-preserve-unknown-fields": true},
    }, {
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations",
        "value": [],
    }]);
    run(world.cluster.kubectl().args(["patch", "crd", CRD, "--type=json", "--patch", &loose.to_string()]));
    let created = eventually(async || {
        let object = object("odd", &world.connector("odd-one"));
        world.api.create(&PostParams::default(), &object).await.ok().map(|object| object.spec.arn)
    });
    let arn = created.await.unwrap();
    world.reason("odd", "Available").await;
    let odd = Patch::Merge(json!({"status": {"subnets": {"a": "subnet-0a"}}}));
    let objects = kube::Api::<kube::core::DynamicObject>::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &kube::core::ApiResource::erase::<VpcConnector>(&()),
    );
    let written = async || objects.patch_status("odd", &PatchParams::default(), &odd).await.ok();
    assert!(eventually(written).await.is_some());
    // No health check can see that from outside: the earlier status stays until the object is changed.
    let judged = async || {
        let object = json!(objects.get("odd").await.unwrap());
        (checked(&object).0, kstatus(Some(&object)))
    };
    assert_eq!(judged().await, (Health::Healthy, Kstatus::Current));
    let changed = Patch::Merge(json!({"spec": {"deletionPolicy": "Retain"}}));
    objects.patch("odd", &PatchParams::default(), &changed).await.unwrap();
    assert_eq!(judged().await, (Health::Progressing, Kstatus::InProgress));
    let back = Patch::Merge(json!({"spec": {"deletionPolicy": "Delete"}}));
    objects.patch("odd", &PatchParams::default(), &back).await.unwrap();
    objects.delete("odd", &kube::api::DeleteParams::default()).await.unwrap();
    assert!(world.event("odd", "Malformed").await.contains("does not parse"));
    // A healthy object beside it is claimed and deleted, and the unparsable one stays.
    world.claimed("healthy").await;
    world.delete("healthy").await;
    let gone = async || objects.get_opt("healthy").await.unwrap().is_none().then_some(());
    assert!(eventually(gone).await.is_some());
    assert!(objects.get_opt("odd").await.unwrap().is_some() && !world.inactive(&arn));

    // A user repairs the object.
    let mended = Patch::Merge(json!({"status": {"subnets": null}}));
    objects.patch_status("odd", &PatchParams::default(), &mended).await.unwrap();
    let gone = async || objects.get_opt("odd").await.unwrap().is_none().then_some(());
    assert!(eventually(gone).await.is_some(), "the repaired object is not released");
    assert!(world.inactive(&arn));
}

/// Deleting the CRD deletes its objects; a user who creates the CRD again does not have to wait for the operator. No
/// interval is divided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreated_crd_is_watched_again_within_seconds() {
    let cluster = tokio::task::spawn_blocking(private).await.unwrap();
    install_crd(&cluster);
    let mut world = World::on_cluster(cluster.clone()).await;
    world.settings.pace = 1;
    let operator = world.operator();
    let arn = world.claimed("first").await;
    run(cluster.kubectl().args(["delete", "crd", CRD, "--timeout=60s"]));
    assert!(world.inactive(&arn), "its object was deleted with it");

    let failing = || operator.logged("watching VpcConnector objects still fails").len();
    // By then the waits between two attempts are at their longest.
    assert!(eventually(async || (failing() > 6).then_some(())).await.is_some(), "it does not try again");
    let unknown = operator
        .logged("the API server does not know VpcConnector; install it: apprunner-operator crd | kubectl apply -f -");
    assert_eq!(unknown.len(), 1, "the missing CRD is logged once");
    assert!(operator.logged("watching VpcConnector objects works again").is_empty());

    install_crd(&cluster);
    let installed = Instant::now();
    let claimed = world.connector("conn-second");
    let created = async || world.api.create(&PostParams::default(), &object("second", &claimed)).await.ok();
    assert!(eventually(created).await.is_some());
    world.reason("second", "Available").await;
    assert!(installed.elapsed() < Duration::from_secs(20), "{:?}", installed.elapsed());
    assert_eq!(operator.logged("watching VpcConnector objects works again").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_catches_up_with_a_cluster_restored_from_a_backup() {
    let cluster = tokio::task::spawn_blocking(private).await.unwrap();
    install_crd(&cluster);
    let world = World::on_cluster(cluster.clone()).await;
    let _operator = world.operator();
    let (gone, kept) = (world.claimed("gone").await, world.claimed("kept").await);
    let handed_over = world.claimed("handed-over").await;
    let backup = cluster.directory().join("backup");
    let data = cluster.directory().join("etcd");
    restart_with(&cluster, {
        let (data, backup) = (data.clone(), backup.clone());
        move || copy(&data, &backup)
    })
    .await;
    let back = async || world.api.get_opt("kept").await.ok().flatten();
    assert!(eventually(back).await.is_some());

    world.delete("gone").await;
    world.until_deleted_after_outage("gone").await;
    assert!(world.inactive(&gone));
    // Retained, and claimed by another cluster since.
    world.policy("handed-over", "Retain").await;
    world.delete("handed-over").await;
    world.until_deleted_after_outage("handed-over").await;
    world.emulator.set_tags(&handed_over, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
    restart_with(&cluster, move || {
        std::fs::remove_dir_all(&data).unwrap();
        copy(&backup, &data);
    })
    .await;

    // In the restored server the object was never deleted.
    assert!(eventually(async || world.api.get_opt("gone").await.ok().flatten()).await.is_some());
    for name in ["gone", "kept", "handed-over"] {
        world.delete(name).await;
        world.until_deleted_after_outage(name).await;
    }
    assert!(world.inactive(&kept));
    assert!(!world.inactive(&handed_over), "the tag decides, not the restored status");
    assert_eq!(world.deletes_of(&handed_over), 0);
}

/// Runs `change` while neither etcd nor the API server runs.
async fn restart_with(cluster: &std::sync::Arc<devcluster::DevCluster>, change: impl FnOnce() + Send + 'static) {
    let cluster = cluster.clone();
    let restart = move || {
        for component in [Component::ControllerManager, Component::ApiServer, Component::Etcd] {
            cluster.stop_component(component).unwrap();
        }
        change();
        for component in Component::ALL {
            cluster.start_component(component).unwrap();
        }
    };
    tokio::task::spawn_blocking(restart).await.unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    run(std::process::Command::new("cp").arg("-a").arg(from).arg(to));
}
