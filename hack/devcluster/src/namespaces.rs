//! The namespaces a cluster with a node has to itself: of mounts, of networks, of processes.
//!
//! They live as long as their first process, and that one as long as its pipe. The kernel does the cleaning: nothing
//! that was started in there, containers included, outlives that process, and no mount or network interface does.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    panic,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    Error,
    process::{Process, detached, shell_of},
    readiness,
    site::{NODE_ADDRESS, SERVICE_ADDRESS},
};

/// The bridge that pods are connected to.
pub(crate) const BRIDGE: &str = "node0";

/// Namespaces, and the process that holds them.
pub(crate) struct Namespaces {
    process: Process,
    pid: String,
    network: File,
}

impl Namespaces {
    /// Makes them; `share` keeps the cluster's directory from being swept as long as anything runs in them.
    pub(crate) fn create(root: &Path, group: &str, share: Stdio, within: Duration) -> Result<Self, Error> {
        let mut command = detached("unshare");
        command
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation=private", "--"])
            .args(shell_of(include_str!("namespaces.sh")))
            .arg(root)
            .args([group, BRIDGE, &NODE_ADDRESS.to_string(), &SERVICE_ADDRESS.to_string()]);
        let mut process = Process::spawn("namespaces", command, root.join("namespaces.log"), share)?;
        let written = root.join("node.pid");
        let exists = || if written.exists() { Ok(()) } else { Err("the node's network is not set up".to_owned()) };
        readiness::wait(&mut process, within, exists)?;
        let pid = fs::read_to_string(&written).map_err(Error::io("read the namespaces' process id"))?.trim().to_owned();
        let network = File::open(format!("/proc/{pid}/ns/net")).map_err(Error::io("find the cluster's network"))?;
        Ok(Self { process, pid, network })
    }

    /// A shell in there, for [`Process::spawn`].
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = detached("nsenter");
        command.args(["--target", &self.pid, "--mount", "--net", "--pid", "--"]).args(shell_of(script));
        command
    }

    /// A command that runs `program` in the cluster's network, and otherwise on the machine.
    pub(crate) fn in_network(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid)).arg("--").arg(program);
        command
    }

    /// Moves the calling thread into the cluster's network.
    pub(crate) fn join_network(&self) -> Result<(), Error> {
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::io("enter the cluster's network")(error.into()))
    }

    /// Does something in the cluster's network.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread::scope(|scope| {
            let moved = scope.spawn(|| self.join_network().map(|()| work()));
            moved.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }

    /// Ends all that runs in them, and waits until it is gone.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.process.stop()
    }

    /// By which id the machine knows their first process.
    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }
}
