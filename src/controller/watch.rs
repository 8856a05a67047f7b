//! The watch of the objects, and the changes that trigger a reconcile.
//!
//! kube's watcher keeps a store up to date and continues after errors. This module adds four things:
//! - A silent watch stays silent, for example when an API server that was restored from a backup has not reached the
//!   resource version of the watch again. So each watch is restarted after `Intervals::watch`.
//! - kube repeats a watch that cannot be started from the same resource version for ever, even if the API server no longer
//!   has it (a 410, or a CRD that was created again). So such a watch is restarted at once, with a list.
//! - The store contains the objects of a list only when the list is complete. So a list triggers reconciles only then.
//! - A reconcile is triggered by changes of others, never by the operator's own status writes. Of the status only missing
//!   parts trigger one, because the operator removes none of these.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::api::{FINALIZER, GROUP, Reason, Uid, VpcConnector, condition};
use crate::cluster::WATCH_SECONDS;
use crate::cluster::outage::{Outage, WatchBackoff};
use crate::cluster::own_writes::version;
use crate::cluster::received::Received;
use crate::core::intervals::Intervals;

/// Receives the events of a watch.
pub(crate) trait WatchHandler: Send + Sync + 'static {
    /// The watch shows this version of an object.
    fn shown(&self, object: &Arc<VpcConnector>);
    /// The object with this uid was deleted.
    fn deleted(&self, uid: &Uid);
    /// The first list is complete.
    fn synced(&self);
    /// The object is in a list that started at this time; returns whether to reconcile the object even if it is unchanged.
    fn relisted(&self, object: &VpcConnector, list_started: Instant) -> bool;
}

/// Watches the objects, and returns a stream of those to reconcile, and their store. The watch is restarted after
/// `Intervals::watch`, plus or minus 20 %.
pub(crate) fn watch(
    api: Api<Received>,
    intervals: &Intervals,
    handler: Arc<impl WatchHandler>,
) -> (impl Stream<Item = watcher::Result<Received>> + Send + 'static, Store<Received>) {
    let (store, writer) = reflector::store();
    let (rebuild, again) = (intervals.watch, WatchBackoff::new(intervals.watch_again));
    let start = move || {
        let lifetime = rebuild.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        let watching = watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
        until_it_cannot_start(watching.boxed()).take_until(tokio::time::sleep(lifetime))
    };
    let mut filter = ResourceVersionFilter::default();
    let changed = stream::repeat_with(start)
        .flatten()
        .backoff(again)
        .filter(move |event| std::future::ready(event.as_ref().map_or(true, |event| filter.accepts(event))))
        .reflect(writer)
        .scan(ChangeFilter::default(), move |changes, event| std::future::ready(Some(changes.apply(event, &*handler))))
        .flat_map(stream::iter)
        .map(Ok);
    (changed, store)
}

/// The events of a watch, up to and including the error that it cannot be started.
fn until_it_cannot_start(
    watching: BoxStream<'static, watcher::Result<Event<Received>>>,
) -> impl Stream<Item = watcher::Result<Event<Received>>> + Send {
    stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        let event = watching.next().await?;
        let ends = matches!(event, Err(watcher::Error::WatchStartFailed(_)));
        Some((event, (!ends).then_some(watching)))
    })
}

/// Accepts events in the order of their resource versions.
///
/// A repeated event would add a deleted object to the store again, or remove a new object of the same name: the store has
/// names as keys, not uids.
#[derive(Default)]
struct ResourceVersionFilter {
    highest: u128,
}

impl ResourceVersionFilter {
    fn accepts(&mut self, event: &Event<Received>) -> bool {
        match event {
            Event::Init => self.highest = 0,
            Event::InitApply(object) => self.highest = self.highest.max(version(object).unwrap_or_default()),
            Event::Apply(object) | Event::Delete(object) => match version(object) {
                Some(version) if version <= self.highest => return false,
                Some(version) => self.highest = version,
                None => {}
            },
            Event::InitDone => {}
        }
        true
    }
}

/// Returns the objects to reconcile: those whose last event differs from the one before.
#[derive(Default)]
struct ChangeFilter {
    known: HashMap<Uid, Seen>,
    listed: Vec<Received>,
    list_started: Option<Instant>,
    synced: bool,
    outage: Outage,
}

impl ChangeFilter {
    /// The objects to reconcile after an event.
    fn apply(&mut self, event: watcher::Result<Event<Received>>, handler: &impl WatchHandler) -> Vec<Received> {
        match &event {
            // kube sends Init before it requests a list, which may then fail.
            Ok(Event::Init) => {}
            Ok(_) => self.outage.ended(),
            Err(error) => self.outage.failed(error),
        }
        match event {
            Ok(Event::Apply(object)) => {
                object.object().into_iter().for_each(|object| handler.shown(object));
                self.changed(object).into_iter().collect()
            }
            Ok(Event::Delete(object)) => {
                let uid = Uid::from(object.uid());
                self.known.remove(&uid);
                handler.deleted(&uid);
                Vec::new()
            }
            Ok(Event::Init) => {
                self.listed.clear();
                self.list_started = Some(Instant::now());
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                self.listed.push(object);
                Vec::new()
            }
            Ok(Event::InitDone) => self.apply_list(handler),
            // The controller does not receive the error: it would pause all reconciles for up to a minute.
            Err(_) => Vec::new(),
        }
    }

    fn apply_list(&mut self, handler: &impl WatchHandler) -> Vec<Received> {
        let list_started = self.list_started.unwrap_or_else(Instant::now);
        let mut previous = std::mem::take(&mut self.known);
        let listed = std::mem::take(&mut self.listed);
        for object in &listed {
            let uid = Uid::from(object.uid());
            let last = previous.remove(&uid);
            let reconcile = object.object().is_some_and(|object| handler.relisted(object, list_started));
            if let Some(last) = last.filter(|_| !reconcile) {
                self.known.insert(uid, last);
            }
        }
        for uid in previous.keys() {
            handler.deleted(uid);
        }
        if !std::mem::replace(&mut self.synced, true) {
            handler.synced();
        }
        listed.into_iter().filter_map(|object| self.changed(object)).collect()
    }

    fn changed(&mut self, object: Received) -> Option<Received> {
        let now = Seen::new(&object);
        let last = self.known.insert(object.uid().into(), now);
        last.is_none_or(|last| now.differs_from(last)).then_some(object)
    }
}

/// The parts of an object whose change may trigger a reconcile.
#[derive(Clone, Copy)]
struct Seen {
    /// Hash of the fields that decisions depend on and that others write.
    decisive: NonZeroU64,
    /// The status has a Ready condition.
    ready: bool,
    /// The status has a Paused condition.
    paused: bool,
    /// Hash of `.status.arn`.
    claim: Option<NonZeroU64>,
    /// Hash of the metadata that an admission policy may depend on; only while a write is refused.
    refused: Option<NonZeroU64>,
}

impl Seen {
    fn new(object: &Received) -> Self {
        let meta = object.meta();
        let finalizer = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
        let annotations = meta.annotations.iter().flatten().filter(|(key, _)| key.starts_with(GROUP));
        let decisive = (
            (&meta.uid, meta.generation, meta.deletion_timestamp.is_some(), object.0.is_ok()),
            finalizer,
            annotations.collect::<Vec<_>>(),
        );
        let status = object.object().and_then(|object| object.status.as_ref());
        let refused = status.is_some_and(|status| status.says(Reason::WriteRefused));
        Self {
            decisive: hash(&decisive),
            ready: status.is_some_and(|status| status.condition(condition::READY).is_some()),
            paused: status.is_some_and(|status| status.condition(condition::PAUSED).is_some()),
            claim: status.and_then(|status| status.arn.as_ref()).map(hash),
            refused: refused.then(|| hash(&(&meta.labels, &meta.annotations))),
        }
    }

    fn differs_from(self, last: Self) -> bool {
        let wiped = last.ready && !self.ready
            || last.paused && !self.paused
            || last.claim.is_some() && self.claim != last.claim;
        let may_be_admitted = last.refused.is_some() && self.refused.is_some() && self.refused != last.refused;
        self.decisive != last.decisive || wiped || may_be_admitted
    }
}

/// A hash that is never zero, so that an `Option` of it takes no more memory.
fn hash(value: &impl Hash) -> NonZeroU64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    NonZeroU64::MIN.saturating_add(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use kube::core::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::api::VpcConnectorStatus;

    fn object(uid: &str, generation: i64) -> Received {
        let metadata = ObjectMeta {
            uid: Some(uid.into()),
            name: Some(uid.into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        Received(Ok(Arc::new(VpcConnector { metadata, ..VpcConnector::default() })))
    }

    /// Records the calls, and asks for a reconcile of the `restored` object.
    #[derive(Default)]
    struct Notes {
        deleted: Mutex<Vec<String>>,
        synced: Mutex<u32>,
        restored: Option<&'static str>,
    }

    impl WatchHandler for Notes {
        fn shown(&self, _: &Arc<VpcConnector>) {}

        fn deleted(&self, uid: &Uid) {
            self.deleted.lock().unwrap().push(uid.to_string());
        }

        fn synced(&self) {
            *self.synced.lock().unwrap() += 1;
        }

        fn relisted(&self, object: &VpcConnector, _: Instant) -> bool {
            self.restored.is_some_and(|uid| object.uid().as_deref() == Some(uid))
        }
    }

    fn triggered_with(notes: &Notes, filter: &mut ChangeFilter, event: Event<Received>) -> Vec<String> {
        filter.apply(Ok(event), notes).iter().map(ResourceExt::name_any).collect()
    }

    fn triggered(filter: &mut ChangeFilter, event: Event<Received>) -> Vec<String> {
        triggered_with(&Notes::default(), filter, event)
    }

    #[test]
    fn a_list_triggers_reconciles_when_it_is_complete() {
        let mut filter = ChangeFilter::default();
        assert!(triggered(&mut filter, Event::Init).is_empty());
        assert!(triggered(&mut filter, Event::InitApply(object("a", 1))).is_empty());
        assert!(triggered(&mut filter, Event::InitApply(object("b", 1))).is_empty());
        assert_eq!(triggered(&mut filter, Event::InitDone), ["a", "b"]);
    }

    #[test]
    fn the_watch_is_synced_when_the_first_list_is_complete() {
        let (mut filter, notes) = (ChangeFilter::default(), Notes::default());
        triggered_with(&notes, &mut filter, Event::Init);
        triggered_with(&notes, &mut filter, Event::InitApply(object("a", 1)));
        assert_eq!(*notes.synced.lock().unwrap(), 0);
        triggered_with(&notes, &mut filter, Event::InitDone);
        triggered_with(&notes, &mut filter, Event::InitDone);
        assert_eq!(*notes.synced.lock().unwrap(), 1, "and reported once");
    }

    #[test]
    fn an_incomplete_list_is_discarded() {
        let mut filter = ChangeFilter::default();
        triggered(&mut filter, Event::InitApply(object("a", 1)));
        triggered(&mut filter, Event::Init);
        triggered(&mut filter, Event::InitApply(object("b", 1)));
        assert_eq!(triggered(&mut filter, Event::InitDone), ["b"]);
    }

    #[test]
    fn only_a_changed_object_is_reconciled() {
        let mut filter = ChangeFilter::default();
        assert_eq!(triggered(&mut filter, Event::Apply(object("a", 1))), ["a"]);
        assert!(triggered(&mut filter, Event::Apply(object("a", 1))).is_empty());
        assert_eq!(triggered(&mut filter, Event::Apply(object("a", 2))), ["a"]);
        triggered(&mut filter, Event::InitApply(object("a", 2)));
        triggered(&mut filter, Event::InitApply(object("b", 1)));
        assert_eq!(triggered(&mut filter, Event::InitDone), ["b"]);
    }

    /// The object with these conditions and this claim in its status.
    fn with_status(reasons: &[(&str, Reason)], arn: Option<&str>) -> Received {
        let mut object = object("a", 1);
        let conditions = reasons.iter().map(|(type_, reason)| Condition {
            type_: (*type_).into(),
            status: "False".into(),
            reason: reason.to_string(),
            message: String::new(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        });
        let status = VpcConnectorStatus {
            conditions: conditions.collect(),
            arn: arn.map(Into::into),
            ..VpcConnectorStatus::default()
        };
        Arc::make_mut(object.0.as_mut().unwrap()).status = Some(status);
        object
    }

    #[test]
    fn our_own_status_writes_trigger_no_reconcile() {
        let mut filter = ChangeFilter::default();
        triggered(&mut filter, Event::Apply(object("a", 1)));
        for written in [
            with_status(&[], None),
            with_status(&[("Ready", Reason::Adopting)], None),
            with_status(&[("Ready", Reason::Available)], Some("arn")),
            with_status(&[("Ready", Reason::AccessDenied), ("Stalled", Reason::AccessDenied)], Some("arn")),
            with_status(&[("Ready", Reason::WriteRefused)], Some("arn")),
            with_status(&[("Ready", Reason::Available)], Some("arn")),
        ] {
            assert!(triggered(&mut filter, Event::Apply(written)).is_empty());
        }
    }

    #[test]
    fn a_status_that_lost_its_condition_or_its_claim_triggers_a_reconcile() {
        let complete = || with_status(&[("Ready", Reason::InUse)], Some("arn"));
        for wiped in [object("a", 1), with_status(&[], Some("arn")), with_status(&[("Ready", Reason::InUse)], None)] {
            let mut filter = ChangeFilter::default();
            triggered(&mut filter, Event::Apply(complete()));
            assert_eq!(triggered(&mut filter, Event::Apply(wiped.clone())), ["a"]);
            assert!(triggered(&mut filter, Event::Apply(wiped.clone())).is_empty(), "once");
            assert!(triggered(&mut filter, Event::Apply(complete())).is_empty(), "and not when it is complete again");
            triggered(&mut filter, Event::InitApply(wiped));
            assert_eq!(triggered(&mut filter, Event::InitDone), ["a"], "a list shows it too");
            triggered(&mut filter, Event::Apply(complete()));
            let moved = with_status(&[("Ready", Reason::InUse)], Some("another"));
            assert_eq!(triggered(&mut filter, Event::Apply(moved)), ["a"]);
        }
    }

    #[test]
    fn labels_and_annotations_trigger_a_reconcile_only_while_a_write_is_refused() {
        let labelled = |reason, team: &str| {
            let condition = json!({"type": "Ready", "status": "False", "reason": reason, "message": "",
                                   "lastTransitionTime": "2026-11-26T08:00:00Z"});
            let metadata =
                json!({"name": "a", "uid": "a", "labels": {"team": team}, "annotations": {"example.org/team": team}});
            let object = json!({"metadata": metadata, "spec": {}, "status": {"conditions": [condition]}});
            serde_json::from_str(&object.to_string()).unwrap()
        };
        let mut filter = ChangeFilter::default();
        triggered(&mut filter, Event::Apply(labelled("Available", "a")));
        assert!(triggered(&mut filter, Event::Apply(labelled("Available", "b"))).is_empty());
        assert!(triggered(&mut filter, Event::Apply(labelled("WriteRefused", "b"))).is_empty(), "our own write");
        assert_eq!(triggered(&mut filter, Event::Apply(labelled("WriteRefused", "c"))), ["a"]);
        assert!(triggered(&mut filter, Event::Apply(labelled("Available", "d"))).is_empty());
    }

    #[test]
    fn an_object_restored_from_a_backup_is_reconciled_again() {
        let (mut filter, notes) = (ChangeFilter::default(), Notes::default());
        triggered(&mut filter, Event::Apply(object("a", 1)));
        triggered_with(&notes, &mut filter, Event::Delete(object("a", 1)));
        assert_eq!(*notes.deleted.lock().unwrap(), ["a"]);
        triggered(&mut filter, Event::InitApply(object("a", 1)));
        assert_eq!(triggered(&mut filter, Event::InitDone), ["a"]);
        let restored = Notes { restored: Some("a"), ..Notes::default() };
        triggered(&mut filter, Event::InitApply(object("a", 1)));
        assert_eq!(
            triggered_with(&restored, &mut filter, Event::InitDone),
            ["a"],
            "unchanged, but older than our last write"
        );
    }

    #[test]
    fn an_object_that_is_not_in_the_next_list_counts_as_deleted() {
        let (mut filter, notes) = (ChangeFilter::default(), Notes::default());
        triggered(&mut filter, Event::Apply(object("a", 1)));
        triggered(&mut filter, Event::Init);
        triggered_with(&notes, &mut filter, Event::InitDone);
        assert_eq!(*notes.deleted.lock().unwrap(), ["a"]);
    }

    #[test]
    fn events_are_accepted_in_order_and_only_once() {
        let at = |version: &str| {
            let mut object = object("a", 1);
            object.meta_mut().resource_version = Some(version.into());
            object
        };
        let mut filter = ResourceVersionFilter::default();
        assert!(filter.accepts(&Event::InitApply(at("10"))) && filter.accepts(&Event::InitApply(at("7"))));
        assert!(!filter.accepts(&Event::Apply(at("9"))), "older than the list");
        assert!(filter.accepts(&Event::Apply(at("11"))));
        assert!(filter.accepts(&Event::Delete(at("12"))));
        assert!(!filter.accepts(&Event::Apply(at("11"))), "repeated");
        assert!(!filter.accepts(&Event::Delete(at("12"))), "repeated");
        assert!(filter.accepts(&Event::Init) && filter.accepts(&Event::InitApply(at("3"))));
        assert!(filter.accepts(&Event::Apply(at("4"))), "a server from a backup counts from an earlier number");
        assert!(filter.accepts(&Event::Apply(at("not-a-number"))));
    }
}
