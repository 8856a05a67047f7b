//! Every reason and every Event has an entry in `docs/operations/runbook.md`.

use std::collections::BTreeMap;

use crate::api::Reason;
use crate::core::event::EventReason;
use crate::core::stall;

const RUNBOOK: &str = include_str!("../../../docs/operations/runbook.md");

/// The entries of a part of the runbook, by heading.
fn entries(part: &str) -> BTreeMap<&'static str, &'static str> {
    let parts = RUNBOOK.split("\n## ").filter_map(|text| text.split_once('\n'));
    let (_, text) = parts.into_iter().find(|(heading, _)| *heading == part).unwrap();
    text.split("\n### ").skip(1).filter_map(|entry| entry.split_once('\n')).collect()
}

fn sorted(words: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    let mut words: Vec<_> = words.into_iter().map(|word| word.to_string()).collect();
    words.sort();
    words
}

/// All reasons.
pub(super) fn reasons() -> Vec<Reason> {
    let reasons = all!(Reason:
        Available, Adopting, Deleting, Deleted, AlreadyGone, InUse, Protected, Retained, NotFound, Inactive, Gone,
        OwnedByAnother, WrongAccount, AccessDenied, CredentialsRejected, SubscriptionRequired, InvalidRequest, Throttled,
        ServiceError, Unreachable, UntrustedCertificate, Unproven, WriteRefused
    );
    reasons.to_vec()
}

#[test]
fn every_reason_has_an_entry_in_the_runbook_that_says_whether_it_stalls() {
    let reasons = reasons();
    let entries = entries("Reasons");
    assert_eq!(sorted(entries.keys()), sorted(&reasons));
    for reason in reasons {
        let entry = entries[reason.to_string().as_str()];
        let stalls = if stall::stalls(reason) { "**Stalls:** yes" } else { "**Stalls:** no" };
        for words in ["**By itself:**", "**Yours:**", stalls] {
            assert!(entry.contains(words), "the entry of {reason} lacks {words}");
        }
    }
}

/// The Events that are no reasons.
pub(super) fn events() -> Vec<EventReason> {
    let events = all!(EventReason: OwnershipTaken, OwnerTagRestored, StatusCorrected, NotOwned, Malformed,
        UnknownAnnotationValue; but EventReason::State(_));
    events.to_vec()
}

#[test]
fn every_event_has_an_entry_in_the_runbook() {
    assert_eq!(sorted(entries("Events that are no reasons").keys()), sorted(events()));
}

/// Users on call look for a name.
#[test]
fn the_entries_of_the_runbook_are_in_alphabetical_order() {
    for part in ["Reasons", "Events that are no reasons"] {
        let text = RUNBOOK.split("\n## ").find(|text| text.starts_with(part)).unwrap();
        let headings = text.split("\n### ").skip(1).filter_map(|entry| entry.lines().next());
        assert!(headings.is_sorted_by_key(str::to_lowercase), "{part}");
    }
}
