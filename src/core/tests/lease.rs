//! The election over time: never two leaders, and none that gives up while it could go on.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::lease::{Answer, Candidate, Found, Record, Step, Terms};

const SECOND: Duration = Duration::from_secs(1);

/// An API server with one Lease.
#[derive(Default)]
struct Server {
    lease: Option<Found>,
    version: u32,
}

impl Server {
    /// Carries out a call, whenever it arrives.
    fn answer(&mut self, us: &str, step: &Step) -> Answer {
        let current = self.lease.as_ref().map(|found| found.version.clone());
        match step {
            Step::Look => self.lease.clone().map_or(Answer::Absent, Answer::Found),
            Step::Create if current.is_some() => Answer::Conflict,
            Step::Take { version, .. } if current.as_ref() != Some(version) => Answer::Conflict,
            Step::Create | Step::Take { .. } => {
                self.version += 1;
                let version = self.version.to_string();
                // No two writes have the same time.
                let renewed = Timestamp::from_millisecond(self.version.into()).ok();
                let record = Record { holder: Some(us.to_owned()), duration: 15 * SECOND, renewed, transitions: 0 };
                self.lease = Some(Found { record, version: version.clone() });
                Answer::Written(version)
            }
            Step::Rest(_) | Step::Lost => panic!("no call"),
        }
    }
}

/// A candidate, the calls that have not reached the server yet, also those of processes that it succeeds, and the one
/// whose answer it waits for.
struct Member {
    us: String,
    candidate: Candidate,
    on_their_way: Vec<(String, Step)>,
    awaited: Option<Awaited>,
}

struct Awaited {
    step: Step,
    sent: Duration,
    answer: Option<Answer>,
}

impl Member {
    fn new(us: &str) -> Self {
        let candidate = Candidate::new(us.to_owned(), Terms::default());
        Self { us: us.to_owned(), candidate, on_their_way: Vec::new(), awaited: None }
    }

    /// A process that has lost the Lease ends, and the next one has another name.
    fn is_started_again(&mut self, now: Duration) {
        if self.candidate.next(now) == Step::Lost {
            let on_their_way = std::mem::take(&mut self.on_their_way);
            *self = Self { on_their_way, ..Self::new(&format!("{}'", self.us)) };
        }
    }

    /// Sends the call that is due, if no other is awaited.
    fn sends(&mut self, now: Duration) {
        let step = self.candidate.next(now);
        if self.awaited.is_none() && !matches!(step, Step::Rest(_) | Step::Lost) {
            self.on_their_way.push((self.us.clone(), step.clone()));
            self.awaited = Some(Awaited { step, sent: now, answer: None });
        }
    }

    /// One of its calls reaches the server: the oldest, or the one it has sent last.
    fn arrives(&mut self, server: &mut Server, newest: bool) {
        let last = self.on_their_way.len().saturating_sub(1);
        let place = if newest { last } else { 0 };
        if self.on_their_way.is_empty() {
            return;
        }
        let (whose, step) = self.on_their_way.remove(place);
        let answer = server.answer(&whose, &step);
        // Calls that it waits for no longer were sent before the one that it waits for.
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| place == last && awaited.answer.is_none()) {
            awaited.answer = Some(answer);
        }
    }

    /// Learns the answer that is there, or waits no longer: the call may still be on its way.
    fn learns(&mut self, now: Duration, waits_no_longer: bool) {
        match self.awaited.take() {
            Some(Awaited { step, sent, answer: Some(answer) }) if !waits_no_longer => {
                self.candidate.apply(&step, answer, sent, now);
            }
            Some(Awaited { step, sent, .. }) if waits_no_longer => {
                self.candidate.apply(&step, Answer::Failed, sent, now);
            }
            other => self.awaited = other,
        }
    }
}

/// What one member does while the others do nothing, as if they were frozen.
fn run_of_one() -> impl Strategy<Value = (usize, Vec<(u8, u64)>)> {
    (0..3_usize, prop::collection::vec((0..16_u8, 0..3_000_u64), 1..12))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn there_are_never_two_leaders_whatever_is_lost_or_late_and_whoever_is_frozen(
        runs in prop::collection::vec(run_of_one(), 1..60),
    ) {
        let mut members = ["a", "b", "c"].map(Member::new);
        let mut server = Server::default();
        let mut now = Duration::ZERO;
        let events = runs.into_iter().flat_map(|(who, run)| run.into_iter().map(move |event| (who, event)));
        for (who, (event, passes)) in events {
            let (member, later) = (&mut members[who], now + Duration::from_millis(passes));
            match event {
                // Most calls are answered, at once or late.
                0..8 => {
                    member.sends(now);
                    member.arrives(&mut server, true);
                    now = if event < 4 { now } else { later };
                    member.learns(now, false);
                }
                8 => member.sends(now),
                9 => member.arrives(&mut server, true),
                10 => member.arrives(&mut server, false),
                11 => member.learns(now, false),
                12 => member.learns(now, true),
                13 => member.is_started_again(now),
                _ => now = later,
            }
            let leading = |member: &Member| member.candidate.leads_until().is_some_and(|end| now < end);
            let leaders = members.iter().filter(|member| leading(member)).count();
            prop_assert!(leaders <= 1, "{leaders} lead at {now:?}");
        }
    }
}

/// How one candidate fares alone.
#[derive(Debug, PartialEq, Eq)]
enum Fared {
    Leads,
    Waits,
    LostAt(Duration),
}

/// Runs one candidate for this long; `arrival` says when a call that is sent then reaches the server, and its answer
/// the candidate, unless that waits no longer.
fn alone(time: Duration, arrival: impl Fn(Duration) -> Duration, abandoned_calls_arrive: bool) -> Fared {
    let mut candidate = Candidate::new("us".into(), Terms::default());
    let (mut server, mut abandoned, mut now) = (Server::default(), Vec::<(Duration, Step)>::new(), Duration::ZERO);
    while now < time {
        let step = candidate.next(now);
        match step {
            Step::Lost => return Fared::LostAt(now),
            Step::Rest(until) => {
                assert!(until > now, "it spins");
                now = until;
                continue;
            }
            _ => {}
        }
        let (sent, deadline, arrives) = (now, now + candidate.call_deadline(now), arrival(now));
        now = arrives.min(deadline);
        let answer = if arrives <= deadline {
            let (before, later) = abandoned.into_iter().partition(|(at, _)| *at <= now);
            abandoned = later;
            for (_, step) in before.iter().filter(|_| abandoned_calls_arrive) {
                server.answer("us", step);
            }
            server.answer("us", &step)
        } else {
            abandoned.push((arrives, step.clone()));
            Answer::Failed
        };
        candidate.apply(&step, answer, sent, now);
    }
    if candidate.leads_until().is_some() { Fared::Leads } else { Fared::Waits }
}

/// Calls that are sent from then on for so long arrive when that is over.
fn stalled(sent: Duration, from: Duration, lasting: Duration) -> Duration {
    let stalls = (from..from + lasting).contains(&sent);
    if stalls { from + lasting } else { sent + Duration::from_millis(50) }
}

#[test]
fn answers_that_take_up_to_five_seconds_each_are_borne_for_ever() {
    for took in [1, 1_000, 1_999, 2_500, 3_000, 4_999] {
        let took = Duration::from_millis(took);
        assert_eq!(alone(Duration::from_mins(10), |sent| sent + took, true), Fared::Leads, "{took:?}");
    }
}

#[test]
fn answers_that_take_longer_than_that_make_no_leader_for_a_moment_and_one_when_they_end() {
    for took in [5_001, 7_000, 9_900] {
        let took = Duration::from_millis(took);
        assert_eq!(alone(Duration::from_mins(10), |sent| sent + took, true), Fared::Waits, "{took:?}");
        let recovers = |sent| if sent < 60 * SECOND { sent + took } else { sent + SECOND };
        assert_eq!(alone(Duration::from_mins(2), recovers, true), Fared::Leads, "{took:?}");
    }
}

#[test]
fn a_stall_of_seven_seconds_is_borne_whenever_it_begins_and_whatever_becomes_of_the_calls_in_it() {
    for begins in (20_000..25_000).step_by(10) {
        for abandoned_calls_arrive in [false, true] {
            let arrival = |sent| stalled(sent, Duration::from_millis(begins), 7 * SECOND);
            let fared = alone(Duration::from_mins(1), arrival, abandoned_calls_arrive);
            assert_eq!(fared, Fared::Leads, "{begins} {abandoned_calls_arrive}");
        }
    }
}

#[test]
fn a_stall_that_lasts_ends_a_leadership_ten_seconds_after_the_last_renewal_that_was_granted() {
    let arrival = |sent| stalled(sent, 20 * SECOND, 60 * SECOND);
    let Fared::LostAt(lost) = alone(Duration::from_mins(1), arrival, true) else { panic!("it still leads") };
    assert!((28 * SECOND..=30 * SECOND).contains(&lost), "{lost:?}");
}
