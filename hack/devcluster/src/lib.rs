//! Starts a real Kubernetes control plane on loopback, and leaves nothing behind.
//!
//! A fake API server agrees with whoever wrote it. What finalizers, `/status`, admission and watches really do is
//! known to the real one only, so tests and the demonstration run against it: etcd, kube-apiserver and
//! kube-controller-manager, as [`Tools`] finds them built. There is no node: no pod ever runs.
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

mod certs;
mod cluster;
mod component;
mod directory;
mod error;
mod kubeconfig;
mod process;
mod readiness;
mod tools;

pub use cluster::{DevCluster, Options};
pub use component::Component;
pub use error::Error;
pub use tools::Tools;
