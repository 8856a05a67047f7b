//! Files of the checkout, and their generated parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "<!-- generated: make docs -->\n";
const END: &str = "<!-- end -->\n";

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

/// Compares a file with what is generated; with `UPDATE_EXPECTED` it writes the file.
pub(crate) fn assert_generated(name: &str, expected: &str) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(path(name), expected).unwrap();
    }
    assert!(fs::read_to_string(path(name)).unwrap_or_default() == expected, "{name} is out of date: make docs");
}

/// Does the same for the part of a page between the two marks.
pub(crate) fn assert_part(name: &str, part: &str) {
    let page = file(name);
    let (before, rest) = page.split_once(BEGIN).unwrap_or_else(|| panic!("{name} lacks {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{name} lacks {END}"));
    assert_generated(name, &format!("{before}{BEGIN}\n{part}\n{END}{after}"));
}

/// A cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
