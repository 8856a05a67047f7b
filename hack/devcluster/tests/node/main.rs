//! Tests of a cluster with a node, with real pods.

#[cfg(test)]
mod ends;
#[cfg(test)]
mod pods;
#[cfg(test)]
#[path = "../real/support.rs"]
mod support;
#[cfg(test)]
mod visitor;
#[cfg(test)]
mod world;
