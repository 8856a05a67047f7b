//! The documentation: every link leads somewhere, the generated parts are up to date, and no page names a file that does
//! not exist.
//!
//! `make docs` writes the generated parts. `make e2e` runs the commands of the pages that are marked for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod api;
mod cli;
#[path = "../../hack/committed.rs"]
mod committed;
mod links;
mod matrix;
mod picture;
mod text;

use text::{assert_generated, assert_part, file};

#[test]
fn the_command_line_is_documented() {
    assert_part("docs/reference/cli.md", &cli::render());
}

#[test]
fn the_resource_is_documented() {
    assert_part("docs/reference/api.md", &api::render());
}

#[test]
fn the_tested_versions_are_documented() {
    assert_part("docs/operations/upgrade.md", &matrix::render());
}

/// Each picture of a terminal shows the text beside it, which `hack/transcripts` takes from the demo.
#[test]
fn the_pictures_show_the_committed_transcripts() {
    for name in ["report", "waiting"] {
        let transcript = file(&format!("docs/images/{name}.txt"));
        assert_generated(&format!("docs/images/{name}.svg"), &picture::terminal(&transcript));
    }
}

#[test]
fn the_readme_fits_on_a_few_screens() {
    let lines = file("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, and may have 150");
}
