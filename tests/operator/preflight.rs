//! `preflight uninstall` against the real API server.

use std::path::{Path, PathBuf};

use futures::future::join_all;

use crate::access::{RunOutput, run};
use crate::support::cluster::{install_crd, operator_user_confined_to, operator_user_on, private};
use crate::support::proxy::{Calls, Fault, FaultKind};
use crate::support::{World, with_finalizer};

/// Runs the check as a subprocess.
async fn check(kubeconfig: &Path, arguments: &[&str]) -> RunOutput {
    let arguments = [&["preflight", "uninstall"], arguments].concat();
    run(&arguments, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]).await
}

/// Kubeconfig of a user who may list the objects of all namespaces.
fn lister(world: &World) -> PathBuf {
    operator_user_on(&world.cluster).1
}

fn namespace_flag(world: &World) -> String {
    format!("--namespace={}", world.namespace)
}

#[tokio::test]
async fn uninstall_is_refused_until_the_last_object_with_the_finalizer_is_deleted() {
    let world = World::new().await;
    let operator = world.operator();
    world.claimed("egress").await;
    let kubeconfig = lister(&world);
    let row = format!("    {}   egress   Available\n", world.namespace);
    let advice = ["1 object would be stuck", "kubectl delete vpcc", "Retain", "helm rollback"];
    check(&kubeconfig, &[&namespace_flag(&world)])
        .await
        .assert_output(1, &[&[row.as_str()], advice.as_slice()].concat());
    // Other objects of the cluster may be listed too.
    check(&kubeconfig, &[]).await.assert_output(1, &["would be stuck without the operator"]);

    world.annotate("egress", "apprunner-operator.dev/protected", Some("true")).await;
    world.delete("egress").await;
    world.reason("egress", "Protected").await;
    check(&kubeconfig, &[&namespace_flag(&world)]).await.assert_output(1, &["Protected, being deleted\n"]);

    world.policy("egress", "Retain").await;
    world.until_deleted("egress").await;
    check(&kubeconfig, &[&namespace_flag(&world)]).await.assert_output(0, &["it can be uninstalled"]);
    drop(operator);
}

#[tokio::test]
async fn only_objects_with_our_finalizer_in_the_given_namespaces_count() {
    let world = World::new().await;
    let arn = world.connector("conn-egress");
    let foreign = Some(vec!["example.org/finalizer".into()]);
    world.create_with("foreign", &arn, |object| object.metadata.finalizers = foreign).await;
    let kubeconfig = lister(&world);
    check(&kubeconfig, &[&namespace_flag(&world)]).await.assert_output(0, &["it can be uninstalled"]);
    world.create_with("egress", &arn, with_finalizer).await;
    check(&kubeconfig, &[&namespace_flag(&world)]).await.assert_output(1, &["egress", "1 object would be stuck"]);
    check(&kubeconfig, &["--namespace=default"]).await.assert_output(0, &["it can be uninstalled"]);
    check(&kubeconfig, &["--namespace=default", &namespace_flag(&world)]).await.assert_output(1, &["egress"]);
    world.merge("foreign", serde_json::json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test]
async fn all_objects_of_a_long_list_are_counted() {
    let world = World::new().await;
    let arn = world.connector("conn-egress");
    let names: Vec<_> = (0..501).map(|n| format!("egress-{n}")).collect();
    join_all(names.iter().map(|name| world.create_with(name, &arn, with_finalizer))).await;
    let words = ["501 objects would be stuck", "    and 451 more\n"];
    check(&lister(&world), &[&namespace_flag(&world)]).await.assert_output(1, &words);
}

#[tokio::test]
async fn failed_check_does_not_allow_the_uninstall() {
    let world = World::new().await;
    let confined = operator_user_confined_to(&world.namespace).1;
    check(&confined, &[&namespace_flag(&world)]).await.assert_output(0, &["it can be uninstalled"]);
    check(&confined, &[]).await.assert_output(1, &["so nothing is uninstalled", "403", "helm uninstall --no-hooks"]);

    let proxy = world.proxy().await;
    let kubeconfig = proxy.operator_user().1;
    // The API server knows the kind, so a 404 for its list means that the request did not reach the right place.
    proxy.fault(Fault::new(FaultKind::status(404)).on(Calls::verb("list")));
    check(&kubeconfig, &[&namespace_flag(&world)]).await.assert_output(1, &["knows the group apprunner-operator.dev"]);
    proxy.refuse().await;
    check(&kubeconfig, &[&namespace_flag(&world)])
        .await
        .assert_output(1, &["no answer from the API server", "so nothing is uninstalled"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_crd_allows_the_uninstall() {
    let cluster = tokio::task::spawn_blocking(private).await.unwrap();
    let world = World::on_cluster(cluster.clone()).await;
    check(&lister(&world), &[]).await.assert_output(0, &["it can be uninstalled"]);
    install_crd(&cluster);
    world.create_with("egress", &world.connector("conn-egress"), with_finalizer).await;
    check(&lister(&world), &[]).await.assert_output(1, &["egress"]);
}
