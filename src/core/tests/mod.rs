//! The table, row by row; the laws it keeps; and what this folder may not touch.

mod answers;
mod evidence;
mod laws;
mod purity;
mod rows;
mod status;
