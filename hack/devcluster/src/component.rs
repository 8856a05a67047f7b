//! The three programs of a control plane, and how each is started.

use std::{fmt, path::Path};

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store behind the API server.
    Etcd,
    /// The API itself.
    ApiServer,
    /// Garbage collection, the end of namespaces, service accounts.
    ControllerManager,
}

impl Component {
    /// All, in the order they are started.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];

    /// The program's name, which is its file's as well.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }

    /// Its arguments; `root` is the cluster's directory and `port` the API server's.
    pub(crate) fn arguments(self, root: &Path, port: u16) -> Vec<String> {
        let root = root.display();
        match self {
            Self::Etcd => etcd(&root),
            Self::ApiServer => api_server(&root, port),
            Self::ControllerManager => controller_manager(&root),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

fn etcd(root: &impl fmt::Display) -> Vec<String> {
    let (clients, peers) = (format!("unix://{root}/etcd.sock"), format!("unix://{root}/etcd-peers.sock"));
    vec![
        "--name=devcluster".to_owned(),
        format!("--data-dir={root}/etcd"),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=devcluster={peers}"),
        // What fsync guards against is the machine's end, which no cluster of ours survives anyway.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server(root: &impl fmt::Display, port: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers=unix://{root}/etcd.sock"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={root}/apiserver.crt"),
        format!("--tls-private-key-file={root}/apiserver.key"),
        format!("--client-ca-file={root}/ca.crt"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-signing-key-file={root}/service-accounts.key"),
        format!("--service-account-key-file={root}/service-accounts.pub"),
        "--api-audiences=kubernetes".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--max-requests-inflight=2000".to_owned(),
        "--max-mutating-requests-inflight=1000".to_owned(),
        format!("--audit-policy-file={root}/audit-policy.yaml"),
        format!("--audit-log-path={root}/audit.log"),
        // An answer that a client has seen is in the log, and stays in that one file: tests count in it.
        "--audit-log-mode=blocking".to_owned(),
        "--audit-log-maxsize=0".to_owned(),
    ]
}

fn controller_manager(root: &impl fmt::Display) -> Vec<String> {
    vec![
        format!("--kubeconfig={root}/controller-manager.kubeconfig"),
        format!("--service-account-private-key-file={root}/service-accounts.key"),
        format!("--root-ca-file={root}/ca.crt"),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // Each controller fetches a token of its own first; at the default pace that takes five seconds.
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        // Nobody asks it anything, and a port it doesn't have can't be taken.
        "--secure-port=0".to_owned(),
    ]
}
