//! Builders for evidence, and for outcomes to apply to it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{DeletionPolicy, VpcConnectorStatus, condition};
use crate::core::accounts::{Account, Accounts, Namespaces};
use crate::core::arn::{APP_RUNNER_REGIONS, AccountId, ConnectorArn};
use crate::core::attempt::Attempt;
use crate::core::clock::{Moment, Now};
use crate::core::decide::{Decision, decide};
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite, Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence, Finalizer, Object, Phase, Rules, Target};
use crate::core::flags::Unusual;
use crate::core::intervals::Intervals;
use crate::core::outcome::{Connector, Failure, Operation, Outcome};
use crate::core::ownership::OtherObjectState;
use crate::core::state::{Deletion, ObjectState, Wait};
use crate::core::status;
use crate::core::transition::apply;

pub(super) const ARN: &str =
    "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";
pub(super) const OTHER_ARN: &str =
    "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/2/fedcba9876543210fedcba9876543210";
pub(super) const NOW: Moment = Moment::new(Duration::from_hours(100));
pub(super) const WALL: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// An object with our finalizer and the reason Adopting, and without a claim.
pub(super) fn unclaimed() -> Evidence {
    let status = VpcConnectorStatus { conditions: vec![ready("False", "Adopting")], ..VpcConnectorStatus::default() };
    Evidence {
        object: Object {
            namespace: "shop".into(),
            name: "egress".into(),
            generation: Some(1),
            deleting: false,
            finalizer: Finalizer::Present,
            target: Target::of(ARN),
            policy: Some(DeletionPolicy::Delete),
            paused: false,
            protected: false,
            unusual: Unusual::default(),
            request: None,
            status,
        },
        caller: Caller::Account("111122223333".parse().unwrap()),
        state: ObjectState::default(),
        attempt: Attempt::default(),
        blockers: None,
        rules: Arc::new(Rules {
            default_policy: DeletionPolicy::Delete,
            intervals: Intervals::default(),
            accounts: Arc::default(),
            regions: APP_RUNNER_REGIONS.iter().map(|r| r.parse().unwrap()).collect(),
            cluster_id: Some("c1".parse().unwrap()),
        }),
        now: Now { moment: NOW, wall: WALL },
        jitter: 0.5,
    }
}

/// An object that has claimed its connector.
pub(super) fn claimed() -> Evidence {
    let mut e = unclaimed();
    e.object.status.arn = Some(ARN.into());
    e.object.status.status = Some("ACTIVE".into());
    e.object.status.observed_generation = Some(1);
    e.object.status.conditions = vec![ready("True", "Available")];
    e
}

/// An account, the namespaces that may use it, and the regions.
type Listed<'a> = (&'a str, &'a [&'a str], Option<&'a [&'a str]>);

/// The entries of some accounts.
pub(super) fn accounts(listed: &[Listed<'_>]) -> Arc<Accounts> {
    let mut accounts = Accounts::default();
    for (account, namespaces, regions) in listed {
        let regions = regions.map(|regions| regions.iter().map(|region| region.parse().unwrap()).collect());
        let namespaces = Namespaces::Only(namespaces.iter().map(|&name| name.to_owned()).collect());
        let role = format!("arn:aws:iam::{account}:role/apprunner-operator").parse().unwrap();
        accounts.insert(Account { role, external_id: None, namespaces, regions }).unwrap();
    }
    Arc::new(accounts)
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
    /// The time by both clocks at a moment of the monotonic clock.
    pub(super) fn at(self, moment: Moment) -> Self {
        Self { moment, wall: self.wall_at(moment) }
    }
}

impl Evidence {
    /// The evidence this many seconds later.
    pub(super) fn later(self, seconds: u64) -> Self {
        self.with(|e| e.now = e.now.at(e.moment_after(Duration::from_secs(seconds))))
    }

    pub(super) fn deleting(mut self) -> Self {
        self.object.deleting = true;
        self.object.generation = Some(2);
        self.state.phase = Phase::DeletingUnclaimed;
        self
    }

    pub(super) fn retained(mut self) -> Self {
        self.object.policy = Some(DeletionPolicy::Retain);
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

    pub(super) fn with_accounts(self, accounts: Arc<Accounts>) -> Self {
        self.with(|e| e.rules = Arc::new(Rules { accounts, ..(*e.rules).clone() }))
    }

    pub(super) fn of_account(self, account: &str) -> Self {
        self.with(|e| e.caller = Caller::Account(account.parse().unwrap()))
    }

    /// Applies an outcome as the reconcile loop does; a write also changes the object.
    pub(super) fn after(mut self, completed: Completed) -> Self {
        perform(&mut self, completed);
        self
    }

    /// The ARN of the object, or [`ARN`] if that does not parse.
    pub(super) fn arn(&self) -> ConnectorArn {
        self.object.target.arn().cloned().unwrap_or_else(|| ARN.parse().unwrap())
    }

    pub(super) fn after_aws(self, outcome: AwsOutcome) -> Self {
        let arn = self.arn();
        self.after(Completed::Aws(outcome, arn))
    }

    /// Applies the outcome of a delete, without the subscription to the service scan that follows a refusal.
    pub(super) fn after_delete_only(self, outcome: Outcome<Connector>) -> Self {
        self.after_aws(AwsOutcome::Delete(outcome))
    }

    pub(super) fn after_delete(self, outcome: Outcome<Connector>) -> Self {
        let e = self.after_delete_only(outcome);
        if e.decision() == Decision::Act(Effect::ScanServices(e.arn())) { e.after_scan_start() } else { e }
    }

    pub(super) fn after_scan_start(self) -> Self {
        self.after(Completed::ScanServices)
    }

    pub(super) fn after_describe(self, outcome: Outcome<Connector>) -> Self {
        self.after_aws(AwsOutcome::Describe(outcome))
    }

    pub(super) fn after_tags(self, outcome: Outcome<Option<String>>) -> Self {
        self.after_aws(AwsOutcome::ReadTags(outcome))
    }

    pub(super) fn after_tag_write(self, outcome: Outcome<()>) -> Self {
        self.after_aws(AwsOutcome::WriteTag(outcome))
    }

    pub(super) fn after_untag(self, outcome: Outcome<()>) -> Self {
        self.after_aws(AwsOutcome::RemoveTag(outcome))
    }

    pub(super) fn after_identify(self, outcome: Outcome<AccountId>) -> Self {
        self.after_aws(AwsOutcome::Identify(outcome))
    }

    pub(super) fn after_other_object(self, state: OtherObjectState) -> Self {
        self.after(Completed::OtherObject(state))
    }

    pub(super) fn after_write(self, write: impl Into<KubeWrite>) -> Self {
        self.after(Completed::Kube(write.into()))
    }

    pub(super) fn after_claim(self) -> Self {
        let claim = StatusWrite::Claim(self.arn());
        self.after_write(claim)
    }

    pub(super) fn deletion(self, deletion: Deletion) -> Self {
        self.with(|e| e.state.deletion = deletion)
    }

    /// Starts the next reconcile.
    pub(super) fn reconcile(&mut self) {
        self.attempt = self.state.start_reconcile(&self.object, self.now.moment);
    }

    /// Starts a reconcile before the end of the wait.
    pub(super) fn reconciled_early(self) -> Self {
        self.with(|e| {
            e.state.wait = Some(e.waits());
            e.reconcile();
        })
    }

    /// Starts a reconcile that a user requested with this annotation value.
    pub(super) fn requested_with(self, value: &str) -> Self {
        self.with(|e| {
            e.object.request = Some(value.into());
            e.reconcile();
        })
    }

    /// Starts the next attempt at its time.
    pub(super) fn next_attempt(self) -> Self {
        self.with(|e| {
            let wait = e.waits();
            e.now = e.now.at(wait.until);
            e.state.wait = Some(wait);
            e.reconcile();
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

    /// Applies a read of the owner tag that names this object.
    pub(super) fn ours(self) -> Self {
        self.after_tags(tag(Some("c1/shop/egress")))
    }

    /// The next effect; after a read of our owner tag, if that is the next effect.
    #[track_caller]
    pub(super) fn acts_if_ours(&self) -> Effect {
        match self.acts() {
            Effect::Aws(AwsCall::ReadTags, _) => self.clone().ours().acts(),
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

    /// The reason of the wait, and its seconds.
    #[track_caller]
    pub(super) fn waits_for(&self) -> (crate::api::Reason, u64) {
        let wait = self.waits();
        (wait.reason, wait.until.since(self.now.moment).as_secs())
    }
}

/// Applies an outcome as the reconcile loop does.
pub(super) fn perform(e: &mut Evidence, completed: Completed) {
    if let Completed::Kube(write) = &completed {
        match write {
            KubeWrite::AddFinalizer => e.object.finalizer = Finalizer::Present,
            KubeWrite::RemoveFinalizer(_) => e.object.finalizer = Finalizer::Removed,
            KubeWrite::Status(write) => e.object.status = status::status_after(e, write).0,
        }
    }
    apply(e, completed);
}

impl From<StatusWrite> for KubeWrite {
    fn from(write: StatusWrite) -> Self {
        Self::Status(write)
    }
}

impl From<Proof> for KubeWrite {
    fn from(proof: Proof) -> Self {
        Self::RemoveFinalizer(proof)
    }
}

/// Compares the call, and ignores the connector that it names.
impl PartialEq<AwsCall> for Effect {
    fn eq(&self, call: &AwsCall) -> bool {
        matches!(self, Self::Aws(this, _) if this == call)
    }
}

impl PartialEq<KubeWrite> for Effect {
    fn eq(&self, write: &KubeWrite) -> bool {
        matches!(self, Self::Kube(this) if this == write)
    }
}

impl PartialEq<StatusWrite> for Effect {
    fn eq(&self, write: &StatusWrite) -> bool {
        matches!(self, Self::Kube(KubeWrite::Status(this)) if this == write)
    }
}

/// Compares the proof of a removal of the finalizer.
impl PartialEq<Proof> for Effect {
    fn eq(&self, proof: &Proof) -> bool {
        matches!(self, Self::Kube(KubeWrite::RemoveFinalizer(this)) if this == proof)
    }
}

pub(super) fn claim() -> StatusWrite {
    StatusWrite::Claim(ARN.parse().unwrap())
}

pub(super) fn scan_services() -> Effect {
    Effect::ScanServices(ARN.parse().unwrap())
}

pub(super) fn read_other_object() -> Effect {
    Effect::ReadOtherObject { namespace: "shop".into(), name: "other".into(), arn: ARN.parse().unwrap() }
}

pub(super) fn unanswered() -> Deletion {
    Deletion::Unanswered { refused_since: None }
}

pub(super) fn written() -> Outcome<()> {
    Outcome::Done(())
}

/// A description with this Status.
pub(super) fn described(word: &str) -> Outcome<Connector> {
    Outcome::Done(connector(word))
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

pub(super) fn refused<T>(operation: Operation, class: ErrorClass) -> Outcome<T> {
    Outcome::Refused(failure(operation, class))
}

pub(super) fn unknown<T>(operation: Operation, class: ErrorClass) -> Outcome<T> {
    Outcome::Unknown(failure(operation, class))
}

pub(super) fn not_sent<T>(operation: Operation, class: ErrorClass) -> Outcome<T> {
    Outcome::NotSent(failure(operation, class))
}

pub(super) fn failure(operation: Operation, class: ErrorClass) -> Failure {
    Failure::new(operation, class, &format!("{class:?}Exception"), "AWS's words").with_request_id(Some("r-1"))
}

pub(super) fn tag(value: Option<&str>) -> Outcome<Option<String>> {
    Outcome::Done(value.map(str::to_owned))
}
