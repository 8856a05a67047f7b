//! A cluster with a node leaves nothing behind however it ends, and does not change the machine while it runs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use devcluster::{Error, NodeCluster, Options};

use crate::{
    support::{Scratch, assert_gone, eventually, gone, stderr},
    visitor,
    world::{Machine, Traces, cgroups},
};

const DEVCLUSTER: &str = env!("CARGO_BIN_EXE_devcluster");

/// A cluster with a pod on it.
fn start() -> (NodeCluster, Traces) {
    let cluster = NodeCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let port = visitor::server(&cluster, "welcome");
    visitor::run(&cluster, "visits", port);
    let traces = Traces::of(cluster.directory());
    (cluster, traces)
}

#[test]
fn dropping_leaves_nothing_and_the_machine_is_unchanged_throughout() {
    let before = Machine::look();
    let (cluster, traces) = start();
    assert_eq!(Machine::look(), before);
    let directory = cluster.directory().to_owned();

    drop(cluster);

    assert_gone(&directory);
    traces.assert_gone();
    assert_eq!(Machine::look(), before);
}

#[test]
fn panic_leaves_nothing_behind() {
    let (cluster, traces) = start();
    let directory = cluster.directory().to_owned();

    let panicked = thread::spawn(move || {
        let _owned = cluster;
        panic!("as a failing test does");
    });

    panicked.join().unwrap_err();
    assert_gone(&directory);
    traces.assert_gone();
}

#[test]
fn kill_leaves_nothing_behind() {
    let scratch = Scratch::new("node-kill");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "ends::cluster_waits_to_be_killed", "--ignored", "--nocapture"]);
    let mut child = child.env("TMPDIR", &scratch.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let directory = lines.into_iter().find(|line| line.starts_with('/')).unwrap();
    let directory = Path::new(&directory);
    let traces = Traces::of(directory);

    child.kill().unwrap();
    child.wait().unwrap();

    eventually("nothing is left", || gone(directory) && traces.are_gone());
}

/// The test above runs this one as a process of its own.
#[test]
#[ignore = "waits for its end; another test runs it"]
fn cluster_waits_to_be_killed() {
    let (cluster, _) = start();
    println!("\n{}", cluster.directory().display());
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn kill_during_start_leaves_nothing_behind() {
    let scratch = Scratch::new("node-starting");
    let mut command = Command::new(DEVCLUSTER);
    let mut child = command
        .args(["up", "--node"])
        .env("TMPDIR", &scratch.0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let kubelet_log = || scratch.entries().first().is_some_and(|entry| entry.join("kubelet.log").exists());
    eventually("the kubelet starts", kubelet_log);
    let directory = scratch.entries().remove(0);
    let group = directory.file_name().unwrap().to_str().unwrap();
    assert!(!cgroups(group).is_empty());

    child.kill().unwrap();
    child.wait().unwrap();

    eventually("nothing is left", || gone(&directory) && cgroups(group).is_empty());
}

#[test]
fn missing_requirement_of_the_machine_is_named_with_a_remedy() {
    let output = Command::new(DEVCLUSTER).args(["up", "--node"]).env("PATH", "/nowhere").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    let missing = "unshare, nsenter, ip, runc, dnsmasq on the PATH: hack/e2e/packages install";
    assert!(message.contains(missing), "{message}");
}

#[test]
fn program_that_is_not_built_is_named_with_a_remedy() {
    let scratch = Scratch::new("node-assets");
    let tools = devcluster::Tools::find().unwrap();
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
        std::os::unix::fs::symlink(tools.directory().join(name), scratch.0.join(name)).unwrap();
    }

    let output =
        Command::new(DEVCLUSTER).args(["up", "--node"]).env("KUBEBUILDER_ASSETS", &scratch.0).output().unwrap();

    let message = stderr(&output);
    assert!(message.contains("kubelet") && message.contains("hack/tools.sh build node"), "{message}");
}

#[test]
fn loading_a_file_that_is_no_archive_fails_and_names_the_file() {
    let cluster = NodeCluster::start(Options::default()).unwrap();
    let path = cluster.directory().join("resolv.conf");

    let Err(Error::Failed { command, reason }) = cluster.load_image(&path) else { panic!("it was imported") };

    assert!(command.contains("resolv.conf"), "{command}");
    assert!(!reason.is_empty());
}
