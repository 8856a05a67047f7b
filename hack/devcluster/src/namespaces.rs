//! The mount, network and PID namespaces of a cluster with a node.
//!
//! The namespaces live as long as their first process, and that process as long as its pipe. The kernel cleans up: no
//! process that was started in the namespaces, containers included, outlives the first process, and neither does any
//! mount or network interface.

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
    network::{BRIDGE, NODE_ADDRESS, SERVICE_ADDRESS},
    process::{Process, detached, shell_of},
};

/// Namespaces, and the process that keeps them.
pub(crate) struct Namespaces {
    process: Process,
    pid: String,
    network: File,
}

impl Namespaces {
    /// Creates the namespaces; `share` keeps the cluster's directory from being removed while a process runs in them.
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
        process.wait_until(within, exists)?;
        let pid = fs::read_to_string(&written).map_err(Error::io("read the namespaces' process id"))?.trim().to_owned();
        let network = File::open(format!("/proc/{pid}/ns/net")).map_err(Error::io("find the cluster's network"))?;
        Ok(Self { process, pid, network })
    }

    /// A shell in the namespaces, for [`Process::spawn`].
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = detached("nsenter");
        command.args(["--target", &self.pid, "--mount", "--net", "--pid", "--"]).args(shell_of(script));
        command
    }

    /// A command that runs `program` in the cluster's network, but in the machine's other namespaces.
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

    /// Runs `work` in the cluster's network.
    pub(crate) fn run_in<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread::scope(|scope| {
            let moved = scope.spawn(|| self.join_network().map(|()| work()));
            moved.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }

    /// Ends all processes in the namespaces, and waits until they have ended.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.process.stop()
    }

    /// Process id of the first process, as the machine sees it.
    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }
}
