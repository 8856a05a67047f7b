//! A control plane: start, stop, and access for clients.

use std::{
    collections::BTreeMap,
    iter,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    Component, Error, Tools,
    certs::{self, Authority, Identity},
    directory::{Directory, random},
    kubeconfig, kubelet,
    namespaces::Namespaces,
    network::{NODE_NAME, Network},
    process::{Process, SUPERVISE, shell},
    readiness::Probe,
};

const ATTEMPTS: usize = 5;

/// Settings of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Keeps the directory with logs and data after the cluster has stopped.
    pub keep: bool,
    /// Longest time that one component may take until it is ready.
    pub ready_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: false, ready_within: Duration::from_mins(1) }
    }
}

/// A running control plane; dropping it stops it.
pub struct DevCluster {
    tools: Tools,
    options: Options,
    authority: Authority,
    pub(crate) network: Network,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    users: AtomicUsize,
    running: Mutex<BTreeMap<Component, Process>>,
    pub(crate) namespaces: Option<Namespaces>,
    directory: Directory,
}

impl DevCluster {
    /// Starts a cluster and returns when every component is ready, after about three seconds.
    pub fn start(options: Options) -> Result<Self, Error> {
        Self::start_on(free_ports().take(ATTEMPTS), &Tools::find()?, options)
    }

    /// Tries several ports: another program may take a free port before the API server binds it.
    fn start_on(mut ports: impl Iterator<Item = u16>, tools: &Tools, options: Options) -> Result<Self, Error> {
        let launch = |port| Self::launch(Network::Loopback { port }, tools, options);
        let mut outcome = launch(ports.next().unwrap_or_default());
        for port in ports {
            if !outcome.as_ref().is_err_and(Error::is_port_taken) {
                break;
            }
            outcome = launch(port);
        }
        outcome
    }

    pub(crate) fn launch(network: Network, tools: &Tools, options: Options) -> Result<Self, Error> {
        let directory = Directory::create(options.keep)?;
        let mut cluster = Self {
            tools: tools.clone(),
            options,
            authority: Authority::new()?,
            network,
            kubeconfig: directory.path().join("admin.kubeconfig"),
            audit_log: directory.path().join("audit.log"),
            users: AtomicUsize::new(0),
            running: Mutex::default(),
            namespaces: None,
            directory,
        };
        cluster.write_files()?;
        if network == Network::Node {
            cluster.prepare_node()?;
        }
        for component in Component::all_in(network) {
            cluster.start_component(*component)?;
        }
        Ok(cluster)
    }

    fn write_files(&self) -> Result<(), Error> {
        self.directory.write("ca.crt", self.authority.certificate())?;
        let service_accounts = certs::service_account_keys()?;
        self.directory.write("service-accounts.key", &service_accounts.private)?;
        self.directory.write("service-accounts.pub", &service_accounts.public)?;
        self.directory.write("audit-policy.yaml", include_str!("audit-policy.yaml"))?;
        self.write_identity("apiserver", &self.authority.server(self.network.names())?)?;
        self.write_kubeconfig("admin", "devcluster-admin", Some("system:masters"))?;
        self.write_kubeconfig("controller-manager", "system:kube-controller-manager", None)?;
        Ok(())
    }

    fn prepare_node(&mut self) -> Result<(), Error> {
        self.write_identity("kubelet-client", &self.authority.client("devcluster-apiserver", Some("system:masters"))?)?;
        self.write_kubeconfig("scheduler", "system:kube-scheduler", None)?;
        self.write_kubeconfig("kubelet", &format!("system:node:{NODE_NAME}"), Some("system:nodes"))?;
        let (root, group) = (self.directory.path(), self.directory.name());
        self.directory.write("kubelet.json", &kubelet::configuration(root, &group))?;
        self.directory.write("containerd.toml", &kubelet::containerd(root, self.tools.directory()))?;
        self.directory.create_inner("network")?;
        self.directory.write("network/pods.conflist", &kubelet::network())?;
        self.directory.write("resolv.conf", &format!("nameserver {}\n", self.network.address()))?;
        let share = self.directory.share()?;
        self.namespaces = Some(Namespaces::create(root, &group, share, self.options.ready_within)?);
        Ok(())
    }

    fn write_identity(&self, name: &str, identity: &Identity) -> Result<(PathBuf, PathBuf), Error> {
        let certificate = self.directory.write(&format!("{name}.crt"), &identity.certificate)?;
        let key = self.directory.write(&format!("{name}.key"), &identity.key)?;
        Ok((certificate, key))
    }

    fn write_kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> Result<PathBuf, Error> {
        let (certificate, key) = self.write_identity(name, &self.authority.client(user, group)?)?;
        let authority = self.directory.path().join("ca.crt");
        let config = kubeconfig::render(&self.server_url(), &authority, &certificate, &key);
        self.directory.write(&format!("{name}.kubeconfig"), &config)
    }

    /// Starts a stopped component again, with the same port, certificates and data.
    ///
    /// Returns when this component and the components that depend on it are ready. A running component is left alone.
    /// The controller manager needs a running API server, and the API server needs a running etcd.
    pub fn start_component(&self, component: Component) -> Result<(), Error> {
        let mut running = self.running();
        if running.get_mut(&component).is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        let root = self.directory.path();
        let program = self.tools.of(component);
        running.insert(
            component,
            self.supervise(component.program(), &program, &component.arguments(root, self.network))?,
        );
        let probe =
            Probe { root, network: self.network, namespaces: self.namespaces.as_ref(), kubectl: &|| self.kubectl() };
        for (component, process) in running.range_mut(component..) {
            probe.wait(*component, process, self.options.ready_within)?;
        }
        Ok(())
    }

    /// Starts a program that ends with the cluster at the latest; its log file is `<name>.log`.
    pub(crate) fn supervise(&self, name: &str, program: &Path, arguments: &[String]) -> Result<Process, Error> {
        let mut supervisor = match &self.namespaces {
            None => shell(SUPERVISE),
            Some(namespaces) => namespaces.shell(SUPERVISE),
        };
        supervisor.arg(program).args(arguments);
        Process::spawn(name, supervisor, self.directory.path().join(format!("{name}.log")), self.directory.share()?)
    }

    /// Kills a component, as a crash would, and waits until its process has ended; its data stays.
    pub fn stop_component(&self, component: Component) -> Result<(), Error> {
        self.running().remove(&component).map_or(Ok(()), |mut process| process.stop())
    }

    /// Stops everything, as dropping does, and returns an error if that fails.
    pub fn stop(mut self) -> Result<(), Error> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), Error> {
        // Ends all processes of the namespaces at once, if there are any. A failure here keeps the sweeper from
        // removing the directory.
        let ended = self.namespaces.as_mut().map_or(Ok(()), Namespaces::end);
        self.running().clear();
        self.directory.release().and(ended)
    }

    /// Recovers a poisoned lock: a panic in one test must not keep the others from the shared cluster, and no panic can
    /// leave the map half-changed.
    fn running(&self) -> MutexGuard<'_, BTreeMap<Component, Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The administrator's kubeconfig (group `system:masters`).
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes a kubeconfig for a new user with the given name and group.
    ///
    /// The user has only the rights that RBAC grants, and the audit log shows its requests under its name. The
    /// certificates made here have room for one group at most, besides `system:authenticated`.
    pub fn user_kubeconfig(&self, user: &str, group: Option<&str>) -> Result<PathBuf, Error> {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        self.write_kubeconfig(&format!("user-{number}"), user, group)
    }

    /// URL of the API server.
    pub fn server_url(&self) -> String {
        format!("https://{}:{}", self.network.address(), self.network.port())
    }

    /// The audit log: one JSON object a line, written before the client receives the answer.
    ///
    /// The stage `ResponseComplete` is logged once for each request; a watch also logs `ResponseStarted` before it.
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// The cluster's directory; each component logs to `<program>.log` there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The programs of this cluster.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A kubectl that acts as the administrator; the user's settings and caches do not reach it.
    pub fn kubectl(&self) -> Command {
        self.client(&self.tools.kubectl())
    }

    /// A program that acts as the administrator, with the same isolated environment as [`Self::kubectl`].
    pub(crate) fn client(&self, program: &Path) -> Command {
        let mut command = match &self.namespaces {
            None => Command::new(program),
            Some(namespaces) => namespaces.in_network(program),
        };
        command.env_clear().env("KUBECONFIG", self.kubeconfig()).env("HOME", self.directory.path());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        // Drop cannot return an error; `stop` can.
        let _ = self.take_down();
    }
}

/// Free ports below the range that the system uses for outgoing connections. A port in that range could be taken by a
/// client that keeps connecting while the server is stopped; such a client can even connect to itself.
fn free_ports() -> impl Iterator<Item = u16> {
    iter::repeat_with(random_port).take(1000).filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

fn random_port() -> u16 {
    20_000 + u16::try_from(random() % 10_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_is_tried_when_the_first_is_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let ports = iter::once(taken).chain(free_ports().take(ATTEMPTS));

        let cluster = DevCluster::start_on(ports, &Tools::find().unwrap(), Options::default()).unwrap();

        assert_ne!(cluster.network, Network::Loopback { port: taken });
    }
}
