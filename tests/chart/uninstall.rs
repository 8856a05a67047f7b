//! Uninstalling in the wrong order is refused; the printed command repairs the release; uninstalling in the right order
//! works.
//!
//! There is no node, so the test acts as the kubelet: it sets the result of the hook's pod.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use devcluster::DevCluster;
use serde_json::{Value, json};

use crate::served::{cluster, kubectl, until_served};
use crate::support::{NAMESPACE, RELEASE, chart, error_output, file, helm, output_of, parsed, text};

const OBJECT: &str = "vpcconnector/shop-egress";

/// A Helm command for this cluster.
fn on(cluster: &DevCluster, arguments: &[&str]) -> Command {
    let mut command = helm();
    command.args(arguments).args(["--namespace", NAMESPACE]).env("KUBECONFIG", cluster.kubeconfig());
    command
}

/// Runs the hook's program as a node would: the real binary, with the hook's own rights and arguments.
fn preflight(cluster: &DevCluster) -> (bool, String) {
    let account = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}-preflight");
    let kubeconfig = cluster.user_kubeconfig(&account, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"));
    let job = format!("job/{RELEASE}-preflight");
    let job = read(&kubectl(cluster, &["get", &job, "--namespace", NAMESPACE, "--output=json"]));
    let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    command.args(arguments.iter().map(|argument| argument.as_str().unwrap()));
    command.env_clear().env("KUBECONFIG", kubeconfig);
    let ended = command.output().unwrap();
    (ended.status.success(), text(&ended.stdout) + &text(&ended.stderr))
}

/// Result of an uninstall: Helm's output, its success, and the check's output.
struct Uninstalled {
    worked: bool,
    helm: String,
    check: String,
}

/// Uninstalls, and acts as the kubelet meanwhile: the hook's pod gets the result of the check.
fn uninstall(cluster: &DevCluster) -> Uninstalled {
    let mut command = on(cluster, &["uninstall", RELEASE, "--timeout=45s"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(50);
    let mut check = String::new();
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "Helm does not come to an end");
        if let Some(check_output) = end_the_pod(cluster) {
            check = check_output;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = child.wait_with_output().unwrap();
    Uninstalled { worked: output.status.success(), helm: text(&output.stdout) + &text(&output.stderr), check }
}

/// Ends the hook's pod, if there is an unfinished one, and returns the check's output.
fn end_the_pod(cluster: &DevCluster) -> Option<String> {
    let pods = ["get", "pods", "--namespace", NAMESPACE, "--selector=batch.kubernetes.io/job-name", "--output=name"];
    let waiting = kubectl(cluster, &[pods.as_slice(), &["--field-selector=status.phase=Pending"]].concat());
    let pod = waiting.lines().next()?;
    let (may_go, check_output) = preflight(cluster);
    let phase = if may_go { "Succeeded" } else { "Failed" };
    let patch = format!(r#"{{"status":{{"phase":"{phase}"}}}}"#);
    kubectl(cluster, &["patch", pod, "--namespace", NAMESPACE, "--subresource=status", "--patch", &patch]);
    Some(check_output)
}

/// The state of the release, in Helm's word.
fn state(cluster: &DevCluster) -> String {
    let status = output_of(&on(cluster, &["status", RELEASE, "--output=json"]).output().unwrap());
    read(&status)["info"]["status"].as_str().unwrap().to_owned()
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn upgrade(cluster: &DevCluster, set: &str) -> Output {
    on(cluster, &["upgrade", RELEASE, "--reset-values", "--set", set]).arg(chart()).output().unwrap()
}

/// The release's values, and its Deployment in the cluster.
fn restored(cluster: &DevCluster) -> (Value, Value) {
    assert_eq!(state(cluster), "deployed");
    let values = output_of(&on(cluster, &["get", "values", RELEASE, "--output=json"]).output().unwrap());
    let deployment = kubectl(cluster, &["get", "deployment", RELEASE, "--namespace", NAMESPACE, "--output=json"]);
    (read(&values), read(&deployment)["spec"].clone())
}

/// Tries to uninstall, expects a refusal, and runs the command that the refusal prints, word for word.
fn refuse_and_restore(cluster: &DevCluster) {
    let refused = uninstall(cluster);
    assert!(!refused.worked && state(cluster) == "uninstalling", "{}", refused.helm);
    let line = refused.check.lines().find_map(|line| line.trim().strip_prefix("helm rollback ")).unwrap().to_owned();
    let mut command = helm();
    command.arg("rollback").args(line.split_whitespace()).env("KUBECONFIG", cluster.kubeconfig());
    output_of(&command.output().unwrap());
}

/// Creates an object with our finalizer, as if an operator had claimed its connector.
fn create_object(cluster: &DevCluster) {
    let object = parsed(&file("examples/vpcconnector.yaml"))[0].clone();
    let path = cluster.directory().join("object.json");
    std::fs::write(&path, object.to_string()).unwrap();
    kubectl(cluster, &["create", "--filename", path.to_str().unwrap()]);
    finalizers(cluster, r#"["apprunner-operator.dev/finalizer"]"#);
}

fn finalizers(cluster: &DevCluster, list: &str) {
    let patch = format!(r#"{{"metadata":{{"finalizers":{list}}}}}"#);
    kubectl(cluster, &["patch", OBJECT, "--namespace=shop", "--type=merge", "--patch", &patch]);
}

#[test]
fn uninstall_is_refused_while_objects_remain_and_can_be_undone() {
    let cluster = cluster();
    let install =
        || output_of(&on(&cluster, &["install", RELEASE, "--set=logLevel=warn"]).arg(chart()).output().unwrap());
    install();
    until_served(&cluster);
    create_object(&cluster);

    let refused = uninstall(&cluster);
    assert!(!refused.worked, "{}", refused.helm);
    for words in ["shop        shop-egress   -", "1 object would be stuck", "Retain", "helm rollback"] {
        assert!(refused.check.contains(words), "{words} is missing in {}", refused.check);
    }
    kubectl(&cluster, &["get", "deployment", RELEASE, "--namespace", NAMESPACE]);

    // After a first install, and after an upgrade that changed the values.
    refuse_and_restore(&cluster);
    let (values, deployment) = restored(&cluster);
    assert_eq!(values, json!({"logLevel": "warn"}));
    output_of(&upgrade(&cluster, "clusterId=shop-1,logLevel=debug"));
    let before = restored(&cluster);
    assert!(before.1 != deployment);
    refuse_and_restore(&cluster);
    assert_eq!(restored(&cluster), before);
    // A rollback creates a new revision that equals the one it went back to.
    refuse_and_restore(&cluster);
    assert_eq!(restored(&cluster), before);

    finalizers(&cluster, "[]");
    let gone = uninstall(&cluster);
    assert!(gone.worked && gone.check.contains("it can be uninstalled"), "{}{}", gone.helm, gone.check);
    let left = kubectl(
        &cluster,
        &["get", "deployments,jobs,serviceaccounts,roles", "--namespace", NAMESPACE, "--output=name"],
    );
    assert!(!left.contains(RELEASE), "{left}");
    // Deleting the CRD would delete every object. The next installation finds both.
    kubectl(&cluster, &["get", OBJECT, "--namespace=shop"]);
    install();
}

#[test]
fn release_of_the_same_name_works_in_another_namespace() {
    let cluster = cluster();
    output_of(&on(&cluster, &["install", RELEASE]).arg(chart()).output().unwrap());
    let mut second = helm();
    second.args(["install", RELEASE]).arg(chart()).args(["--namespace=jobs", "--set=watchNamespaces={jobs}"]);
    second.env("KUBECONFIG", cluster.kubeconfig());
    // The CRD belongs to the first release, and Helm reports that.
    let refused = error_output(&second.output().unwrap());
    assert!(
        refused.contains("vpcconnectors.apprunner-operator.dev") && refused.contains("release-namespace"),
        "{refused}"
    );
    output_of(&second.arg("--set=crds.enabled=false").output().unwrap());
    for namespace in [NAMESPACE, "jobs"] {
        let user = format!("system:serviceaccount:{namespace}:{RELEASE}");
        let may = ["auth", "can-i", "patch", "vpcconnectors.apprunner-operator.dev", "--namespace=jobs", "--as"];
        assert_eq!(kubectl(&cluster, &[may.as_slice(), &[&user]].concat()).trim(), "yes", "{namespace}");
    }
    let mut uninstall = helm();
    uninstall.args(["uninstall", RELEASE, "--namespace=jobs", "--no-hooks"]).env("KUBECONFIG", cluster.kubeconfig());
    output_of(&uninstall.output().unwrap());
    let user = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
    kubectl(&cluster, &["auth", "can-i", "patch", "vpcconnectors.apprunner-operator.dev", "--as", &user]);
}
