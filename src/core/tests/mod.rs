//! The table, row by row; the laws it keeps; what this folder may not touch; and that the runbook knows every word of it.

#![allow(clippy::needless_pass_by_value, reason = "builders read better without ampersands")]

mod answers;
mod evidence;
mod in_use;
mod laws;
mod purity;
mod rows;
mod runbook;
mod status;
mod survey;
