//! A lock for each ARN, so that two objects that name one connector do not claim it at the same time.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::sync::lock;

/// The ARNs for which an object is being reconciled.
#[derive(Default)]
pub(super) struct ArnLocks {
    locked: Mutex<HashSet<String>>,
}

/// A locked ARN, until it is dropped.
pub(super) struct ArnLock<'a> {
    locks: &'a ArnLocks,
    arn: String,
}

impl ArnLocks {
    /// Locks an ARN, unless it is locked.
    pub(super) fn acquire(&self, arn: &str) -> Option<ArnLock<'_>> {
        lock(&self.locked).insert(arn.to_owned()).then(|| ArnLock { locks: self, arn: arn.to_owned() })
    }
}

impl Drop for ArnLock<'_> {
    fn drop(&mut self) {
        lock(&self.locks.locked).remove(&self.arn);
    }
}
