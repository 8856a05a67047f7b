//! The cluster that all scenarios share, and the resources of each scenario.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use apprunner_emulator::{
    AccessKey, CallFilter, Config, ConnectorStatus, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY, Emulator, Fault,
    FaultKind, Operation,
};
use devcluster::{NodeCluster, Options};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as ClientConfig};
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::accounts::TARGET;
use crate::proof;

pub const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
pub const REGION: &str = "us-east-1";
/// The secret of every key.
pub const SECRET: &str = DEFAULT_SECRET_ACCESS_KEY;
/// The keys of the users who run `report`, and their accounts. Their calls are not those of the operator.
pub const REPORTERS: [(&str, &str); 2] = [("AKIDREPORTER", DEFAULT_ACCOUNT), ("AKIDREPORTERTOO", TARGET)];

/// Keeps the cluster between scenarios. A failing scenario stops its cluster, and the next one starts a new cluster.
static CLUSTER: Mutex<Option<NodeCluster>> = Mutex::new(None);

/// The cluster, emulator and namespace of one scenario.
pub struct World {
    pub cluster: NodeCluster,
    /// Name of the scenario and of its namespace.
    pub name: &'static str,
    pub emulator: Emulator,
    /// The emulator's URL for pods: with a name that they must resolve.
    pub endpoint: String,
    /// A client of the administrator.
    pub client: Client,
}

/// A scenario, which runs in the cluster's network.
pub fn scenario(name: &'static str, play: impl AsyncFnOnce(&World) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(start);
        cluster.join_network()?;
        // The runtime starts after the thread has joined the network, so its threads are in that network too.
        let cluster = Runtime::new()?.block_on(async {
            let world = World::new(name, cluster).await;
            play(&world).await;
            world.end()
        });
        *CLUSTER.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
        Ok(())
    })
}

/// Starts a cluster; with `E2E_KEEP` set its logs stay, those of pods too.
fn start() -> NodeCluster {
    let keep = std::env::var_os("E2E_KEEP").is_some();
    let cluster = NodeCluster::start(Options { keep, ..Options::default() }).unwrap_or_else(|error| panic!("{error}"));
    if keep {
        let _ = writeln!(std::io::stderr(), "the cluster's logs are kept in {}", cluster.directory().display());
    }
    for name in ["apprunner-operator", "apprunner-emulator"] {
        let archive = image(name).unwrap_or_else(|missing| panic!("{missing}"));
        cluster.load_image(&archive).unwrap_or_else(|error| panic!("{error}"));
    }
    cluster
}

/// Stops the cluster at the end.
pub fn end() {
    drop(CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// The archive of an image with the chart's default tag, as `make e2e` writes it.
pub fn image(name: &str) -> Result<PathBuf, String> {
    let version = env!("CARGO_PKG_VERSION");
    let archive = Path::new(CHECKOUT).join(format!("target/image/{name}.tar"));
    let remedy = |fault: &str| format!("{} {fault}: make image IMAGE_TAG={version}", archive.display());
    if !archive.is_file() {
        return Err(remedy("is missing"));
    }
    match fs::read_to_string(archive.with_file_name("tag")) {
        Ok(tag) if tag.trim() == version => Ok(archive),
        _ => Err(remedy("has another tag than the chart's default")),
    }
}

impl World {
    async fn new(name: &'static str, cluster: NodeCluster) -> Self {
        let listen = SocketAddr::from((NodeCluster::ADDRESS, 0));
        let emulator = Emulator::start(Config { listen, access_keys: keys(), ..Config::default() }).await.unwrap();
        let endpoint = format!("http://{}:{}", NodeCluster::NAME, emulator.address().port());
        let client = administrator(&cluster).await;
        let world = Self { cluster, name, emulator, endpoint, client };
        world.restricted(name);
        world
    }

    fn end(self) -> NodeCluster {
        proof::note(&self);
        self.kubectl(&["delete", "namespace", self.name, "--wait=false"]);
        self.cluster
    }

    /// Creates a namespace that enforces the restricted Pod Security level.
    pub fn restricted(&self, namespace: &str) {
        self.kubectl(&["create", "namespace", namespace]);
        self.kubectl(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    }

    /// Runs kubectl in the scenario's namespace, if no other is named; it must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run(self.cluster.kubectl().args(["--namespace", self.name]).args(arguments))
    }

    /// Applies a manifest to the scenario's namespace.
    pub fn apply(&self, manifest: &str) {
        self.apply_in(self.name, manifest);
    }

    /// Applies a manifest to a namespace.
    fn apply_in(&self, namespace: &str, manifest: &str) {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", namespace, "apply", "--filename=-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut applying = kubectl.spawn().unwrap();
        applying.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        assert!(applying.wait().unwrap().success(), "{manifest}");
    }

    /// Runs helm in the scenario's namespace and in the checkout's root; it must succeed.
    pub fn helm(&self, arguments: &[&str]) -> String {
        run(&mut self.helm_command(arguments))
    }

    /// Runs helm, which must fail; returns its whole output.
    pub fn helm_refused(&self, arguments: &[&str]) -> String {
        let output = self.helm_command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!output.status.success(), "{arguments:?} was not refused: {text}");
        text
    }

    pub fn helm_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.client(&helm(self.cluster.tools().directory()));
        command.current_dir(CHECKOUT).args(["--namespace", self.name]).args(arguments);
        command
    }

    /// Creates a connector and an object for it; returns the connector's ARN.
    pub fn object(&self, name: &str) -> String {
        let arn = self.emulator.create_connector(DEFAULT_ACCOUNT, REGION, name);
        self.object_of(name, &arn);
        arn
    }

    /// Creates an object for a connector.
    pub fn object_of(&self, name: &str, arn: &str) {
        self.object_in(self.name, name, arn);
    }

    /// Creates an object for a connector in a namespace.
    pub fn object_in(&self, namespace: &str, name: &str, arn: &str) {
        let manifest = format!(
            "apiVersion: apprunner-operator.dev/v1alpha1\nkind: VpcConnector\nmetadata: {{name: {name}}}\n\
             spec: {{arn: '{arn}', deletionPolicy: Delete}}\n"
        );
        self.apply_in(namespace, &manifest);
    }

    /// Creates a connector and an object for it, and waits until the connector is claimed.
    pub fn claimed(&self, name: &str) -> String {
        let arn = self.object(name);
        self.kubectl(&["wait", &format!("vpcc/{name}"), "--for=condition=Ready", "--timeout=60s"]);
        arn
    }

    /// Waits until an object's Ready condition has a reason.
    pub fn until_reason(&self, object: &str, reason: &str) {
        let condition = format!("--for=jsonpath={{.status.conditions[?(@.type==\"Ready\")].reason}}={reason}");
        self.kubectl(&["wait", object, &condition, "--timeout=60s"]);
    }

    /// Deletes an object, and returns while App Runner has the delete call and has not answered.
    pub async fn begin_deletion(&self, name: &str, arn: &str, how: FaultKind) {
        self.emulator.add_fault(Fault::new(how).on(Operation::DeleteVpcConnector).arn(arn));
        self.kubectl(&["delete", "vpcc", name, "--wait=false"]);
        eventually("the call", async || (self.deletes(arn) == 1).then_some(())).await;
    }

    /// Waits until an object is deleted, and checks that its connector is deleted too.
    pub fn until_deleted(&self, name: &str, arn: &str) {
        self.kubectl(&["wait", &format!("vpcc/{name}"), "--for=delete", "--timeout=60s"]);
        assert_eq!(self.status(arn), ConnectorStatus::Inactive, "{name} is deleted, and its connector is not");
    }

    pub fn status(&self, arn: &str) -> ConnectorStatus {
        self.emulator.connector(arn).unwrap().status
    }

    /// Number of delete calls for a connector.
    pub fn deletes(&self, arn: &str) -> usize {
        let operation = Some("DeleteVpcConnector".to_owned());
        let filter = CallFilter { operation, arn: Some(arn.to_owned()), ..CallFilter::default() };
        self.emulator.calls_matching(&filter).len()
    }

    /// The API server's requests so far, from its audit log.
    pub fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.cluster.audit_log()).unwrap();
        // The last line may be incomplete.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Path of Helm among the programs that were built.
pub fn helm(tools: &Path) -> PathBuf {
    let helm = tools.join("helm");
    assert!(helm.is_file(), "{} is missing: hack/tools.sh build helm", helm.display());
    helm
}

/// Every pod signs with a key that is its address, so the emulator's log shows which pod made a call.
fn keys() -> Vec<AccessKey> {
    let [network @ .., _] = NodeCluster::ADDRESS.octets();
    let address = |host| network.map(|part| part.to_string()).join(".") + &format!(".{host}");
    let pods = (1..255).map(|host| AccessKey::new(address(host), SECRET, DEFAULT_ACCOUNT));
    pods.chain(REPORTERS.map(|(key, account)| AccessKey::new(key, SECRET, account))).collect()
}

async fn administrator(cluster: &NodeCluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = ClientConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Calls `ask` until it returns a value; fails after a minute.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(25)).await;
        }
    };
    timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("not within a minute: {what}"))
}

/// Runs a command that must succeed, and returns its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}
