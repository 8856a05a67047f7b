//! Files of the checkout, and their generated parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::committed;

const MARKS: [&str; 2] = ["<!-- generated: make docs -->\n", "<!-- end -->\n"];

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The tracked files.
pub(crate) fn tracked() -> Vec<String> {
    let listed = Command::new("git").arg("ls-files").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter(|name| path(name).is_file()).map(str::to_owned).collect()
}

/// Compares a file with the generated text.
#[track_caller]
pub(crate) fn assert_generated(name: &str, expected: &str) {
    committed::assert_committed(name, expected, "make docs");
}

/// Does the same for the part of a page between the two marks.
#[track_caller]
pub(crate) fn assert_part(name: &str, part: &str) {
    committed::assert_part(name, MARKS, &format!("\n{part}\n"), "make docs");
}

/// A cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
