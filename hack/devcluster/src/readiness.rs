//! Readiness of components: a component is ready when it does its work, which is later than when it runs.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{
    Component, Error,
    namespaces::Namespaces,
    network::{NODE_NAME, Network},
    process::Process,
};

/// Checks whether components are ready.
pub(crate) struct Probe<'a> {
    /// The cluster's directory.
    pub(crate) root: &'a Path,
    /// The network that the cluster listens in.
    pub(crate) network: Network,
    /// The cluster's namespaces, if it has any.
    pub(crate) namespaces: Option<&'a Namespaces>,
    /// Makes a kubectl that acts as the administrator.
    pub(crate) kubectl: &'a dyn Fn() -> Command,
}

impl Probe<'_> {
    /// Returns when the component is ready, or as soon as it can no longer become ready.
    pub(crate) fn wait(&self, component: Component, process: &mut Process, within: Duration) -> Result<(), Error> {
        process.wait_until(within, || self.check(component))
    }

    fn check(&self, component: Component) -> Result<(), String> {
        match component {
            Component::Etcd => connected(UnixStream::connect(self.root.join("etcd.sock"))),
            Component::ApiServer => {
                // A kubectl takes much of a core, which the server needs while it does not even listen yet.
                self.connect(self.network.address(), self.network.port())?;
                self.get("--raw=/readyz").map(drop)
            }
            // The health endpoint answers yes before any controller runs; a controller creates this object.
            Component::ControllerManager => {
                self.get("--raw=/api/v1/namespaces/default/serviceaccounts/default").map(drop)
            }
            // A pod waits for the scheduler anyway, so it is enough that the scheduler has read its configuration.
            Component::Scheduler => self.connect(Ipv4Addr::LOCALHOST, 10259),
            Component::Dns => self.connect(self.network.address(), 53),
            Component::Containerd => connected(UnixStream::connect(self.root.join("containerd.sock"))),
            Component::Kubelet => self.node(),
        }
    }

    /// Checks that the node accepts pods.
    fn node(&self) -> Result<(), String> {
        let node = self.get(&format!("--raw=/api/v1/nodes/{NODE_NAME}"))?;
        let node: serde_json::Value = serde_json::from_str(&node).map_err(|error| error.to_string())?;
        let conditions = node["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        match ready {
            Some(condition) if condition["status"] == "True" => Ok(()),
            Some(condition) => Err(format!("the node is not ready: {}", condition["message"])),
            None => Err("the node reports no Ready condition".to_owned()),
        }
    }

    fn connect(&self, address: Ipv4Addr, port: u16) -> Result<(), String> {
        let connect = || connected(TcpStream::connect((address, port)));
        match self.namespaces {
            None => connect(),
            Some(namespaces) => namespaces.run_in(connect).map_err(|error| error.to_string())?,
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

fn connected<T>(connection: std::io::Result<T>) -> Result<(), String> {
    connection.map(drop).map_err(|error| error.to_string())
}
