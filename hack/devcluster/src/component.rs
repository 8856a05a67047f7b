//! The programs of a cluster and their arguments.

use std::{fmt, path::Path};

use crate::{
    kubelet,
    network::{NODE_ADDRESS, NODE_HOST, Network, SERVICE_ADDRESS},
};

/// A program of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// Garbage collection, namespace deletion, service accounts.
    ControllerManager,
    /// Assigns pods to the node. Only a cluster with a node runs this component and those below.
    Scheduler,
    /// Answers the pods' DNS queries.
    Dns,
    /// Runs containers.
    Containerd,
    /// Runs pods.
    Kubelet,
}

impl Component {
    /// The components of a control plane, in the order they are started.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];

    /// The components of a cluster with a node, in the order they are started.
    pub const WITH_NODE: [Self; 7] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Dns,
        Self::Containerd,
        Self::Kubelet,
    ];

    /// The components of a cluster in the given network, in the order they are started.
    pub(crate) const fn all_in(network: Network) -> &'static [Self] {
        match network {
            Network::Loopback { .. } => &Self::ALL,
            Network::Node => &Self::WITH_NODE,
        }
    }

    /// The program's name, which is also its file name.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Dns => "dnsmasq",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        }
    }

    /// The program's arguments; `root` is the cluster's directory.
    pub(crate) fn arguments(self, root: &Path, network: Network) -> Vec<String> {
        let root = root.display();
        match self {
            Self::Etcd => etcd(&root),
            Self::ApiServer => api_server(&root, network),
            Self::ControllerManager => controller_manager(&root),
            Self::Scheduler => scheduler(&root),
            Self::Dns => dns(),
            Self::Containerd => vec![format!("--config={root}/containerd.toml")],
            Self::Kubelet => kubelet::arguments(&root),
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
        // fsync protects data from a crash of the machine, and no cluster survives that anyway.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server(root: &impl fmt::Display, network: Network) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers=unix://{root}/etcd.sock"),
        format!("--secure-port={}", network.port()),
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
        // An answer that a client has seen is in the log already, and the log is never rotated: tests count its lines.
        "--audit-log-mode=blocking".to_owned(),
        "--audit-log-maxsize=0".to_owned(),
    ];
    arguments.extend(match network {
        Network::Loopback { .. } => vec!["--bind-address=127.0.0.1".to_owned()],
        Network::Node => vec![
            // Pods call the API server at the service's address, which is also an address of the node.
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={NODE_ADDRESS}"),
            // The API server calls the kubelet for logs; no DNS server knows the kubelet's host name.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--kubelet-client-certificate={root}/kubelet-client.crt"),
            format!("--kubelet-client-key={root}/kubelet-client.key"),
        ],
    });
    arguments
}

fn controller_manager(root: &impl fmt::Display) -> Vec<String> {
    vec![
        format!("--kubeconfig={root}/controller-manager.kubeconfig"),
        format!("--service-account-private-key-file={root}/service-accounts.key"),
        format!("--root-ca-file={root}/ca.crt"),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // Each controller fetches a token first; with the default rate limit that takes 5 s.
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        // Nothing calls this component, and a closed port cannot collide with another program's.
        "--secure-port=0".to_owned(),
    ]
}

fn scheduler(root: &impl fmt::Display) -> Vec<String> {
    let kubeconfig = format!("{root}/scheduler.kubeconfig");
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
    ]
}

/// Answers only from these arguments: dnsmasq reads neither the machine's host names nor its name servers, which are
/// not reachable from this network.
fn dns() -> Vec<String> {
    vec![
        "--conf-file=/dev/null".to_owned(),
        "--keep-in-foreground".to_owned(),
        "--user=root".to_owned(),
        "--pid-file=".to_owned(),
        "--no-resolv".to_owned(),
        "--no-hosts".to_owned(),
        format!("--listen-address={NODE_ADDRESS}"),
        "--bind-interfaces".to_owned(),
        format!("--host-record={NODE_HOST},{NODE_ADDRESS}"),
        format!("--host-record=kubernetes.default.svc.cluster.local,{SERVICE_ADDRESS}"),
        // Every other name gets NXDOMAIN; a resolver needs that answer before it tries the next entry of its search
        // list.
        "--local=/#/".to_owned(),
        "--log-queries".to_owned(),
        "--log-facility=-".to_owned(),
    ]
}
