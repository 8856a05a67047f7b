//! What the API server shows, and which of it wakes an object.
//!
//! kube's watcher keeps a store up to date and goes on after errors. What it leaves open is closed here. A watch that went
//! silent stays silent (an API server restored from a backup answers a watch from its own future so): so each watch is
//! begun anew after a few minutes. One that can't be started is repeated from where it was for ever, also where nothing is
//! there any more (a 410, or a CRD that is created again): so that one is begun anew at once, with a list. The objects of a
//! list stand in the store only once the list is whole: so they wake nobody before that. And an object is woken by what
//! others change about it, never by our own status writes: of its status only what is missing wakes it, since the operator
//! takes nothing out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::api::{FINALIZER, GROUP, Reason, VpcConnector, condition};
use crate::cluster::WATCH_SECONDS;
use crate::cluster::outage::{Outage, WatchBackoff};
use crate::cluster::own_writes::version;
use crate::cluster::writes::strip_metadata;
use crate::core::intervals::Intervals;

/// An object, or why it does not parse.
pub type Guarded = DeserializeGuard<VpcConnector>;

/// What is to be told of the objects that the watch shows.
pub trait WatchHandler: Send + Sync + 'static {
    /// An object is gone, by uid.
    fn deleted(&self, uid: &str);
    /// The objects are known for the first time.
    fn synced(&self);
    /// An object stands in a list that began then; says whether it is to be looked at again, changed or not.
    fn relisted(&self, object: &VpcConnector, list_started: Instant) -> bool;
}

/// Watches, and gives the objects to look at; begins anew after a time, give or take a fifth.
pub fn watch(
    api: Api<Guarded>,
    intervals: &Intervals,
    handler: Arc<impl WatchHandler>,
) -> (impl Stream<Item = watcher::Result<Guarded>> + Send + 'static, Store<Guarded>) {
    let (store, writer) = reflector::store();
    let (rebuild, again) = (intervals.watch, WatchBackoff::new(intervals.watch_again));
    let begin = move || {
        let lifetime = rebuild.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        let watching = watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
        until_it_cannot_start(watching.boxed()).take_until(tokio::time::sleep(lifetime))
    };
    let mut filter = ResourceVersionFilter::default();
    let woken = stream::repeat_with(begin)
        .flatten()
        .backoff(again)
        .filter(move |event| std::future::ready(event.as_ref().map_or(true, |event| filter.accepts(event))))
        .modify(|object| {
            if let Ok(object) = &mut object.0 {
                *object = strip_metadata(std::mem::take(object));
            }
        })
        .reflect(writer)
        .scan(ChangeFilter::default(), move |changes, event| std::future::ready(Some(changes.apply(event, &*handler))))
        .flat_map(stream::iter)
        .map(Ok);
    (woken, store)
}

/// A watch up to and including the failure to start it again.
fn until_it_cannot_start(
    watching: BoxStream<'static, watcher::Result<Event<Guarded>>>,
) -> impl Stream<Item = watcher::Result<Event<Guarded>>> + Send {
    stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        let event = watching.next().await?;
        let ends = matches!(event, Err(watcher::Error::WatchStartFailed(_)));
        Some((event, (!ends).then_some(watching)))
    })
}

/// Lets events pass in the order of their resource versions.
///
/// An event that comes again would bring back an object that is gone, or take its namesake out of the store, which knows
/// names only.
#[derive(Default)]
struct ResourceVersionFilter {
    highest: u128,
}

impl ResourceVersionFilter {
    fn accepts(&mut self, event: &Event<Guarded>) -> bool {
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

/// Remembers what was last shown of each object that is there.
#[derive(Default)]
struct ChangeFilter {
    known: HashMap<String, Shown>,
    listed: Vec<Guarded>,
    list_started: Option<Instant>,
    synced: bool,
    outage: Outage,
}

impl ChangeFilter {
    /// The objects that an event wakes.
    fn apply(&mut self, event: watcher::Result<Event<Guarded>>, handler: &impl WatchHandler) -> Vec<Guarded> {
        match &event {
            // It comes before a list is asked for, also before one that fails.
            Ok(Event::Init) => {}
            Ok(_) => self.outage.ended(),
            Err(error) => self.outage.failed(error),
        }
        match event {
            Ok(Event::Apply(object)) => self.changed(object).into_iter().collect(),
            Ok(Event::Delete(object)) => {
                let uid = object.uid().unwrap_or_default();
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
            // To the controller a failure would be a reason to rest, for up to a minute and whatever else wakes an object.
            Err(_) => Vec::new(),
        }
    }

    fn apply_list(&mut self, handler: &impl WatchHandler) -> Vec<Guarded> {
        let list_started = self.list_started.unwrap_or_else(Instant::now);
        let mut before = std::mem::take(&mut self.known);
        let listed = std::mem::take(&mut self.listed);
        for object in &listed {
            let uid = object.uid().unwrap_or_default();
            let last = before.remove(&uid);
            let again = object.0.as_ref().is_ok_and(|object| handler.relisted(object, list_started));
            if let Some(last) = last.filter(|_| !again) {
                self.known.insert(uid, last);
            }
        }
        for uid in before.keys() {
            handler.deleted(uid);
        }
        if !std::mem::replace(&mut self.synced, true) {
            handler.synced();
        }
        listed.into_iter().filter_map(|object| self.changed(object)).collect()
    }

    fn changed(&mut self, object: Guarded) -> Option<Guarded> {
        let now = Shown::of(&object);
        let last = self.known.insert(object.uid().unwrap_or_default(), now);
        last.is_none_or(|last| now.differs_from(last)).then_some(object)
    }
}

/// What was shown of an object, as far as a change of it may wake the object.
#[derive(Clone, Copy)]
struct Shown {
    /// Everything that a decision depends on and that others write.
    decisive: u64,
    /// The status has a Ready condition.
    ready: bool,
    /// The status has a Paused condition.
    paused: bool,
    /// `.status.arn`
    claim: Option<u64>,
    /// The metadata that a policy may go by, while a write is refused.
    refused: Option<u64>,
}

impl Shown {
    fn of(object: &Guarded) -> Self {
        let meta = object.meta();
        let finalizer = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
        let annotations = meta.annotations.iter().flatten().filter(|(key, _)| key.starts_with(GROUP));
        let decisive = (
            (&meta.uid, meta.generation, meta.deletion_timestamp.is_some(), object.0.is_ok()),
            finalizer,
            annotations.collect::<Vec<_>>(),
        );
        let status = object.0.as_ref().ok().and_then(|object| object.status.as_ref());
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
        let admissible = last.refused.is_some() && self.refused.is_some() && self.refused != last.refused;
        self.decisive != last.decisive || wiped || admissible
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use kube::core::ObjectMeta;

    use super::*;
    use crate::api::VpcConnectorStatus;

    fn object(uid: &str, generation: i64) -> Guarded {
        let metadata = ObjectMeta {
            uid: Some(uid.into()),
            name: Some(uid.into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        DeserializeGuard(Ok(VpcConnector { metadata, ..VpcConnector::default() }))
    }

    /// Notes who is gone, and wants this one object looked at again.
    #[derive(Default)]
    struct Notes {
        gone: Mutex<Vec<String>>,
        synced: Mutex<u32>,
        restored: Option<&'static str>,
    }

    impl WatchHandler for Notes {
        fn deleted(&self, uid: &str) {
            self.gone.lock().unwrap().push(uid.to_owned());
        }

        fn synced(&self) {
            *self.synced.lock().unwrap() += 1;
        }

        fn relisted(&self, object: &VpcConnector, _: Instant) -> bool {
            self.restored.is_some_and(|uid| object.uid().as_deref() == Some(uid))
        }
    }

    fn woken_with(notes: &Notes, wakes: &mut ChangeFilter, event: Event<Guarded>) -> Vec<String> {
        wakes.apply(Ok(event), notes).iter().map(ResourceExt::name_any).collect()
    }

    fn woken(wakes: &mut ChangeFilter, event: Event<Guarded>) -> Vec<String> {
        woken_with(&Notes::default(), wakes, event)
    }

    #[test]
    fn a_list_wakes_nobody_before_it_is_whole() {
        let mut wakes = ChangeFilter::default();
        assert!(woken(&mut wakes, Event::Init).is_empty());
        assert!(woken(&mut wakes, Event::InitApply(object("a", 1))).is_empty());
        assert!(woken(&mut wakes, Event::InitApply(object("b", 1))).is_empty());
        assert_eq!(woken(&mut wakes, Event::InitDone), ["a", "b"]);
    }

    #[test]
    fn the_objects_are_known_once_the_first_list_is_whole() {
        let (mut wakes, notes) = (ChangeFilter::default(), Notes::default());
        woken_with(&notes, &mut wakes, Event::Init);
        woken_with(&notes, &mut wakes, Event::InitApply(object("a", 1)));
        assert_eq!(*notes.synced.lock().unwrap(), 0);
        woken_with(&notes, &mut wakes, Event::InitDone);
        woken_with(&notes, &mut wakes, Event::InitDone);
        assert_eq!(*notes.synced.lock().unwrap(), 1, "and told once");
    }

    #[test]
    fn a_list_that_was_cut_off_is_forgotten() {
        let mut wakes = ChangeFilter::default();
        woken(&mut wakes, Event::InitApply(object("a", 1)));
        woken(&mut wakes, Event::Init);
        woken(&mut wakes, Event::InitApply(object("b", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["b"]);
    }

    #[test]
    fn only_what_changed_is_woken() {
        let mut wakes = ChangeFilter::default();
        assert_eq!(woken(&mut wakes, Event::Apply(object("a", 1))), ["a"]);
        assert!(woken(&mut wakes, Event::Apply(object("a", 1))).is_empty());
        assert_eq!(woken(&mut wakes, Event::Apply(object("a", 2))), ["a"]);
        woken(&mut wakes, Event::InitApply(object("a", 2)));
        woken(&mut wakes, Event::InitApply(object("b", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["b"]);
    }

    /// The object with a status of these conditions and this claim.
    fn with_status(reasons: &[(&str, Reason)], arn: Option<&str>) -> Guarded {
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
            arn: arn.map(str::to_owned),
            ..VpcConnectorStatus::default()
        };
        object.0.as_mut().unwrap().status = Some(status);
        object
    }

    #[test]
    fn our_own_status_writes_wake_nobody() {
        let mut wakes = ChangeFilter::default();
        woken(&mut wakes, Event::Apply(object("a", 1)));
        for written in [
            with_status(&[], None),
            with_status(&[("Ready", Reason::Adopting)], None),
            with_status(&[("Ready", Reason::Available)], Some("arn")),
            with_status(&[("Ready", Reason::AccessDenied), ("Stalled", Reason::AccessDenied)], Some("arn")),
            with_status(&[("Ready", Reason::WriteRefused)], Some("arn")),
            with_status(&[("Ready", Reason::Available)], Some("arn")),
        ] {
            assert!(woken(&mut wakes, Event::Apply(written)).is_empty());
        }
    }

    #[test]
    fn a_status_that_lost_its_condition_or_its_claim_wakes_its_object() {
        let whole = || with_status(&[("Ready", Reason::InUse)], Some("arn"));
        for wiped in [object("a", 1), with_status(&[], Some("arn")), with_status(&[("Ready", Reason::InUse)], None)] {
            let mut wakes = ChangeFilter::default();
            woken(&mut wakes, Event::Apply(whole()));
            assert_eq!(woken(&mut wakes, Event::Apply(wiped.clone())), ["a"]);
            assert!(woken(&mut wakes, Event::Apply(wiped.clone())).is_empty(), "once");
            assert!(woken(&mut wakes, Event::Apply(whole())).is_empty(), "and not when it is whole again");
            woken(&mut wakes, Event::InitApply(wiped));
            assert_eq!(woken(&mut wakes, Event::InitDone), ["a"], "a list shows it too");
            woken(&mut wakes, Event::Apply(whole()));
            let moved = with_status(&[("Ready", Reason::InUse)], Some("another"));
            assert_eq!(woken(&mut wakes, Event::Apply(moved)), ["a"]);
        }
    }

    #[test]
    fn a_change_of_labels_and_annotations_wakes_an_object_only_while_a_write_is_refused() {
        let labelled = |reason, team: &str| {
            let mut object = with_status(&[("Ready", reason)], None);
            object.meta_mut().labels = Some([("team".to_owned(), team.to_owned())].into());
            object.meta_mut().annotations = Some([("example.org/team".to_owned(), team.to_owned())].into());
            DeserializeGuard(Ok(strip_metadata(object.0.unwrap())))
        };
        let mut wakes = ChangeFilter::default();
        woken(&mut wakes, Event::Apply(labelled(Reason::Available, "a")));
        assert!(woken(&mut wakes, Event::Apply(labelled(Reason::Available, "b"))).is_empty());
        assert!(woken(&mut wakes, Event::Apply(labelled(Reason::WriteRefused, "b"))).is_empty(), "our own write");
        assert_eq!(woken(&mut wakes, Event::Apply(labelled(Reason::WriteRefused, "c"))), ["a"]);
        assert!(woken(&mut wakes, Event::Apply(labelled(Reason::Available, "d"))).is_empty());
    }

    #[test]
    fn an_object_that_comes_back_from_a_backup_is_woken_again() {
        let (mut wakes, notes) = (ChangeFilter::default(), Notes::default());
        woken(&mut wakes, Event::Apply(object("a", 1)));
        woken_with(&notes, &mut wakes, Event::Delete(object("a", 1)));
        assert_eq!(*notes.gone.lock().unwrap(), ["a"]);
        woken(&mut wakes, Event::InitApply(object("a", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["a"]);
        let restored = Notes { restored: Some("a"), ..Notes::default() };
        woken(&mut wakes, Event::InitApply(object("a", 1)));
        assert_eq!(woken_with(&restored, &mut wakes, Event::InitDone), ["a"], "as it was, but not as we left it");
    }

    #[test]
    fn an_object_whose_end_was_missed_is_gone_with_the_next_list() {
        let (mut wakes, notes) = (ChangeFilter::default(), Notes::default());
        woken(&mut wakes, Event::Apply(object("a", 1)));
        woken(&mut wakes, Event::Init);
        woken_with(&notes, &mut wakes, Event::InitDone);
        assert_eq!(*notes.gone.lock().unwrap(), ["a"]);
    }

    #[test]
    fn events_pass_in_order_and_only_once() {
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
        assert!(!filter.accepts(&Event::Apply(at("11"))), "shown again");
        assert!(!filter.accepts(&Event::Delete(at("12"))), "shown again");
        assert!(filter.accepts(&Event::Init) && filter.accepts(&Event::InitApply(at("3"))));
        assert!(filter.accepts(&Event::Apply(at("4"))), "a server from a backup counts from an earlier number");
        assert!(filter.accepts(&Event::Apply(at("not-a-number"))));
    }
}
