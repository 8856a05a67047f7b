//! The table, row by row; the laws it keeps; and what this folder may not touch.

#![allow(clippy::needless_pass_by_value, reason = "builders read better without ampersands")]

mod answers;
mod evidence;
mod in_use;
mod laws;
mod purity;
mod rows;
mod status;
mod survey;
