//! What a test that uses the library gets.

use std::{env, fs, os::unix::fs::PermissionsExt, process::Command, sync::LazyLock, thread};

use devcluster::{Component, DevCluster, Error, Options, Tools};

use crate::support::{Scratch, assert_gone, eventually, processes_of, stderr, stdout_of};

/// Never dropped, as in the tests this crate is for; its processes go with this one.
static SHARED: LazyLock<DevCluster> = LazyLock::new(start);

fn start() -> DevCluster {
    DevCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_administrator_is_answered() {
    assert_eq!(stdout_of(SHARED.kubectl().args(["get", "--raw", "/readyz"])), "ok");
    assert_eq!(stdout_of(SHARED.kubectl().args(["auth", "can-i", "*", "*"])), "yes\n");
}

#[test]
fn a_namespace_comes_and_goes() {
    stdout_of(SHARED.kubectl().args(["create", "namespace", "short-lived"]));
    stdout_of(SHARED.kubectl().args(["delete", "namespace", "short-lived", "--wait", "--timeout=60s"]));

    let output = SHARED.kubectl().args(["get", "namespace", "short-lived"]).output().unwrap();
    assert!(stderr(&output).contains("NotFound"), "{}", stderr(&output));
}

#[test]
fn a_user_is_who_its_kubeconfig_says_and_may_do_nothing_yet() {
    let user = SHARED.user_kubeconfig("jane", Some("auditors")).unwrap();
    let kubectl = |arguments: &[&str]| {
        let mut command = SHARED.kubectl();
        command.env("KUBECONFIG", &user).args(arguments);
        command
    };

    let whoami = stdout_of(&mut kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo}"]));
    assert!(whoami.contains(r#""username":"jane""#), "{whoami}");
    assert!(whoami.contains(r#""groups":["auditors","system:authenticated"]"#), "{whoami}");

    let refused = kubectl(&["get", "secrets"]).output().unwrap();
    assert!(stderr(&refused).contains("Forbidden"), "{}", stderr(&refused));

    let audit = fs::read_to_string(SHARED.audit_log()).unwrap();
    let of_jane = |line: &&str| line.contains(r#""username":"jane""#) && line.contains(r#""resource":"secrets""#);
    assert_eq!(audit.lines().filter(of_jane).count(), 1);
}

#[test]
fn nobody_else_reads_the_keys() {
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(SHARED.directory()), 0o700);
    assert_eq!(mode(SHARED.kubeconfig()), 0o600);
}

#[test]
fn each_component_can_be_stopped_and_started_and_the_data_stays() {
    let cluster = start();
    stdout_of(cluster.kubectl().args(["create", "namespace", "kept"]));

    for component in Component::ALL {
        let program = format!("{}/{component} ", cluster.tools().directory().display());
        let runs = || processes_of(cluster.directory()).iter().any(|line| line.starts_with(&program));
        assert!(runs(), "{component}");
        cluster.stop_component(component).unwrap();
        assert!(!runs(), "{component}");
        cluster.start_component(component).unwrap();
        assert!(runs(), "{component}");
        stdout_of(cluster.kubectl().args(["get", "namespace", "kept"]));
    }

    stdout_of(cluster.kubectl().args(["delete", "namespace", "kept", "--wait", "--timeout=60s"]));
    let directory = cluster.directory().to_owned();
    cluster.stop().unwrap();
    assert_gone(&directory);
}

#[test]
fn a_panic_leaves_nothing() {
    let cluster = start();
    let directory = cluster.directory().to_owned();
    assert!(processes_of(&directory).len() > Component::ALL.len());

    let panicked = thread::spawn(move || {
        let _owned = cluster;
        panic!("as a failing test does");
    });

    panicked.join().unwrap_err();
    assert_gone(&directory);
}

#[test]
fn a_cluster_in_a_static_goes_with_its_process() {
    let scratch = Scratch::new("static");
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", "library::the_administrator_is_answered"]).env("TMPDIR", &scratch.0);

    assert!(stdout_of(&mut process).contains("1 passed"));

    eventually("all gone", || scratch.entries().is_empty() && processes_of(&scratch.0).is_empty());
}

#[test]
fn missing_programs_are_named() {
    let scratch = Scratch::new("tools");
    let tools = Tools::in_directory(SHARED.tools().directory()).unwrap();
    std::os::unix::fs::symlink(tools.kubectl(), scratch.0.join("kubectl")).unwrap();

    let Err(Error::ToolsMissing { missing, .. }) = Tools::in_directory(&scratch.0) else { panic!("nothing missing") };

    assert_eq!(missing, ["etcd", "kube-apiserver", "kube-controller-manager"]);
}

#[test]
fn kubectl_sees_little_of_our_environment() {
    let names: Vec<_> = SHARED.kubectl().get_envs().map(|(name, _)| name.to_owned()).collect();

    assert_eq!(names, ["HOME", "KUBECONFIG", "PATH"]);
}
