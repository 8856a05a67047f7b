//! Where a cluster stands: on the machine's loopback, or in a network of its own with a node in it.

use std::net::Ipv4Addr;

use crate::Component;

/// The node's address, in the network of its own.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The name that pods can resolve it by.
pub(crate) const NODE_NAME: &str = "apprunner.test";
/// The API server's address, as pods are told it: the first one of `--service-cluster-ip-range`.
pub(crate) const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Where a cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// On the machine's loopback, beside others.
    Loopback {
        /// The API server's port.
        port: u16,
    },
    /// Alone in namespaces of its own.
    Node,
}

impl Site {
    /// What runs there, in the order it is started.
    pub(crate) fn components(self) -> &'static [Component] {
        match self {
            Self::Loopback { .. } => &Component::ALL,
            Self::Node => &Component::WITH_NODE,
        }
    }

    /// Where clients find the API server.
    pub(crate) fn address(self) -> Ipv4Addr {
        match self {
            Self::Loopback { .. } => Ipv4Addr::LOCALHOST,
            Self::Node => NODE_ADDRESS,
        }
    }

    /// The API server's port; in a network of our own it is the one that pods call, so that nothing has to translate.
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
