//! The Kubernetes operator for AWS App Runner VPC connectors: deleting a `VpcConnector` object deletes the connector and
//! leaves a receipt, or reports exactly what prevents it.
//!
//! Three promises, in this order. **Nothing is lost**: an object never disappears while its connector may remain, and
//! nothing is deleted that the object does not own. **Nothing is hidden**: the status reports AWS's replies, what holds the
//! deletion, and the time of the next attempt. **Nothing is wasted**: a deletion costs two AWS calls, one status write and
//! one finalizer write.
//!
//! # The reconcile loop
//!
//! ```text
//!  watch ─┐                        pure, no I/O, no clock             one call
//!         ├─► reconcile: observe ─► decide(&Evidence) ─► Decision ─► execute ─► Completed ─► apply ─► status, Event
//!  timer ─┘                 ▲                                                                  │
//!                           └───────────────────── next pass, 24 at most ◄─────────────────────┘
//! ```
//!
//! Read in this order: [`core::decide`], the operator's behaviour on one page; [`core::transition`], which applies the
//! outcome of each call; [`core::error_class`], the table of AWS's errors; [`controller::reconcile`], the loop around them;
//! [`controller`] and [`controller::watch`], which feed the loop. [`apprunner`] and [`cluster`] are the two sides, and do not
//! import each other. [`core::blockers`] finds the services that block a deletion, [`core::rate_limit`] limits the rate of calls
//! to AWS, and [`api`] is the resource that users see. [`commands`] has `run`, and two commands that only read: `report` and
//! `preflight`.
//!
//! # Words
//!
//! The code uses the words of Kubernetes, kube-rs and AWS. These it adds:
//!
//! - **evidence**: everything that a decision is made from.
//! - **effect**: one call, as a value; a decision names at most one.
//! - **outcome**: the result of a call, and above all whether it can have taken effect.
//! - **transition**: the change that an outcome makes to the evidence.
//! - **proof**: the fact that allows the finalizer to be removed.
//! - **receipt**: the last status that App Runner reported for a deleted connector, kept in the object's status.
//! - **claim**: an object's ownership of a connector: the owner tag in AWS and `.status.arn`.
//! - **owner tag**: the AWS tag that names the cluster, namespace and name of the owner.
//! - **blocker**: an App Runner service whose use of a connector prevents its deletion.
//! - **wait**: a reason, a message and a time until which nothing is done.
//! - **pass**: one round of the reconcile loop, with one decision and at most one call.
//! - **own writes**: the versions that our writes returned, used until the watch shows them.

pub mod accounts_file;
pub mod api;
mod apprunner;
mod causes;
pub mod cli;
mod clock;
mod cluster;
pub mod commands;
#[cfg(test)]
#[path = "../hack/committed.rs"]
mod committed;
mod controller;
mod core;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod leadership;
mod sync;
mod telemetry;
#[doc(hidden)]
pub mod testing;
