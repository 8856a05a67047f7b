//! Who uses the connectors that wait: what is known of the services of one account and region, and what is asked next.
//!
//! App Runner says that a connector is in use and not by whom; only each service's own description tells. So while
//! anything waits, the services are listed again and again, once for all that wait, and a service is described only when
//! it is new or something about it changed. Nothing is judged: whatever names a connector is said to use it, but for
//! services that are DELETED and only still listed.
//!
//! Like the table, this is pure: [`Survey::next`] names the next call, [`Survey::apply`] takes in what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clock::Moment;
use super::limiter::half_of_the_rate;
use super::outcome::{Class, Failure, Operation, Outcome, Page, Reply, Service};
use super::intervals::Intervals;

/// A part of a list that failed this often in a row is given up, and the list begun anew.
const MOST_TRIES: u32 = 3;
/// A list of more pages has no end: App Runner allows an account far fewer services than stand on them.
const MOST_PAGES: u32 = 500;

/// The services of one account and region, as far as they matter to those who wait.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    services: BTreeMap<String, Known>,
    waiting: BTreeMap<String, Connector>,
    listing: Option<Listing>,
    listed: Option<Listed>,
    changed_at: Option<Moment>,
    trouble: Option<Trouble>,
    /// Whether the trouble hid everything when that was last told.
    blind: bool,
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

/// Who uses one connector, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    /// The services whose outgoing traffic goes through it, sorted by ARN.
    pub services: Vec<Service>,
    /// Every service that there was has been looked at.
    pub complete: bool,
    /// When a service that used it last released it or changed its status.
    pub released_at: Option<Moment>,
    /// When it was first seen that none uses it.
    pub unused_at: Option<Moment>,
    /// When any service of the account and region last came, changed or went.
    pub changed_at: Option<Moment>,
    /// Why nobody can be seen.
    pub hindered: Option<Failure>,
    /// So many wait that each tries again no more often than this, or there would be no time to look.
    pub share: Duration,
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
struct Known {
    service: Service,
    read: Option<Read>,
    failures: u32,
}

/// What a service's description said, and what was listed of it then.
#[derive(Clone, Debug)]
struct Read {
    of: Service,
    uses: Option<String>,
}

#[derive(Clone, Debug)]
struct Connector {
    since: Moment,
    complete: bool,
    users: Vec<Service>,
    released_at: Option<Moment>,
    unused_at: Option<Moment>,
    /// Any change of a service is news, not only one of those that use it.
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
struct Listed {
    began: Moment,
    pages: u32,
}

#[derive(Clone, Debug)]
struct Trouble {
    failure: Failure,
    since: Moment,
    tries: u32,
    again: Moment,
}

impl Survey {
    /// Begins to look for the users of a connector; with `any_change`, every change of a service is news of it.
    pub fn want(&mut self, connector: &str, any_change: bool, now: Moment) {
        let known = self.waiting.entry(connector.to_owned()).or_insert_with(|| Connector {
            since: now,
            complete: false,
            users: Vec::new(),
            released_at: None,
            unused_at: None,
            any_change,
        });
        known.any_change |= any_change;
        self.count_users(now);
    }

    /// Looks for the users of a connector no longer.
    pub fn forget(&mut self, connector: &str) {
        self.waiting.remove(connector);
    }

    /// What is known of the users of a connector that was asked for; each that waits may try again after its `share`.
    pub fn users_of(&self, connector: &str, intervals: &Intervals, share: Duration, now: Moment) -> Option<Users> {
        let known = self.waiting.get(connector)?;
        let hindered = self.trouble.as_ref().filter(|trouble| trouble.blinds(intervals, now));
        Some(Users {
            services: if hindered.is_none() { known.users.clone() } else { Vec::new() },
            complete: known.complete,
            released_at: known.released_at,
            unused_at: known.unused_at,
            changed_at: self.changed_at,
            hindered: hindered.map(|trouble| trouble.failure.clone()),
            share,
        })
    }

    /// Names the next call; at this many calls a second, lists take no more than half of them.
    pub fn next(&self, intervals: &Intervals, rate: f64, now: Moment) -> Step {
        if self.waiting.is_empty() {
            return Step::Done;
        }
        if let Some(trouble) = self.trouble.as_ref().filter(|trouble| now < trouble.again) {
            return Step::Rest(trouble.again);
        }
        if let Some(listing) = &self.listing {
            return Step::List(listing.token.clone());
        }
        let Some(listed) = self.listed else { return Step::List(None) };
        let share = half_of_the_rate(listed.pages, rate);
        let due = listed.began.after(intervals.service_poll.max(share));
        match self.unread() {
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
            (Step::Describe(arn), Outcome::Refused(failure)) if failure.class == Class::NotFound => {
                self.services.remove(arn);
                self.succeeded(Operation::DescribeService);
            }
            (_, outcome) => self.failed(step, step.failure_in(outcome), intervals, time),
        }
        let mut news = self.count_users(time.now);
        if self.changed_at == Some(time.now) {
            let interested = self.waiting.iter().filter(|(_, connector)| connector.any_change);
            news.extend(interested.map(|(arn, _)| arn.clone()));
        }
        let blind = self.trouble.as_ref().is_some_and(|trouble| trouble.blinds(intervals, time.now));
        if std::mem::replace(&mut self.blind, blind) != blind {
            news.extend(self.waiting.keys().cloned());
        }
        news
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
        let same = |service: &Service| before.get(&service.arn).is_some_and(|known| known.service == *service);
        if self.listed.is_some() && !(before.len() == listing.found.len() && listing.found.iter().all(same)) {
            self.changed_at = Some(now);
        }
        for service in listing.found {
            let read = before.remove(&service.arn).and_then(|known| known.read);
            self.services.insert(service.arn.clone(), Known { service, read, failures: 0 });
        }
        self.listed = Some(Listed { began: listing.began, pages: listing.pages });
        // What could not be described may be gone, and then nothing stands in the way any more.
        if self.unread().is_none() {
            self.succeeded(Operation::DescribeService);
        }
    }

    fn apply_service(&mut self, arn: &str, uses: Option<String>) {
        if let Some(known) = self.services.get_mut(arn) {
            known.read = Some(Read { of: known.service.clone(), uses });
            known.failures = 0;
        }
    }

    /// Being allowed to list says nothing of being allowed to describe, nor the other way round.
    fn succeeded(&mut self, operation: Operation) {
        self.trouble.take_if(|trouble| {
            let of = trouble.failure.operation;
            of == operation || !matches!(of, Operation::ListServices | Operation::DescribeService)
        });
    }

    fn failed(&mut self, step: &Step, failure: Failure, intervals: &Intervals, time: CallTime) {
        let before = self.trouble.take();
        let tries = before.as_ref().map_or(0, |trouble| trouble.tries).saturating_add(1);
        match step {
            Step::Describe(arn) => {
                if let Some(known) = self.services.get_mut(arn) {
                    known.failures = known.failures.saturating_add(1);
                }
            }
            // A token may be too old, or never have been good.
            _ if failure.class == Class::InvalidRequest || tries >= MOST_TRIES => self.listing = None,
            _ => {}
        }
        let wait = if needs_a_person(&failure) { intervals.access.initial } else { intervals.retry.jittered(tries, time.jitter) };
        let again = time.now.after(wait);
        let since = before.map_or(time.now, |trouble| trouble.since);
        self.trouble = Some(Trouble { failure, since, tries, again });
    }

    /// A service that is to be described; one that failed waits for the others.
    fn unread(&self) -> Option<&str> {
        let unread = self.services.values().filter(|known| known.is_unread());
        unread.min_by_key(|known| known.failures).map(|known| known.service.arn.as_str())
    }

    /// Counts anew who uses what; gives the connectors where that changed.
    fn count_users(&mut self, now: Moment) -> BTreeSet<String> {
        let all_read = self.unread().is_none();
        let mut changed = BTreeSet::new();
        for (arn, connector) in &mut self.waiting {
            let users: Vec<Service> =
                self.services.values().filter(|known| known.uses(arn)).map(Known::as_user).collect();
            // Only a list that began after somebody asked has seen what there was then.
            let listed = self.listed.is_some_and(|listed| listed.began >= connector.since);
            let complete = connector.complete || (all_read && listed);
            if users == connector.users && complete == connector.complete {
                continue;
            }
            if connector.users.iter().any(|user| !users.contains(user)) {
                connector.released_at = Some(now);
            }
            if complete && !connector.complete && users.is_empty() {
                connector.unused_at = Some(now);
            }
            (connector.users, connector.complete) = (users, complete);
            changed.insert(arn.clone());
        }
        changed
    }
}

impl Users {
    /// The last change that is a reason to try the delete again.
    ///
    /// After a refusal that does not say "in use", being unused is none, and any change of a service is one.
    pub fn retry_since(&self, unexplained: bool) -> Option<Moment> {
        self.released_at.max(if unexplained { self.changed_at } else { self.unused_at })
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
    Failure::new(operation, Class::Unproven, "Unproven", why)
}

impl Known {
    fn is_unread(&self) -> bool {
        self.read.as_ref().is_none_or(|read| read.of != self.service)
    }

    fn uses(&self, connector: &str) -> bool {
        self.read.as_ref().is_some_and(|read| read.uses.as_deref() == Some(connector))
    }

    /// The service without the time of its last change, which changes more than what is told of it.
    fn as_user(&self) -> Service {
        Service { updated_at: None, ..self.service.clone() }
    }
}

impl Trouble {
    /// A hiccup hides nothing: what was seen last still counts for a while.
    fn blinds(&self, intervals: &Intervals, now: Moment) -> bool {
        needs_a_person(&self.failure) || now >= self.since.after(intervals.services_stale_after)
    }
}

fn needs_a_person(failure: &Failure) -> bool {
    !failure.class.passes() && !matches!(failure.class, Class::InvalidRequest | Class::NotFound)
}
