//! Committed files with generated text, for the tests that compare the two.

use std::path::Path;

/// Compares a text with a committed file; with `UPDATE_EXPECTED=1` the file is written. `update` is the command that does so.
#[track_caller]
pub(crate) fn assert_committed(file: &str, text: &str, update: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "{file} is out of date: {update}");
}

/// Compares a text with the part of a committed file between two marks.
#[track_caller]
pub(crate) fn assert_part(file: &str, [begin, end]: [&str; 2], text: &str, update: &str) {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("{file} lacks {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{file} lacks {end}"));
    assert_committed(file, &format!("{before}{begin}{text}{end}{after}"), update);
}
