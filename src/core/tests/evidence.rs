//! Builders with verbs: evidence as the table's rows speak of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{DeletionPolicy, VpcConnectorStatus, condition};
use crate::core::arn::APP_RUNNER_REGIONS;
use crate::core::clock::{Moment, Now};
use crate::core::decide::{Decision, Effect, decide};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Deletion, Evidence, Memory, Object, Rules, Wait};
use crate::core::flags::Unusual;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Connector, Failure, Operation, Outcome, Reply};
use crate::core::status;
use crate::core::transition::apply;

pub(super) const ARN: &str =
    "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";
pub(super) const OTHER_ARN: &str =
    "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/2/fedcba9876543210fedcba9876543210";
pub(super) const NOW: Moment = Moment::new(Duration::from_hours(100));
const WALL: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// An object that holds our finalizer, has said Adopting, and claims nothing yet.
pub(super) fn unclaimed() -> Evidence {
    let status = VpcConnectorStatus { conditions: vec![ready("False", "Adopting")], ..VpcConnectorStatus::default() };
    Evidence {
        object: Object {
            namespace: "shop".into(),
            name: "egress".into(),
            generation: Some(1),
            deleting: false,
            finalizer: true,
            released: false,
            target: ARN.parse(),
            policy: DeletionPolicy::Delete,
            paused: false,
            protected: false,
            unusual: Unusual::default(),
            request: None,
            status,
        },
        caller: Caller::Account("111122223333".parse().unwrap()),
        memory: Memory::default(),
        blockers: None,
        rules: Arc::new(Rules {
            intervals: Intervals::default(),
            regions: APP_RUNNER_REGIONS.iter().map(|r| r.parse().unwrap()).collect(),
            cluster_id: Some("c1".parse().unwrap()),
        }),
        now: Now { moment: NOW, wall: WALL },
        jitter: 0.5,
    }
}

/// An object that owns its connector.
pub(super) fn claimed() -> Evidence {
    let mut e = unclaimed();
    e.object.status.arn = Some(ARN.into());
    e.object.status.status = Some("ACTIVE".into());
    e.object.status.observed_generation = Some(1);
    e.object.status.conditions = vec![ready("True", "Available")];
    e
}

fn ready(status: &str, reason: &str) -> Condition {
    Condition {
        type_: condition::READY.into(),
        status: status.into(),
        reason: reason.into(),
        message: String::new(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: Some(1),
    }
}

impl Now {
    /// Both clocks, once the monotonic one has come to a moment.
    pub(super) fn at(self, moment: Moment) -> Self {
        Self { moment, wall: self.wall_at(moment) }
    }
}

impl Evidence {
    /// The same, this many seconds later.
    pub(super) fn later(self, seconds: u64) -> Self {
        self.with(|e| e.now = e.now.at(e.from_now(Duration::from_secs(seconds))))
    }

    pub(super) fn deleting(mut self) -> Self {
        self.object.deleting = true;
        self.object.generation = Some(2);
        self.memory.deleting = true;
        self
    }

    pub(super) fn retained(mut self) -> Self {
        self.object.policy = DeletionPolicy::Retain;
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn without_tags(self) -> Self {
        self.with(|e| {
            e.rules = Arc::new(Rules { cluster_id: None, ..(*e.rules).clone() });
        })
    }

    pub(super) fn of_account(self, account: &str) -> Self {
        self.with(|e| e.caller = Caller::Account(account.parse().unwrap()))
    }

    /// Takes the outcome of an effect in, as the reconciler does.
    pub(super) fn after(mut self, effect: Effect, outcome: Outcome) -> Self {
        perform(&mut self, &effect, outcome);
        self
    }

    /// A connector in use is looked into at once.
    pub(super) fn after_delete(self, outcome: Outcome) -> Self {
        let e = self.after(Effect::Delete, outcome);
        if e.decision() == Decision::Act(Effect::ScanServices) { e.after(Effect::ScanServices, written()) } else { e }
    }

    pub(super) fn after_describe(self, outcome: Outcome) -> Self {
        self.after(Effect::Describe, outcome)
    }

    pub(super) fn deletion(self, deletion: Deletion) -> Self {
        self.with(|e| e.memory.deletion = deletion)
    }

    /// Woken again while it waits for what it decided to wait for.
    pub(super) fn woken(self) -> Self {
        self.with(|e| {
            e.memory.wait = Some(e.waits());
            e.memory.begin(&e.object, e.now.moment);
        })
    }

    /// Woken because somebody asks for an attempt.
    pub(super) fn asked(self, value: &str) -> Self {
        self.with(|e| {
            e.object.request = Some(value.into());
            e.memory.begin(&e.object, e.now.moment);
        })
    }

    /// The next attempt, at its time.
    pub(super) fn next_attempt(self) -> Self {
        self.with(|e| {
            let wait = e.waits();
            e.now = e.now.at(wait.until);
            e.memory.wait = Some(wait);
            e.memory.begin(&e.object, e.now.moment);
        })
    }

    pub(super) fn decision(&self) -> Decision {
        decide(self)
    }

    #[track_caller]
    pub(super) fn acts(&self) -> Effect {
        match decide(self) {
            Decision::Act(effect) => effect,
            other => panic!("expected an effect, got {other:?}"),
        }
    }

    /// The owner tag is read in this attempt, and is ours.
    pub(super) fn ours(self) -> Self {
        self.after(Effect::ReadTags, tag(Some("c1/shop/egress")))
    }

    /// What is done once the owner tag was read and is ours, if it has to be read first.
    #[track_caller]
    pub(super) fn acts_if_ours(&self) -> Effect {
        match self.acts() {
            Effect::ReadTags => self.clone().ours().acts(),
            other => other,
        }
    }

    #[track_caller]
    pub(super) fn waits(&self) -> Wait {
        match decide(self) {
            Decision::Wait(wait) | Decision::Blocked(wait) => wait,
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    /// The wait and how many seconds it lasts.
    #[track_caller]
    pub(super) fn waits_for(&self) -> (crate::api::Reason, u64) {
        let wait = self.waits();
        (wait.reason, wait.until.since(self.now.moment).as_secs())
    }
}

/// What the reconciler does with an effect: the writes show in the object, and the outcome is learnt.
pub(super) fn perform(e: &mut Evidence, effect: &Effect, outcome: Outcome) {
    match effect {
        Effect::AddFinalizer => e.object.finalizer = true,
        Effect::RemoveFinalizer(_) => e.object.released = true,
        Effect::CorrectStatus
        | Effect::RecordAdopting
        | Effect::RecordClaim
        | Effect::RecordReceipt
        | Effect::RecordAlreadyGone
        | Effect::RecordLetGo => e.object.status = status::status_after(e, effect).0,
        _ => {}
    }
    apply(e, effect, outcome);
}

pub(super) fn written() -> Outcome {
    Outcome::Done(Reply::Written)
}

/// A description with a Status of this word.
pub(super) fn described(word: &str) -> Outcome {
    Outcome::Done(Reply::Connector(connector(word)))
}

pub(super) fn connector(word: &str) -> Connector {
    Connector {
        arn: Some(ARN.into()),
        name: Some("shop".into()),
        revision: Some(1),
        subnets: vec!["subnet-0a".into(), "subnet-0b".into()],
        security_groups: vec!["sg-0a".into()],
        status: Some(word.into()),
        created_at: Some(Timestamp::constant(1_780_000_000, 0)),
        deleted_at: word.eq_ignore_ascii_case("INACTIVE").then(|| Timestamp::constant(1_794_999_999, 500_000_000)),
    }
}

pub(super) fn refused(operation: Operation, class: ErrorClass) -> Outcome {
    Outcome::Refused(failure(operation, class))
}

pub(super) fn unknown(operation: Operation, class: ErrorClass) -> Outcome {
    Outcome::Unknown(failure(operation, class))
}

pub(super) fn not_sent(operation: Operation, class: ErrorClass) -> Outcome {
    Outcome::NotSent(failure(operation, class))
}

pub(super) fn failure(operation: Operation, class: ErrorClass) -> Failure {
    Failure::new(operation, class, format!("{class:?}Exception"), "AWS's words").with_request_id(Some("r-1".into()))
}

pub(super) fn tag(value: Option<&str>) -> Outcome {
    Outcome::Done(Reply::OwnerTag(value.map(str::to_owned)))
}
