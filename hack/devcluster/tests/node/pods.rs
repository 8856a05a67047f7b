//! Pods on a cluster with a node: network, signals, restarts.

use std::{fs, path::Path, sync::LazyLock, time::Duration};

use devcluster::{Component, Error, NodeCluster, Options};

use crate::{
    support::{eventually, stderr, stdout_of},
    visitor,
    world::{runs, state},
};

/// Never dropped; it ends with the test process.
static SHARED: LazyLock<NodeCluster> =
    LazyLock::new(|| NodeCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}")));

fn logs(namespace: &str) -> String {
    stdout_of(SHARED.kubectl().args(["logs", "visitor", "--namespace", namespace]))
}

#[test]
fn restricted_pod_reaches_a_server_by_dns_name_and_the_api_server() {
    let port = visitor::server(&SHARED, "welcome");

    visitor::run(&SHARED, "by-name", port);

    let expected = format!("apprunner.test:{port} says: welcome\nthe API server listens at 10.96.0.1\n");
    assert_eq!(logs("by-name"), expected);
}

#[test]
fn pod_that_violates_pod_security_is_refused() {
    stdout_of(SHARED.kubectl().args(["create", "namespace", "strict"]));
    let enforced = "pod-security.kubernetes.io/enforce=restricted";
    stdout_of(SHARED.kubectl().args(["label", "namespace", "strict", enforced]));

    let run = ["run", "lax", "--image=localhost/visitor:1", "--namespace=strict"];
    let output = SHARED.kubectl().args(run).output().unwrap();

    assert!(stderr(&output).contains("violates PodSecurity"), "{}", stderr(&output));
}

#[test]
fn deleting_the_namespace_ends_its_pod_processes() {
    let port = visitor::server(&SHARED, "farewell");
    visitor::run(&SHARED, "deleted", port);
    assert!(runs(&format!("/program apprunner.test:{port}")));

    stdout_of(SHARED.kubectl().args(["delete", "namespace", "deleted", "--wait", "--timeout=90s"]));

    assert!(!runs(&format!("/program apprunner.test:{port}")));
}

#[test]
fn signals_freeze_continue_and_kill_a_pod_process() {
    let port = visitor::server(&SHARED, "signals");
    visitor::run(&SHARED, "signalled", port);
    let visitor = format!("/program apprunner.test:{port}");
    let send = |signal| SHARED.signal("signalled", "visitor", signal).unwrap();

    send("SIGSTOP");
    eventually("it is frozen", || state(&visitor).is_some_and(|state| state == "T"));
    send("SIGCONT");
    eventually("it continues", || state(&visitor).is_some_and(|state| state != "T"));
    send("SIGKILL");

    let killed = "--for=jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}=137";
    stdout_of(SHARED.kubectl().args(["wait", "pod/visitor", killed, "--namespace=signalled", "--timeout=60s"]));
}

#[test]
fn signal_to_a_missing_pod_is_an_error() {
    let Err(Error::Failed { command, reason }) = SHARED.signal("default", "nobody", "SIGKILL") else {
        panic!("it was sent")
    };

    assert!(command.contains("default/nobody") && reason.contains("not found"), "{command}: {reason}");
}

#[test]
fn bridge_address_stays_the_same_when_pods_start() {
    let cluster = NodeCluster::start(Options::default()).unwrap();
    let node = || {
        let mut link = cluster.run("link", Path::new("/bin/sh"), &["-c", "ip -o link show node0"].map(str::to_owned));
        assert!(link.as_mut().unwrap().ended(Duration::from_secs(10)));
        let output = fs::read_to_string(link.unwrap().log()).unwrap();
        output.rsplit_once("link/ether ").unwrap().1.trim().to_owned()
    };
    let before = node();

    visitor::run(&cluster, "first", visitor::server(&cluster, "welcome"));

    assert_eq!(node(), before);
}

#[test]
fn pods_survive_restarts_of_the_node_components() {
    let cluster = NodeCluster::start(Options::default()).unwrap();
    let port = visitor::server(&cluster, "still here");
    visitor::run(&cluster, "kept", port);

    for component in [Component::Containerd, Component::Kubelet, Component::Scheduler, Component::Dns] {
        cluster.stop_component(component).unwrap();
        cluster.start_component(component).unwrap();
    }

    let restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    assert_eq!(stdout_of(cluster.kubectl().args(["get", "pods", "--namespace=kept", "-o", restarts])), "0");
    visitor::run(&cluster, "new", port);
    cluster.stop().unwrap();
}

#[test]
fn program_runs_in_the_cluster_network_until_dropped() {
    let sh = |script: &str| SHARED.run("script", Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()]).unwrap();

    let mut addresses = sh("ip -o address");
    assert!(addresses.ended(Duration::from_secs(10)));
    assert!(fs::read_to_string(addresses.log()).unwrap().contains("10.77.0.1/24"));

    let mark = format!("{}/dropped", SHARED.directory().display());
    let endless = sh(&format!("exec sleep 1000 </dev/null # {mark}"));
    drop(endless);
    eventually("the program has ended", || !runs(&mark));
}
