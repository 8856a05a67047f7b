//! Leader election: the times at which an operator acquires, renews, loses and releases the Lease.
//!
//! A Lease does not fence anything outside Kubernetes: an operator that was frozen wakes up and believes that it still
//! leads. So an operator decides by its own clock, and counts from the moment at which it *sent* its last granted
//! renewal: it stops leading 5 s before another operator may acquire the Lease. The other operators count from the
//! moment at which they saw the Lease change, each by its own clock, so that no two clocks have to agree.
//!
//! This module is pure: [`Candidate::next`] returns the next call, and [`Candidate::apply`] applies the response. Times
//! are durations since any fixed moment.

use std::time::Duration;

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseTimings {
    /// Other operators may acquire the Lease after this long without a renewal.
    pub(crate) duration: Duration,
    /// Time between two renewals.
    pub(crate) renew: Duration,
    /// The leader stops leading this long after it sent its last granted renewal.
    pub(crate) give_up: Duration,
    /// Time between two reads by a standby, and between two failed attempts.
    pub(crate) retry: Duration,
}

impl Default for LeaseTimings {
    fn default() -> Self {
        let [duration, renew, give_up, retry] = [15, 2, 10, 2].map(Duration::from_secs);
        Self { duration, renew, give_up, retry }
    }
}

/// The fields of a Lease that the election reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseSpec {
    /// The identity of the holder; `None` after a release.
    pub(crate) holder: Option<String>,
    /// The time after which the Lease expires without a renewal.
    pub(crate) duration: Duration,
    /// The time of the last renewal by the holder's clock. It is only compared with an earlier value, because the
    /// clocks of two machines need not agree.
    pub(crate) renewed: Option<Timestamp>,
    /// The number of changes of the holder.
    pub(crate) transitions: i32,
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseSnapshot {
    pub(crate) spec: LeaseSpec,
    /// Its resource version, which every write names.
    pub(crate) version: String,
}

/// The next call, or the time of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Get,
    /// Creates the Lease with our identity.
    Create,
    /// Writes our identity into the version that was read: acquires or renews the Lease.
    Acquire {
        version: String,
        /// The number of changes of the holder after this write.
        transitions: i32,
    },
    /// Makes no call before this time.
    Sleep(Duration),
    /// This operator has lost the Lease and must not start anything.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Found(LeaseSnapshot),
    Absent,
    /// The Lease was written, and has this version now.
    Written(String),
    /// Another process wrote the Lease first.
    Conflict,
    /// The call failed, or its outcome is unknown.
    Failed,
}

/// An operator that takes part in the election.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    identity: String,
    timings: LeaseTimings,
    role: Role,
    /// The last known state of the Lease; `None` if it has to be read first.
    seen: Option<Seen>,
    /// The time of the next call.
    next_call_at: Duration,
}

/// The last known state of the Lease.
#[derive(Clone, Debug)]
struct Seen {
    /// `None` if the Lease does not exist.
    lease: Option<LeaseSnapshot>,
    /// The time since which its fields have been the same.
    unchanged_since: Duration,
    /// The time of the last read.
    read_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Standby,
    /// Leading; the last granted renewal was sent at this time.
    Leading(Duration),
    Lost,
}

impl Candidate {
    /// A candidate that has not read the Lease. Its identity must be unique.
    pub(crate) fn new(identity: String, timings: LeaseTimings) -> Self {
        Self { identity, timings, role: Role::Standby, seen: None, next_call_at: Duration::ZERO }
    }

    /// The time at which this operator stops leading, unless it renews the Lease before; `None` while it does not lead.
    pub(crate) fn leads_until(&self) -> Option<Duration> {
        match self.role {
            Role::Leading(sent) => Some(sent + self.timings.give_up),
            Role::Standby | Role::Lost => None,
        }
    }

    /// The Lease as this operator wrote it last, if it holds the Lease: the version that a release replaces.
    pub(crate) fn held_lease(&self) -> Option<&LeaseSnapshot> {
        let lease = self.seen.as_ref()?.lease.as_ref();
        lease.filter(|lease| self.is_ours(&lease.spec))
    }

    /// The deadline of a call that is sent now.
    ///
    /// A leader waits for half of `give_up` at most, so that it can repeat a call that hangs on a dead connection over
    /// another one, and never longer than it leads. A standby waits for all of `give_up`: a Lease that is granted later
    /// cannot be used.
    pub(crate) fn call_deadline(&self, now: Duration) -> Duration {
        match self.leads_until() {
            Some(until) => until.saturating_sub(now).min(self.longest_renewal()),
            None => self.timings.give_up,
        }
    }

    pub(crate) fn next(&self, now: Duration) -> Step {
        match (&self.role, &self.seen) {
            (Role::Lost, _) => Step::Lost,
            (Role::Leading(sent), _) if now >= *sent + self.timings.give_up => Step::Lost,
            (Role::Leading(sent), _) if now < self.next_call_at => {
                Step::Sleep(self.next_call_at.min(*sent + self.timings.give_up))
            }
            (Role::Standby, _) if now < self.next_call_at => Step::Sleep(self.next_call_at),
            (Role::Leading(_), Some(seen)) => self.acquire(seen),
            (Role::Standby, Some(seen)) if self.acquirable_at(seen).is_some_and(|at| at <= seen.read_at) => {
                self.acquire(seen)
            }
            _ => Step::Get,
        }
    }

    pub(crate) fn apply(&mut self, step: &Step, response: Response, sent: Duration, now: Duration) {
        match (step, response) {
            (Step::Get, Response::Found(lease)) => self.apply_found(lease, now),
            (Step::Get, Response::Absent) => self.observe(None, now),
            (Step::Create | Step::Acquire { .. }, Response::Written(version)) => {
                let transitions = if let Step::Acquire { transitions, .. } = step { *transitions } else { 0 };
                let holder = Some(self.identity.clone());
                let spec = LeaseSpec { holder, duration: self.timings.duration, renewed: None, transitions };
                let lease = Some(LeaseSnapshot { spec, version });
                self.seen = Some(Seen { lease, unchanged_since: now, read_at: now });
                self.apply_granted(sent, now);
            }
            (Step::Create | Step::Acquire { .. }, Response::Conflict) => (self.seen, self.next_call_at) = (None, now),
            // A write whose response was lost is repeated unchanged: if the first one did take effect, the second is a
            // conflict.
            _ => self.next_call_at = now + self.retry_interval(),
        }
    }

    fn apply_granted(&mut self, sent: Duration, now: Duration) {
        (self.role, self.next_call_at) = match self.role {
            // The leadership ended before this renewal was granted, and the operator has dropped work since then. So it
            // does not continue as if it had led all the time.
            Role::Leading(before) if now >= before + self.timings.give_up => (Role::Lost, now),
            // If renewals take as long as this write did, the leadership would end before the first of them is granted.
            // So this operator keeps the Lease, and writes it again until a write takes at most `longest_renewal`.
            Role::Standby if now.saturating_sub(sent) > self.longest_renewal() => (Role::Standby, now),
            Role::Lost => (Role::Lost, now),
            _ => (Role::Leading(sent), sent + self.timings.renew),
        };
    }

    fn apply_found(&mut self, lease: LeaseSnapshot, now: Duration) {
        let theirs = lease.spec.holder.is_some() && !self.is_ours(&lease.spec);
        if theirs && self.leads_until().is_some() {
            self.role = Role::Lost;
        }
        self.observe(Some(lease), now);
    }

    fn observe(&mut self, lease: Option<LeaseSnapshot>, now: Duration) {
        let spec = |lease: &Option<LeaseSnapshot>| lease.as_ref().map(|lease| lease.spec.clone());
        let before = self.seen.take().filter(|before| spec(&before.lease) == spec(&lease));
        let unchanged_since = before.map_or(now, |before| before.unchanged_since);
        let seen = Seen { lease, unchanged_since, read_at: now };
        let leads = self.leads_until().is_some();
        let acquirable = self.acquirable_at(&seen).unwrap_or(Duration::MAX).max(now);
        self.next_call_at = if leads { now } else { acquirable.min(now + self.timings.retry) };
        self.seen = Some(seen);
    }

    /// The time from which this operator may write its identity into the Lease.
    fn acquirable_at(&self, seen: &Seen) -> Option<Duration> {
        let Some(LeaseSnapshot { spec, .. }) = &seen.lease else { return Some(seen.unchanged_since) };
        match &spec.holder {
            None => Some(seen.unchanged_since),
            // The response to our own write was lost.
            Some(holder) if *holder == self.identity => Some(seen.unchanged_since),
            Some(_) => seen.unchanged_since.checked_add(spec.duration.max(self.timings.duration)),
        }
    }

    fn acquire(&self, seen: &Seen) -> Step {
        let Some(LeaseSnapshot { spec, version }) = &seen.lease else { return Step::Create };
        let transitions = if self.is_ours(spec) { spec.transitions } else { spec.transitions.saturating_add(1) };
        Step::Acquire { version: version.clone(), transitions }
    }

    fn is_ours(&self, spec: &LeaseSpec) -> bool {
        spec.holder.as_ref() == Some(&self.identity)
    }

    /// Consecutive renewals that take at most this long each keep the leadership.
    fn longest_renewal(&self) -> Duration {
        self.timings.give_up / 2
    }

    /// The wait after a failed call. A leader waits a quarter of `retry`, because its leadership ends after `give_up`.
    fn retry_interval(&self) -> Duration {
        if self.leads_until().is_some() { self.timings.retry / 4 } else { self.timings.retry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn candidate() -> Candidate {
        Candidate::new("us".into(), LeaseTimings::default())
    }

    fn held_by(holder: &str, renewed: i64) -> Response {
        let renewed = Timestamp::from_second(renewed).ok();
        let holder = (!holder.is_empty()).then(|| holder.to_owned());
        let spec = LeaseSpec { holder, duration: 15 * SECOND, renewed, transitions: 4 };
        Response::Found(LeaseSnapshot { spec, version: format!("v{}", renewed.map_or(0, Timestamp::as_second)) })
    }

    impl Candidate {
        /// Checks that `expected` is the next call, and applies its response without a delay.
        #[track_caller]
        fn does(&mut self, now: Duration, expected: &Step, response: Response) {
            assert_eq!(self.next(now), *expected);
            self.apply(expected, response, now, now);
        }
    }

    fn acquire(version: &str, transitions: i32) -> Step {
        Step::Acquire { version: version.into(), transitions }
    }

    fn leader() -> Candidate {
        let mut candidate = candidate();
        candidate.does(at(0.0), &Step::Get, Response::Absent);
        candidate.does(at(0.0), &Step::Create, Response::Written("v1".into()));
        candidate
    }

    #[test]
    fn missing_lease_is_created_and_then_renewed_every_two_seconds() {
        let mut leader = leader();
        assert_eq!(leader.leads_until(), Some(at(10.0)));
        assert_eq!(leader.next(at(1.0)), Step::Sleep(at(2.0)));
        leader.does(at(2.0), &acquire("v1", 0), Response::Written("v2".into()));
        assert_eq!(leader.leads_until(), Some(at(12.0)));
        assert_eq!(leader.held_lease().unwrap().version, "v2");
    }

    #[test]
    fn standby_does_not_acquire_a_lease_that_another_leader_renews() {
        let mut candidate = candidate();
        for n in 0..30 {
            let now = at(f64::from(n) * 2.0);
            candidate.does(now, &Step::Get, held_by("other", i64::from(n)));
            assert_eq!(candidate.next(now), Step::Sleep(now + 2 * SECOND));
        }
        assert_eq!(candidate.leads_until(), None);
    }

    #[test]
    fn standby_acquires_a_lease_that_was_not_renewed_for_fifteen_seconds() {
        let mut candidate = candidate();
        for n in 0..8 {
            candidate.does(at(f64::from(n) * 2.0), &Step::Get, held_by("other", 7));
        }
        assert_eq!(
            candidate.next(at(14.0)),
            Step::Sleep(at(15.0)),
            "the next read is at the earliest time of a takeover"
        );
        candidate.does(at(15.0), &Step::Get, held_by("other", 7));
        candidate.does(at(15.0), &acquire("v7", 5), Response::Written("v8".into()));
        assert_eq!(candidate.leads_until(), Some(at(25.0)));
    }

    #[test]
    fn standby_acquires_a_released_lease_at_its_next_read() {
        let mut candidate = candidate();
        candidate.does(at(0.0), &Step::Get, held_by("other", 7));
        candidate.does(at(2.0), &Step::Get, held_by("", 7));
        candidate.does(at(2.0), &acquire("v7", 5), Response::Written("v8".into()));
        assert!(candidate.leads_until().is_some());
    }

    #[test]
    fn candidate_reads_the_lease_again_after_a_conflicting_create() {
        let mut candidate = candidate();
        candidate.does(at(0.0), &Step::Get, Response::Absent);
        candidate.does(at(0.0), &Step::Create, Response::Conflict);
        candidate.does(at(0.0), &Step::Get, held_by("other", 7));
        assert_eq!(candidate.next(at(0.0)), Step::Sleep(at(2.0)));
    }

    #[test]
    fn leader_gives_up_ten_seconds_after_it_sent_its_last_renewal() {
        let mut leader = leader();
        // The response arrives 2 s after the request; the leadership counts from the request.
        leader.apply(&acquire("v1", 0), Response::Written("v2".into()), at(5.0), at(7.0));
        assert_eq!(leader.leads_until(), Some(at(15.0)));
        leader.does(at(10.0), &acquire("v2", 0), Response::Failed);
        assert_eq!(leader.next(at(10.1)), Step::Sleep(at(10.5)));
        leader.does(at(10.5), &acquire("v2", 0), Response::Failed);
        assert_eq!(leader.next(at(14.9)), acquire("v2", 0));
        assert_eq!(leader.next(at(15.0)), Step::Lost);
    }

    #[test]
    fn call_of_a_leader_may_take_five_seconds_or_until_its_leadership_ends() {
        assert_eq!(candidate().call_deadline(at(3.0)), at(10.0));
        for (sent, deadline) in [(0.0, 5.0), (2.0, 5.0), (5.0, 5.0), (7.5, 2.5), (10.0, 0.0), (11.0, 0.0)] {
            assert_eq!(leader().call_deadline(at(sent)), at(deadline), "at {sent}");
        }
    }

    #[test]
    fn leadership_counts_from_the_request_and_needs_a_response_within_five_seconds() {
        let granted_after = |took: f64| {
            let mut candidate = candidate();
            candidate.does(at(0.0), &Step::Get, Response::Absent);
            candidate.apply(&Step::Create, Response::Written("v1".into()), at(0.0), at(took));
            candidate
        };
        assert_eq!(granted_after(3.0).leads_until(), Some(at(10.0)));
        assert_eq!(granted_after(5.0).next(at(5.0)), acquire("v1", 0), "its renewal is due");
        for took in [5.1, 9.9, 60.0] {
            let mut slow = granted_after(took);
            assert_eq!(slow.leads_until(), None, "after {took}");
            assert!(slow.held_lease().is_some(), "the Lease can be released");
            slow.does(at(took), &acquire("v1", 0), Response::Written("v2".into()));
            assert_eq!(slow.leads_until(), Some(at(took + 10.0)));
        }
    }

    #[test]
    fn ended_leadership_is_not_resumed() {
        let mut leader = leader();
        leader.apply(&acquire("v1", 0), Response::Written("v2".into()), at(5.0), at(10.0));
        assert_eq!((leader.next(at(10.0)), leader.leads_until()), (Step::Lost, None));
        leader.apply(&acquire("v2", 0), Response::Written("v3".into()), at(10.0), at(10.0));
        assert_eq!((leader.next(at(10.0)), leader.leads_until()), (Step::Lost, None));
    }

    #[test]
    fn frozen_leader_first_finds_that_it_lost_the_lease() {
        assert_eq!(leader().next(at(3_600.0)), Step::Lost);
    }

    #[test]
    fn failed_renewal_is_repeated_without_a_read() {
        let mut leader = leader();
        leader.does(at(5.0), &acquire("v1", 0), Response::Failed);
        assert_eq!((leader.next(at(5.4)), leader.leads_until()), (Step::Sleep(at(5.5)), Some(at(10.0))));
        leader.does(at(5.5), &acquire("v1", 0), Response::Written("v2".into()));
        assert_eq!(leader.leads_until(), Some(at(15.5)));
    }

    #[test]
    fn renewal_with_a_lost_response_is_found_by_a_read_and_repeated() {
        let mut leader = leader();
        leader.does(at(5.0), &acquire("v1", 0), Response::Failed);
        leader.does(at(5.5), &acquire("v1", 0), Response::Conflict);
        leader.does(at(5.5), &Step::Get, held_by("us", 9));
        leader.does(at(5.5), &acquire("v9", 4), Response::Written("v10".into()));
        assert_eq!(leader.leads_until(), Some(at(15.5)));
    }

    #[test]
    fn candidate_leads_only_after_it_repeated_a_create_with_a_lost_response() {
        let mut candidate = candidate();
        candidate.does(at(0.0), &Step::Get, Response::Absent);
        candidate.does(at(0.0), &Step::Create, Response::Failed);
        assert_eq!((candidate.next(at(1.9)), candidate.leads_until()), (Step::Sleep(at(2.0)), None));
        candidate.does(at(2.0), &Step::Create, Response::Conflict);
        candidate.does(at(2.0), &Step::Get, held_by("us", 9));
        candidate.does(at(2.0), &acquire("v9", 4), Response::Written("v10".into()));
        assert_eq!(candidate.leads_until(), Some(at(12.0)));
    }

    #[test]
    fn leader_that_finds_another_holder_has_lost_the_lease() {
        let mut leader = leader();
        leader.does(at(5.0), &acquire("v1", 0), Response::Conflict);
        leader.does(at(5.0), &Step::Get, held_by("other", 9));
        assert_eq!((leader.next(at(5.0)), leader.leads_until(), leader.held_lease()), (Step::Lost, None, None));
    }

    #[test]
    fn leader_writes_a_lease_again_that_a_user_deleted_or_changed() {
        let mut deleted = leader();
        deleted.does(at(5.0), &acquire("v1", 0), Response::Conflict);
        deleted.does(at(5.0), &Step::Get, Response::Absent);
        deleted.does(at(5.0), &Step::Create, Response::Written("v2".into()));
        assert_eq!(deleted.leads_until(), Some(at(15.0)));
        let mut touched = leader();
        touched.does(at(5.0), &acquire("v1", 0), Response::Conflict);
        touched.does(at(5.0), &Step::Get, held_by("us", 1));
        touched.does(at(5.0), &acquire("v1", 4), Response::Written("v3".into()));
        assert_eq!(touched.leads_until(), Some(at(15.0)));
    }
}
