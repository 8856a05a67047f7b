//! Metrics for Prometheus.
//!
//! Label values come from closed sets: operations, outcomes, reasons, and the accounts and regions that are called. Names of objects are never labels, so the
//! number of series does not grow with the objects.

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

use crate::core::arn::{AccountId, AccountRegion, Region};
use crate::core::effect::Proof;
use crate::core::outcome::{Operation, Outcome};
use crate::core::refusal::{Refusal, WriteKind};

const AWS_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];
const RECONCILE_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 30.0];
const DELETION_SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    aws_requests: Family<RequestLabels, Counter>,
    aws_durations: Family<OperationLabels, Histogram>,
    deletions: Family<OutcomeLabels, Counter>,
    deletion_durations: Histogram,
    reconcile_durations: Histogram,
    reconcile_errors: Counter,
    write_refusals: Family<WriteLabels, Counter>,
    events_lost: Family<ReasonLabels, Counter>,
    objects: Family<ReasonLabels, Gauge>,
    waiting: Family<WaitingLabels, Gauge>,
    oldest_waiting: Family<AccountRegionLabels, Gauge>,
    stalled: Gauge,
    queue: Gauge,
    rates: Family<AccountRegionLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    leader: Gauge,
    credentials: Gauge,
}

/// Why an Event was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EventLoss {
    /// RBAC does not allow it.
    Forbidden,
    /// Its namespace is being deleted, and accepts no new objects.
    NamespaceTerminating,
    /// Its namespace, or the Event that it repeats, no longer exists.
    Gone,
    /// The API server refused it for another reason.
    Refused,
    /// The API server did not answer, or answered that it cannot serve the request now.
    NoAnswer,
    /// The queue of Events was full.
    QueueFull,
}

impl EventLoss {
    const ALL: [Self; 6] =
        [Self::Forbidden, Self::NamespaceTerminating, Self::Gone, Self::Refused, Self::NoAnswer, Self::QueueFull];

    fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::Gone => "Gone",
            Self::Refused => "Refused",
            Self::NoAnswer => "NoAnswer",
            Self::QueueFull => "QueueFull",
        }
    }
}

/// The values of the gauges at the time of a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Objects by the reason of their Ready condition.
    pub(crate) objects: BTreeMap<String, i64>,
    /// Objects that are being deleted, by account and region; `None` if their ARN does not parse.
    pub(crate) waiting: BTreeMap<Option<AccountRegion>, WaitingDeletions>,
    /// Objects that need a user.
    pub(crate) stalled: i64,
    /// Objects that wait for a worker.
    pub(crate) queue: i64,
    /// Calls a second that the rate limit allows now, by account and region.
    pub(crate) rates: BTreeMap<AccountRegion, f64>,
    /// True if this process leads.
    pub(crate) leader: bool,
    /// True if the account of the credentials is known.
    pub(crate) credentials: bool,
}

/// Objects of one account and region that are being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingDeletions {
    /// Their number by the reason of their Ready condition, or Paused.
    pub(crate) reasons: BTreeMap<String, i64>,
    /// The oldest deletionTimestamp, in Unix seconds.
    pub(crate) oldest: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label(String);

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: Label,
    outcome: Label,
    account: Label,
    region: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    verb: Label,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitingLabels {
    reason: Label,
    account: Label,
    region: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountRegionLabels {
    account: Label,
    region: Label,
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
            oldest_waiting: Family::default(),
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
        let registry = &mut self.registry;
        registry.register(
            "aws_requests",
            "Calls to AWS, by operation, outcome, account and region",
            self.aws_requests.clone(),
        );
        let help = "Time until AWS answered, or until the deadline";
        registry.register_with_unit("aws_request_duration", help, Unit::Seconds, self.aws_durations.clone());
        registry.register("deletions", "Finalizers removed, by reason", self.deletions.clone());
        // Each series starts at 0, because increase() does not count the first sample of a series.
        for outcome in ["Deleted", "AlreadyGone", "NotOwned", "Retained"] {
            drop(self.deletions.get_or_create(&OutcomeLabels { outcome: Label(outcome.into()) }));
        }
        let help = "Time from an object's deletionTimestamp until its finalizer was removed";
        registry.register_with_unit("deletion_duration", help, Unit::Seconds, self.deletion_durations.clone());
        let help = "Duration of a reconcile, including its calls";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, self.reconcile_durations.clone());
        registry.register("reconcile_errors", "Reconciles that failed", self.reconcile_errors.clone());
        let help = "Writes to objects that the API server refused, by write and HTTP status";
        registry.register("kubernetes_write_refusals", help, self.write_refusals.clone());
        for write in [WriteKind::AddFinalizer, WriteKind::RemoveFinalizer, WriteKind::WriteStatus] {
            for code in [403, 422] {
                drop(self.write_refusals.get_or_create(&WriteLabels::new(write, code)));
            }
        }
        registry.register("events_lost", "Events that were not published, by reason", self.events_lost.clone());
        for loss in EventLoss::ALL {
            drop(self.events_lost.get_or_create(&ReasonLabels::from_loss(loss)));
        }
        registry.register("objects", "Objects by the reason of their Ready condition", self.objects.clone());
        let help = "Objects that are being deleted, by the reason of their Ready condition, or Paused, and by account and region";
        registry.register("deletions_waiting", help, self.waiting.clone());
        let help = "The oldest deletionTimestamp of the objects that are being deleted, by account and region";
        let oldest = self.oldest_waiting.clone();
        registry.register_with_unit("oldest_waiting_deletion_timestamp", help, Unit::Seconds, oldest);
        registry.register("stalled_objects", "Objects that need a user", self.stalled.clone());
        registry.register("queue_depth", "Objects that wait for a worker", self.queue.clone());
        registry.register("aws_rate_limit", "Calls a second that the rate limit allows now", self.rates.clone());
        registry.register("leader", "1 if this process leads, otherwise 0", self.leader.clone());
        let help = "1 if the account of the AWS credentials is known, otherwise 0";
        registry.register("credentials_known", help, self.credentials.clone());
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: Label(env!("CARGO_PKG_VERSION").into()) }).set(1);
        registry.register("build_info", "The version of the operator", build);
    }

    /// Counts a call to AWS.
    ///
    /// The account is unknown for `GetCallerIdentity`; for `AssumeRole` it is that of the role.
    pub(crate) fn observe_call<T>(
        &self,
        operation: Operation,
        outcome: &Outcome<T>,
        took: Duration,
        account: Option<&AccountId>,
        region: &Region,
    ) {
        let operation = Label(operation.to_string());
        let labels = RequestLabels {
            operation: operation.clone(),
            outcome: Label(outcome_label(outcome).into()),
            account: Label(account.map_or_else(String::new, ToString::to_string)),
            region: Label(region.to_string()),
        };
        self.aws_requests.get_or_create(&labels).inc();
        self.aws_durations.get_or_create(&OperationLabels { operation }).observe(took.as_secs_f64());
    }

    /// Counts a removed finalizer, and the time since the deletionTimestamp of its object.
    pub(crate) fn observe_release(&self, proof: &Proof, took: Duration) {
        let outcome = match proof {
            Proof::Receipt => "Deleted",
            Proof::NotFound => "AlreadyGone",
            Proof::AnotherOwner { .. } => "NotOwned",
            Proof::Retained => "Retained",
        };
        self.deletions.get_or_create(&OutcomeLabels { outcome: Label(outcome.into()) }).inc();
        self.deletion_durations.observe(took.as_secs_f64());
    }

    /// Counts a reconcile.
    pub(crate) fn observe_reconcile(&self, took: Duration, succeeded: bool) {
        self.reconcile_durations.observe(took.as_secs_f64());
        if !succeeded {
            self.reconcile_errors.inc();
        }
    }

    /// Counts a write to an object that the API server refused.
    pub(crate) fn write_refused(&self, refusal: &Refusal) {
        self.write_refusals.get_or_create(&WriteLabels::new(refusal.write, refusal.code)).inc();
    }

    /// Counts an Event that was not published, and returns the number of those before it.
    pub(crate) fn event_lost(&self, loss: EventLoss) -> u64 {
        self.events_lost.get_or_create(&ReasonLabels::from_loss(loss)).inc()
    }

    /// Renders all metrics in the text format of `OpenMetrics`.
    pub(crate) fn render(&self, snapshot: &Snapshot) -> Result<String, std::fmt::Error> {
        self.objects.clear();
        for (reason, count) in &snapshot.objects {
            self.objects.get_or_create(&ReasonLabels { reason: Label(reason.clone()) }).set(*count);
        }
        self.set_waiting(&snapshot.waiting);
        for (account_region, rate) in &snapshot.rates {
            self.rates.get_or_create(&AccountRegionLabels::of(Some(account_region))).set(*rate);
        }
        self.stalled.set(snapshot.stalled);
        self.queue.set(snapshot.queue);
        self.leader.set(snapshot.leader.into());
        self.credentials.set(snapshot.credentials.into());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Replaces all series of waiting deletions, so that those of an account and region end with its last deletion.
    fn set_waiting(&self, waiting: &BTreeMap<Option<AccountRegion>, WaitingDeletions>) {
        self.waiting.clear();
        self.oldest_waiting.clear();
        for (account_region, WaitingDeletions { reasons, oldest }) in waiting {
            let labels = AccountRegionLabels::of(account_region.as_ref());
            for (reason, count) in reasons {
                let AccountRegionLabels { account, region } = labels.clone();
                let labels = WaitingLabels { reason: Label(reason.clone()), account, region };
                self.waiting.get_or_create(&labels).set(*count);
            }
            self.oldest_waiting.get_or_create(&labels).set(*oldest);
        }
    }
}

impl AccountRegionLabels {
    fn of(account_region: Option<&AccountRegion>) -> Self {
        let label = |read: fn(&AccountRegion) -> String| Label(account_region.map(read).unwrap_or_default());
        Self { account: label(|of| of.account.to_string()), region: label(|of| of.region.to_string()) }
    }
}

impl ReasonLabels {
    fn from_loss(loss: EventLoss) -> Self {
        Self { reason: Label(loss.as_str().into()) }
    }
}

impl WriteLabels {
    fn new(write: WriteKind, code: u16) -> Self {
        Self { verb: Label(write.as_str().into()), code: code.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: Label,
}

/// Label value of an outcome: `Done`, or the class of the failure.
fn outcome_label<T>(outcome: &Outcome<T>) -> &'static str {
    outcome.failure().map_or("Done", |failure| failure.class.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error_class::ErrorClass;
    use crate::core::outcome::Failure;

    #[test]
    fn metrics_have_the_names_that_alerts_and_dashboards_use() {
        let metrics = Metrics::default();
        let (account, region) = ("111122223333".parse().unwrap(), "eu-west-1".parse().unwrap());
        let failure = Failure::new(Operation::DeleteVpcConnector, ErrorClass::Throttled, "ThrottlingException", "");
        for outcome in [Outcome::Done(()), Outcome::Refused(failure)] {
            let took = Duration::from_millis(20);
            metrics.observe_call(Operation::DeleteVpcConnector, &outcome, took, Some(&account), &region);
        }
        metrics.observe_release(&Proof::Receipt, Duration::from_secs(2));
        metrics.observe_reconcile(Duration::from_millis(3), true);
        metrics.observe_reconcile(Duration::from_millis(3), false);
        metrics.event_lost(EventLoss::Forbidden);
        metrics.write_refused(&Refusal { write: WriteKind::RemoveFinalizer, code: 422, message: String::new() });
        let objects = BTreeMap::from([("InUse".to_owned(), 2)]);
        let account_region = AccountRegion { account, region };
        let rates = BTreeMap::from([(account_region.clone(), 2.5)]);
        let reasons = BTreeMap::from([("Paused".to_owned(), 1)]);
        let waiting = WaitingDeletions { reasons, oldest: 1_795_000_000 };
        let waiting = BTreeMap::from([(Some(account_region), waiting.clone()), (None, waiting)]);
        let now = Snapshot { objects, waiting, rates, stalled: 1, queue: 3, leader: true, credentials: true };
        let text = metrics.render(&now).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            r#"apprunner_operator_aws_requests_total{operation="DeleteVpcConnector",outcome="Done",account="111122223333",region="eu-west-1"} 1"#,
            r#"apprunner_operator_aws_requests_total{operation="DeleteVpcConnector",outcome="Throttled",account="111122223333",region="eu-west-1"} 1"#,
            r#"apprunner_operator_aws_request_duration_seconds_count{operation="DeleteVpcConnector"} 2"#,
            r#"apprunner_operator_deletions_total{outcome="Deleted"} 1"#,
            "apprunner_operator_deletion_duration_seconds_sum 2.0",
            "apprunner_operator_reconcile_duration_seconds_count 2",
            "apprunner_operator_reconcile_errors_total 1",
            r#"apprunner_operator_kubernetes_write_refusals_total{verb="RemoveFinalizer",code="422"} 1"#,
            r#"apprunner_operator_kubernetes_write_refusals_total{verb="WriteStatus",code="403"} 0"#,
            r#"apprunner_operator_objects{reason="InUse"} 2"#,
            r#"apprunner_operator_deletions_waiting{reason="Paused",account="111122223333",region="eu-west-1"} 1"#,
            r#"apprunner_operator_deletions_waiting{reason="Paused",account="",region=""} 1"#,
            r#"apprunner_operator_oldest_waiting_deletion_timestamp_seconds{account="111122223333",region="eu-west-1"} 1795000000"#,
            r#"apprunner_operator_events_lost_total{reason="Forbidden"} 1"#,
            r#"apprunner_operator_events_lost_total{reason="QueueFull"} 0"#,
            "apprunner_operator_stalled_objects 1",
            "apprunner_operator_queue_depth 3",
            r#"apprunner_operator_aws_rate_limit{account="111122223333",region="eu-west-1"} 2.5"#,
            "apprunner_operator_leader 1",
            "apprunner_operator_credentials_known 1",
            &format!(r#"apprunner_operator_build_info{{version="{version}"}} 1"#),
        ] {
            assert!(text.lines().any(|rendered| rendered == line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn every_kind_of_deletion_is_counted_from_zero_on() {
        let metrics = Metrics::default();
        let series = |count: u32| {
            let text = metrics.render(&Snapshot::default()).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("apprunner_operator_deletions_total{"));
            lines.filter(|line| line.ends_with(&format!(" {count}"))).count()
        };
        assert_eq!((series(0), series(1)), (4, 0));
        for proof in [Proof::Receipt, Proof::NotFound, Proof::AnotherOwner { tag: String::new() }, Proof::Retained] {
            metrics.observe_release(&proof, Duration::from_secs(2));
        }
        assert_eq!((series(0), series(1)), (0, 4));
    }

    #[test]
    fn a_reason_that_no_object_has_is_not_rendered() {
        let metrics = Metrics::default();
        let snapshot =
            |reason: &str| Snapshot { objects: BTreeMap::from([(reason.to_owned(), 1)]), ..Snapshot::default() };
        metrics.render(&snapshot("InUse")).unwrap();
        assert!(!metrics.render(&snapshot("Available")).unwrap().contains("InUse"));
    }

    #[test]
    fn the_series_of_an_account_and_region_end_with_its_last_deletion() {
        let metrics = Metrics::default();
        let place =
            |account: &str| AccountRegion { account: account.parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let waiting = WaitingDeletions { reasons: BTreeMap::from([("InUse".to_owned(), 1)]), oldest: 7 };
        let rendered = |accounts: &[&str]| {
            let waiting = accounts.iter().map(|account| (Some(place(account)), waiting.clone())).collect();
            metrics.render(&Snapshot { waiting, ..Snapshot::default() }).unwrap()
        };
        let both = rendered(&["111122223333", "444455556666"]);
        assert!(both.contains("111122223333") && both.matches("444455556666").count() == 2, "{both}");
        let one = rendered(&["444455556666"]);
        assert!(!one.contains("111122223333") && one.matches("444455556666").count() == 2, "{one}");
        assert!(!rendered(&[]).contains("eu-west-1"));
    }
}
