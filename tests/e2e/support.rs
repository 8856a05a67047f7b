//! The cluster that all scenarios share, and what each has for itself.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use apprunner_emulator::{Config, Emulator};
use devcluster::{NodeCluster, Options};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as ClientConfig};
use tokio::runtime::Runtime;

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

/// It goes when the test process does. With `E2E_KEEP` set its logs stay, those of pods too.
static CLUSTER: LazyLock<NodeCluster> = LazyLock::new(|| {
    let keep = std::env::var_os("E2E_KEEP").is_some();
    let cluster = NodeCluster::start(Options { keep, ..Options::default() }).unwrap_or_else(|error| panic!("{error}"));
    if keep {
        // Past the test's own output, which is shown only if it fails.
        let _ = writeln!(std::io::stderr(), "the cluster's logs are kept in {}", cluster.directory().display());
    }
    cluster
});

static TURN: Mutex<()> = Mutex::new(());

/// One scenario's world.
pub struct World {
    pub cluster: &'static NodeCluster,
    pub namespace: String,
    pub emulator: Emulator,
    /// The emulator's URL as pods need it: by a name that they must resolve.
    pub endpoint: String,
    /// The administrator's.
    pub client: Client,
}

/// Plays a scenario in the cluster's network, when those before it are over.
pub fn scenario(namespace: &str, play: impl AsyncFnOnce(&World)) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    CLUSTER.join_network().unwrap();
    // Only now: the threads it starts are where this one is.
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new(namespace).await;
        play(&world).await;
        world.kubectl(&["delete", "namespace", namespace, "--wait=false"]);
    });
}

impl World {
    async fn new(namespace: &str) -> Self {
        let listen = SocketAddr::from((NodeCluster::ADDRESS, 0));
        let emulator = Emulator::start(Config { listen, ..Config::default() }).await.unwrap();
        let endpoint = format!("http://{}:{}", NodeCluster::NAME, emulator.address().port());
        let client = administrator().await;
        let world = Self { cluster: &CLUSTER, namespace: namespace.to_owned(), emulator, endpoint, client };
        world.kubectl(&["create", "namespace", namespace]);
        world.kubectl(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
        world
    }

    /// Runs kubectl in this namespace; it must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run(self.cluster.kubectl().args(["--namespace", &self.namespace]).args(arguments))
    }

    /// Runs helm in this namespace and in the checkout's root; it must succeed.
    pub fn helm(&self, arguments: &[&str]) -> String {
        run(&mut self.helm_command(arguments))
    }

    /// The same where it must not succeed; gives all that it says.
    pub fn helm_refused(&self, arguments: &[&str]) -> String {
        let output = self.helm_command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(!output.status.success(), "{arguments:?} was not refused: {said}");
        said
    }

    fn helm_command(&self, arguments: &[&str]) -> Command {
        let helm = self.cluster.tools().directory().join("helm");
        assert!(helm.is_file(), "{} is missing: hack/tools.sh build helm", helm.display());
        let mut command = self.cluster.client(&helm);
        command.current_dir(CHECKOUT).args(["--namespace", &self.namespace]).args(arguments);
        command
    }
}

/// The archive of an image, as `make image` writes it; [`NodeCluster::load_image`] takes it.
pub fn image(name: &str) -> Result<PathBuf, String> {
    let archive = Path::new(CHECKOUT).join(format!("target/image/{name}.tar"));
    if archive.is_file() { Ok(archive) } else { Err(format!("{} is missing: make image", archive.display())) }
}

async fn administrator() -> Client {
    let kubeconfig = Kubeconfig::read_from(CLUSTER.kubeconfig()).unwrap();
    let config = ClientConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Runs a command that must succeed, and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}
