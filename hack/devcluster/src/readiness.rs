//! When a component counts as up: not when it runs, but when it does its work.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{Component, Error, process::Process};

const PACE: Duration = Duration::from_millis(50);

/// Asks components whether they are ready.
pub(crate) struct Probe<'a> {
    /// The cluster's directory.
    pub(crate) root: &'a Path,
    /// The API server's port.
    pub(crate) port: u16,
    /// Makes a kubectl that speaks as the administrator.
    pub(crate) kubectl: &'a dyn Fn() -> Command,
}

impl Probe<'_> {
    /// Returns when the component is ready, or as soon as it can no longer become so.
    pub(crate) fn wait(&self, component: Component, process: &mut Process, within: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        loop {
            let Err(answer) = self.ask(component) else {
                return Ok(());
            };
            if let Some(status) = process.ended() {
                let (log, log_tail) = process.log_tail();
                return Err(Error::Ended { component, status, log, log_tail });
            }
            if Instant::now() >= deadline {
                let (log, log_tail) = process.log_tail();
                return Err(Error::NotReady { component, within, answer, log, log_tail });
            }
            thread::sleep(PACE);
        }
    }

    fn ask(&self, component: Component) -> Result<(), String> {
        match component {
            Component::Etcd => connected(UnixStream::connect(self.root.join("etcd.sock"))),
            Component::ApiServer => {
                // A kubectl costs a good part of a core, which the server needs while it doesn't even listen.
                connected(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)))?;
                self.get("/readyz")
            }
            // Its own health endpoint would say yes before any controller runs; this object is made by one.
            Component::ControllerManager => self.get("/api/v1/namespaces/default/serviceaccounts/default"),
        }
    }

    fn get(&self, path: &str) -> Result<(), String> {
        let output = (self.kubectl)().args(["get", "--request-timeout=2s", "--raw", path]).output();
        let output = output.map_err(|error| format!("kubectl: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().replace("\\n", "\n"))
        }
    }
}

fn connected<T>(connection: std::io::Result<T>) -> Result<(), String> {
    connection.map(drop).map_err(|error| error.to_string())
}
