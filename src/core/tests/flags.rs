//! The annotations `paused` and `protected` in the conditions.

use super::evidence::claimed;
use crate::api::{PAUSED, PROTECTED, VpcConnector, VpcConnectorSpec, condition};
use crate::core::evidence::Evidence;
use crate::core::flags::Unusual;
use crate::core::state::ObjectState;
use crate::core::status;

/// An object that is being deleted, with this value of both annotations.
fn paused_and_protected_by(value: &str) -> Evidence {
    let annotations = [PAUSED, PROTECTED].map(|name| (name.to_owned(), value.to_owned()));
    let mut object = VpcConnector::new("egress", VpcConnectorSpec::default());
    object.metadata.annotations = Some(annotations.into());
    claimed().deleting().with(|e| {
        e.object.unusual = Unusual::read(&object);
        (e.object.paused, e.object.protected) = (true, true);
    })
}

/// An object that is being deleted, with this value of `protected`.
fn protected_by(value: &str) -> Evidence {
    paused_and_protected_by(value).with(|e| e.object.paused = false)
}

#[test]
fn an_annotation_value_is_quoted_unless_it_is_exactly_true() {
    for (value, quoted) in [("true", ""), ("True", " (\"True\")"), ("yes", " (\"yes\")")] {
        let paused = status::status_while_paused(&paused_and_protected_by(value))
            .condition(condition::PAUSED)
            .unwrap()
            .message
            .clone();
        assert_eq!(paused, format!("held by the annotation {PAUSED}{quoted}"));
        let protected = protected_by(value).waits().message;
        assert_eq!(protected, format!("deletion is held by the annotation {PROTECTED}{quoted}; remove it to continue"));
    }
}

#[test]
fn a_changed_annotation_value_is_written_at_once() {
    let of = [
        |value: &str| (paused_and_protected_by(value), status::status_while_paused(&paused_and_protected_by(value))),
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
fn published_values_are_not_published_again_when_the_deletion_begins() {
    let e = paused_and_protected_by("yes");
    let mut state = ObjectState::default();
    assert_eq!(e.object.unusual.take_events(&mut state.published).len(), 2);
    state.start_reconcile(&e.object, e.now.moment);
    assert_eq!(e.object.unusual.take_events(&mut state.published).len(), 0);
}
