//! A read-your-writes cache: it keeps the results of our own writes until the watch shows them, as the expectations of
//! kube-controller-manager do.
//!
//! The watch lags behind: after our status write it still shows the object without the receipt, and after the removal
//! of our finalizer it still shows the object. A decision on that state would call AWS again for a deleted connector; a
//! controller without this cache does so for most deletions under load. So the latest known version wins, and an object
//! whose finalizer we removed stays released, also after its DELETED event, because a watch may show events out of
//! order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use crate::api::{Uid, VpcConnector};
use crate::sync::lock;

/// An entry expires after this time: a watch that has not shown our write by then never will, because the API server
/// may have been restored from a backup.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// The latest versions of objects that our own writes returned.
#[derive(Default)]
pub(crate) struct OwnWrites {
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

/// The latest known version of an object.
pub(crate) struct Latest {
    pub(crate) object: Arc<VpcConnector>,
    /// Our finalizer was removed, even if `object` still has it.
    pub(crate) released: bool,
}

impl OwnWrites {
    /// Returns the later of the version that the watch shows and the version that our last write returned.
    ///
    /// Only this function removes our version, and only when `shown` has caught up with it: a caller with an older
    /// version must still get ours.
    pub(crate) fn latest(&self, shown: Arc<VpcConnector>) -> Latest {
        let uid = shown.id();
        let mut entries = self.lock();
        match entries.get(&uid).filter(|entry| entry.at.elapsed() < FORGET_AFTER).map(|entry| &entry.written) {
            None => Latest { object: shown, released: false },
            Some(Written::Released) => Latest { object: shown, released: true },
            Some(Written::Version(ours)) if is_newer(ours, &shown) => Latest { object: ours.clone(), released: false },
            Some(Written::Version(_)) => {
                entries.remove(&uid);
                Latest { object: shown, released: false }
            }
        }
    }

    /// Stores a version that the API server returned to us.
    pub(crate) fn store_version(&self, object: Arc<VpcConnector>) {
        self.store(object.id(), Written::Version(object));
    }

    /// Replaces our version with that of the watch, once the watch has caught up with it, so that there is one copy.
    pub(crate) fn shown(&self, object: &Arc<VpcConnector>) {
        if let Some(Entry { written: Written::Version(ours), .. }) = self.lock().get_mut(&object.id())
            && !is_newer(ours, object)
        {
            *ours = object.clone();
        }
    }

    /// Stores that our finalizer was removed.
    pub(crate) fn store_released(&self, uid: Uid) {
        self.store(uid, Written::Released);
    }

    /// Compares our version with an object in a list. The list shows every write that was made before it started.
    ///
    /// Returns whether the list contradicts our version, which means that the API server was restored from a backup.
    pub(crate) fn reconcile_with_list(&self, object: &VpcConnector, list_started: Instant) -> bool {
        let uid = object.id();
        let mut entries = self.lock();
        if entries.get(&uid).is_none_or(|entry| entry.at >= list_started) {
            return false;
        }
        match entries.remove(&uid).map(|entry| entry.written) {
            Some(Written::Released) => object.finalizer_index().is_some(),
            Some(Written::Version(ours)) => is_newer(&ours, object),
            None => false,
        }
    }

    fn store(&self, uid: Uid, written: Written) {
        let mut entries = self.lock();
        entries.insert(uid, Entry { written, at: Instant::now() });
        // An expired entry only uses memory, so the removal when the number of entries is a power of two suffices.
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

/// The resource version as a number. A version that is not a number is never newer than another one.
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

    fn arc(number: &str) -> Arc<VpcConnector> {
        Arc::new(version_of(number))
    }

    fn shown_as(own: &OwnWrites, number: &str) -> (String, bool) {
        let latest = own.latest(Arc::new(version_of(number)));
        (latest.object.resource_version().unwrap(), latest.released)
    }

    #[test]
    fn later_version_of_the_watch_and_our_write_wins() {
        let own = OwnWrites::default();
        own.store_version(arc("10"));
        assert_eq!(shown_as(&own, "9"), ("10".into(), false), "the watch is behind");
        assert_eq!(shown_as(&own, "9"), ("10".into(), false), "the watch is still behind");
        assert_eq!(shown_as(&own, "10"), ("10".into(), false), "the watch has caught up");
        assert_eq!(shown_as(&own, "11"), ("11".into(), false), "the watch is ahead");
    }

    #[test]
    fn a_version_that_the_watch_shows_is_kept_once() {
        let (own, watched) = (OwnWrites::default(), arc("10"));
        own.store_version(arc("10"));
        own.shown(&arc("9"));
        own.shown(&watched);
        let latest = own.latest(arc("9"));
        assert!(Arc::ptr_eq(&latest.object, &watched), "a reconcile that began before gets it as well");
    }

    #[test]
    fn versions_compare_as_numbers() {
        let own = OwnWrites::default();
        own.store_version(arc("100"));
        assert_eq!(shown_as(&own, "99"), ("100".into(), false));
    }

    #[test]
    fn version_that_is_not_a_number_is_never_newer() {
        let own = OwnWrites::default();
        own.store_version(arc("b"));
        assert_eq!(shown_as(&own, "a"), ("a".into(), false));
    }

    #[test]
    fn released_object_stays_released_after_its_deleted_event() {
        let own = OwnWrites::default();
        own.store_released(uid());
        assert_eq!(shown_as(&own, "11"), ("11".into(), true));
        assert_eq!(shown_as(&own, "9"), ("9".into(), true), "the watch may show earlier events again");
    }

    #[test]
    fn list_replaces_versions_that_were_written_before_it_started() {
        let own = OwnWrites::default();
        let before = Instant::now();
        own.store_version(arc("10"));
        assert!(
            !own.reconcile_with_list(&version_of("9"), before),
            "the list started before our write and may miss it"
        );
        assert_eq!(shown_as(&own, "9"), ("10".into(), false));
        assert!(own.reconcile_with_list(&version_of("9"), Instant::now()), "the API server lost our write");
        assert_eq!(shown_as(&own, "9"), ("9".into(), false));
        own.store_version(arc("10"));
        assert!(!own.reconcile_with_list(&version_of("10"), Instant::now()), "the list has our write");
    }

    #[test]
    fn object_restored_from_a_backup_is_no_longer_released() {
        let own = OwnWrites::default();
        own.store_released(uid());
        let mut back = version_of("9");
        back.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
        assert!(own.reconcile_with_list(&back, Instant::now()));
        assert_eq!(shown_as(&own, "9"), ("9".into(), false));
    }
}
