//! Who of several operators works: when a Lease is taken, renewed, lost and given back.
//!
//! A Lease fences nothing outside Kubernetes: an operator that was frozen wakes up and believes that it still leads. So
//! what counts is its own clock, and from the moment its last renewal was *sent*: it gives up well before anybody else may
//! take over. Others count from when they saw the Lease change, by their own clocks, so that no two clocks have to agree.
//!
//! Like the table this is pure: [`Candidate::next`] names the next call, [`Candidate::apply`] takes in what came of it.
//! Times are durations since any fixed moment.

use std::time::Duration;

use jiff::Timestamp;

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Others may take over after this long without a renewal.
    pub duration: Duration,
    /// From one renewal to the next.
    pub renew: Duration,
    /// The leader stops leading this long after it sent its last renewal that was granted.
    pub give_up: Duration,
    /// Between looks of one who does not lead, and between attempts that fail.
    pub look: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let [duration, renew, give_up, look] = [15, 2, 10, 2].map(Duration::from_secs);
        Self { duration, renew, give_up, look }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; nobody, once it was given back.
    pub holder: Option<String>,
    /// How long it lasts without a renewal.
    pub duration: Duration,
    /// When its holder says it renewed it; compared, and never believed.
    pub renewed: Option<Timestamp>,
    /// How often it changed hands.
    pub transitions: i32,
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// Its resource version, which a write must name.
    pub version: String,
}

/// The next call, or when there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the Lease.
    Look,
    /// Create it in our name.
    Create,
    /// Write our name into the version that was read.
    Take {
        /// The version.
        version: String,
        /// How often it will have changed hands.
        transitions: i32,
    },
    /// Nothing before this time.
    Rest(Duration),
    /// It is ours no more: nothing may be begun.
    Lost,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is a Lease.
    Found(Found),
    /// There is none.
    Absent,
    /// It was written, and has this version now.
    Written(String),
    /// Somebody else wrote it first.
    Conflict,
    /// There was no answer, or none that says anything.
    Failed,
}

/// One who leads, or wants to.
#[derive(Clone, Debug)]
pub struct Candidate {
    us: String,
    terms: Terms,
    standing: Standing,
    /// The Lease as we know it; `None` where it must be read first.
    seen: Option<Seen>,
    /// When the next call is due.
    again: Duration,
}

/// The Lease, or that there is none.
#[derive(Clone, Debug)]
struct Seen {
    found: Option<Found>,
    /// Since when it says the same.
    since: Duration,
    /// When it was last read.
    read: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Standby,
    /// Since the last renewal that was granted was sent then.
    Leading(Duration),
    Lost,
}

impl Candidate {
    /// Enters an election under a name that nobody else has.
    pub fn new(us: String, terms: Terms) -> Self {
        Self { us, terms, standing: Standing::Standby, seen: None, again: Duration::ZERO }
    }

    /// Until when we lead, unless the Lease is renewed before; `None` while we don't.
    pub fn leads_until(&self) -> Option<Duration> {
        match self.standing {
            Standing::Leading(sent) => Some(sent + self.terms.give_up),
            Standing::Standby | Standing::Lost => None,
        }
    }

    /// The Lease as we wrote it last, if it is ours: what is given back.
    pub fn holds(&self) -> Option<&Found> {
        let found = self.seen.as_ref()?.found.as_ref();
        found.filter(|found| found.record.holder.as_ref() == Some(&self.us))
    }

    /// How long to wait for the answer to a call that is sent now.
    ///
    /// A leader waits for half of a leadership, so that a call that hangs on a dead connection can be made again on
    /// another one, and never longer than it leads. A candidate waits for a whole one: granted later, a Lease is of no use.
    pub fn call_deadline(&self, now: Duration) -> Duration {
        match self.leads_until() {
            Some(until) => until.saturating_sub(now).min(self.longest_renewal()),
            None => self.terms.give_up,
        }
    }

    /// Names the next call.
    pub fn next(&self, now: Duration) -> Step {
        match (&self.standing, &self.seen) {
            (Standing::Lost, _) => Step::Lost,
            (Standing::Leading(sent), _) if now >= *sent + self.terms.give_up => Step::Lost,
            (Standing::Leading(sent), _) if now < self.again => Step::Rest(self.again.min(*sent + self.terms.give_up)),
            (Standing::Standby, _) if now < self.again => Step::Rest(self.again),
            (Standing::Leading(_), Some(seen)) => self.take(seen),
            (Standing::Standby, Some(seen)) if self.free_at(seen).is_some_and(|free| free <= seen.read) => {
                self.take(seen)
            }
            _ => Step::Look,
        }
    }

    /// Takes in what came of a call.
    pub fn apply(&mut self, step: &Step, answer: Answer, sent: Duration, now: Duration) {
        match (step, answer) {
            (Step::Look, Answer::Found(found)) => self.learn_found(found, now),
            (Step::Look, Answer::Absent) => self.saw(None, now),
            (Step::Create | Step::Take { .. }, Answer::Written(version)) => {
                let transitions = if let Step::Take { transitions, .. } = step { *transitions } else { 0 };
                let record =
                    Record { holder: Some(self.us.clone()), duration: self.terms.duration, renewed: None, transitions };
                self.seen = Some(Seen { found: Some(Found { record, version }), since: now, read: now });
                self.learn_granted(sent, now);
            }
            (Step::Create | Step::Take { .. }, Answer::Conflict) => (self.seen, self.again) = (None, now),
            // A write that was lost is made again as it was: if it did take effect after all, that is a conflict.
            _ => self.again = now + self.retry(),
        }
    }

    fn learn_granted(&mut self, sent: Duration, now: Duration) {
        (self.standing, self.again) = match self.standing {
            // What was to be begun since then was dropped, so nobody goes on as if nothing had been.
            Standing::Leading(before) if now >= before + self.terms.give_up => (Standing::Lost, now),
            // Renewed as slowly, this leadership would be over before its first renewal: the Lease is ours, and is
            // written again until that is quick enough.
            Standing::Standby if now.saturating_sub(sent) > self.longest_renewal() => (Standing::Standby, now),
            Standing::Lost => (Standing::Lost, now),
            _ => (Standing::Leading(sent), sent + self.terms.renew),
        };
    }

    fn learn_found(&mut self, found: Found, now: Duration) {
        let theirs = found.record.holder.as_ref().is_some_and(|holder| *holder != self.us);
        if theirs && self.leads_until().is_some() {
            self.standing = Standing::Lost;
        }
        self.saw(Some(found), now);
    }

    fn saw(&mut self, found: Option<Found>, now: Duration) {
        let record = |found: &Option<Found>| found.as_ref().map(|found| found.record.clone());
        let before = self.seen.take().filter(|before| record(&before.found) == record(&found));
        let seen = Seen { found, since: before.map_or(now, |before| before.since), read: now };
        let leads = self.leads_until().is_some();
        let free = self.free_at(&seen).unwrap_or(Duration::MAX).max(now);
        self.again = if leads { now } else { free.min(now + self.terms.look) };
        self.seen = Some(seen);
    }

    /// From when on the Lease may be written in our name.
    fn free_at(&self, seen: &Seen) -> Option<Duration> {
        let Some(Found { record, .. }) = &seen.found else { return Some(seen.since) };
        match &record.holder {
            // Ours it is where the answer to our own write was lost.
            None => Some(seen.since),
            Some(holder) if *holder == self.us => Some(seen.since),
            Some(_) => seen.since.checked_add(record.duration.max(self.terms.duration)),
        }
    }

    fn take(&self, seen: &Seen) -> Step {
        let Some(Found { record, version }) = &seen.found else { return Step::Create };
        let ours = record.holder.as_ref() == Some(&self.us);
        let transitions = if ours { record.transitions } else { record.transitions.saturating_add(1) };
        Step::Take { version: version.clone(), transitions }
    }

    /// Renewals that follow each other, and take no longer than this each, come in time.
    fn longest_renewal(&self) -> Duration {
        self.terms.give_up / 2
    }

    /// A leader has no time to lose.
    fn retry(&self) -> Duration {
        if self.leads_until().is_some() { self.terms.look / 4 } else { self.terms.look }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn us() -> Candidate {
        Candidate::new("us".into(), Terms::default())
    }

    fn held_by(holder: &str, renewed: i64) -> Answer {
        let renewed = Timestamp::from_second(renewed).ok();
        let holder = (!holder.is_empty()).then(|| holder.to_owned());
        let record = Record { holder, duration: 15 * SECOND, renewed, transitions: 4 };
        Answer::Found(Found { record, version: format!("v{}", renewed.map_or(0, Timestamp::as_second)) })
    }

    impl Candidate {
        /// Makes the call that is due then, and takes in its answer at once.
        #[track_caller]
        fn does(&mut self, now: Duration, expected: &Step, answer: Answer) {
            assert_eq!(self.next(now), *expected);
            self.apply(expected, answer, now, now);
        }
    }

    fn take(version: &str, transitions: i32) -> Step {
        Step::Take { version: version.into(), transitions }
    }

    fn leader() -> Candidate {
        let mut candidate = us();
        candidate.does(at(0.0), &Step::Look, Answer::Absent);
        candidate.does(at(0.0), &Step::Create, Answer::Written("v1".into()));
        candidate
    }

    #[test]
    fn a_lease_that_is_not_there_is_created_and_renewed_every_two_seconds() {
        let mut leader = leader();
        assert_eq!(leader.leads_until(), Some(at(10.0)));
        assert_eq!(leader.next(at(1.0)), Step::Rest(at(2.0)));
        leader.does(at(2.0), &take("v1", 0), Answer::Written("v2".into()));
        assert_eq!(leader.leads_until(), Some(at(12.0)));
        assert_eq!(leader.holds().unwrap().version, "v2");
    }

    #[test]
    fn another_leader_is_left_alone_while_its_renewals_are_seen() {
        let mut candidate = us();
        for n in 0..30 {
            let now = at(f64::from(n) * 2.0);
            candidate.does(now, &Step::Look, held_by("other", i64::from(n)));
            assert_eq!(candidate.next(now), Step::Rest(now + 2 * SECOND));
        }
        assert_eq!(candidate.leads_until(), None);
    }

    #[test]
    fn a_leader_that_renews_no_more_is_succeeded_after_fifteen_seconds() {
        let mut candidate = us();
        for n in 0..8 {
            candidate.does(at(f64::from(n) * 2.0), &Step::Look, held_by("other", 7));
        }
        assert_eq!(candidate.next(at(14.0)), Step::Rest(at(15.0)), "it is looked at just then");
        candidate.does(at(15.0), &Step::Look, held_by("other", 7));
        candidate.does(at(15.0), &take("v7", 5), Answer::Written("v8".into()));
        assert_eq!(candidate.leads_until(), Some(at(25.0)));
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_the_next_look() {
        let mut candidate = us();
        candidate.does(at(0.0), &Step::Look, held_by("other", 7));
        candidate.does(at(2.0), &Step::Look, held_by("", 7));
        candidate.does(at(2.0), &take("v7", 5), Answer::Written("v8".into()));
        assert!(candidate.leads_until().is_some());
    }

    #[test]
    fn of_two_who_take_it_at_once_the_one_who_was_late_looks_again() {
        let mut candidate = us();
        candidate.does(at(0.0), &Step::Look, Answer::Absent);
        candidate.does(at(0.0), &Step::Create, Answer::Conflict);
        candidate.does(at(0.0), &Step::Look, held_by("other", 7));
        assert_eq!(candidate.next(at(0.0)), Step::Rest(at(2.0)));
    }

    #[test]
    fn a_leader_gives_up_ten_seconds_after_it_sent_its_last_renewal() {
        let mut leader = leader();
        // The answer comes two seconds after the request was sent: those count.
        leader.apply(&take("v1", 0), Answer::Written("v2".into()), at(5.0), at(7.0));
        assert_eq!(leader.leads_until(), Some(at(15.0)));
        leader.does(at(10.0), &take("v2", 0), Answer::Failed);
        assert_eq!(leader.next(at(10.1)), Step::Rest(at(10.5)));
        leader.does(at(10.5), &take("v2", 0), Answer::Failed);
        assert_eq!(leader.next(at(14.9)), take("v2", 0));
        assert_eq!(leader.next(at(15.0)), Step::Lost);
    }

    #[test]
    fn a_call_may_take_half_of_a_leadership_and_what_is_left_of_it() {
        assert_eq!(us().call_deadline(at(3.0)), at(10.0));
        for (sent, deadline) in [(0.0, 5.0), (2.0, 5.0), (5.0, 5.0), (7.5, 2.5), (10.0, 0.0), (11.0, 0.0)] {
            assert_eq!(leader().call_deadline(at(sent)), at(deadline), "at {sent}");
        }
    }

    #[test]
    fn a_lease_that_is_granted_slowly_is_led_by_from_when_it_was_asked_for_or_not_at_all() {
        let granted_after = |took: f64| {
            let mut candidate = us();
            candidate.does(at(0.0), &Step::Look, Answer::Absent);
            candidate.apply(&Step::Create, Answer::Written("v1".into()), at(0.0), at(took));
            candidate
        };
        assert_eq!(granted_after(3.0).leads_until(), Some(at(10.0)));
        assert_eq!(granted_after(5.0).next(at(5.0)), take("v1", 0), "its renewal is due");
        for took in [5.1, 9.9, 60.0] {
            let mut slow = granted_after(took);
            assert_eq!(slow.leads_until(), None, "after {took}");
            assert!(slow.holds().is_some(), "it can be given back");
            slow.does(at(took), &take("v1", 0), Answer::Written("v2".into()));
            assert_eq!(slow.leads_until(), Some(at(took + 10.0)));
        }
    }

    #[test]
    fn a_leadership_that_has_ended_is_not_taken_up_again() {
        let mut leader = leader();
        leader.apply(&take("v1", 0), Answer::Written("v2".into()), at(5.0), at(10.0));
        assert_eq!((leader.next(at(10.0)), leader.leads_until()), (Step::Lost, None));
        leader.apply(&take("v2", 0), Answer::Written("v3".into()), at(10.0), at(10.0));
        assert_eq!((leader.next(at(10.0)), leader.leads_until()), (Step::Lost, None));
    }

    #[test]
    fn a_leader_that_was_frozen_knows_it_before_anything_else() {
        assert_eq!(leader().next(at(3_600.0)), Step::Lost);
    }

    #[test]
    fn a_renewal_that_was_lost_is_made_again_without_a_look() {
        let mut leader = leader();
        leader.does(at(5.0), &take("v1", 0), Answer::Failed);
        assert_eq!((leader.next(at(5.4)), leader.leads_until()), (Step::Rest(at(5.5)), Some(at(10.0))));
        leader.does(at(5.5), &take("v1", 0), Answer::Written("v2".into()));
        assert_eq!(leader.leads_until(), Some(at(15.5)));
    }

    #[test]
    fn a_renewal_whose_answer_was_lost_is_found_and_made_again() {
        let mut leader = leader();
        leader.does(at(5.0), &take("v1", 0), Answer::Failed);
        leader.does(at(5.5), &take("v1", 0), Answer::Conflict);
        leader.does(at(5.5), &Step::Look, held_by("us", 9));
        leader.does(at(5.5), &take("v9", 4), Answer::Written("v10".into()));
        assert_eq!(leader.leads_until(), Some(at(15.5)));
    }

    #[test]
    fn the_first_write_whose_answer_was_lost_is_made_again_before_anything_is_believed() {
        let mut candidate = us();
        candidate.does(at(0.0), &Step::Look, Answer::Absent);
        candidate.does(at(0.0), &Step::Create, Answer::Failed);
        assert_eq!((candidate.next(at(1.9)), candidate.leads_until()), (Step::Rest(at(2.0)), None));
        candidate.does(at(2.0), &Step::Create, Answer::Conflict);
        candidate.does(at(2.0), &Step::Look, held_by("us", 9));
        candidate.does(at(2.0), &take("v9", 4), Answer::Written("v10".into()));
        assert_eq!(candidate.leads_until(), Some(at(12.0)));
    }

    #[test]
    fn a_leader_that_finds_another_leading_has_lost_for_good() {
        let mut leader = leader();
        leader.does(at(5.0), &take("v1", 0), Answer::Conflict);
        leader.does(at(5.0), &Step::Look, held_by("other", 9));
        assert_eq!((leader.next(at(5.0)), leader.leads_until(), leader.holds()), (Step::Lost, None, None));
    }

    #[test]
    fn a_lease_that_somebody_deleted_or_touched_is_written_anew() {
        let mut deleted = leader();
        deleted.does(at(5.0), &take("v1", 0), Answer::Conflict);
        deleted.does(at(5.0), &Step::Look, Answer::Absent);
        deleted.does(at(5.0), &Step::Create, Answer::Written("v2".into()));
        assert_eq!(deleted.leads_until(), Some(at(15.0)));
        let mut touched = leader();
        touched.does(at(5.0), &take("v1", 0), Answer::Conflict);
        touched.does(at(5.0), &Step::Look, held_by("us", 1));
        touched.does(at(5.0), &take("v1", 4), Answer::Written("v3".into()));
        assert_eq!(touched.leads_until(), Some(at(15.0)));
    }
}
