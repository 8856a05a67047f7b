//! The steps of a schedule, and the generator: a pure function from a seed to 200 of them.
//!
//! A step names objects, connectors and services by number, and its meaning does not depend on the run. So a seed
//! repeats its steps exactly; the moments at which they meet the operator vary.

use apprunner_emulator::{
    ArnAnswer, Behaviors, DeleteAgain, DeleteReply, FaultKind, Operation, ServiceStatus, StatusCase,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::proxy;

/// Steps of a schedule.
pub const STEPS: usize = 200;
/// Objects of a schedule: few, so that steps meet the same object again and again.
pub const OBJECTS: usize = 7;
const SERVICES: usize = 4;

/// One step, and the progress of the operator that is awaited after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub step: Step,
    /// Number of calls to AWS and versions of objects before the next step, or until a deadline.
    pub progress: usize,
}

/// The connector that a new object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The connector of this number, which is created when a step first names it.
    Connector(usize),
    /// A connector that never existed.
    Missing(usize),
    /// A connector of another account.
    OtherAccount(usize),
}

/// An edit of a status by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wipe {
    Everything,
    Conditions,
    Claim,
    /// Sets `.status.arn` to the connector of this number.
    ClaimOf(usize),
}

/// A new owner tag of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    None,
    OtherCluster,
    Object(usize),
}

/// Requests to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    Any,
    StatusPatches,
    FinalizerAdded,
    FinalizerRemoved,
    Gets,
    Lists,
    Watches,
}

/// Changes of the watches between the operator and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watches {
    Cut,
    End,
    Expire,
    Strand,
    /// Drops this many events.
    Drop(u32),
    /// Delivers all events of an object once more.
    Replay(usize),
}

/// The requests of the operator that a policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Objects,
    Statuses,
    Both,
}

/// Calls that a fault affects: this many, or all until the step that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Times(u32),
    Until(Ending),
}

/// The number of a condition that a later step ends.
pub type Ending = usize;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create {
        object: usize,
        target: Target,
        retain: bool,
    },
    Delete {
        object: usize,
    },
    SetPolicy {
        object: usize,
        retain: bool,
    },
    Pause {
        object: usize,
        on: bool,
    },
    Protect {
        object: usize,
        on: bool,
    },
    Request {
        object: usize,
    },
    EditStatus {
        object: usize,
        wipe: Wipe,
    },
    RemoveFinalizer {
        object: usize,
    },
    CreateService {
        service: usize,
        connector: usize,
    },
    SetService {
        service: usize,
        status: ServiceStatus,
    },
    DeleteService {
        service: usize,
    },
    MoveTag {
        connector: usize,
        to: Tag,
    },
    DeleteConnector {
        connector: usize,
    },
    ForgetConnector {
        connector: usize,
    },
    /// kill -9, and a new process at once.
    Kill,
    /// kill -9, and a new process only at `Start`.
    Crash,
    Start,
    /// SIGTERM, and a new process at once.
    HandOver,
    /// Another operator on the same objects, without a Lease.
    SecondStarts,
    SecondIsKilled,
    AwsFault {
        operation: Option<Operation>,
        kind: FaultKind,
        lasting: Lasting,
    },
    EndAwsFault(Ending),
    ApiFault {
        requests: Requests,
        kind: proxy::FaultKind,
        lasting: Lasting,
    },
    EndApiFault(Ending),
    DisturbWatches(Watches),
    DelayWatches {
        ms: u64,
    },
    SilenceWatches,
    RestoreWatches,
    StopAnswering,
    RefuseConnections,
    RestoreApi,
    RefuseWrites(Refused),
    AllowWrites,
}

impl Step {
    /// The kind of the step, for the test that no kind is lost.
    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

/// The steps of a seed.
pub fn schedule(seed: u64) -> Vec<Planned> {
    let mut generator = Generator::new(seed);
    (0..STEPS).map(|at| generator.next(at)).collect()
}

/// The undocumented details of App Runner, of a seed. They differ from the defaults in about half of the seeds.
pub fn behaviors(seed: u64) -> Behaviors {
    // Another stream than the steps', so that a change of one leaves the other alone.
    let mut chance = StdRng::seed_from_u64(!seed);
    let mut one_of = |values: &[u64]| *values.choose(&mut chance).unwrap_or(&0);
    Behaviors {
        connector_quota: 1_000,
        delete_reply: [DeleteReply::Inactive, DeleteReply::Inactive, DeleteReply::Eventual][index(one_of(&[0, 1, 2]))],
        delete_settles_after_ms: one_of(&[100, 600]),
        delete_again: [DeleteAgain::NotFound, DeleteAgain::Inactive, DeleteAgain::InvalidRequest]
            [index(one_of(&[0, 1, 2]))],
        inactive_connector_kept_ms: one_of(&[1_000, 3_600_000]),
        in_use_after_release_ms: one_of(&[0, 0, 700]),
        other_account_arn: [ArnAnswer::NotFound, ArnAnswer::AccessDenied, ArnAnswer::InvalidRequest]
            [index(one_of(&[0, 1, 2]))],
        service_operation_ms: one_of(&[0, 0, 300]),
        status_case: if one_of(&[0, 0, 1]) == 1 { StatusCase::Lower } else { StatusCase::AsDocumented },
        tags_visible_after_ms: one_of(&[0, 0, 200]),
        ..Behaviors::default()
    }
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or_default()
}

/// An object as the generator expects it; the run may differ, and then a step changes nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    /// It is being deleted, or gone by now.
    Deleted,
}

struct Generator {
    chance: StdRng,
    objects: [Presence; OBJECTS],
    /// Number of connectors that were named so far.
    connectors: usize,
    endings: Ending,
    /// Steps that end a condition, each with the position from which it is due.
    due: Vec<(usize, Step)>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            objects: [Presence::Absent; OBJECTS],
            connectors: 0,
            endings: 0,
            due: Vec::new(),
        }
    }

    fn next(&mut self, at: usize) -> Planned {
        let step = match self.due.iter().position(|(from, _)| *from <= at) {
            Some(due) => self.due.swap_remove(due).1,
            None if at < OBJECTS - 2 => self.create(at),
            None => self.step(at),
        };
        // Steps often follow each other within one call, and sometimes after a whole claim or deletion.
        let progress = *[0, 1, 2, 3, 5, 10, 20].choose(&mut self.chance).unwrap_or(&0);
        Planned { step, progress }
    }

    fn step(&mut self, at: usize) -> Step {
        match self.below(100) {
            0..58 => self.step_of_a_user(),
            58..73 => self.step_in_aws(),
            73..79 => self.step_of_a_process(at),
            79..89 => self.aws_fault(at),
            89..95 => self.api_fault(at),
            _ => self.network_step(at),
        }
    }

    fn step_of_a_user(&mut self) -> Step {
        let object = self.below(OBJECTS);
        let chance = self.below(100);
        match (self.objects[object], chance) {
            (Presence::Absent, _) | (Presence::Deleted, 0..35) => return self.create(object),
            (Presence::Present, 0..30) => {
                self.objects[object] = Presence::Deleted;
                return Step::Delete { object };
            }
            (Presence::Present | Presence::Deleted, _) => {}
        }
        match self.below(24) {
            0..4 => Step::SetPolicy { object, retain: self.chance.random_bool(0.3) },
            4..9 => Step::Pause { object, on: self.chance.random_bool(0.3) },
            9..14 => Step::Protect { object, on: self.chance.random_bool(0.3) },
            14..18 => Step::Request { object },
            18..22 => {
                let connector = self.known_connector();
                let wipes = [Wipe::Everything, Wipe::Conditions, Wipe::Claim, Wipe::ClaimOf(connector)];
                Step::EditStatus { object, wipe: self.one_of(&wipes) }
            }
            _ => Step::RemoveFinalizer { object },
        }
    }

    fn create(&mut self, object: usize) -> Step {
        self.objects[object] = Presence::Present;
        let target = match self.below(20) {
            0..12 => Target::Connector(self.connectors),
            12..18 => Target::Connector(self.recent_connector()),
            18 => Target::Missing(self.below(3)),
            _ => Target::OtherAccount(self.below(2)),
        };
        if let Target::Connector(number) = target {
            self.connectors = self.connectors.max(number + 1);
        }
        Step::Create { object, target, retain: self.chance.random_bool(0.1) }
    }

    fn step_in_aws(&mut self) -> Step {
        let (service, connector) = (self.below(SERVICES), self.recent_connector());
        match self.below(18) {
            0..5 => Step::CreateService { service, connector },
            5..7 => {
                let statuses = [ServiceStatus::Running, ServiceStatus::Paused, ServiceStatus::OperationInProgress];
                Step::SetService { service, status: self.one_of(&statuses) }
            }
            7..11 => Step::DeleteService { service },
            11..15 => {
                let tags = [Tag::None, Tag::OtherCluster, Tag::Object(self.below(OBJECTS))];
                Step::MoveTag { connector, to: self.one_of(&tags) }
            }
            15..17 => Step::DeleteConnector { connector },
            _ => Step::ForgetConnector { connector },
        }
    }

    fn step_of_a_process(&mut self, at: usize) -> Step {
        match self.below(10) {
            0..4 => Step::Kill,
            4..7 => {
                self.end_later(at, 6, Step::Start);
                Step::Crash
            }
            7..9 => Step::HandOver,
            _ => {
                self.end_later(at, 15, Step::SecondIsKilled);
                Step::SecondStarts
            }
        }
    }

    fn aws_fault(&mut self, at: usize) -> Step {
        let operation = (!self.chance.random_bool(0.15)).then(|| self.one_of(&CALLED));
        let mut kinds: Vec<FaultKind> = FaultKind::catalogue().into_iter().map(|(_, kind)| kind).collect();
        kinds.extend(HIDDEN_MEMBERS.map(FaultKind::without));
        let kind = self.one_of(&kinds);
        let times = Lasting::Times(1 + u32::try_from(self.below(3)).unwrap_or_default());
        let lasting = if self.chance.random_bool(0.3) { self.until_later(at, Step::EndAwsFault) } else { times };
        Step::AwsFault { operation, kind, lasting }
    }

    fn api_fault(&mut self, at: usize) -> Step {
        let requests = self.one_of(&[
            Requests::Any,
            Requests::StatusPatches,
            Requests::StatusPatches,
            Requests::FinalizerAdded,
            Requests::FinalizerRemoved,
            Requests::FinalizerRemoved,
            Requests::Gets,
            Requests::Lists,
            Requests::Watches,
        ]);
        let kind = self.one_of(&API_FAULTS);
        let times = Lasting::Times(1 + u32::try_from(self.below(3)).unwrap_or_default());
        let lasting = if self.chance.random_bool(0.3) { self.until_later(at, Step::EndApiFault) } else { times };
        Step::ApiFault { requests, kind, lasting }
    }

    fn network_step(&mut self, at: usize) -> Step {
        match self.below(12) {
            0..5 => {
                let object = self.below(OBJECTS);
                let drops = Watches::Drop(1 + u32::try_from(self.below(3)).unwrap_or_default());
                let kinds =
                    [Watches::Cut, Watches::End, Watches::Expire, Watches::Strand, drops, Watches::Replay(object)];
                Step::DisturbWatches(self.one_of(&kinds))
            }
            5..7 => {
                self.end_later(at, 8, Step::RestoreWatches);
                Step::DelayWatches { ms: self.one_of(&[50, 300, 1_000]) }
            }
            7..9 => {
                self.end_later(at, 6, Step::RestoreWatches);
                Step::SilenceWatches
            }
            9 => {
                self.end_later(at, 4, Step::RestoreApi);
                self.one_of(&[Step::StopAnswering, Step::RefuseConnections])
            }
            _ => {
                self.end_later(at, 12, Step::AllowWrites);
                Step::RefuseWrites(self.one_of(&[Refused::Objects, Refused::Statuses, Refused::Both]))
            }
        }
    }

    fn until_later(&mut self, at: usize, end: impl Fn(Ending) -> Step) -> Lasting {
        self.endings += 1;
        self.end_later(at, 8, end(self.endings));
        Lasting::Until(self.endings)
    }

    /// Plans a step for the next `within` positions.
    fn end_later(&mut self, at: usize, within: usize, step: Step) {
        let from = at + 1 + self.below(within);
        self.due.push((from, step));
    }

    fn known_connector(&mut self) -> usize {
        self.below(self.connectors.max(1))
    }

    /// One of the last connectors, which most likely belongs to an object.
    fn recent_connector(&mut self) -> usize {
        self.connectors.saturating_sub(1 + self.below(OBJECTS))
    }

    fn below(&mut self, end: usize) -> usize {
        self.chance.random_range(0..end)
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }
}

/// The operations that the operator calls.
const CALLED: [Operation; 9] = [
    Operation::DeleteVpcConnector,
    Operation::DeleteVpcConnector,
    Operation::DescribeVpcConnector,
    Operation::ListTagsForResource,
    Operation::TagResource,
    Operation::UntagResource,
    Operation::GetCallerIdentity,
    Operation::ListServices,
    Operation::DescribeService,
];

/// Members whose absence from a reply must prove nothing.
const HIDDEN_MEMBERS: [&str; 5] =
    ["/Tags", "/ServiceSummaryList", "/Service/NetworkConfiguration", "/Service/Status", "/Account"];

const API_FAULTS: [proxy::FaultKind; 15] = [
    refused(403),
    refused(404),
    refused(409),
    refused(422),
    refused(429),
    refused(500),
    refused(503),
    proxy::FaultKind::RefusedAfterEffect { code: 500 },
    proxy::FaultKind::RefusedAfterEffect { code: 504 },
    proxy::FaultKind::ClosedBeforeEffect,
    proxy::FaultKind::ClosedAfterEffect,
    proxy::FaultKind::Delay { ms: 400 },
    proxy::FaultKind::LateAnswer { ms: 400 },
    proxy::FaultKind::BlackHoleBeforeEffect,
    proxy::FaultKind::BlackHoleAfterEffect,
];

const fn refused(code: u16) -> proxy::FaultKind {
    proxy::FaultKind::Refused { code, retry_after: None }
}

mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn seed_repeats_its_steps_and_another_seed_does_not() {
        assert_eq!(schedule(7), schedule(7));
        assert_eq!(behaviors(7), behaviors(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn twenty_seeds_have_every_kind_of_step() {
        let kinds: HashSet<_> = (0..20).flat_map(schedule).map(|planned| planned.step.kind()).collect();
        assert_eq!(kinds.len(), 33, "a kind of step is lost, or this number is not the number of kinds");
    }

    #[test]
    fn condition_that_begins_early_enough_ends_within_the_schedule() {
        for seed in 0..20 {
            let steps: Vec<_> = schedule(seed).into_iter().map(|planned| planned.step).collect();
            for (at, step) in steps.iter().enumerate().take(STEPS - 40) {
                if let Step::AwsFault { lasting: Lasting::Until(ending), .. } = step {
                    assert!(steps[at..].contains(&Step::EndAwsFault(*ending)), "seed {seed}, step {at}");
                }
            }
        }
    }
}
