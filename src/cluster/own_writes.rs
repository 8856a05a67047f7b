//! Remembers what our own writes returned until the watch shows it.
//!
//! The watch is behind: after our status write it still shows the object without the receipt, and after the finalizer
//! came off it still shows the object. Deciding on that would call AWS again for a connector that is gone; a stock
//! controller does so for most deletions under load. So the newest version we know wins, and an object whose finalizer
//! we took off stays let go, also after its DELETED event, which a watch may show out of order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use crate::api::{Uid, VpcConnector};
use crate::sync::lock;

/// A watch that has not shown our write by now never will: the API server may have come back from a backup.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// The newest versions of objects, as far as our own writes made them.
#[derive(Default)]
pub struct OwnWrites {
    entries: Mutex<HashMap<Uid, Entry>>,
}

struct Entry {
    written: Written,
    at: Instant,
}

enum Written {
    Version(Arc<VpcConnector>),
    Released,
}

/// The newest known version of an object.
pub struct Newest {
    /// The object.
    pub object: Arc<VpcConnector>,
    /// Our finalizer is off it already, whatever the object shows.
    pub released: bool,
}

impl OwnWrites {
    /// The newest of what the watch shows and what our last write returned.
    ///
    /// Ours is forgotten only here, once the very version that is handed in has caught up with it: whoever still holds
    /// an older one must go on to be given ours.
    pub fn newest(&self, shown: Arc<VpcConnector>) -> Newest {
        let uid = shown.id();
        let mut entries = self.lock();
        match entries.get(&uid).filter(|entry| entry.at.elapsed() < FORGET_AFTER).map(|entry| &entry.written) {
            None => Newest { object: shown, released: false },
            Some(Written::Released) => Newest { object: shown, released: true },
            Some(Written::Version(ours)) if is_newer(ours, &shown) => Newest { object: ours.clone(), released: false },
            Some(Written::Version(_)) => {
                entries.remove(&uid);
                Newest { object: shown, released: false }
            }
        }
    }

    /// Remembers a version that the API server returned to us.
    pub fn wrote(&self, object: VpcConnector) {
        self.remember(object.id(), Written::Version(Arc::new(object)));
    }

    /// Remembers that our finalizer is off.
    pub fn released(&self, uid: Uid) {
        self.remember(uid, Written::Released);
    }

    /// Takes note that an object is gone; an event of it that comes again must not be acted on.
    pub fn gone(&self, uid: Uid) {
        self.remember(uid, Written::Released);
    }

    /// Takes note of an object in a list, which is the truth about all that was written before it began.
    ///
    /// Says whether that contradicts what we remembered: then the API server came back from a backup.
    pub fn reconcile_with_list(&self, object: &VpcConnector, began: Instant) -> bool {
        let uid = object.id();
        let mut entries = self.lock();
        if entries.get(&uid).is_none_or(|entry| entry.at >= began) {
            return false;
        }
        match entries.remove(&uid).map(|entry| entry.written) {
            Some(Written::Released) => object.finalizer_index().is_some(),
            Some(Written::Version(ours)) => is_newer(&ours, object),
            None => false,
        }
    }

    fn remember(&self, uid: Uid, written: Written) {
        let mut entries = self.lock();
        entries.insert(uid, Entry { written, at: Instant::now() });
        // Now and then is enough: what stands here too long is only memory.
        if entries.len().is_power_of_two() {
            entries.retain(|_, entry| entry.at.elapsed() < FORGET_AFTER);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uid, Entry>> {
        lock(&self.entries)
    }
}

fn is_newer(ours: &VpcConnector, shown: &VpcConnector) -> bool {
    version(ours).zip(version(shown)).is_some_and(|(ours, shown)| ours > shown)
}

/// Resource versions are ordered numbers; one that is not is never newer than another.
pub(crate) fn version(object: &impl ResourceExt) -> Option<u128> {
    object.resource_version()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid() -> Uid {
        Some("u1".to_owned()).into()
    }

    fn version_of(number: &str) -> VpcConnector {
        let mut object = VpcConnector::default();
        object.metadata.uid = Some("u1".into());
        object.metadata.resource_version = Some(number.into());
        object
    }

    fn shown_as(own: &OwnWrites, number: &str) -> (String, bool) {
        let newest = own.newest(Arc::new(version_of(number)));
        (newest.object.resource_version().unwrap(), newest.released)
    }

    #[test]
    fn the_newer_of_the_watch_and_our_write_wins() {
        let own = OwnWrites::default();
        own.wrote(version_of("10"));
        assert_eq!(shown_as(&own, "9"), ("10".into(), false), "the watch is behind");
        assert_eq!(shown_as(&own, "9"), ("10".into(), false), "and still is");
        assert_eq!(shown_as(&own, "10"), ("10".into(), false), "the watch has caught up");
        assert_eq!(shown_as(&own, "11"), ("11".into(), false), "and goes on");
    }

    #[test]
    fn versions_compare_as_numbers() {
        let own = OwnWrites::default();
        own.wrote(version_of("100"));
        assert_eq!(shown_as(&own, "99"), ("100".into(), false));
    }

    #[test]
    fn a_version_that_is_no_number_is_never_newer() {
        let own = OwnWrites::default();
        own.wrote(version_of("b"));
        assert_eq!(shown_as(&own, "a"), ("a".into(), false));
    }

    #[test]
    fn a_released_object_stays_released_until_it_is_gone() {
        let own = OwnWrites::default();
        own.released(uid());
        assert_eq!(shown_as(&own, "11"), ("11".into(), true));
        own.gone(uid());
        assert_eq!(shown_as(&own, "11"), ("11".into(), true), "and after it: its events may be shown again");
    }

    #[test]
    fn a_list_is_the_truth_about_what_was_written_before_it() {
        let own = OwnWrites::default();
        let before = Instant::now();
        own.wrote(version_of("10"));
        assert!(!own.reconcile_with_list(&version_of("9"), before), "it began before our write and may miss it");
        assert_eq!(shown_as(&own, "9"), ("10".into(), false));
        assert!(own.reconcile_with_list(&version_of("9"), Instant::now()), "the server forgot our write");
        assert_eq!(shown_as(&own, "9"), ("9".into(), false));
        own.wrote(version_of("10"));
        assert!(!own.reconcile_with_list(&version_of("10"), Instant::now()), "as it should be");
    }

    #[test]
    fn an_object_that_comes_back_from_a_backup_is_not_let_go_any_more() {
        let own = OwnWrites::default();
        own.released(uid());
        let mut back = version_of("9");
        back.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
        assert!(own.reconcile_with_list(&back, Instant::now()));
        assert_eq!(shown_as(&own, "9"), ("9".into(), false));
    }
}
