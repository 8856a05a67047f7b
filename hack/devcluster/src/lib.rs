//! Starts a real Kubernetes on this machine, with or without a node, and leaves nothing behind.
//!
//! A fake API server behaves as its author assumed. Only the real one shows how finalizers, `/status`, admission and
//! watches behave, so tests and the demonstration run against etcd, kube-apiserver and kube-controller-manager, as
//! [`Tools`] finds them built. A cluster has no node and runs no pods, unless it is a [`NodeCluster`].
//!
//! ```no_run
//! let cluster = devcluster::DevCluster::start(devcluster::Options::default())?;
//! cluster.kubectl().args(["create", "namespace", "team-a"]).status()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One directory, one port
//! All files of a cluster are in one directory that only its owner may enter: certificates, kubeconfigs, etcd's data,
//! logs, the audit log. etcd listens on a socket in that directory, so no other cluster's API server can reach it by
//! mistake. Only the API server has a TCP port.
//!
//! # Shutdown
//! `Drop` does not run when a process is killed, nor for a `static`, and a test binary may meet both. So the lifetime
//! of the processes depends on pipes, which the kernel closes, and not on code that must run:
//!
//! - Each component runs under a small shell, its *supervisor*, that reads from a pipe. When the owner of the cluster
//!   ends, the pipe closes and the supervisor kills the component at once.
//! - The directory has a shell too, its *sweeper*, that reads from a pipe whose other end the owner and every
//!   supervisor hold. The pipe closes when the last of these processes has ended. Nothing writes to the directory then,
//!   and the sweeper removes it.
//!
//! Supervisors and sweeper have process groups of their own, so a Ctrl-C in a terminal ends the owner and not them.
//! `Drop` closes the same pipes and then waits for the sweeper, so every shutdown takes the same path.
//!
//! # The node
//! A [`NodeCluster`] adds kube-scheduler, containerd, the kubelet and a DNS server, and runs pods. These programs need
//! root and expect a whole machine: addresses, mounts, cgroups, kernel settings. So they run in mount, network and PID
//! namespaces of their own, and the machine itself is not changed:
//!
//! - The network has one bridge with the node's address and the API server's service address. Addresses need no
//!   translation, so there is no kube-proxy and there are no firewall rules; services other than `kubernetes` have an
//!   address at which nothing answers.
//! - Images, volumes and containers are in memory that is mounted inside the namespaces; `/run`, `/var/lib` and
//!   `/var/log` are covered by mounts, and the kernel settings that the kubelet changes are copies.
//! - Containers have their cgroups below one that has the name of the cluster's directory.
//!
//! The first process of the PID namespace reads from a pipe of the owner as well. When the pipe closes, that process
//! ends, and the kernel kills every other process in the namespace: programs, shims and containers, in any state.
//! Mounts and networks disappear with the last process. Only empty cgroups remain; the sweeper removes them with the
//! directory.

mod audit;
mod certs;
mod cluster;
mod component;
mod directory;
mod error;
mod image;
mod kubeconfig;
mod kubelet;
mod namespaces;
mod network;
mod node;
mod process;
mod readiness;
mod requirements;
mod tools;

pub use audit::AuditEntry;
pub use cluster::{DevCluster, Options};
pub use component::Component;
pub use error::Error;
pub use image::write_image;
pub use node::{NodeCluster, Program};
pub use tools::Tools;
