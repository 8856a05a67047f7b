//! Who uses the connectors that wait: what is cached of the services of one account and region, and what is asked next.
//!
//! App Runner says that a connector is in use and not by whom; only each service's own description tells. So while
//! anything waits, the services are listed again and again, once for all that wait, and a service is described only when
//! it is new or something about it changed. Nothing is judged: whatever names a connector is said to use it, but for
//! services that are DELETED and only still listed.
//!
//! Like the table, this is pure: [`ServiceScan::next`] names the next call, [`ServiceScan::apply`] takes in what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clock::Moment;
use super::error_class::ErrorClass;
use super::intervals::Intervals;
use super::limiter::half_of_the_rate;
use super::outcome::{Failure, Operation, Outcome, Page, Reply, Service};

/// A part of a list that failed this often in a row is given up, and the list begun anew.
const MOST_TRIES: u32 = 3;
/// A list of more pages has no end: App Runner allows an account far fewer services than stand on them.
const MOST_PAGES: u32 = 500;

/// The services of one account and region, as far as they matter to those who wait.
#[derive(Clone, Debug, Default)]
pub struct ServiceScan {
    services: BTreeMap<String, CachedService>,
    watched: BTreeMap<String, WatchedConnector>,
    listing: Option<Listing>,
    listed: Option<ListSnapshot>,
    changed_at: Option<Moment>,
    failing: Option<ScanFailure>,
    /// Whether the failing hid everything when that was last told.
    reported_unreadable: bool,
}

/// The next call, or when there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `ListServices`, from the beginning or with the token of the next page.
    List(Option<String>),
    /// `DescribeService`
    Describe(String),
    /// Nothing before this time.
    Rest(Moment),
    /// Nobody waits.
    Done,
}

/// Who uses one connector, as far as it is cached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blockers {
    /// The services whose outgoing traffic goes through it, sorted by ARN.
    pub services: Vec<Service>,
    /// Every service that there was has been looked at.
    pub complete: bool,
    /// When a service that used it last released it or changed its status.
    pub released_at: Option<Moment>,
    /// When it was first seen that none uses it.
    pub unreferenced_at: Option<Moment>,
    /// When any service of the account and region last came, changed or went.
    pub changed_at: Option<Moment>,
    /// Why nobody can be seen.
    pub unreadable: Option<Failure>,
    /// So many wait that each tries again no more often than this, or there would be no time to look.
    pub min_interval: Duration,
}

/// When a call was sent and answered, and a number drawn from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct CallTime {
    /// When it was sent.
    pub sent: Moment,
    /// When it was answered.
    pub now: Moment,
    /// Spreads waits.
    pub jitter: f64,
}

#[derive(Clone, Debug)]
struct CachedService {
    service: Service,
    description: Option<Description>,
    failures: u32,
}

/// What a service's description said, and what was listed of it then.
#[derive(Clone, Debug)]
struct Description {
    of: Service,
    uses: Option<String>,
}

#[derive(Clone, Debug)]
struct WatchedConnector {
    since: Moment,
    complete: bool,
    services: Vec<Service>,
    released_at: Option<Moment>,
    unreferenced_at: Option<Moment>,
    /// Any change of a service is changed, not only one of those that use it.
    any_change: bool,
}

#[derive(Clone, Debug)]
struct Listing {
    began: Moment,
    found: Vec<Service>,
    token: Option<String>,
    pages: u32,
}

/// The last list that came to its end.
#[derive(Clone, Copy, Debug)]
struct ListSnapshot {
    began: Moment,
    pages: u32,
}

#[derive(Clone, Debug)]
struct ScanFailure {
    failure: Failure,
    since: Moment,
    tries: u32,
    again: Moment,
}

impl ServiceScan {
    /// Begins to look for the services of a connector; with `any_change`, every change of a service is changed of it.
    pub fn watch(&mut self, connector: &str, any_change: bool, now: Moment) {
        let cached = self.watched.entry(connector.to_owned()).or_insert_with(|| WatchedConnector {
            since: now,
            complete: false,
            services: Vec::new(),
            released_at: None,
            unreferenced_at: None,
            any_change,
        });
        cached.any_change |= any_change;
        self.recompute(now);
    }

    /// Looks for the services of a connector no longer.
    pub fn unwatch(&mut self, connector: &str) {
        self.watched.remove(connector);
    }

    /// What is cached of the services of a connector that was asked for; each that waits may try again after its `min_interval`.
    pub fn blockers_of(
        &self,
        connector: &str,
        intervals: &Intervals,
        min_interval: Duration,
        now: Moment,
    ) -> Option<Blockers> {
        let cached = self.watched.get(connector)?;
        let unreadable = self.failing.as_ref().filter(|failing| failing.hides_services(intervals, now));
        Some(Blockers {
            services: if unreadable.is_none() { cached.services.clone() } else { Vec::new() },
            complete: cached.complete,
            released_at: cached.released_at,
            unreferenced_at: cached.unreferenced_at,
            changed_at: self.changed_at,
            unreadable: unreadable.map(|failing| failing.failure.clone()),
            min_interval,
        })
    }

    /// Names the next call; at this many calls a second, lists take no more than half of them.
    pub fn next(&self, intervals: &Intervals, rate: f64, now: Moment) -> Step {
        if self.watched.is_empty() {
            return Step::Done;
        }
        if let Some(failing) = self.failing.as_ref().filter(|failing| now < failing.again) {
            return Step::Rest(failing.again);
        }
        if let Some(listing) = &self.listing {
            return Step::List(listing.token.clone());
        }
        let Some(listed) = self.listed else { return Step::List(None) };
        let min_interval = half_of_the_rate(listed.pages, rate);
        let due = listed.began.after(intervals.service_poll.max(min_interval));
        match self.undescribed() {
            _ if now >= due => Step::List(None),
            Some(arn) => Step::Describe(arn.to_owned()),
            None => Step::Rest(due),
        }
    }

    /// Takes in what came of a call; gives the connectors of which there is something new to tell.
    pub fn apply(&mut self, step: &Step, outcome: Outcome, intervals: &Intervals, time: CallTime) -> BTreeSet<String> {
        match (step, outcome) {
            (Step::List(_), Outcome::Done(Reply::Services(_))) if self.is_endless() => {
                self.listing = None;
                self.failed(step, unproven(Operation::ListServices, "the list has no end"), intervals, time);
            }
            (Step::List(token), Outcome::Done(Reply::Services(part))) => {
                self.apply_page(token.is_none(), part, time);
                self.succeeded(Operation::ListServices);
            }
            (Step::Describe(arn), Outcome::Done(Reply::Egress(uses))) => {
                self.apply_service(arn, uses);
                self.succeeded(Operation::DescribeService);
            }
            // It went between the list and the look, which is no error.
            (Step::Describe(arn), Outcome::Refused(failure)) if failure.class == ErrorClass::NotFound => {
                self.services.remove(arn);
                self.succeeded(Operation::DescribeService);
            }
            (_, outcome) => self.failed(step, step.failure_in(outcome), intervals, time),
        }
        let mut changed = self.recompute(time.now);
        if self.changed_at == Some(time.now) {
            let interested = self.watched.iter().filter(|(_, connector)| connector.any_change);
            changed.extend(interested.map(|(arn, _)| arn.clone()));
        }
        let reported_unreadable =
            self.failing.as_ref().is_some_and(|failing| failing.hides_services(intervals, time.now));
        if std::mem::replace(&mut self.reported_unreadable, reported_unreadable) != reported_unreadable {
            changed.extend(self.watched.keys().cloned());
        }
        changed
    }

    fn is_endless(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.pages >= MOST_PAGES)
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

    fn apply_list(&mut self, listing: Listing, now: Moment) {
        let mut before = std::mem::take(&mut self.services);
        let same = |service: &Service| before.get(&service.arn).is_some_and(|cached| cached.service == *service);
        if self.listed.is_some() && !(before.len() == listing.found.len() && listing.found.iter().all(same)) {
            self.changed_at = Some(now);
        }
        for service in listing.found {
            let description = before.remove(&service.arn).and_then(|cached| cached.description);
            self.services.insert(service.arn.clone(), CachedService { service, description, failures: 0 });
        }
        self.listed = Some(ListSnapshot { began: listing.began, pages: listing.pages });
        // What could not be described may be gone, and then nothing stands in the way any more.
        if self.undescribed().is_none() {
            self.succeeded(Operation::DescribeService);
        }
    }

    fn apply_service(&mut self, arn: &str, uses: Option<String>) {
        if let Some(cached) = self.services.get_mut(arn) {
            cached.description = Some(Description { of: cached.service.clone(), uses });
            cached.failures = 0;
        }
    }

    /// Being allowed to list says nothing of being allowed to describe, nor the other way round.
    fn succeeded(&mut self, operation: Operation) {
        self.failing.take_if(|failing| {
            let of = failing.failure.operation;
            of == operation || !matches!(of, Operation::ListServices | Operation::DescribeService)
        });
    }

    fn failed(&mut self, step: &Step, failure: Failure, intervals: &Intervals, time: CallTime) {
        let before = self.failing.take();
        let tries = before.as_ref().map_or(0, |failing| failing.tries).saturating_add(1);
        match step {
            Step::Describe(arn) => {
                if let Some(cached) = self.services.get_mut(arn) {
                    cached.failures = cached.failures.saturating_add(1);
                }
            }
            // A token may be too old, or never have been good.
            _ if failure.class == ErrorClass::InvalidRequest || tries >= MOST_TRIES => self.listing = None,
            _ => {}
        }
        let wait = if failure.class.needs_access() {
            intervals.access.initial
        } else {
            intervals.retry.jittered(tries, time.jitter)
        };
        let again = time.now.after(wait);
        let since = before.map_or(time.now, |failing| failing.since);
        self.failing = Some(ScanFailure { failure, since, tries, again });
    }

    /// A service that is to be described; one that failed waits for the others.
    fn undescribed(&self) -> Option<&str> {
        let undescribed = self.services.values().filter(|cached| cached.is_undescribed());
        undescribed.min_by_key(|cached| cached.failures).map(|cached| cached.service.arn.as_str())
    }

    /// Counts anew who uses what; gives the connectors where that changed.
    fn recompute(&mut self, now: Moment) -> BTreeSet<String> {
        let all_read = self.undescribed().is_none();
        let mut changed = BTreeSet::new();
        for (arn, connector) in &mut self.watched {
            let services: Vec<Service> =
                self.services.values().filter(|cached| cached.uses(arn)).map(CachedService::as_blocker).collect();
            // Only a list that began after somebody asked has seen what there was then.
            let listed = self.listed.is_some_and(|listed| listed.began >= connector.since);
            let complete = connector.complete || (all_read && listed);
            if services == connector.services && complete == connector.complete {
                continue;
            }
            if connector.services.iter().any(|service| !services.contains(service)) {
                connector.released_at = Some(now);
            }
            if complete && !connector.complete && services.is_empty() {
                connector.unreferenced_at = Some(now);
            }
            (connector.services, connector.complete) = (services, complete);
            changed.insert(arn.clone());
        }
        changed
    }
}

impl Blockers {
    /// The last change that is a reason to try the delete again.
    ///
    /// After a refusal that does not say "in use", being unused is none, and any change of a service is one.
    pub fn retry_since(&self, unexplained: bool) -> Option<Moment> {
        self.released_at.max(if unexplained { self.changed_at } else { self.unreferenced_at })
    }
}

impl Step {
    /// The failure in an outcome; an answer to another question is one as well.
    fn failure_in(&self, outcome: Outcome) -> Failure {
        let operation =
            if matches!(self, Self::Describe(_)) { Operation::DescribeService } else { Operation::ListServices };
        outcome.into_failure().unwrap_or_else(|| unproven(operation, "the answer is of another kind"))
    }
}

fn unproven(operation: Operation, why: &str) -> Failure {
    Failure::new(operation, ErrorClass::Unproven, "Unproven", why)
}

impl CachedService {
    fn is_undescribed(&self) -> bool {
        self.description.as_ref().is_none_or(|description| description.of != self.service)
    }

    fn uses(&self, connector: &str) -> bool {
        self.description.as_ref().is_some_and(|description| description.uses.as_deref() == Some(connector))
    }

    /// The service without the time of its last change, which changes more than what is told of it.
    fn as_blocker(&self) -> Service {
        Service { updated_at: None, ..self.service.clone() }
    }
}

impl ScanFailure {
    /// A hiccup hides nothing: what was seen last still counts for a while.
    fn hides_services(&self, intervals: &Intervals, now: Moment) -> bool {
        self.failure.class.needs_access() || now >= self.since.after(intervals.services_stale_after)
    }
}
