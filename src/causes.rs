//! An error and its causes.

use std::error::Error;

use hyper_util::client::legacy;

/// An error and its causes, the outermost first.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// The text of the root cause: the outer errors often say only that something failed.
pub(crate) fn root_text(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Returns whether the connection failed: only that proves that nothing was sent.
pub(crate) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).filter_map(|e| e.downcast_ref::<legacy::Error>()).any(legacy::Error::is_connect)
}
