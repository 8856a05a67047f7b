//! The scan for the services that block the deletion of connectors, for one account and region.
//!
//! App Runner reports that a connector is in use and not by which services; only each service's own description names its
//! connector. So while objects wait, the services are listed again and again, once for all objects, and a service is
//! described only when it is new or its list entry changed. Every service that names a connector counts as a blocker, except
//! one that is DELETED and still listed.
//!
//! Like `decide`, the scan is pure: [`ServiceScan::next`] names the next call, and [`ServiceScan::apply`] applies its
//! outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::arn::ConnectorArn;
use super::blocker::{self, Arrival, Blocker};
use super::clock::{Moment, Now};
use super::error_class::ErrorClass;
use super::intervals::Intervals;
use super::outcome::{Failure, Operation, Outcome, Page, Service};
use super::rate_limit::half_of_the_rate;

/// After this many consecutive failures of one page the list is restarted.
const MAX_TRIES: u32 = 3;
/// A list of more pages is taken for endless: App Runner allows an account far fewer services.
const MAX_PAGES: u32 = 500;

/// The services of one account and region, as far as they matter to the objects that wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceScan {
    services: BTreeMap<String, CachedService>,
    watched: BTreeMap<ConnectorArn, WatchedConnector>,
    listing: Option<Listing>,
    listed: Option<ListSnapshot>,
    changed_at: Option<Moment>,
    failing: Option<Failing>,
    /// The failure hid the services when changes were last reported.
    reported_unreadable: bool,
}

/// The next step of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A call to App Runner.
    Call(ScanCall),
    /// Nothing before this time.
    Rest(Moment),
    /// No object waits.
    Done,
}

/// A call of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScanCall {
    /// `ListServices`, from the beginning or with the token of the next page.
    List(Option<String>),
    /// `DescribeService`
    Describe(String),
}

/// A call of a scan with its outcome.
#[derive(Clone, Debug)]
pub(crate) enum ScanOutcome {
    /// Of `ListServices`.
    List {
        /// The token that it was called with.
        token: Option<String>,
        /// A page.
        outcome: Outcome<Page<Service>>,
    },
    /// Of `DescribeService`.
    Describe {
        /// The service.
        arn: String,
        /// The connector that its outgoing traffic uses.
        outcome: Outcome<Option<String>>,
    },
}

/// The services that block one connector.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Blockers {
    /// The services.
    pub services: Services,
    /// The last time that a service which used the connector released it or changed its status.
    pub released_at: Option<Moment>,
    /// The first time that the scan found no service to use it.
    pub unreferenced_at: Option<Moment>,
    /// The last time that any service of the account and region was created, changed or deleted.
    pub changed_at: Option<Moment>,
    /// Minimum interval between delete attempts for one object, so that all waiting objects together use at most half of
    /// the rate limit.
    pub min_interval: Duration,
}

/// The services that use a connector, as far as the scan knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Services {
    /// None was found, and not every service has been described yet.
    #[default]
    Unknown,
    /// They cannot be read.
    Unreadable(Failure),
    /// These use it, sorted by ARN.
    Blocking(Vec<Blocker>),
    /// No service uses it.
    None,
}

/// The times of a call, and a number drawn from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTime {
    /// Time of the request.
    pub sent: Moment,
    /// Time of the answer.
    pub now: Now,
    /// Spreads waits.
    pub jitter: f64,
}

/// Whether App Runner answered that a service which it lists does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Never,
    /// Since the last list.
    Now,
    /// Before the last list, which shows the service again.
    Before,
}

impl Gone {
    fn after_a_list(self) -> Self {
        if self == Self::Never { Self::Never } else { Self::Before }
    }
}

#[derive(Clone, Debug)]
struct CachedService {
    service: Service,
    /// The beginning of its status, if it is known.
    since: Option<Timestamp>,
    description: Option<Description>,
    failures: u32,
    gone: Gone,
}

/// The connector in a service's description, and the list entry that the service had then.
#[derive(Clone, Debug)]
struct Description {
    of: Service,
    uses: Option<String>,
}

#[derive(Clone, Debug)]
struct WatchedConnector {
    since: Moment,
    complete: bool,
    /// The services that use it, sorted by ARN.
    services: Vec<Blocker>,
    /// The services that once used it, as long as they are listed.
    released: BTreeSet<String>,
    released_at: Option<Moment>,
    unreferenced_at: Option<Moment>,
    /// Every change of a service is reported, not only one of a service that uses the connector.
    any_change: bool,
}

#[derive(Clone, Debug)]
struct Listing {
    began: Moment,
    found: Vec<Service>,
    token: Option<String>,
    pages: u32,
}

/// The last list that was read to its end.
#[derive(Clone, Copy, Debug)]
struct ListSnapshot {
    began: Moment,
    pages: u32,
}

#[derive(Clone, Debug)]
struct Failing {
    failure: Failure,
    since: Moment,
    tries: u32,
    again: Moment,
}

impl ServiceScan {
    /// Starts to look for the services of a connector; with `any_change`, every change of a service is reported for it.
    pub(crate) fn watch(&mut self, connector: &ConnectorArn, any_change: bool, now: Now) {
        let watched = self.watched.entry(connector.clone()).or_insert_with(|| WatchedConnector {
            since: now.moment,
            complete: false,
            services: Vec::new(),
            released: BTreeSet::new(),
            released_at: None,
            unreferenced_at: None,
            any_change,
        });
        watched.any_change |= any_change;
        self.recompute(now);
    }

    /// Stops looking for the services of a connector.
    pub(crate) fn unwatch(&mut self, connector: &ConnectorArn) {
        self.watched.remove(connector);
    }

    /// The blockers of a connector that is watched.
    pub(crate) fn blockers_of(
        &self,
        connector: &ConnectorArn,
        intervals: &Intervals,
        min_interval: Duration,
        now: Moment,
    ) -> Option<Blockers> {
        let watched = self.watched.get(connector)?;
        let hiding = self.failing.as_ref().filter(|failing| failing.hides_services(intervals, now));
        let services = match hiding {
            Some(failing) => Services::Unreadable(failing.failure.clone()),
            None if !watched.services.is_empty() => Services::Blocking(watched.services.clone()),
            None if watched.complete => Services::None,
            None => Services::Unknown,
        };
        Some(Blockers {
            services,
            released_at: watched.released_at,
            unreferenced_at: watched.unreferenced_at,
            changed_at: self.changed_at,
            min_interval,
        })
    }

    /// Names the next step. At this many calls a second, lists take at most half of them.
    pub(crate) fn next(&self, intervals: &Intervals, rate: f64, now: Moment) -> Step {
        if self.watched.is_empty() {
            return Step::Done;
        }
        if let Some(failing) = self.failing.as_ref().filter(|failing| now < failing.again) {
            return Step::Rest(failing.again);
        }
        if let Some(listing) = &self.listing {
            return Step::Call(ScanCall::List(listing.token.clone()));
        }
        let Some(listed) = self.listed else { return Step::Call(ScanCall::List(None)) };
        let share = half_of_the_rate(listed.pages, rate);
        let due = listed.began.after(intervals.service_poll.max(share));
        match self.undescribed() {
            _ if now >= due => Step::Call(ScanCall::List(None)),
            Some(arn) => Step::Call(ScanCall::Describe(arn.to_owned())),
            None => Step::Rest(due),
        }
    }

    /// Applies the outcome of a call, and returns the connectors whose blockers changed.
    pub(crate) fn apply(
        &mut self,
        outcome: ScanOutcome,
        intervals: &Intervals,
        time: CallTime,
    ) -> BTreeSet<ConnectorArn> {
        match outcome {
            ScanOutcome::List { token, outcome } => self.apply_list_call(token.is_none(), outcome, intervals, time),
            ScanOutcome::Describe { arn, outcome } => self.apply_describe(&arn, outcome, intervals, time),
        }
        let mut changed = self.recompute(time.now);
        if self.changed_at == Some(time.now.moment) {
            let interested = self.watched.iter().filter(|(_, watched)| watched.any_change);
            changed.extend(interested.map(|(arn, _)| arn.clone()));
        }
        let unreadable =
            self.failing.as_ref().is_some_and(|failing| failing.hides_services(intervals, time.now.moment));
        if std::mem::replace(&mut self.reported_unreadable, unreadable) != unreadable {
            changed.extend(self.watched.keys().cloned());
        }
        changed
    }

    fn apply_list_call(&mut self, first: bool, outcome: Outcome<Page<Service>>, intervals: &Intervals, time: CallTime) {
        let failure = match outcome.into_result() {
            Ok(_) if self.is_endless() => {
                self.listing = None;
                Failure::unproven(Operation::ListServices, "the list has no end")
            }
            Ok(page) => {
                self.apply_page(first, page, time);
                return self.succeeded(Operation::ListServices);
            }
            Err(failure) => failure,
        };
        let tries = self.failed(failure.clone(), intervals, time);
        // A token may be too old, or may never have been valid.
        if failure.class == ErrorClass::InvalidRequest || tries >= MAX_TRIES {
            self.listing = None;
        }
    }

    fn apply_describe(&mut self, arn: &str, outcome: Outcome<Option<String>>, intervals: &Intervals, time: CallTime) {
        match outcome {
            Outcome::Done(uses) => {
                if let Some(cached) = self.services.get_mut(arn) {
                    if uses.is_none() {
                        cached.gone = Gone::Never;
                    }
                    cached.description = Some(Description { of: cached.service.clone(), uses });
                    cached.failures = 0;
                }
                self.succeeded(Operation::DescribeService);
            }
            // The service was deleted after it was listed, which is not an error. The next list shows whether it was.
            Outcome::Refused(failure) if failure.class == ErrorClass::NotFound => {
                if let Some(cached) = self.services.get_mut(arn) {
                    (cached.description, cached.gone) = (None, Gone::Now);
                }
                self.succeeded(Operation::DescribeService);
            }
            Outcome::Refused(failure) | Outcome::NotSent(failure) | Outcome::Unknown(failure) => {
                if let Some(cached) = self.services.get_mut(arn) {
                    cached.failures = cached.failures.saturating_add(1);
                }
                self.failed(failure, intervals, time);
            }
        }
    }

    fn is_endless(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.pages >= MAX_PAGES)
    }

    fn apply_page(&mut self, first: bool, page: Page<Service>, time: CallTime) {
        let listing = self.listing.take().filter(|_| !first);
        let mut listing = listing.unwrap_or(Listing { began: time.sent, found: Vec::new(), token: None, pages: 0 });
        listing.found.extend(page.items.into_iter().filter(|service| !service.is_deleted()));
        listing.pages += 1;
        listing.token = page.next;
        if listing.token.is_some() {
            self.listing = Some(listing);
        } else {
            self.apply_list(listing, time.now);
        }
    }

    fn apply_list(&mut self, listing: Listing, now: Now) {
        let mut before = std::mem::take(&mut self.services);
        let same = |service: &Service| before.get(&service.arn).is_some_and(|cached| cached.service == *service);
        let existing = before.values().filter(|cached| cached.gone != Gone::Now).count();
        if self.listed.is_some() && !(existing == listing.found.len() && listing.found.iter().all(same)) {
            self.changed_at = Some(now.moment);
        }
        for service in listing.found {
            let before = before.remove(&service.arn);
            let known = before.as_ref().map(|cached| (&cached.service, cached.since));
            let since = blocker::status_since(&service, known, self.listed.is_none(), now.wall);
            let gone = before.as_ref().map_or(Gone::Never, |cached| cached.gone.after_a_list());
            let description = before.and_then(|cached| cached.description);
            self.services.insert(service.arn.clone(), CachedService { service, since, description, gone, failures: 0 });
        }
        self.listed = Some(ListSnapshot { began: listing.began, pages: listing.pages });
        // A service that could not be described may have been deleted; then the failure is over.
        if self.undescribed().is_none() {
            self.succeeded(Operation::DescribeService);
        }
    }

    /// Ends a failure of this operation. The right to list implies no right to describe, nor the other way round.
    fn succeeded(&mut self, operation: Operation) {
        self.failing.take_if(|failing| {
            let failed = failing.failure.operation;
            failed == operation || !matches!(failed, Operation::ListServices | Operation::DescribeService)
        });
    }

    /// Starts or extends a failure, and returns the number of consecutive ones.
    fn failed(&mut self, failure: Failure, intervals: &Intervals, time: CallTime) -> u32 {
        let before = self.failing.take();
        let tries = before.as_ref().map_or(0, |failing| failing.tries).saturating_add(1);
        let wait = if failure.class.needs_access() {
            intervals.access.initial
        } else {
            intervals.retry.jittered(tries, time.jitter)
        };
        let now = time.now.moment;
        let since = before.map_or(now, |failing| failing.since);
        self.failing = Some(Failing { failure, since, tries, again: now.after(wait) });
        tries
    }

    /// A service that has to be described; one that failed comes after the others.
    fn undescribed(&self) -> Option<&str> {
        let undescribed = self.services.values().filter(|cached| cached.is_undescribed());
        undescribed.min_by_key(|cached| cached.failures).map(|cached| cached.service.arn.as_str())
    }

    /// Recomputes the services of each connector, and returns the connectors for which they changed.
    fn recompute(&mut self, now: Now) -> BTreeSet<ConnectorArn> {
        let all_described = self.undescribed().is_none();
        let mut changed = BTreeSet::new();
        for (arn, watched) in &mut self.watched {
            // A deleted service does not come back: no ARN is used twice.
            watched.released.retain(|arn| self.services.contains_key(arn));
            let using = self.services.values().filter(|cached| cached.uses(arn));
            let services: Vec<_> = using.map(|cached| watched.blocker(cached, now.wall)).collect();
            // Only a list that began after the object subscribed shows the services of that time.
            let listed = self.listed.is_some_and(|listed| listed.began >= watched.since);
            let complete = watched.complete || (all_described && listed);
            if services == watched.services && complete == watched.complete {
                continue;
            }
            let still = |before: &Blocker| services.iter().any(|service| service.is_unchanged(before));
            if !watched.services.iter().all(still) {
                watched.released_at = Some(now.moment);
            }
            if complete && !watched.complete && services.is_empty() {
                watched.unreferenced_at = Some(now.moment);
            }
            let before = std::mem::replace(&mut watched.services, services);
            watched.complete = complete;
            watched.note_released(before);
            changed.insert(arn.clone());
        }
        changed
    }
}

impl Blockers {
    /// The last change that is a reason to repeat the delete.
    ///
    /// After a refusal that does not say "in use", being unreferenced is not a reason, and any change of a service is one.
    pub(crate) fn retry_since(&self, unexplained: bool) -> Option<Moment> {
        self.released_at.max(if unexplained { self.changed_at } else { self.unreferenced_at })
    }
}

impl WatchedConnector {
    /// A service that uses the connector, and whether it began to while an object waited.
    fn blocker(&self, cached: &CachedService, seen: Timestamp) -> Blocker {
        let Service { arn, name, status, .. } = cached.service.clone();
        let arrival = match self.blocker_of(&arn) {
            Some(before) => before.arrival,
            // Before the first complete scan it is not known who used the connector when the object began to wait.
            None if !self.complete => None,
            // App Runner did not know it for a moment, and listed it before and after.
            None if cached.gone == Gone::Before => None,
            None => Some(Arrival { again: self.released.contains(&arn), since: cached.described_change(seen) }),
        };
        Blocker { arn, name, status, since: cached.since, arrival }
    }

    fn blocker_of(&self, service: &str) -> Option<&Blocker> {
        let at = self.services.binary_search_by(|blocker| blocker.arn.as_str().cmp(service)).ok()?;
        self.services.get(at)
    }

    /// Remembers the services that no longer use the connector.
    fn note_released(&mut self, before: Vec<Blocker>) {
        let released: Vec<_> = before.into_iter().filter(|service| self.blocker_of(&service.arn).is_none()).collect();
        self.released.extend(released.into_iter().map(|service| service.arn));
    }
}

impl CachedService {
    fn is_undescribed(&self) -> bool {
        self.gone != Gone::Now && self.description.as_ref().is_none_or(|description| description.of != self.service)
    }

    fn uses(&self, connector: &ConnectorArn) -> bool {
        self.description.as_ref().is_some_and(|description| description.uses.as_deref() == Some(connector.as_str()))
    }

    /// The time of the change that its description shows.
    fn described_change(&self, seen: Timestamp) -> Timestamp {
        let described = self.description.as_ref().map_or(&self.service, |description| &description.of);
        blocker::changed_at(described, seen)
    }
}

impl Failing {
    /// One transient failure hides nothing: for 30 s the services that were read last still count.
    fn hides_services(&self, intervals: &Intervals, now: Moment) -> bool {
        self.failure.class.needs_access() || now >= self.since.after(intervals.services_stale_after)
    }
}
