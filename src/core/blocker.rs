//! A service that blocks the deletion of a connector, and what is known about it over time.
//!
//! The beginning of a status is the service's `UpdatedAt` when the status changed, because the operator may see a change
//! late. It stays the same while the status does: App Runner renews `UpdatedAt` more often. Without `UpdatedAt` it is the
//! time at which the scan saw the change. What the first list of a scan shows was so before, for example before a restart
//! of the operator, so only `UpdatedAt` can give its time.

use jiff::Timestamp;

use super::clock::is_plausible;
use super::outcome::Service;
use super::words;

/// A service that uses a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocker {
    /// `ServiceArn`
    pub arn: String,
    /// `ServiceName`
    pub name: String,
    /// `Status`, unchanged.
    pub status: String,
    /// The beginning of this status, if it is known.
    pub since: Option<Timestamp>,
    /// The beginning of its use of the connector, if that came after an object began to wait for the connector.
    pub arrival: Option<Arrival>,
}

/// A service began to use a connector for which an object waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// It had used the connector before, and had released it.
    pub again: bool,
    /// The time.
    pub since: Timestamp,
}

impl Blocker {
    /// True if an operation on the service has not come to its end: it is in progress, or was a deletion that failed.
    ///
    /// App Runner does not say which operation is in progress.
    pub(crate) fn is_unfinished(&self) -> bool {
        ["OPERATION_IN_PROGRESS", "DELETE_FAILED"].iter().any(|status| words::same(&self.status, status))
    }

    /// The beginning of the operation that has not come to its end, if it is known.
    pub(crate) fn unfinished_since(&self) -> Option<Timestamp> {
        self.since.filter(|_| self.is_unfinished())
    }

    /// True if it is the same service in the same status.
    pub(super) fn is_unchanged(&self, other: &Self) -> bool {
        (&self.arn, &self.status, &self.name) == (&other.arn, &other.status, &other.name)
    }
}

/// The beginning of the status that a list shows, after the status and its beginning in the list before.
pub(super) fn status_since(
    listed: &Service,
    before: Option<(&Service, Option<Timestamp>)>,
    first: bool,
    seen: Timestamp,
) -> Option<Timestamp> {
    match before {
        Some((before, since)) if words::same(&before.status, &listed.status) => since,
        None if first => updated_at(listed),
        Some(_) | None => Some(changed_at(listed, seen)),
    }
}

/// The time of a change of a service that the scan has seen.
pub(super) fn changed_at(listed: &Service, seen: Timestamp) -> Timestamp {
    updated_at(listed).unwrap_or(seen)
}

fn updated_at(listed: &Service) -> Option<Timestamp> {
    listed.updated_at.filter(|at| is_plausible(*at))
}
