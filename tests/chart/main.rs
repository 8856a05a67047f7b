//! The chart: rendered objects, refused values, and installations with a real API server and Helm.
//!
//! `make chart` runs these tests. No pod runs here, for there is no node.
#![allow(unreachable_pub, reason = "the helpers are used only by the tests of this crate")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod comments;
#[path = "../../hack/committed.rs"]
mod committed;
mod credentials;
mod documented;
mod generated;
mod installed;
mod manifests;
mod metadata;
mod pods;
mod probed;
mod refusals;
mod rendered;
mod served;
mod sources;
mod support;
mod together;
mod uninstall;
mod watched;
