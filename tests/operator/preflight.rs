//! `preflight uninstall` against the real API server, and `preflight ready` against a running operator.

use std::path::{Path, PathBuf};

use futures::future::join_all;

use crate::access::{RunOutput, run};
use crate::support::cluster::{install_crd, operator_user_confined_to, operator_user_on, private};
use crate::support::operator::Operator;
use crate::support::proxy::{Calls, Fault, FaultKind};
use crate::support::{World, eventually, with_finalizer};

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
    format!("--watch-namespace={}", world.namespace)
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
    check(&kubeconfig, &["--watch-namespace=default"]).await.assert_output(0, &["it can be uninstalled"]);
    check(&kubeconfig, &["--watch-namespace=default", &namespace_flag(&world)]).await.assert_output(1, &["egress"]);
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

/// Runs `preflight ready` with the credentials of this key.
async fn ready(world: &World, address: &str, key: (&str, &str), more: &[&str]) -> RunOutput {
    let address = format!("--address={address}");
    let environment = [
        ("AWS_ENDPOINT_URL", world.settings.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", key.0),
        ("AWS_SECRET_ACCESS_KEY", key.1),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("APPRUNNER_OPERATOR_PACE_DIVISOR", "20"),
    ];
    run(&[&["preflight", "ready", &address], more].concat(), &environment).await
}

/// An operator that serves its metrics, and their address.
async fn with_metrics(world: &World, arguments: &[&str]) -> (Operator, String) {
    let operator = world.operator_with(&[&["--metrics-address=127.0.0.1:0"], arguments].concat());
    let listening = eventually(async || operator.logged("listening").first().cloned()).await.unwrap();
    (operator, listening["address"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn ready_operator_passes_with_and_without_objects_and_its_accounts_are_shown() {
    let world = World::new().await;
    let key = world.settings.access_key.clone();
    let key = (key.0.as_str(), key.1.as_str());
    let (_operator, address) = with_metrics(&world, &[]).await;
    let own = "    111122223333   own credentials\n";
    ready(&world, &address, key, &[]).await.assert_output(0, &["is ready and leads. VpcConnector objects: 0.\n", own]);
    world.claimed("egress").await;
    ready(&world, &address, key, &[]).await.assert_output(0, &["VpcConnector objects: 1.\n", own]);

    let role = "arn:aws:iam::444455556666:role/apprunner-operator";
    let file = std::env::temp_dir().join(format!("{}-ready.yaml", world.namespace));
    std::fs::write(&file, format!("- {{role: \"{role}\", namespaces: [\"*\"]}}\n")).unwrap();
    let accounts = format!("--accounts={}", file.display());
    let row = format!("    444455556666   {role}: cannot be used: IAM does not allow sts:AssumeRole");
    ready(&world, &address, key, &[&accounts])
        .await
        .assert_output(1, &[own, &row, "1 of the AWS accounts cannot be used"]);
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn operator_without_credentials_does_not_pass() {
    let mut world = World::new().await;
    let good = world.settings.access_key.clone();
    world.settings.access_key.1 = "another-secret".into();
    let bad = world.settings.access_key.clone();
    let (_operator, address) = with_metrics(&world, &[]).await;
    world.create("egress", &world.connector("conn-egress")).await;
    world.reason("egress", "CredentialsRejected").await;
    let words = ["own credentials: cannot be used: ", "aws.roleArn"];
    ready(&world, &address, (&bad.0, &bad.1), &[]).await.assert_output(1, &words);
    let words = ["    111122223333   own credentials\n", "kubectl rollout restart deployment"];
    ready(&world, &address, (&good.0, &good.1), &[]).await.assert_output(1, &words);
}

#[tokio::test]
async fn address_without_a_leading_operator_does_not_pass() {
    let world = World::new().await;
    let key = world.settings.access_key.clone();
    let key = (key.0.as_str(), key.1.as_str());
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    ready(&world, &unused, key, &[]).await.assert_output(1, &["no operator works at 127.0.0.1:", "Connection refused"]);
    ready(&world, &world.settings.endpoint.replace("http://", ""), key, &[])
        .await
        .assert_output(1, &["not with the metrics of apprunner-operator"]);
    ready(&world, "operator", key, &[]).await.assert_output(2, &["a name and a port"]);
}
