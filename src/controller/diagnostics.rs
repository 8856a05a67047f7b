//! Diagnostics of the controller for probes and metrics: its health, and the objects in its stores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::runtime::reflector::Store;

use crate::api::{VpcConnectorStatus, condition};
use crate::cluster::received::Received;
use crate::controller::admission::Admission;
use crate::core::arn::{AccountRegion, BorrowedAccountRegion};
use crate::sync::lock;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::WaitingDeletions;

/// The health of the controller and the objects that it watches.
#[derive(Default)]
pub(crate) struct Diagnostics {
    /// The state behind `/livez` and `/readyz`.
    pub(crate) health: Arc<Health>,
    stores: Mutex<Vec<Store<Received>>>,
    synced: AtomicUsize,
    admission: OnceLock<Arc<Admission>>,
}

/// Numbers of objects.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ObjectCounts {
    /// Objects by the reason of their Ready condition; New without one, and Malformed if the object does not parse.
    pub(crate) reasons: BTreeMap<String, i64>,
    /// Objects that are being deleted, by the account and region in their ARN; `None` if the ARN does not parse.
    pub(crate) waiting: BTreeMap<Option<AccountRegion>, WaitingDeletions>,
    /// Objects that are stalled.
    pub(crate) stalled: i64,
}

impl Diagnostics {
    /// Adds the store of a watch.
    pub(crate) fn add(&self, store: Store<Received>) {
        lock(&self.stores).push(store);
    }

    /// Records that one more watch has listed its objects. kube's `wait_until_ready` is not used, because it wakes only the last
    /// of several waiters.
    pub(crate) fn synced(&self) {
        let synced = self.synced.fetch_add(1, Ordering::Relaxed) + 1;
        if synced >= lock(&self.stores).len() {
            self.health.synced();
        }
    }

    /// Sets the queue of the workers.
    pub(super) fn set_admission(&self, admission: Arc<Admission>) {
        // The controller runs once in a process.
        let _ = self.admission.set(admission);
    }

    /// The number of objects that wait for a worker.
    pub(crate) fn queue(&self) -> i64 {
        let queued = self.admission.get().map_or(0, |admission| admission.queued());
        i64::try_from(queued).unwrap_or(i64::MAX)
    }

    /// Counts the objects in the stores.
    pub(crate) fn objects(&self) -> ObjectCounts {
        let states: Vec<_> = lock(&self.stores).iter().map(Store::state).collect();
        ObjectCounts::of(states.iter().flatten().map(AsRef::as_ref))
    }
}

impl ObjectCounts {
    /// Counts objects. Text is copied for each group of them, and not for each object.
    fn of<'a>(objects: impl Iterator<Item = &'a Received>) -> Self {
        let (mut reasons, mut stalled) = (BTreeMap::<&str, i64>::new(), 0);
        let mut waiting = BTreeMap::<Option<BorrowedAccountRegion<'_>>, Waiting<'_>>::new();
        for object in objects {
            let status = object.object().and_then(|object| object.status.as_ref());
            let has = |condition| status.is_some_and(|status| status.condition(condition).is_some());
            let ready = status.and_then(VpcConnectorStatus::ready_reason);
            let reason = if object.0.is_err() { "Malformed" } else { ready.unwrap_or("New") };
            *reasons.entry(reason).or_default() += 1;
            stalled += i64::from(has(condition::STALLED));
            if let Some(Time(deleted_at)) = &object.meta().deletion_timestamp {
                let arn = object.object().map(|object| object.spec.arn.as_str());
                let (group, at) = (arn.and_then(BorrowedAccountRegion::of), deleted_at.as_second());
                let group = waiting.entry(group).or_insert(Waiting { reasons: BTreeMap::new(), oldest: at });
                // The Ready condition of a paused object is from before the pause.
                group.add(if has(condition::PAUSED) { "Paused" } else { reason }, at);
            }
        }
        let waiting = waiting.into_iter().map(|(of, group)| (of.map(BorrowedAccountRegion::to_owned), group.into()));
        Self { reasons: owned(reasons), waiting: waiting.collect(), stalled }
    }
}

/// Objects of one account and region that are being deleted.
struct Waiting<'a> {
    reasons: BTreeMap<&'a str, i64>,
    oldest: i64,
}

impl<'a> Waiting<'a> {
    fn add(&mut self, reason: &'a str, deleted_at: i64) {
        *self.reasons.entry(reason).or_default() += 1;
        self.oldest = self.oldest.min(deleted_at);
    }
}

impl From<Waiting<'_>> for WaitingDeletions {
    fn from(Waiting { reasons, oldest }: Waiting<'_>) -> Self {
        Self { reasons: owned(reasons), oldest }
    }
}

fn owned(counts: BTreeMap<&str, i64>) -> BTreeMap<String, i64> {
    counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An object that is being deleted since this hour, unless it is `None`.
    fn object(arn: &Value, hour: Option<u32>, conditions: &[(&str, &str)]) -> Received {
        let condition = |(kind, reason): &(&str, &str)| {
            json!({"type": kind, "status": "True", "reason": reason, "message": "m",
                   "lastTransitionTime": "2026-11-26T08:00:00Z"})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        let mut object =
            json!({"metadata": {"name": "egress"}, "spec": {"arn": arn}, "status": {"conditions": conditions}});
        if let Some(hour) = hour {
            object["metadata"]["deletionTimestamp"] = json!(format!("1970-01-01T{hour:02}:00:00Z"));
        }
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn arn(account: &str, region: &str) -> Value {
        json!(format!("arn:aws:apprunner:{region}:{account}:vpcconnector/shop/1/0123456789abcdef"))
    }

    #[test]
    fn deletions_are_grouped_by_account_and_region_with_the_oldest() {
        let (shop, jobs) = (arn("111122223333", "eu-west-1"), arn("444455556666", "eu-west-1"));
        let in_use = [(condition::READY, "InUse")];
        let objects = [
            object(&shop, Some(3), &in_use),
            object(&shop, Some(2), &[(condition::READY, "InUse"), (condition::STALLED, "InUse")]),
            object(&shop, Some(4), &[(condition::READY, "Available"), (condition::PAUSED, "Paused")]),
            object(&jobs, Some(5), &in_use),
            object(&jobs, None, &[(condition::READY, "Available")]),
            object(&json!("no ARN"), Some(7), &[]),
            object(&json!({"not": "a string"}), Some(6), &[]),
        ];
        let counts = ObjectCounts::of(objects.iter());
        let numbers = |numbers: &[(&str, i64)]| owned(numbers.iter().copied().collect());
        let of =
            |reasons: &[(&str, i64)], hour: i64| WaitingDeletions { reasons: numbers(reasons), oldest: hour * 3_600 };
        let place = |account: &str| {
            Some(AccountRegion { account: account.parse().unwrap(), region: "eu-west-1".parse().unwrap() })
        };
        let waiting = BTreeMap::from([
            (None, of(&[("New", 1), ("Malformed", 1)], 6)),
            (place("111122223333"), of(&[("InUse", 2), ("Paused", 1)], 2)),
            (place("444455556666"), of(&[("InUse", 1)], 5)),
        ]);
        let reasons = numbers(&[("InUse", 3), ("Available", 2), ("New", 1), ("Malformed", 1)]);
        assert_eq!(counts, ObjectCounts { reasons, waiting, stalled: 1 });
    }
}
