//! The operator as users run it: a process, a real API server, and an App Runner over HTTP.
//!
//! Each theme has a file. All tests share one API server; each test has its own namespace, emulator and operator, so
//! the tests run in parallel.
#![allow(unreachable_pub, reason = "the helpers are used only by the tests of this crate")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a failing test panics")]

mod access;
mod accounts;
mod adoption;
mod answers;
mod chaos;
mod churn;
mod crashes;
mod default_policy;
mod deletion;
mod endpoints;
mod faults;
mod flags;
mod gitops;
mod handover;
mod in_use;
mod leadership;
mod lifecycle;
mod limits;
mod logging;
mod members;
mod network;
mod outages;
mod ownership;
mod preflight;
mod protection;
mod proxy;
mod refusals;
mod report;
mod report_accounts;
mod resource;
mod scale;
mod several_accounts;
mod sign_in;
mod support;
mod trust;
mod words;
