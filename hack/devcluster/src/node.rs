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
    network::{NODE_ADDRESS, NODE_HOST, Network},
    process::Process,
    requirements,
};

/// A running cluster with a node, in mount, network and PID namespaces of its own; dropping it stops it.
///
/// Several clusters can run at once: each has the same addresses in a network of its own. A thread or program that
/// connects to the API server or to pods, or that pods connect to, has to run in that network: [`Self::join_network`]
/// moves a thread there, [`Self::client`] and [`Self::run`] start a program there.
pub struct NodeCluster {
    cluster: DevCluster,
}

impl NodeCluster {
    /// The node's address, at which pods reach programs that listen in the cluster's network.
    pub const ADDRESS: Ipv4Addr = NODE_ADDRESS;
    /// The name that the pods' DNS server answers with that address.
    pub const NAME: &str = NODE_HOST;

    /// Starts a cluster and returns when its node accepts pods.
    pub fn start(options: Options) -> Result<Self, Error> {
        requirements::check()?;
        let cluster = DevCluster::launch(Network::Node, &Tools::find()?.with_node()?, options)?;
        let archive = cluster.directory().join("pause.tar");
        write_image(&archive, image::PAUSE, &cluster.tools().directory().join("pause"))?;
        let cluster = Self { cluster };
        cluster.load_image(&archive)?;
        Ok(cluster)
    }

    /// Loads the images of an archive in Docker's format into the node; pods need `imagePullPolicy: Never` for them.
    pub fn load_image(&self, archive: &Path) -> Result<(), Error> {
        self.ctr(&format!("importing {}", archive.display()), ["images", "import"], &[archive.as_os_str()])
    }

    /// Sends a signal, such as `SIGSTOP`, to the first process of a pod's first container.
    ///
    /// The signal comes from outside of the container, so `SIGKILL` and `SIGSTOP` reach that process as well.
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

    /// A program in the cluster's network that acts as the administrator; kubectl and helm read `KUBECONFIG`.
    ///
    /// The user's settings do not reach it. The cluster does not end this program; [`Self::run`] starts one that must
    /// not outlive the cluster.
    pub fn client(&self, program: &Path) -> Command {
        self.cluster.client(program)
    }

    /// Runs a program in the cluster's namespaces until the returned value is dropped, or the cluster ends.
    ///
    /// The program's environment has only `PATH`, and its output goes to the log `<name>.log` in the cluster's
    /// directory.
    pub fn run(&self, name: &str, program: &Path, arguments: &[String]) -> Result<Program, Error> {
        self.cluster.supervise(name, program, arguments).map(Program)
    }

    /// Moves the calling thread into the cluster's network for good, with the threads and programs it starts from now
    /// on.
    ///
    /// Open sockets stay in the old network. A runtime whose threads are to be in the new one must be made afterwards.
    pub fn join_network(&self) -> Result<(), Error> {
        self.namespaces().map_or(Ok(()), Namespaces::join_network)
    }

    /// Directory of the containers' logs; with [`Options::keep`] it stays when the cluster has stopped.
    pub fn pod_logs(&self) -> PathBuf {
        self.directory().join("pods")
    }

    /// The command that opens a shell in the cluster's namespaces, for an administrator.
    pub fn shell(&self) -> String {
        let pid = self.namespaces().map_or("?", Namespaces::pid);
        format!("KUBECONFIG={} nsenter --target {pid} --mount --net --pid", self.kubeconfig().display())
    }

    /// Stops everything, as dropping does, and returns an error if that fails.
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

/// Runs a program that must succeed, and returns its output; `what` names the program in an error.
fn output_of(what: &str, command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(Error::io(format!("start {}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command: what.to_owned(), reason })
}

/// A program that [`NodeCluster::run`] started; dropping it kills the program.
pub struct Program(Process);

impl Program {
    /// Log with the program's standard output and standard error.
    pub fn log(&self) -> &Path {
        self.0.log()
    }

    /// Waits until the program ends by itself; returns whether it has ended.
    pub fn ended(&mut self, within: Duration) -> bool {
        self.0.ended_within(within).is_some()
    }
}
