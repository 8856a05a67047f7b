//! What pods of a cluster with a node meet.

use std::{fs, path::Path, sync::LazyLock, time::Duration};

use devcluster::{Component, Error, NodeCluster, Options};

use crate::{
    support::{eventually, stderr, stdout_of},
    visitor,
    world::{runs, state},
};

/// Never dropped; it goes with the test process.
static SHARED: LazyLock<NodeCluster> =
    LazyLock::new(|| NodeCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}")));

fn logs(namespace: &str) -> String {
    stdout_of(SHARED.kubectl().args(["logs", "visitor", "--namespace", namespace]))
}

#[test]
fn a_pod_under_the_strictest_rules_finds_a_server_by_its_name_and_the_api_server() {
    let port = visitor::server(&SHARED, "welcome");

    visitor::run(&SHARED, "by-name", port);

    let said = format!("apprunner.test:{port} says: welcome\nthe API server listens at 10.96.0.1\n");
    assert_eq!(logs("by-name"), said);
}

#[test]
fn a_pod_that_asks_for_more_than_the_rules_allow_is_refused() {
    stdout_of(SHARED.kubectl().args(["create", "namespace", "strict"]));
    let enforced = "pod-security.kubernetes.io/enforce=restricted";
    stdout_of(SHARED.kubectl().args(["label", "namespace", "strict", enforced]));

    let run = ["run", "lax", "--image=localhost/visitor:1", "--namespace=strict"];
    let output = SHARED.kubectl().args(run).output().unwrap();

    assert!(stderr(&output).contains("violates PodSecurity"), "{}", stderr(&output));
}

#[test]
fn a_deleted_pod_leaves_the_node_and_its_namespace_ends() {
    let port = visitor::server(&SHARED, "farewell");
    visitor::run(&SHARED, "deleted", port);
    assert!(runs(&format!("/program apprunner.test:{port}")));

    stdout_of(SHARED.kubectl().args(["delete", "namespace", "deleted", "--wait", "--timeout=90s"]));

    assert!(!runs(&format!("/program apprunner.test:{port}")));
}

#[test]
fn a_pods_process_is_frozen_woken_and_killed() {
    let port = visitor::server(&SHARED, "signals");
    visitor::run(&SHARED, "signalled", port);
    let visitor = format!("/program apprunner.test:{port}");
    let send = |signal| SHARED.signal("signalled", "visitor", signal).unwrap();

    send("SIGSTOP");
    eventually("it is frozen", || state(&visitor).is_some_and(|state| state == "T"));
    send("SIGCONT");
    eventually("it goes on", || state(&visitor).is_some_and(|state| state != "T"));
    send("SIGKILL");

    let killed = "--for=jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}=137";
    stdout_of(SHARED.kubectl().args(["wait", "pod/visitor", killed, "--namespace=signalled", "--timeout=60s"]));
}

#[test]
fn a_signal_to_a_pod_that_is_not_there_says_so() {
    let Err(Error::Failed { command, reason }) = SHARED.signal("default", "nobody", "SIGKILL") else {
        panic!("it was sent")
    };

    assert!(command.contains("default/nobody") && reason.contains("not found"), "{command}: {reason}");
}

#[test]
fn the_node_is_the_same_to_pods_whatever_others_come_and_go() {
    let cluster = NodeCluster::start(Options::default()).unwrap();
    let node = || {
        let mut link = cluster.run("link", Path::new("/bin/sh"), &["-c", "ip -o link show node0"].map(str::to_owned));
        assert!(link.as_mut().unwrap().ended(Duration::from_secs(10)));
        let said = fs::read_to_string(link.unwrap().log()).unwrap();
        said.rsplit_once("link/ether ").unwrap().1.trim().to_owned()
    };
    let before = node();

    visitor::run(&cluster, "first", visitor::server(&cluster, "welcome"));

    assert_eq!(node(), before);
}

#[test]
fn pods_stay_when_what_runs_them_is_killed_and_started_again() {
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
fn a_program_runs_in_the_clusters_network_until_it_is_dropped() {
    let sh = |script: &str| SHARED.run("script", Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()]).unwrap();

    let mut addresses = sh("ip -o address");
    assert!(addresses.ended(Duration::from_secs(10)));
    assert!(fs::read_to_string(addresses.log()).unwrap().contains("10.77.0.1/24"));

    let mark = format!("{}/dropped", SHARED.directory().display());
    let endless = sh(&format!("exec sleep 1000 </dev/null # {mark}"));
    drop(endless);
    eventually("the program is gone", || !runs(&mark));
}
