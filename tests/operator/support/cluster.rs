//! One API server for the whole run; it ends with the test process.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use devcluster::{AuditEntry, DevCluster, Options};

/// Blockers of this group have the rights of `examples/rbac.yaml`.
const OPERATORS: &str = "apprunner-operators";

static SHARED: LazyLock<Arc<DevCluster>> = LazyLock::new(|| {
    let cluster = start();
    install(&cluster);
    Arc::new(cluster)
});

/// The cluster that all tests share.
pub fn cluster() -> &'static DevCluster {
    &SHARED
}

/// The cluster that all tests share, as an `Arc`.
pub fn shared() -> Arc<DevCluster> {
    SHARED.clone()
}

/// A cluster of its own, for a test that changes the cluster in ways other tests could not bear. The CRD is not
/// installed yet.
pub fn private() -> Arc<DevCluster> {
    let cluster = start();
    grant(&cluster);
    Arc::new(cluster)
}

fn start() -> DevCluster {
    DevCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Installs the CRD and the operator's rights, as a user would.
fn install(cluster: &DevCluster) {
    install_crd(cluster);
    grant(cluster);
}

/// Installs the CRD, and waits until it is served.
pub fn install_crd(cluster: &DevCluster) {
    let crd = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/apprunner-operator.dev_vpcconnectors.yaml");
    run(cluster.kubectl().args(["apply", "-f", crd]));
    run(cluster.kubectl().args(["wait", "--for=condition=Established", "--timeout=30s", "-f", crd]));
}

fn grant(cluster: &DevCluster) {
    run(cluster.kubectl().args(["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rbac.yaml")]));
    let bind = ["create", "clusterrolebinding", "tests", "--clusterrole=apprunner-operator"];
    run(cluster.kubectl().args(bind).arg(format!("--group={OPERATORS}")));
}

/// Creates a user with a unique name and the operator's rights; returns the name and its kubeconfig.
pub fn operator_user_on(cluster: &DevCluster) -> (String, PathBuf) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    operator_user_named(&format!("operator-{}", NEXT.fetch_add(1, Ordering::Relaxed)), cluster)
}

/// Creates a kubeconfig for a user of this name, with the operator's rights; several kubeconfigs may have one name.
pub fn operator_user_named(user: &str, cluster: &DevCluster) -> (String, PathBuf) {
    (user.to_owned(), cluster.user_kubeconfig(user, Some(OPERATORS)).unwrap())
}

/// Creates a user with the operator's rights in one namespace only.
pub fn operator_user_confined_to(namespace: &str) -> (String, PathBuf) {
    let user = format!("operator-of-{namespace}");
    let bind = ["create", "rolebinding", "operator", "--clusterrole=apprunner-operator", "--namespace", namespace];
    run(cluster().kubectl().args(bind).arg(format!("--user={user}")));
    let kubeconfig = cluster().user_kubeconfig(&user, None).unwrap();
    (user, kubeconfig)
}

/// Runs a command that must succeed, and returns its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

/// Every finished request of a user.
pub fn requests_of(user: &str) -> Vec<AuditEntry> {
    let log = std::fs::read_to_string(cluster().audit_log()).unwrap();
    let finished = |entry: &AuditEntry| entry.user == user && entry.stage == "ResponseComplete";
    log.lines().filter_map(AuditEntry::parse).filter(finished).collect()
}
