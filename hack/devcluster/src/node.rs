//! A cluster with a node, on which pods run.

use std::{
    ffi::OsStr,
    net::Ipv4Addr,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    DevCluster, Error, Options, Tools,
    image::{self, write_image},
    namespaces::Namespaces,
    needs,
    process::Process,
    site::{NODE_ADDRESS, NODE_NAME, Site},
};

/// A running cluster with a node, in mount, network and PID namespaces of its own; dropped, it is gone.
///
/// Clusters stand beside each other without meeting: each has the same addresses in a network of its own. What is to
/// reach its API server or its pods, or be reached by them, has to be in there: [`Self::join_network`] brings a thread
/// there, [`Self::client`] and [`Self::run`] a program.
pub struct NodeCluster {
    cluster: DevCluster,
}

impl NodeCluster {
    /// The node's address: where pods find what listens in the cluster's network.
    pub const ADDRESS: Ipv4Addr = NODE_ADDRESS;
    /// The name that the pods' DNS server answers with that address.
    pub const NAME: &str = NODE_NAME;

    /// Starts a cluster and returns when its node takes pods.
    pub fn start(options: Options) -> Result<Self, Error> {
        needs::check()?;
        let cluster = DevCluster::launch(Site::Node, &Tools::find()?.with_node()?, options)?;
        let archive = cluster.directory().join("pause.tar");
        write_image(&archive, image::PAUSE, &cluster.tools().directory().join("pause"))?;
        let cluster = Self { cluster };
        cluster.load_image(&archive)?;
        Ok(cluster)
    }

    /// Gives the node the images of an archive in Docker's format; pods need `imagePullPolicy: Never` for them.
    pub fn load_image(&self, archive: &Path) -> Result<(), Error> {
        self.ctr(&format!("importing {}", archive.display()), ["images", "import"], &[archive.as_os_str()])
    }

    /// Sends a signal, such as `SIGSTOP`, to the first process of a pod's first container.
    ///
    /// It comes from outside of the container, so that `SIGKILL` and `SIGSTOP` reach that process as well.
    pub fn signal(&self, namespace: &str, pod: &str, signal: &str) -> Result<(), Error> {
        let container = "--output=jsonpath={.status.containerStatuses[0].containerID}";
        let mut command = self.kubectl();
        command.args(["get", "pod", pod, "--namespace", namespace, container]);
        let id = output_of(&format!("asking for the container of {namespace}/{pod}"), &mut command)?;
        let id = id.trim_start_matches("containerd://");
        let what = format!("sending {signal} to {namespace}/{pod}");
        self.ctr(&what, ["tasks", "kill"], &["--signal", signal, id].map(OsStr::new))
    }

    fn ctr(&self, what: &str, verb: [&str; 2], arguments: &[&OsStr]) -> Result<(), Error> {
        let mut command = self.client(&self.tools().directory().join("ctr"));
        command.arg(format!("--address={}/containerd.sock", self.directory().display())).arg("--namespace=k8s.io");
        output_of(what, command.args(verb).args(arguments)).map(drop)
    }

    /// A program in the cluster's network that speaks as the administrator; kubectl and helm read `KUBECONFIG`.
    ///
    /// Nothing of the user's settings reaches it. It ends when it likes: [`Self::run`] is for what must not stay.
    pub fn client(&self, program: &Path) -> Command {
        self.cluster.client(program)
    }

    /// Runs a program in the cluster's namespaces until what is returned is dropped, or the cluster ends.
    ///
    /// Its environment is empty but for `PATH`, and its output goes to a log in the cluster's directory that is called
    /// after `name`.
    pub fn run(&self, name: &str, program: &Path, arguments: &[String]) -> Result<Program, Error> {
        self.cluster.supervise(name, program, arguments).map(Program)
    }

    /// Moves the calling thread into the cluster's network for good, with the threads and programs it starts from now on.
    ///
    /// What has a socket already keeps it. A runtime whose threads are to be there must be made afterwards.
    pub fn join_network(&self) -> Result<(), Error> {
        self.namespaces().map_or(Ok(()), Namespaces::join_network)
    }

    /// Where the kubelet writes what containers say; there one finds it too when the cluster is gone and kept.
    pub fn pod_logs(&self) -> PathBuf {
        self.directory().join("pods")
    }

    /// The command that opens a shell in the cluster's namespaces, for someone who wants to look around.
    pub fn shell(&self) -> String {
        let pid = self.namespaces().map_or("?", Namespaces::pid);
        format!("KUBECONFIG={} nsenter --target {pid} --mount --net --pid", self.kubeconfig().display())
    }

    /// Takes everything down, as dropping does, but says when that fails.
    pub fn stop(self) -> Result<(), Error> {
        self.cluster.stop()
    }

    fn namespaces(&self) -> Option<&Namespaces> {
        self.cluster.namespaces.as_ref()
    }
}

impl Deref for NodeCluster {
    type Target = DevCluster;

    fn deref(&self) -> &DevCluster {
        &self.cluster
    }
}

/// Runs a program that must succeed, and gives what it printed; `what` names it in an error.
fn output_of(what: &str, command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(Error::io(format!("start {}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command: what.to_owned(), reason })
}

/// A program that [`NodeCluster::run`] started; dropped, it is killed.
pub struct Program(Process);

impl Program {
    /// What it writes to standard output and standard error.
    pub fn log(&self) -> &Path {
        self.0.log()
    }

    /// Waits until it ends by itself; says whether it has.
    pub fn ended(&mut self, within: Duration) -> bool {
        self.0.ended_within(within).is_some()
    }
}
