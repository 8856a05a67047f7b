//! The generator: a pure function from a seed to the steps of a schedule.

use apprunner_emulator::{
    ArnAnswer, Behaviors, DeleteAgain, DeleteReply, FaultKind, Operation, ServiceStatus, StatusCase,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::steps::{
    ApiChange, AwsChange, Change, Ending, Lasting, Planned, Process, Refused, Requests, Step, Tag, Target, Watches,
    Wipe,
};
use crate::support::proxy;

/// Steps of a schedule.
const STEPS: usize = 200;
/// Objects of a schedule: few, so that steps meet the same object again and again.
const OBJECTS: usize = 7;
const SERVICES: usize = 4;

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
        let dice = self.below(100);
        match (self.objects[object], dice) {
            (Presence::Absent, _) | (Presence::Deleted, 0..35) => return self.create(object),
            (Presence::Present, 0..30) => {
                self.objects[object] = Presence::Deleted;
                return Step::Object(object, Change::Delete);
            }
            (Presence::Present | Presence::Deleted, _) => {}
        }
        let change = match self.below(24) {
            0..4 => Change::SetPolicy { retain: self.chance.random_bool(0.3) },
            4..9 => Change::Pause(self.chance.random_bool(0.3)),
            9..14 => Change::Protect(self.chance.random_bool(0.3)),
            14..18 => Change::Request,
            18..22 => {
                let connector = self.known_connector();
                let wipes = [Wipe::Everything, Wipe::Conditions, Wipe::Claim, Wipe::ClaimOf(connector)];
                Change::EditStatus(self.one_of(&wipes))
            }
            _ => Change::RemoveFinalizer,
        };
        Step::Object(object, change)
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
        Step::Object(object, Change::Create { target, retain: self.chance.random_bool(0.1) })
    }

    fn step_in_aws(&mut self) -> Step {
        let (service, connector) = (self.below(SERVICES), self.recent_connector());
        Step::Aws(match self.below(18) {
            0..5 => AwsChange::CreateService { service, connector },
            5..7 => {
                let statuses = [ServiceStatus::Running, ServiceStatus::Paused, ServiceStatus::OperationInProgress];
                AwsChange::SetService { service, status: self.one_of(&statuses) }
            }
            7..11 => AwsChange::DeleteService(service),
            11..15 => {
                let tags = [Tag::None, Tag::OtherCluster, Tag::OtherCluster, Tag::Object(self.below(OBJECTS))];
                AwsChange::MoveTag { connector, to: self.one_of(&tags) }
            }
            15..17 => AwsChange::DeleteConnector(connector),
            _ => AwsChange::ForgetConnector(connector),
        })
    }

    fn step_of_a_process(&mut self, at: usize) -> Step {
        Step::Process(match self.below(10) {
            0..4 => Process::Kill,
            4..7 => {
                self.end_later(at, 6, Step::Process(Process::Start));
                Process::Crash
            }
            7..9 => Process::HandOver,
            _ => {
                self.end_later(at, 15, Step::Process(Process::SecondIsKilled));
                Process::SecondStarts
            }
        })
    }

    fn aws_fault(&mut self, at: usize) -> Step {
        let operation = (!self.chance.random_bool(0.15)).then(|| self.one_of(&CALLED));
        let mut kinds: Vec<FaultKind> = FaultKind::catalogue().into_iter().map(|(_, kind)| kind).collect();
        kinds.extend(HIDDEN_MEMBERS.map(FaultKind::without));
        let kind = self.one_of(&kinds);
        let lasting = self.lasting(at, |ending| Step::Aws(AwsChange::EndFault(ending)));
        Step::Aws(AwsChange::Fault { operation, kind, lasting })
    }

    /// Up to three times, or until a later step.
    fn lasting(&mut self, at: usize, end: impl Fn(Ending) -> Step) -> Lasting {
        let times = Lasting::Times(1 + u32::try_from(self.below(3)).unwrap_or_default());
        if self.chance.random_bool(0.3) { self.until_later(at, end) } else { times }
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
        let lasting = self.lasting(at, |ending| Step::Api(ApiChange::EndFault(ending)));
        Step::Api(ApiChange::Fault { requests, kind, lasting })
    }

    fn network_step(&mut self, at: usize) -> Step {
        Step::Api(match self.below(12) {
            0..5 => {
                let object = self.below(OBJECTS);
                let drops = Watches::Drop(1 + u32::try_from(self.below(3)).unwrap_or_default());
                let kinds =
                    [Watches::Cut, Watches::End, Watches::Expire, Watches::Strand, drops, Watches::Replay(object)];
                ApiChange::DisturbWatches(self.one_of(&kinds))
            }
            5..7 => {
                self.end_later(at, 8, Step::Api(ApiChange::RestoreWatches));
                ApiChange::DelayWatches { ms: self.one_of(&[50, 300, 1_000]) }
            }
            7..9 => {
                self.end_later(at, 6, Step::Api(ApiChange::RestoreWatches));
                ApiChange::SilenceWatches
            }
            9 => {
                self.end_later(at, 4, Step::Api(ApiChange::RestoreConnections));
                self.one_of(&[ApiChange::StopAnswering, ApiChange::RefuseConnections])
            }
            _ => {
                self.end_later(at, 12, Step::Api(ApiChange::AllowWrites));
                ApiChange::RefuseWrites(self.one_of(&[Refused::Objects, Refused::Statuses, Refused::Both]))
            }
        })
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

    /// The name of the step's kind.
    fn kind(step: &Step) -> String {
        let (part, text) = match step {
            Step::Object(_, change) => ("object", format!("{change:?}")),
            Step::Aws(change) => ("AWS", format!("{change:?}")),
            Step::Process(process) => ("process", format!("{process:?}")),
            Step::Api(change) => ("API server", format!("{change:?}")),
        };
        let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        format!("{part}: {name}")
    }

    #[test]
    fn twenty_seeds_have_every_kind_of_step() {
        let kinds: HashSet<_> = (0..20).flat_map(schedule).map(|planned| kind(&planned.step)).collect();
        assert_eq!(kinds.len(), 33, "a kind of step is lost, or this number is not the number of kinds");
    }

    #[test]
    fn condition_that_begins_early_enough_ends_within_the_schedule() {
        for seed in 0..20 {
            let steps: Vec<_> = schedule(seed).into_iter().map(|planned| planned.step).collect();
            for (at, step) in steps.iter().enumerate().take(STEPS - 40) {
                if let Step::Aws(AwsChange::Fault { lasting: Lasting::Until(ending), .. }) = step {
                    let end = Step::Aws(AwsChange::EndFault(*ending));
                    assert!(steps[at..].contains(&end), "seed {seed}, step {at}");
                }
            }
        }
    }
}
