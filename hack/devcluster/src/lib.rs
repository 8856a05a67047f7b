//! Starts a real Kubernetes on this machine, with or without a node, and leaves nothing behind.
//!
//! A fake API server agrees with whoever wrote it. What finalizers, `/status`, admission and watches really do is
//! known to the real one only, so tests and the demonstration run against it: etcd, kube-apiserver and
//! kube-controller-manager, as [`Tools`] finds them built. There is no node, and no pod ever runs, unless one asks for a
//! [`NodeCluster`].
//!
//! ```no_run
//! let cluster = devcluster::DevCluster::start(devcluster::Options::default())?;
//! cluster.kubectl().args(["create", "namespace", "team-a"]).status()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One directory, one port
//! All that a cluster writes stands in a directory of its own that only its owner may enter: certificates,
//! kubeconfigs, etcd's data, logs, the audit log. etcd listens on a socket in that directory, so no other cluster's
//! API server can reach it by mistake. The API server alone has a TCP port.
//!
//! # How it goes away, whatever happens
//! `Drop` does not run when a process is killed, nor for a `static`, and a test binary may meet both. So the
//! processes are not held by code that must run, but by pipes that the kernel closes:
//!
//! - Each component runs under a small shell, its *supervisor*, that reads from a pipe of ours. The pipe's end is
//!   our end: the component is killed at once.
//! - The directory has a shell too, its *sweeper*, that reads from a pipe which we and every supervisor hold. That one
//!   ends when the last of all processes is gone: then nobody writes any more, and the directory is removed.
//!
//! Both stand in process groups of their own, so that a Ctrl-C in a terminal ends the owner and not them. `Drop` closes
//! the same pipes and then waits for the sweeper: there is one way down, and it is taken every time.
//!
//! # The node
//! A [`NodeCluster`] adds kube-scheduler, containerd, the kubelet and a DNS server, and pods run. It wants root, and the
//! whole machine: addresses, mounts, cgroups, settings of the kernel. So all its programs run in mount, network and PID
//! namespaces of its own, in which they find all that, and the machine keeps what it has:
//!
//! - In the network is one bridge with the node's address and the API server's service address on it. Nothing has to
//!   translate addresses, so there is no kube-proxy and no rule of a firewall; services other than `kubernetes` have an
//!   address that nobody answers at.
//! - Images, volumes and containers are in memory that is mounted in there; `/run`, `/var/lib` and `/var/log` are
//!   covered, and the kernel's settings that the kubelet changes are copies.
//! - Containers have their cgroups below one that is called after the cluster's directory.
//!
//! The first process of the PID namespace reads from a pipe of ours as well. When that ends, it ends, and the kernel kills
//! the rest: programs, shims, containers, in whatever state they are and whoever started them. With the last of them
//! the mounts and networks are gone. What is left are empty cgroups; the sweeper removes them with the directory.

mod certs;
mod cluster;
mod component;
mod directory;
mod error;
mod image;
mod kubeconfig;
mod kubelet;
mod namespaces;
mod needs;
mod node;
mod process;
mod readiness;
mod site;
mod tools;

pub use cluster::{DevCluster, Options};
pub use component::Component;
pub use error::Error;
pub use image::write_image;
pub use node::{NodeCluster, Program};
pub use tools::Tools;
