//! The network of a cluster: the machine's loopback, or a network namespace with a node in it.

use std::net::Ipv4Addr;

/// Name of the Kubernetes Node object.
pub(crate) const NODE_NAME: &str = "node";
/// Name of the bridge that pods are connected to.
pub(crate) const BRIDGE: &str = "node0";
/// The node's address in its network namespace.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// DNS name of the node's address, for pods.
pub(crate) const NODE_HOST: &str = "apprunner.test";
/// The API server's address for pods: the first address of `--service-cluster-ip-range`.
pub(crate) const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The network that a cluster listens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// The machine's loopback, which clusters share.
    Loopback {
        /// The API server's port.
        port: u16,
    },
    /// A network namespace of its own, with a node.
    Node,
}

impl Network {
    /// The API server's address for clients.
    pub(crate) fn address(self) -> Ipv4Addr {
        match self {
            Self::Loopback { .. } => Ipv4Addr::LOCALHOST,
            Self::Node => NODE_ADDRESS,
        }
    }

    /// The API server's port; with a node it is the port that pods call, so that addresses need no translation.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Loopback { port } => port,
            Self::Node => 443,
        }
    }

    /// The names that the API server's certificate is for.
    pub(crate) fn names(self) -> Vec<String> {
        let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
        if self == Self::Node {
            names.extend([NODE_ADDRESS.to_string(), SERVICE_ADDRESS.to_string()]);
        }
        names
    }
}
