//! The Kubernetes operator for AWS App Runner VPC connectors: deleting a `VpcConnector` object deletes the connector,
//! with a receipt, or tells exactly why not.
//!
//! Three promises, in this order. **Nothing is lost**: an object never disappears while its connector may remain, and
//! nothing is deleted that the object does not own. **Nothing is hidden**: the status tells what AWS said, what holds
//! the deletion, and when it is tried again. **Nothing is wasted**: two AWS calls, one status write and one finalizer
//! write for a delete.
//!
//! # One way through the code
//!
//! ```text
//!  watch ─┐                        pure, no I/O, no clock                one effect
//!         ├─► reconcile: observe ──► decide(&Evidence) ─► Decision ──► act ──► Outcome ──► apply ─► status, Event
//!  timer ─┘                 ▲                                                                 │
//!                           └──────────────── next turn, a few at most ◄──────────────────────┘
//! ```
//!
//! Read in this order: [`core::decide`], the table that is the operator's behaviour; [`core::transition`], what each answer
//! teaches; [`reconcile`], the loop around them; [`controller`] and [`watch`], what feeds the loop. [`apprunner`] and [`cluster`] are
//! the two sides, and know nothing of each other. [`core::blockers`] finds out who uses a connector, [`core::limiter`] how often
//! AWS may be called; [`api`] is what users see. [`inventory`] and [`preflight`] are no part of the operator, and change
//! nothing: the one reports what there is, the other whether the operator may go.

pub mod api;
pub mod apprunner;
pub mod cli;
mod clock;
pub mod cluster;
pub mod commands;
pub mod controller;
pub mod core;
pub mod leadership;
mod sync;
pub mod telemetry;
