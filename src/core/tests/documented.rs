//! Pages of the reference that agree with the core: the error codes, which `make docs` generates, and the reasons.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::runbook::{events, reasons};
use crate::committed::assert_part;
use crate::core::error_class::{ErrorClass, Retry, Stall};
use crate::core::intervals::{Backoff, Intervals};
use crate::core::stall;

const ERRORS: &str = "docs/reference/errors.md";

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn rows_of_errors() -> String {
    let mut table = String::from("| codes | `Ready` reason | next attempt | stalls |\n|---|---|---|---|\n");
    for class in ErrorClass::ALL {
        let row = class.handling();
        let stalls = match row.stall {
            Stall::Never => "",
            Stall::AtOnce => "at once",
            Stall::AfterAMinute => "from the second failure, and after a minute",
            Stall::StuckService => "while a service is stuck",
        };
        let (codes, next) = (codes(class), next_attempt(row.retry));
        writeln!(table, "| {codes} | {} | {next} | {stalls} |", row.reason).unwrap();
    }
    table
}

fn codes(class: ErrorClass) -> String {
    let listed: Vec<_> = class.handling().codes.iter().map(|code| format!("`{code}`")).collect();
    let other = match class {
        ErrorClass::InUse => "`InvalidRequest` with \"is being used by\"",
        ErrorClass::InvalidRequest => "any other, with an HTTP status of 400 to 499",
        ErrorClass::Throttled => "or the HTTP status 429",
        ErrorClass::ServiceError => "or the HTTP status 408, or any of 500 and more",
        ErrorClass::Unreachable => "no answer, or no connection",
        ErrorClass::Untrusted => "none: the certificate is not trusted, and nothing was sent",
        ErrorClass::Unproven => "none: a success that lacks a member which would prove it",
        _ => "",
    };
    let all = listed.into_iter().chain((!other.is_empty()).then(|| other.to_owned()));
    all.collect::<Vec<_>>().join(", ")
}

fn next_attempt(retry: Retry) -> String {
    let intervals = Intervals::default();
    let between = |backoff: Backoff| match [backoff.initial, backoff.max].map(|time| time.as_secs()) {
        [first, last] if last <= 60 => format!("{first} to {last} s"),
        [first, last] if first < 60 => format!("{first} s to {} min", last / 60),
        [first, last] => format!("{} to {} min", first / 60, last / 60),
    };
    match retry {
        Retry::Soon => between(intervals.retry),
        Retry::Access => between(intervals.access),
        Retry::Invalid => between(intervals.invalid),
        Retry::InUse => "[when a service changes](../concepts/lifecycle.md#a-connector-in-use)".into(),
    }
}

#[test]
fn the_error_codes_are_documented() {
    assert_eq!(Intervals::default().access.initial, Duration::from_secs(30), "the units below fit these intervals");
    let text = format!("\n{}\n", rows_of_errors());
    assert_part(ERRORS, ["<!-- generated: make docs -->\n", "<!-- end -->\n"], &text, "make docs");
}

#[test]
fn every_reason_is_listed_with_its_stall_and_every_event() {
    let page = page("docs/reference/events.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| [")?.split_once("](../operations/runbook.md#"));
    let rows: BTreeMap<_, _> = rows.collect();
    for (name, rest) in &rows {
        assert!(rest.starts_with(&format!("{})", name.to_lowercase())), "{name} links to {rest}");
    }
    let mut expected: Vec<_> = reasons().iter().map(ToString::to_string).collect();
    for reason in reasons() {
        let needs_user = rows.get(reason.to_string().as_str()).is_some_and(|rest| !rest.ends_with("| |"));
        assert_eq!(needs_user, stall::stalls(reason), "{reason}");
    }
    expected.extend(events().iter().map(ToString::to_string));
    expected.sort();
    assert_eq!(rows.into_keys().collect::<Vec<_>>(), expected);
}
