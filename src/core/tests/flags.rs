//! The annotations that hold an object, as the conditions tell of them.

use super::evidence::claimed;
use crate::api::{PAUSED, PROTECTED, VpcConnector, VpcConnectorSpec, condition};
use crate::core::evidence::Evidence;
use crate::core::flags::Unusual;
use crate::core::state::ObjectState;
use crate::core::status;

/// An object that is being deleted and that both annotations hold, with this value.
fn held_by(value: &str) -> Evidence {
    let annotations = [PAUSED, PROTECTED].map(|name| (name.to_owned(), value.to_owned()));
    let mut object = VpcConnector::new("egress", VpcConnectorSpec::default());
    object.metadata.annotations = Some(annotations.into());
    claimed().deleting().with(|e| {
        e.object.unusual = Unusual::read(&object);
        (e.object.paused, e.object.protected) = (true, true);
    })
}

/// The same without the pause, which comes first.
fn protected_by(value: &str) -> Evidence {
    held_by(value).with(|e| e.object.paused = false)
}

#[test]
fn what_holds_an_object_is_quoted_where_it_is_not_just_true() {
    for (value, quoted) in [("true", ""), ("True", " (\"True\")"), ("yes", " (\"yes\")")] {
        let paused = status::status_while_paused(&held_by(value)).condition(condition::PAUSED).unwrap().message.clone();
        assert_eq!(paused, format!("held by the annotation {PAUSED}{quoted}"));
        let protected = protected_by(value).waits().message;
        assert_eq!(protected, format!("deletion is held by the annotation {PROTECTED}{quoted}; remove it to continue"));
    }
}

#[test]
fn another_value_is_written_at_once() {
    let of = [
        |value: &str| (held_by(value), status::status_while_paused(&held_by(value))),
        |value: &str| {
            let e = protected_by(value);
            let (status, _) = status::status_while(&e, &e.waits());
            (e, status)
        },
    ];
    for of in of {
        let (e, before) = of("yes");
        let written = e.with(|e| {
            e.object.status = before.clone();
            e.state.status_written_at = Some(e.now.moment);
        });
        assert!(!status::needs_write(&written, &before));
        assert!(status::needs_write(&written, &of("true").1));
    }
}

#[test]
fn what_was_told_stays_told_when_the_deletion_begins() {
    let e = held_by("yes");
    let mut state = ObjectState::default();
    assert_eq!(e.object.unusual.take_events(&mut state.published).len(), 2);
    state.start_reconcile(&e.object, e.now.moment);
    assert_eq!(e.object.unusual.take_events(&mut state.published).len(), 0);
}
