//! What the API server shows, and which of it wakes an object.
//!
//! kube's watcher keeps a store up to date and goes on after errors. What it leaves open is closed here. A watch that went
//! silent stays silent (an API server restored from a backup answers a watch from its own future so), and a 410 on its
//! start is repeated for ever: so each watch is begun anew after a few minutes. The objects of a list stand in the store
//! only once the list is whole: so they wake nobody before that. And an object is woken by what others change about it,
//! never by our own status writes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use tracing::warn;

use crate::api::{FINALIZER, GROUP, VpcConnector};
use crate::cluster::WATCH_SECONDS;
use crate::cluster::writes::trimmed;

/// A watch is begun anew after this long, give or take a fifth.
const REBUILD: Duration = Duration::from_mins(5);

/// An object, or why it does not parse.
pub type Guarded = DeserializeGuard<VpcConnector>;

/// Watches, and gives the objects to look at; whoever is gone is told to `forget`, by uid.
pub fn watch(
    api: Api<Guarded>,
    forget: impl Fn(&str) + Send + Sync + 'static,
) -> (impl Stream<Item = watcher::Result<Guarded>> + Send + 'static, Store<Guarded>) {
    let (store, writer) = reflector::store();
    let begin = move || {
        let lifetime = REBUILD.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS)).take_until(tokio::time::sleep(lifetime))
    };
    let woken = stream::repeat_with(begin)
        .flatten()
        .default_backoff()
        .modify(|object| {
            if let Ok(object) = &mut object.0 {
                *object = trimmed(std::mem::take(object));
            }
        })
        .reflect(writer)
        .scan(Wakes::default(), move |wakes, event| {
            let woken = wakes.take(event);
            wakes.gone.drain(..).for_each(|uid| forget(&uid));
            std::future::ready(Some(woken))
        })
        .flat_map(stream::iter);
    (woken, store)
}

/// Remembers what was last shown of each object that is there.
#[derive(Default)]
struct Wakes {
    known: HashMap<String, u64>,
    listed: Vec<Guarded>,
    gone: Vec<String>,
}

impl Wakes {
    /// The objects that an event wakes.
    fn take(&mut self, event: watcher::Result<Event<Guarded>>) -> Vec<watcher::Result<Guarded>> {
        match event {
            Ok(Event::Apply(object)) => self.changed(object).into_iter().map(Ok).collect(),
            Ok(Event::Delete(object)) => {
                let uid = object.uid().unwrap_or_default();
                self.known.remove(&uid);
                self.gone.push(uid);
                Vec::new()
            }
            Ok(Event::Init) => {
                self.listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                self.listed.push(object);
                Vec::new()
            }
            Ok(Event::InitDone) => self.whole_list(),
            Err(error) => {
                warn!(%error, "watching VpcConnector objects failed; it is tried again");
                vec![Err(error)]
            }
        }
    }

    fn whole_list(&mut self) -> Vec<watcher::Result<Guarded>> {
        let mut before = std::mem::take(&mut self.known);
        let listed = std::mem::take(&mut self.listed);
        for object in &listed {
            let uid = object.uid().unwrap_or_default();
            if let Some(last) = before.remove(&uid) {
                self.known.insert(uid, last);
            }
        }
        self.gone.extend(before.into_keys());
        listed.into_iter().filter_map(|object| self.changed(object)).map(Ok).collect()
    }

    fn changed(&mut self, object: Guarded) -> Option<Guarded> {
        let now = what_wakes(&object);
        let last = self.known.insert(object.uid().unwrap_or_default(), now);
        (last != Some(now)).then_some(object)
    }
}

/// Everything that a decision depends on and that others write.
fn what_wakes(object: &Guarded) -> u64 {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    (&meta.uid, meta.generation, meta.deletion_timestamp.is_some()).hash(&mut hasher);
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER).hash(&mut hasher);
    let annotations = meta.annotations.iter().flatten().filter(|(key, _)| key.starts_with(GROUP));
    annotations.for_each(|annotation| annotation.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::ObjectMeta;

    fn object(uid: &str, generation: i64) -> Guarded {
        let metadata = ObjectMeta {
            uid: Some(uid.into()),
            name: Some(uid.into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        DeserializeGuard(Ok(VpcConnector { metadata, ..VpcConnector::default() }))
    }

    fn woken(wakes: &mut Wakes, event: Event<Guarded>) -> Vec<String> {
        wakes.take(Ok(event)).into_iter().map(|object| object.unwrap().name_any()).collect()
    }

    #[test]
    fn a_list_wakes_nobody_before_it_is_whole() {
        let mut wakes = Wakes::default();
        assert!(woken(&mut wakes, Event::Init).is_empty());
        assert!(woken(&mut wakes, Event::InitApply(object("a", 1))).is_empty());
        assert!(woken(&mut wakes, Event::InitApply(object("b", 1))).is_empty());
        assert_eq!(woken(&mut wakes, Event::InitDone), ["a", "b"]);
    }

    #[test]
    fn a_list_that_was_cut_off_is_forgotten() {
        let mut wakes = Wakes::default();
        woken(&mut wakes, Event::InitApply(object("a", 1)));
        woken(&mut wakes, Event::Init);
        woken(&mut wakes, Event::InitApply(object("b", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["b"]);
    }

    #[test]
    fn only_what_changed_is_woken() {
        let mut wakes = Wakes::default();
        assert_eq!(woken(&mut wakes, Event::Apply(object("a", 1))), ["a"]);
        assert!(woken(&mut wakes, Event::Apply(object("a", 1))).is_empty());
        assert_eq!(woken(&mut wakes, Event::Apply(object("a", 2))), ["a"]);
        woken(&mut wakes, Event::InitApply(object("a", 2)));
        woken(&mut wakes, Event::InitApply(object("b", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["b"]);
    }

    #[test]
    fn our_own_status_writes_wake_nobody() {
        let mut wakes = Wakes::default();
        woken(&mut wakes, Event::Apply(object("a", 1)));
        let mut written = object("a", 1);
        written.0.as_mut().unwrap().status = Some(crate::api::VpcConnectorStatus::default());
        written.meta_mut().resource_version = Some("2".into());
        assert!(woken(&mut wakes, Event::Apply(written)).is_empty());
    }

    #[test]
    fn an_object_that_comes_back_from_a_backup_is_woken_again() {
        let mut wakes = Wakes::default();
        woken(&mut wakes, Event::Apply(object("a", 1)));
        woken(&mut wakes, Event::Delete(object("a", 1)));
        assert_eq!(std::mem::take(&mut wakes.gone), ["a"]);
        woken(&mut wakes, Event::InitApply(object("a", 1)));
        assert_eq!(woken(&mut wakes, Event::InitDone), ["a"]);
    }

    #[test]
    fn an_object_whose_end_was_missed_is_forgotten_with_the_next_list() {
        let mut wakes = Wakes::default();
        woken(&mut wakes, Event::Apply(object("a", 1)));
        woken(&mut wakes, Event::Init);
        woken(&mut wakes, Event::InitDone);
        assert_eq!(wakes.gone, ["a"]);
    }
}
