//! The annotations `paused` and `protected`, and the Events for values of them that are neither true nor false.

use super::event::{EventReason, PendingEvent};
use crate::api::{PAUSED, PROTECTED, VpcConnector};

/// Characters of a value that a message quotes at most.
const MAX_QUOTED: usize = 60;

/// The values that take effect and are not exactly `"true"`, by annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unusual(Vec<(&'static str, String)>);

impl Unusual {
    /// Reads the annotations of an object.
    pub(crate) fn read(object: &VpcConnector) -> Self {
        let holding = [PAUSED, PROTECTED].into_iter().filter_map(|name| Some((name, object.held_by(name)?.to_owned())));
        Self(holding.filter(|(_, value)| value != "true").collect())
    }

    /// The name of an annotation for a message, with its value if that is unusual.
    pub(crate) fn named(&self, annotation: &str) -> String {
        match self.0.iter().find(|(name, _)| *name == annotation) {
            Some((_, value)) => format!("{annotation} ({})", quoted(value)),
            None => annotation.to_owned(),
        }
    }

    /// The Events for values that are neither true nor false and were not published before.
    pub(crate) fn take_events(&self, published: &mut Self) -> Vec<PendingEvent> {
        let unknown: Vec<_> = self.0.iter().filter(|(_, value)| !value.eq_ignore_ascii_case("true")).cloned().collect();
        let events = unknown.iter().filter(|unknown| !published.0.contains(unknown)).map(event).collect();
        *published = Self(unknown);
        events
    }
}

fn event((name, value): &(&'static str, String)) -> PendingEvent {
    let note = format!(
        "the annotation {name} is {}, which is neither true nor false, and holds the object like true; set it to true, or remove it",
        quoted(value)
    );
    PendingEvent::warning(EventReason::UnknownAnnotationValue, &note)
}

fn quoted(value: &str) -> String {
    match value.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(annotations: &[(&str, &str)]) -> VpcConnector {
        let mut object = VpcConnector::default();
        let annotations = annotations.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        object.metadata.annotations = Some(annotations.collect());
        object
    }

    fn notes(unusual: &Unusual, published: &mut Unusual) -> Vec<String> {
        unusual.take_events(published).into_iter().map(|event| event.note().to_owned()).collect()
    }

    #[test]
    fn all_values_except_false_and_empty_take_effect() {
        for (value, holds) in [
            ("true", true),
            ("True", true),
            ("TRUE", true),
            ("yes", true),
            ("1", true),
            ("no", true),
            ("false ", true),
            ("false", false),
            ("False", false),
            ("FALSE", false),
            ("", false),
        ] {
            for name in [PAUSED, PROTECTED] {
                assert_eq!(with(&[(name, value)]).held_by(name).is_some(), holds, "{value:?}");
            }
        }
        assert_eq!(with(&[]).held_by(PAUSED), None);
    }

    #[test]
    fn a_value_is_quoted_unless_it_is_exactly_true() {
        for (value, named) in [("true", PAUSED.to_owned()), ("True", format!("{PAUSED} (\"True\")"))] {
            assert_eq!(Unusual::read(&with(&[(PAUSED, value)])).named(PAUSED), named);
        }
        assert_eq!(Unusual::read(&with(&[(PAUSED, "yes")])).named(PROTECTED), PROTECTED);
        let endless = Unusual::read(&with(&[(PAUSED, &"\n\u{e9}".repeat(100_000))])).named(PAUSED);
        assert!(endless.len() < 250 && endless.ends_with("…)") && !endless.contains('\n'), "{endless}");
    }

    #[test]
    fn an_unknown_value_is_published_once_and_again_when_it_changes() {
        let mut published = Unusual::default();
        let yes = Unusual::read(&with(&[(PAUSED, "yes"), (PROTECTED, "True")]));
        let notes_of_yes = notes(&yes, &mut published);
        assert_eq!(notes_of_yes.len(), 1, "True is known: {notes_of_yes:?}");
        assert!(notes_of_yes[0].contains(&format!("{PAUSED} is \"yes\"")), "{notes_of_yes:?}");
        assert_eq!(notes(&yes, &mut published).len(), 0, "it was published");
        let both = Unusual::read(&with(&[(PAUSED, "yes"), (PROTECTED, "no")]));
        assert_eq!(notes(&both, &mut published).len(), 1, "the other one");
        assert_eq!(
            notes(&Unusual::read(&with(&[(PAUSED, "on"), (PROTECTED, "no")])), &mut published).len(),
            1,
            "it changed"
        );
        assert_eq!(notes(&Unusual::read(&with(&[])), &mut published).len(), 0);
        assert_eq!(notes(&both, &mut published).len(), 2, "they are back");
    }
}
