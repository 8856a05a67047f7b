//! `devcluster up` as a script runs it, and the cleanup after each way of ending it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::{Scratch, assert_gone, eventually, gone, processes_of, stderr, stdout_of};

const DEVCLUSTER: &str = env!("CARGO_BIN_EXE_devcluster");

/// Starts a command that ends up running `devcluster up`, and returns the directory of the cluster it announces.
fn up(command: &mut Command, scratch: &Scratch) -> (Child, PathBuf) {
    let mut child = command.env("TMPDIR", &scratch.0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = Path::new(line.trim_end());
    assert!(kubeconfig.is_file(), "no kubeconfig at {line:?}");
    (child, kubeconfig.parent().unwrap().to_owned())
}

fn signal(child: &Child, name: &str) {
    stdout_of(Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name, &child.id().to_string()]));
}

#[test]
fn interrupt_stops_everything() {
    let scratch = Scratch::new("interrupt");
    let (mut child, directory) = up(Command::new(DEVCLUSTER).arg("up"), &scratch);
    assert!(!processes_of(&directory).is_empty());

    signal(&child, "INT");

    assert!(child.wait().unwrap().success());
    assert_gone(&directory);
}

#[test]
fn keep_keeps_the_directory_and_no_process() {
    let scratch = Scratch::new("keep");
    let (mut child, directory) = up(Command::new(DEVCLUSTER).args(["up", "--keep"]), &scratch);

    signal(&child, "TERM");

    assert!(child.wait().unwrap().success());
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(directory.join("kube-apiserver.log").is_file());
}

#[test]
fn kill_leaves_nothing_behind() {
    let scratch = Scratch::new("kill");
    let (mut child, directory) = up(Command::new(DEVCLUSTER).arg("up"), &scratch);

    child.kill().unwrap();
    child.wait().unwrap();

    eventually("nothing is left", || gone(&directory));
}

#[test]
fn kill_during_start_leaves_nothing_behind() {
    let scratch = Scratch::new("starting");
    let mut child = Command::new(DEVCLUSTER).arg("up").env("TMPDIR", &scratch.0).stdout(Stdio::null()).spawn().unwrap();
    let api_server_log = || scratch.entries().first().is_some_and(|entry| entry.join("kube-apiserver.log").exists());
    eventually("the API server starts", api_server_log);
    let directory = scratch.entries().remove(0);

    child.kill().unwrap();
    child.wait().unwrap();

    eventually("nothing is left", || gone(&directory));
}

#[test]
fn end_of_the_parent_process_leaves_nothing_behind() {
    let scratch = Scratch::new("parent");
    let script = r#""$0" up & wait"#;
    let (mut parent, directory) = up(Command::new("sh").args(["-c", script, DEVCLUSTER]), &scratch);

    parent.kill().unwrap();
    parent.wait().unwrap();

    eventually("nothing is left", || gone(&directory));
}

#[test]
fn missing_programs_are_named_with_a_remedy() {
    let scratch = Scratch::new("assets");

    let output = Command::new(DEVCLUSTER).arg("up").env("KUBEBUILDER_ASSETS", &scratch.0).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let message = stderr(&output);
    let missing = format!("{} has no etcd, kube-apiserver, kube-controller-manager, kubectl: ", scratch.0.display());
    assert!(message.contains(&missing), "{message}");
    assert!(message.contains("KUBEBUILDER_ASSETS") && message.contains("make tools"), "{message}");
}
