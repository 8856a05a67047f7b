//! The operator as its users install it: in a pod, on a real node, with Helm.
//!
//! One file a theme. A scenario is a test whose body is handed to [`support::scenario`], which gives it a namespace that
//! enforces the strictest Pod Security, and an App Runner that pods find by name; all share one cluster, one after the
//! other, because what a chart installs is partly the whole cluster's.
#![allow(unreachable_pub, reason = "the helpers' own privacy is between them and the tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod ground;
mod operator;
mod support;
