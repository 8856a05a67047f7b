//! The annotations of an object: `paused`, `protected` and `reconcile-requested-at`.

use super::{MAX_NOTE_BYTES, assert_shown};
use crate::api::{FINALIZER, PAUSED, PROTECTED, RECONCILE_REQUESTED_AT, VpcConnector};
use crate::core::attempt::Trigger;
use crate::core::decide::{Decision, decide};
use crate::core::evidence::Object;
use crate::core::flags::Unusual;

/// Reads three annotations, a line each; the last one takes the rest of the lines.
///
/// Every value but the empty one and "false" holds the object. Messages and Events quote a value in one short line, and
/// a value is published once.
pub fn annotations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let values: Vec<&str> = text.splitn(3, '\n').collect();
    let mut object = VpcConnector::default();
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let named = [PAUSED, PROTECTED, RECONCILE_REQUESTED_AT].into_iter().zip(&values);
    object.metadata.annotations = Some(named.map(|(name, value)| (name.to_owned(), (*value).to_owned())).collect());
    let read = Object::read(&object, false);
    let holds =
        |value: Option<&&str>| value.is_some_and(|value| !["", "false"].contains(&&*value.to_ascii_lowercase()));
    let [paused, protected] = [holds(values.first()), holds(values.get(1))];
    assert_eq!((read.paused, read.protected), (paused, protected));
    assert_eq!(paused, matches!(decide(&super::evidence(&object)), Decision::Pause));
    assert_texts(&Unusual::read(&object), &values);
    assert_request(read, values.get(2).copied());
}

fn assert_texts(unusual: &Unusual, values: &[&str]) {
    for name in [PAUSED, PROTECTED] {
        assert_shown(&unusual.named(name), MAX_NOTE_BYTES);
    }
    let mut published = Unusual::default();
    let events = unusual.take_events(&mut published);
    let known = |value: &&&str| ["", "true", "false"].contains(&&*value.to_ascii_lowercase());
    assert_eq!(events.len(), values.iter().take(2).filter(|value| !known(value)).count());
    for event in &events {
        assert_shown(event.note(), MAX_NOTE_BYTES - 1);
        assert!(event.note().ends_with("remove it"), "the note is cut: {}", event.note());
    }
    assert!(unusual.take_events(&mut published).is_empty(), "a value is published once");
}

/// A request is answered once, whatever its value.
fn assert_request(mut read: Object, value: Option<&str>) {
    assert_eq!(read.request.as_deref(), value);
    assert_eq!(read.requested(), value.is_some());
    assert_eq!(Trigger::requested(&read), value.map(|value| Trigger::Requested(value.to_owned())));
    read.status.last_handled_reconcile_at = value.map(Into::into);
    assert!(!read.requested());
}
