//! When a component counts as up: not when it runs, but when it does its work.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{Component, Error, kubelet::NODE, namespaces::Namespaces, process::Process, site::Site};

const PACE: Duration = Duration::from_millis(50);

/// Asks components whether they are ready.
pub(crate) struct Probe<'a> {
    /// The cluster's directory.
    pub(crate) root: &'a Path,
    /// Where the cluster stands.
    pub(crate) site: Site,
    /// The cluster's network, if it has one of its own.
    pub(crate) namespaces: Option<&'a Namespaces>,
    /// Makes a kubectl that speaks as the administrator.
    pub(crate) kubectl: &'a dyn Fn() -> Command,
}

impl Probe<'_> {
    /// Returns when the component is ready, or as soon as it can no longer become so.
    pub(crate) fn wait(&self, component: Component, process: &mut Process, within: Duration) -> Result<(), Error> {
        wait(process, within, || self.ask(component))
    }

    fn ask(&self, component: Component) -> Result<(), String> {
        match component {
            Component::Etcd => connected(UnixStream::connect(self.root.join("etcd.sock"))),
            Component::ApiServer => {
                // A kubectl costs a good part of a core, which the server needs while it doesn't even listen.
                self.connect(self.site.address(), self.site.port())?;
                self.get("--raw=/readyz").map(drop)
            }
            // Its own health endpoint would say yes before any controller runs; this object is made by one.
            Component::ControllerManager => {
                self.get("--raw=/api/v1/namespaces/default/serviceaccounts/default").map(drop)
            }
            // A pod waits for it; that it has read its configuration is enough.
            Component::Scheduler => self.connect(Ipv4Addr::LOCALHOST, 10259),
            Component::Dns => self.connect(self.site.address(), 53),
            Component::Containerd => connected(UnixStream::connect(self.root.join("containerd.sock"))),
            Component::Kubelet => self.node(),
        }
    }

    /// Whether the node takes pods.
    fn node(&self) -> Result<(), String> {
        let node = self.get(&format!("--raw=/api/v1/nodes/{NODE}"))?;
        let node: serde_json::Value = serde_json::from_str(&node).map_err(|error| error.to_string())?;
        let conditions = node["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        match ready {
            Some(condition) if condition["status"] == "True" => Ok(()),
            Some(condition) => Err(format!("the node is not ready: {}", condition["message"])),
            None => Err("the node says nothing of itself".to_owned()),
        }
    }

    fn connect(&self, address: Ipv4Addr, port: u16) -> Result<(), String> {
        let connect = || connected(TcpStream::connect((address, port)));
        match self.namespaces {
            None => connect(),
            Some(namespaces) => namespaces.within(connect).map_err(|error| error.to_string())?,
        }
    }

    fn get(&self, what: &str) -> Result<String, String> {
        let output = (self.kubectl)().args(["get", "--request-timeout=2s", what]).output();
        let output = output.map_err(|error| format!("kubectl: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().replace("\\n", "\n"))
        }
    }
}

/// Asks until the answer is yes, or the process can no longer give it.
pub(crate) fn wait(process: &mut Process, within: Duration, ask: impl Fn() -> Result<(), String>) -> Result<(), Error> {
    let deadline = Instant::now() + within;
    loop {
        let Err(answer) = ask() else {
            return Ok(());
        };
        if let Some(status) = process.ended() {
            let (log, log_tail) = process.log_tail();
            return Err(Error::Ended { component: process.name(), status, log, log_tail });
        }
        if Instant::now() >= deadline {
            let (log, log_tail) = process.log_tail();
            return Err(Error::NotReady { component: process.name(), within, answer, log, log_tail });
        }
        thread::sleep(PACE);
    }
}

fn connected<T>(connection: std::io::Result<T>) -> Result<(), String> {
    connection.map(drop).map_err(|error| error.to_string())
}
