//! `helm test`: the pod, and its result for Helm. `tests/operator/preflight.rs` has the tests of the program that it runs.
//!
//! There is no node, so the test acts as the kubelet: it sets the result of the pod.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rendered::{started_with, with_accounts};
use crate::served::{cluster, kubectl};
use crate::support::{NAMESPACE, RELEASE, chart, find, helm, objects, output_of, text, values_files};

#[test]
fn pod_calls_the_service_of_the_metrics_with_a_command_of_the_binary() {
    let objects = objects(&["--set", "metrics.port=9000,regions={us-east-1}"]);
    let pod = find(&objects, "Pod", &format!("{RELEASE}-test"));
    let address = "--address=apprunner-operator-metrics.apprunner-system.svc:9000";
    assert_eq!(pod["spec"]["containers"][0]["args"], json!(["preflight", "ready", address, "--regions=us-east-1"]));
    let service = find(&objects, "Service", &format!("{RELEASE}-metrics"));
    assert_eq!(
        (&service["metadata"]["namespace"], &service["spec"]["ports"][0]["port"]),
        (&json!(NAMESPACE), &json!(9000))
    );
    // No selector of the operator's pods matches this pod.
    assert!(
        pod["metadata"]["labels"]["app.kubernetes.io/name"] != service["spec"]["selector"]["app.kubernetes.io/name"]
    );
}

#[test]
fn without_a_service_of_the_metrics_there_is_no_test() {
    for set in ["metrics.enabled=false", "metrics.service.create=false"] {
        assert!(objects(&["--set", set]).iter().all(|object| object["kind"] != "Pod"), "{set}");
    }
}

#[test]
fn every_rendered_flag_of_the_test_is_a_flag_of_the_binary() {
    let mut pods = 0;
    for values in values_files() {
        let objects = objects(&["--values", values.to_str().unwrap()]);
        let Some(pod) = objects.iter().find(|object| object["kind"] == "Pod") else { continue };
        let set = serde_json::from_value(pod["spec"]["containers"][0]["args"].clone()).unwrap();
        let mut set = with_accounts(&objects, set);
        set.push("--pace-divisor=1000".into());
        let (code, stderr) = started_with(&set);
        assert!(code == Some(1) && stderr.contains("no operator works at apprunner-operator"), "{set:?}: {stderr}");
        pods += 1;
    }
    assert!(pods > 3, "{pods}");
}

#[test]
fn network_policy_lets_the_test_in_when_only_some_clients_may_read_the_metrics() {
    let set = "networkPolicy.enabled=true,networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus";
    let objects = objects(&["--set", set]);
    let policy = &find(&objects, "NetworkPolicy", RELEASE)["spec"];
    let test = json!({"app.kubernetes.io/name": "apprunner-operator-test", "app.kubernetes.io/instance": RELEASE});
    let from = json!([
        {"podSelector": {"matchLabels": {"app": "prometheus"}}},
        {"podSelector": {"matchLabels": test}},
    ]);
    assert_eq!(policy["ingress"][0], json!({"ports": [{"port": "metrics", "protocol": "TCP"}], "from": from}));
    assert!(
        policy["podSelector"]["matchExpressions"][0]["values"]
            .as_array()
            .unwrap()
            .contains(&test["app.kubernetes.io/name"])
    );
}

#[test]
fn result_of_the_pod_is_the_result_of_helm_test() {
    let cluster = cluster();
    let on = |arguments: &[&str]| {
        let mut command = helm();
        command.args(arguments).args(["--namespace", NAMESPACE]).env("KUBECONFIG", cluster.kubeconfig());
        command
    };
    output_of(&on(&["install", RELEASE]).arg(chart()).output().unwrap());
    let pod = format!("{RELEASE}-test");
    for (phase, passes) in [("Succeeded", true), ("Failed", false)] {
        let mut command = on(&["test", RELEASE, "--timeout=45s"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(50);
        let pods = ["get", "pods", "--namespace", NAMESPACE, "--field-selector=status.phase=Pending", "--output=name"];
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "Helm does not come to an end");
            if kubectl(&cluster, &pods).contains(&pod) {
                let patch = format!(r#"{{"status":{{"phase":"{phase}"}}}}"#);
                let end = ["patch", "pod", &pod, "--namespace", NAMESPACE, "--subresource=status", "--patch", &patch];
                kubectl(&cluster, &end);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.success(), passes, "{}{}", text(&output.stdout), text(&output.stderr));
    }
    // A pod that failed stays for its log, and one that passed does not.
    assert!(kubectl(&cluster, &["get", "pods", "--namespace", NAMESPACE, "--output=name"]).contains(&pod));
}
