//! The promises of this crate, kept against the real programs.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod library;
#[cfg(test)]
mod support;
