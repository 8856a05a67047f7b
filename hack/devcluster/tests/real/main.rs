//! Tests of this crate with the real programs.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod library;
#[cfg(test)]
mod support;
