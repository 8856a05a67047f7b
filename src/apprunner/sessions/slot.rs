//! The current session of one identity: the operator's own, or that of a role.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;

use crate::apprunner::session::{RENEW_AGAIN, Session};
use crate::core::arn::Region;
use crate::core::outcome::Failure;
use crate::sync::lock;
use crate::telemetry::incidents::SharedFailure;

/// For this long after a failure to get a session, all requests get the same failure.
const REMEMBER_FAILURE: Duration = Duration::from_secs(5);

pub(super) struct Slot {
    /// The incident that its failures belong to.
    pub(super) shared: SharedFailure,
    /// The session, and the time of its next renewal.
    current: Mutex<Option<(Arc<Session>, Instant)>>,
    /// The turn of each region: one request to STS at a time.
    turns: Mutex<HashMap<Region, Arc<tokio::sync::Mutex<Turn>>>>,
}

/// The last failure to get a session from the STS of one region.
#[derive(Default)]
pub(super) struct Turn(Option<(Failure, Instant)>);

impl Slot {
    pub(super) fn new(shared: SharedFailure) -> Self {
        Self { shared, current: Mutex::default(), turns: Mutex::default() }
    }

    /// The session, unless a renewal is due.
    pub(super) fn current(&self) -> Option<Arc<Session>> {
        let current = lock(&self.current);
        current.as_ref().filter(|(_, renew)| Instant::now() < *renew).map(|(session, _)| session.clone())
    }

    /// True if there is a session, even if its renewal is due.
    pub(super) fn is_known(&self) -> bool {
        lock(&self.current).is_some()
    }

    pub(super) fn turn(&self, region: &Region) -> Arc<tokio::sync::Mutex<Turn>> {
        lock(&self.turns).entry(region.clone()).or_default().clone()
    }

    pub(super) fn store(&self, session: Session) -> Arc<Session> {
        self.share(Arc::new(session))
    }

    /// Stores the session of another slot.
    pub(super) fn share(&self, session: Arc<Session>) -> Arc<Session> {
        *lock(&self.current) = Some((session.clone(), Instant::now() + session.lifetime()));
        session
    }

    /// The current session, if it has these credentials; its next renewal is one lifetime later.
    pub(super) fn unchanged(&self, credentials: &Credentials) -> Option<Arc<Session>> {
        let mut current = lock(&self.current);
        let (session, renew) = current.as_mut()?;
        session.has_credentials(credentials).then(|| {
            *renew = Instant::now() + session.lifetime();
            session.clone()
        })
    }

    /// Keeps the session in use for another `RENEW_AGAIN`, unless it has expired.
    pub(super) fn extend(&self) -> Option<Arc<Session>> {
        let mut current = lock(&self.current);
        let (session, renew) = current.as_mut().filter(|(session, _)| !session.expired())?;
        *renew = Instant::now() + RENEW_AGAIN;
        Some(session.clone())
    }

    pub(super) fn invalidate(&self, session: &Arc<Session>) {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }
}

impl Turn {
    pub(super) fn recent(&self) -> Option<Failure> {
        self.0.as_ref().filter(|(_, at)| at.elapsed() < REMEMBER_FAILURE).map(|(failure, _)| failure.clone())
    }

    pub(super) fn remember(&mut self, failure: Option<&Failure>) {
        self.0 = failure.map(|failure| (failure.clone(), Instant::now()));
    }
}
