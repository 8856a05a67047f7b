//! The library as a test uses it.

use std::{env, fs, os::unix::fs::PermissionsExt, process::Command, sync::LazyLock, thread};

use devcluster::{Component, DevCluster, Error, Options, Tools};

use crate::support::{Scratch, assert_gone, eventually, processes_of, stderr, stdout_of};

/// Never dropped, as in the tests that use this crate; its processes end with the test process.
static SHARED: LazyLock<DevCluster> = LazyLock::new(start);

fn start() -> DevCluster {
    DevCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn administrator_has_full_access() {
    assert_eq!(stdout_of(SHARED.kubectl().args(["get", "--raw", "/readyz"])), "ok");
    assert_eq!(stdout_of(SHARED.kubectl().args(["auth", "can-i", "*", "*"])), "yes\n");
}

#[test]
fn namespace_is_created_and_deleted() {
    stdout_of(SHARED.kubectl().args(["create", "namespace", "short-lived"]));
    stdout_of(SHARED.kubectl().args(["delete", "namespace", "short-lived", "--wait", "--timeout=60s"]));

    let output = SHARED.kubectl().args(["get", "namespace", "short-lived"]).output().unwrap();
    assert!(stderr(&output).contains("NotFound"), "{}", stderr(&output));
}

#[test]
fn user_kubeconfig_has_the_name_and_group_and_no_rights() {
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
fn only_the_owner_may_read_the_keys() {
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(SHARED.directory()), 0o700);
    assert_eq!(mode(SHARED.kubeconfig()), 0o600);
}

#[test]
fn data_survives_a_restart_of_each_component() {
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
fn panic_leaves_nothing_behind() {
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
fn cluster_in_a_static_ends_with_its_process() {
    let scratch = Scratch::new("static");
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", "library::administrator_has_full_access"]).env("TMPDIR", &scratch.0);

    assert!(stdout_of(&mut process).contains("1 passed"));

    eventually("nothing is left", || scratch.entries().is_empty() && processes_of(&scratch.0).is_empty());
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
fn kubectl_gets_only_three_environment_variables() {
    let names: Vec<_> = SHARED.kubectl().get_envs().map(|(name, _)| name.to_owned()).collect();

    assert_eq!(names, ["HOME", "KUBECONFIG", "PATH"]);
}
