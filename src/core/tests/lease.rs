//! The election over time: there are never two leaders, and a leader keeps the Lease while its renewals arrive in time.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::lease::{Candidate, LeaseSnapshot, LeaseSpec, LeaseTimings, Response, Step};

const SECOND: Duration = Duration::from_secs(1);

/// An API server with one Lease.
#[derive(Default)]
struct Server {
    lease: Option<LeaseSnapshot>,
    version: u32,
}

impl Server {
    /// Carries out a call that arrives now.
    fn respond(&mut self, identity: &str, step: &Step) -> Response {
        let current = self.lease.as_ref().map(|lease| lease.version.clone());
        match step {
            Step::Get => self.lease.clone().map_or(Response::Absent, Response::Found),
            Step::Create if current.is_some() => Response::Conflict,
            Step::Acquire { version, .. } if current.as_ref() != Some(version) => Response::Conflict,
            Step::Create | Step::Acquire { .. } => {
                self.version += 1;
                let version = self.version.to_string();
                // Every write has another time.
                let renewed = Timestamp::from_millisecond(self.version.into()).ok();
                let spec =
                    LeaseSpec { holder: Some(identity.to_owned()), duration: 15 * SECOND, renewed, transitions: 0 };
                self.lease = Some(LeaseSnapshot { spec, version: version.clone() });
                Response::Written(version)
            }
            Step::Sleep(_) | Step::Lost => panic!("no call"),
        }
    }
}

/// An operator and its calls.
struct Member {
    identity: String,
    candidate: Candidate,
    /// The calls that have not reached the server yet, also those of earlier processes of this operator.
    in_flight: Vec<(String, Step)>,
    /// The call that the candidate waits for.
    awaited: Option<Awaited>,
}

struct Awaited {
    step: Step,
    sent: Duration,
    response: Option<Response>,
}

impl Member {
    fn new(identity: &str) -> Self {
        let candidate = Candidate::new(identity.to_owned(), LeaseTimings::default());
        Self { identity: identity.to_owned(), candidate, in_flight: Vec::new(), awaited: None }
    }

    /// Ends a process that has lost the Lease, and starts another one with another identity.
    fn restart_if_lost(&mut self, now: Duration) {
        if self.candidate.next(now) == Step::Lost {
            let in_flight = std::mem::take(&mut self.in_flight);
            *self = Self { in_flight, ..Self::new(&format!("{}'", self.identity)) };
        }
    }

    /// Sends the next call, unless the candidate waits for another one.
    fn send(&mut self, now: Duration) {
        let step = self.candidate.next(now);
        if self.awaited.is_none() && !matches!(step, Step::Sleep(_) | Step::Lost) {
            self.in_flight.push((self.identity.clone(), step.clone()));
            self.awaited = Some(Awaited { step, sent: now, response: None });
        }
    }

    /// Delivers one call to the server: the newest or the oldest.
    fn deliver(&mut self, server: &mut Server, newest: bool) {
        let last = self.in_flight.len().saturating_sub(1);
        let index = if newest { last } else { 0 };
        if self.in_flight.is_empty() {
            return;
        }
        let (identity, step) = self.in_flight.remove(index);
        let response = server.respond(&identity, &step);
        // The awaited call is the newest: the candidate sent all abandoned calls before it.
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| index == last && awaited.response.is_none()) {
            awaited.response = Some(response);
        }
    }

    /// Applies the response if it has arrived, or abandons the call, which may still be in flight.
    fn receive(&mut self, now: Duration, abandon: bool) {
        match self.awaited.take() {
            Some(Awaited { step, sent, response: Some(response) }) if !abandon => {
                self.candidate.apply(&step, response, sent, now);
            }
            Some(Awaited { step, sent, .. }) if abandon => {
                self.candidate.apply(&step, Response::Failed, sent, now);
            }
            other => self.awaited = other,
        }
    }
}

/// A run of events of one member, while all others are frozen.
fn any_run() -> impl Strategy<Value = (usize, Vec<(u8, u64)>)> {
    (0..3_usize, prop::collection::vec((0..16_u8, 0..3_000_u64), 1..12))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn there_are_never_two_leaders_with_lost_or_late_calls_and_frozen_processes(
        runs in prop::collection::vec(any_run(), 1..60),
    ) {
        let mut members = ["a", "b", "c"].map(Member::new);
        let mut server = Server::default();
        let mut now = Duration::ZERO;
        let events = runs.into_iter().flat_map(|(member, run)| run.into_iter().map(move |event| (member, event)));
        for (member, (event, passes)) in events {
            let (member, later) = (&mut members[member], now + Duration::from_millis(passes));
            match event {
                // Most calls get a response, without a delay or late.
                0..8 => {
                    member.send(now);
                    member.deliver(&mut server, true);
                    now = if event < 4 { now } else { later };
                    member.receive(now, false);
                }
                8 => member.send(now),
                9 => member.deliver(&mut server, true),
                10 => member.deliver(&mut server, false),
                11 => member.receive(now, false),
                12 => member.receive(now, true),
                13 => member.restart_if_lost(now),
                _ => now = later,
            }
            let leading = |member: &Member| member.candidate.leads_until().is_some_and(|end| now < end);
            let leaders = members.iter().filter(|member| leading(member)).count();
            prop_assert!(leaders <= 1, "{leaders} lead at {now:?}");
        }
    }
}

/// The result of a run of one candidate alone.
#[derive(Debug, PartialEq, Eq)]
enum RunEnd {
    Leads,
    Waits,
    LostAt(Duration),
}

/// Runs one candidate for this long.
///
/// `arrival` maps the send time of a call to the time at which the server carries out the call and the candidate
/// receives the response, unless the candidate has abandoned the call.
fn run_alone(time: Duration, arrival: impl Fn(Duration) -> Duration, abandoned_calls_arrive: bool) -> RunEnd {
    let mut candidate = Candidate::new("operator".into(), LeaseTimings::default());
    let (mut server, mut abandoned, mut now) = (Server::default(), Vec::<(Duration, Step)>::new(), Duration::ZERO);
    while now < time {
        let step = candidate.next(now);
        match step {
            Step::Lost => return RunEnd::LostAt(now),
            Step::Sleep(until) => {
                assert!(until > now, "the candidate makes calls without a pause");
                now = until;
                continue;
            }
            _ => {}
        }
        let (sent, deadline, arrives) = (now, now + candidate.call_deadline(now), arrival(now));
        now = arrives.min(deadline);
        let response = if arrives <= deadline {
            let (before, later) = abandoned.into_iter().partition(|(at, _)| *at <= now);
            abandoned = later;
            for (_, step) in before.iter().filter(|_| abandoned_calls_arrive) {
                server.respond("operator", step);
            }
            server.respond("operator", &step)
        } else {
            abandoned.push((arrives, step.clone()));
            Response::Failed
        };
        candidate.apply(&step, response, sent, now);
    }
    if candidate.leads_until().is_some() { RunEnd::Leads } else { RunEnd::Waits }
}

/// Calls that are sent in a stall of this length arrive at its end.
fn stalled(sent: Duration, from: Duration, lasting: Duration) -> Duration {
    let stalls = (from..from + lasting).contains(&sent);
    if stalls { from + lasting } else { sent + Duration::from_millis(50) }
}

#[test]
fn leader_keeps_the_lease_while_each_response_takes_up_to_five_seconds() {
    for took in [1, 1_000, 1_999, 2_500, 3_000, 4_999] {
        let took = Duration::from_millis(took);
        assert_eq!(run_alone(Duration::from_mins(10), |sent| sent + took, true), RunEnd::Leads, "{took:?}");
    }
}

#[test]
fn candidate_leads_only_once_responses_take_less_than_five_seconds() {
    for took in [5_001, 7_000, 9_900] {
        let took = Duration::from_millis(took);
        assert_eq!(run_alone(Duration::from_mins(10), |sent| sent + took, true), RunEnd::Waits, "{took:?}");
        let recovers = |sent| if sent < 60 * SECOND { sent + took } else { sent + SECOND };
        assert_eq!(run_alone(Duration::from_mins(2), recovers, true), RunEnd::Leads, "{took:?}");
    }
}

#[test]
fn leader_keeps_the_lease_in_a_stall_of_seven_seconds_that_begins_at_any_time() {
    for begins in (20_000..25_000).step_by(10) {
        for abandoned_calls_arrive in [false, true] {
            let arrival = |sent| stalled(sent, Duration::from_millis(begins), 7 * SECOND);
            let end = run_alone(Duration::from_mins(1), arrival, abandoned_calls_arrive);
            assert_eq!(end, RunEnd::Leads, "{begins} {abandoned_calls_arrive}");
        }
    }
}

#[test]
fn longer_stall_ends_leadership_ten_seconds_after_the_last_granted_renewal() {
    let arrival = |sent| stalled(sent, 20 * SECOND, 60 * SECOND);
    let RunEnd::LostAt(lost) = run_alone(Duration::from_mins(1), arrival, true) else {
        panic!("the candidate still leads")
    };
    assert!((28 * SECOND..=30 * SECOND).contains(&lost), "{lost:?}");
}
