//! What is counted, as Prometheus reads it.
//!
//! Labels come from closed sets: operations, outcomes, reasons, regions. No name of an object is ever one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::core::effect::Proof;
use crate::core::outcome::{Operation, Outcome};
use crate::core::refusal::{Refusal, Write as ObjectWrite};

const AWS_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];
const RECONCILE_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 30.0];
const DELETION_SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    aws_requests: Family<Request, Counter>,
    aws_durations: Family<OfOperation, Histogram>,
    deletions: Family<OfOutcome, Counter>,
    deletion_durations: Histogram,
    reconcile_durations: Histogram,
    reconcile_errors: Counter,
    write_refusals: Family<OfWrite, Counter>,
    events_lost: Family<OfReason, Counter>,
    objects: Family<OfReason, Gauge>,
    waiting: Family<OfReason, Gauge>,
    stalled: Gauge,
    queue: Gauge,
    rates: Family<OfRegion, Gauge<f64, std::sync::atomic::AtomicU64>>,
    leader: Gauge,
    credentials: Gauge,
}

/// Why an Event was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventLoss {
    /// RBAC does not allow it.
    Forbidden,
    /// Its namespace is being deleted, and takes nothing new.
    NamespaceTerminating,
    /// Its namespace, or the Event that it repeats, is gone.
    Gone,
    /// The API server refused it for another reason.
    Refused,
    /// No answer came, or one that asks to come back later.
    NoAnswer,
    /// Too many waited to be published.
    QueueFull,
}

impl EventLoss {
    const ALL: [Self; 6] =
        [Self::Forbidden, Self::NamespaceTerminating, Self::Gone, Self::Refused, Self::NoAnswer, Self::QueueFull];
}

/// What is not counted but looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Objects by the reason of their Ready condition.
    pub objects: BTreeMap<String, i64>,
    /// Objects that are being deleted, by what they wait for: the reason of their Ready condition, or Paused.
    pub waiting: BTreeMap<String, i64>,
    /// Objects that wait for a person.
    pub stalled: i64,
    /// Objects that wait for a worker.
    pub queue: i64,
    /// Calls a second that AWS may be sent now, by region.
    pub rates: BTreeMap<String, f64>,
    /// Whether this process leads.
    pub leader: bool,
    /// Whether it is known whose credentials these are.
    pub credentials: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Word(String);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    operation: Word,
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWrite {
    verb: Word,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRegion {
    region: Word,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("apprunner_operator"),
            aws_requests: Family::default(),
            aws_durations: Family::new_with_constructor(|| Histogram::new(AWS_SECONDS)),
            deletions: Family::default(),
            deletion_durations: Histogram::new(DELETION_SECONDS),
            reconcile_durations: Histogram::new(RECONCILE_SECONDS),
            reconcile_errors: Counter::default(),
            write_refusals: Family::default(),
            events_lost: Family::default(),
            objects: Family::default(),
            waiting: Family::default(),
            stalled: Gauge::default(),
            queue: Gauge::default(),
            rates: Family::default(),
            leader: Gauge::default(),
            credentials: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("aws_requests", "Calls to AWS, by operation and what came of them", self.aws_requests.clone());
        let help = "Time until AWS answered, or until the deadline";
        to.register_with_unit("aws_request_duration", help, Unit::Seconds, self.aws_durations.clone());
        to.register("deletions", "Objects let go, by why they were", self.deletions.clone());
        // To Prometheus a counter that begins with 1 has never risen: the first of a kind would be in no graph.
        for outcome in ["Deleted", "AlreadyGone", "NotOwned", "Retained"] {
            drop(self.deletions.get_or_create(&OfOutcome { outcome: Word(outcome.into()) }));
        }
        let help = "Time from an object's deletionTimestamp until it was let go";
        to.register_with_unit("deletion_duration", help, Unit::Seconds, self.deletion_durations.clone());
        let help = "Time that one look at an object took, its calls included";
        to.register_with_unit("reconcile_duration", help, Unit::Seconds, self.reconcile_durations.clone());
        to.register("reconcile_errors", "Looks at an object that came to no decision", self.reconcile_errors.clone());
        let help = "Writes to objects that the API server refused, by what was to be written and the HTTP status";
        to.register("kubernetes_write_refusals", help, self.write_refusals.clone());
        for write in [ObjectWrite::AddFinalizer, ObjectWrite::RemoveFinalizer, ObjectWrite::WriteStatus] {
            for code in [403, 422] {
                drop(self.write_refusals.get_or_create(&OfWrite::new(write, code)));
            }
        }
        to.register("events_lost", "Events that were not published, by why", self.events_lost.clone());
        for loss in EventLoss::ALL {
            drop(self.events_lost.get_or_create(&OfReason::of(loss)));
        }
        to.register("objects", "Objects by the reason of their Ready condition", self.objects.clone());
        let help = "Objects that are being deleted, by the reason of their Ready condition, or Paused";
        to.register("deletions_waiting", help, self.waiting.clone());
        to.register("stalled_objects", "Objects that wait for a person", self.stalled.clone());
        to.register("queue_depth", "Objects that wait for a worker", self.queue.clone());
        to.register("aws_rate_limit", "Calls a second that AWS may be sent now", self.rates.clone());
        to.register("leader", "Whether this process leads: 1, or 0", self.leader.clone());
        let help = "Whether it is known whose AWS credentials these are: 1, or 0";
        to.register("credentials_known", help, self.credentials.clone());
        let build = Family::<BuildInfo, Gauge>::default();
        build.get_or_create(&BuildInfo { version: Word(env!("CARGO_PKG_VERSION").into()) }).set(1);
        to.register("build_info", "The version of this program", build);
    }

    /// Counts a call to AWS.
    pub fn observe_call<T>(&self, operation: Operation, outcome: &Outcome<T>, took: Duration) {
        let operation = Word(operation.to_string());
        let of = Request { operation: operation.clone(), outcome: Word(outcome_label(outcome).into()) };
        self.aws_requests.get_or_create(&of).inc();
        self.aws_durations.get_or_create(&OfOperation { operation }).observe(took.as_secs_f64());
    }

    /// Counts an object that was let go so long after its deletion was asked for.
    pub fn observe_release(&self, proof: &Proof, took: Duration) {
        let outcome = match proof {
            Proof::Receipt => "Deleted",
            Proof::NotFound => "AlreadyGone",
            Proof::AnotherOwner { .. } => "NotOwned",
            Proof::Retained => "Retained",
        };
        self.deletions.get_or_create(&OfOutcome { outcome: Word(outcome.into()) }).inc();
        self.deletion_durations.observe(took.as_secs_f64());
    }

    /// Counts a look at an object.
    pub fn observe_reconcile(&self, took: Duration, decided: bool) {
        self.reconcile_durations.observe(took.as_secs_f64());
        if !decided {
            self.reconcile_errors.inc();
        }
    }

    /// Counts a write to an object that the API server refused.
    pub fn write_refused(&self, refusal: &Refusal) {
        self.write_refusals.get_or_create(&OfWrite::new(refusal.write, refusal.code)).inc();
    }

    /// Counts an Event that was not published.
    pub fn event_lost(&self, loss: EventLoss) {
        self.events_lost.get_or_create(&OfReason::of(loss)).inc();
    }

    /// Writes everything down in the text format of `OpenMetrics`.
    pub fn render(&self, now: &Snapshot) -> Result<String, std::fmt::Error> {
        for (family, counts) in [(&self.objects, &now.objects), (&self.waiting, &now.waiting)] {
            family.clear();
            for (reason, count) in counts {
                family.get_or_create(&OfReason { reason: Word(reason.clone()) }).set(*count);
            }
        }
        for (region, rate) in &now.rates {
            self.rates.get_or_create(&OfRegion { region: Word(region.clone()) }).set(*rate);
        }
        self.stalled.set(now.stalled);
        self.queue.set(now.queue);
        self.leader.set(now.leader.into());
        self.credentials.set(now.credentials.into());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl OfReason {
    fn of(loss: EventLoss) -> Self {
        Self { reason: Word(format!("{loss:?}")) }
    }
}

impl OfWrite {
    fn new(write: ObjectWrite, code: u16) -> Self {
        Self { verb: Word(format!("{write:?}")), code: code.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildInfo {
    version: Word,
}

/// `Done`, or the class of the failure.
fn outcome_label<T>(outcome: &Outcome<T>) -> &'static str {
    outcome.failure().map_or("Done", |failure| failure.class.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error_class::ErrorClass;
    use crate::core::outcome::Failure;

    #[test]
    fn what_was_counted_is_told_under_the_names_that_alerts_and_dashboards_use() {
        let metrics = Metrics::default();
        metrics.observe_call(Operation::DeleteVpcConnector, &Outcome::Done(()), Duration::from_millis(20));
        let failure = Failure::new(Operation::DeleteVpcConnector, ErrorClass::Throttled, "ThrottlingException", "");
        metrics.observe_call(
            Operation::DeleteVpcConnector,
            &Outcome::<()>::Refused(failure),
            Duration::from_millis(20),
        );
        metrics.observe_release(&Proof::Receipt, Duration::from_secs(2));
        metrics.observe_reconcile(Duration::from_millis(3), true);
        metrics.observe_reconcile(Duration::from_millis(3), false);
        metrics.event_lost(EventLoss::Forbidden);
        metrics.write_refused(&Refusal { write: ObjectWrite::RemoveFinalizer, code: 422, message: String::new() });
        let objects = BTreeMap::from([("InUse".to_owned(), 2)]);
        let rates = BTreeMap::from([("eu-west-1".to_owned(), 2.5)]);
        let waiting = BTreeMap::from([("Paused".to_owned(), 1)]);
        let now = Snapshot { objects, waiting, rates, stalled: 1, queue: 3, leader: true, credentials: true };
        let text = metrics.render(&now).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            r#"apprunner_operator_aws_requests_total{operation="DeleteVpcConnector",outcome="Done"} 1"#,
            r#"apprunner_operator_aws_requests_total{operation="DeleteVpcConnector",outcome="Throttled"} 1"#,
            r#"apprunner_operator_aws_request_duration_seconds_count{operation="DeleteVpcConnector"} 2"#,
            r#"apprunner_operator_deletions_total{outcome="Deleted"} 1"#,
            "apprunner_operator_deletion_duration_seconds_sum 2.0",
            "apprunner_operator_reconcile_duration_seconds_count 2",
            "apprunner_operator_reconcile_errors_total 1",
            r#"apprunner_operator_kubernetes_write_refusals_total{verb="RemoveFinalizer",code="422"} 1"#,
            r#"apprunner_operator_kubernetes_write_refusals_total{verb="WriteStatus",code="403"} 0"#,
            r#"apprunner_operator_objects{reason="InUse"} 2"#,
            r#"apprunner_operator_deletions_waiting{reason="Paused"} 1"#,
            r#"apprunner_operator_events_lost_total{reason="Forbidden"} 1"#,
            r#"apprunner_operator_events_lost_total{reason="QueueFull"} 0"#,
            "apprunner_operator_stalled_objects 1",
            "apprunner_operator_queue_depth 3",
            r#"apprunner_operator_aws_rate_limit{region="eu-west-1"} 2.5"#,
            "apprunner_operator_leader 1",
            "apprunner_operator_credentials_known 1",
            &format!(r#"apprunner_operator_build_info{{version="{version}"}} 1"#),
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_deletion_of_every_kind_is_told_from_zero_on() {
        let metrics = Metrics::default();
        let told = |count: u32| {
            let text = metrics.render(&Snapshot::default()).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("apprunner_operator_deletions_total{"));
            lines.filter(|line| line.ends_with(&format!(" {count}"))).count()
        };
        assert_eq!((told(0), told(1)), (4, 0));
        for proof in [Proof::Receipt, Proof::NotFound, Proof::AnotherOwner { tag: String::new() }, Proof::Retained] {
            metrics.observe_release(&proof, Duration::from_secs(2));
        }
        assert_eq!((told(0), told(1)), (0, 4));
    }

    #[test]
    fn a_reason_that_no_object_has_any_more_is_not_told() {
        let metrics = Metrics::default();
        let told = |reason: &str| Snapshot { objects: BTreeMap::from([(reason.to_owned(), 1)]), ..Snapshot::default() };
        metrics.render(&told("InUse")).unwrap();
        assert!(!metrics.render(&told("Available")).unwrap().contains("InUse"));
    }
}
