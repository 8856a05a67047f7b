//! The inputs of the fuzz targets in the tests of both crates: the committed corpus, and inputs that are near it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// The body of a fuzz target.
type Body = fn(&[u8]);

/// Inputs of each target that are derived from its corpus.
const DERIVED: u32 = 1000;

/// Texts that parsers are known to stumble over.
const AWKWARD: [&str; 22] = [
    "",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{202e}",
    "é",
    "💥",
    "%",
    "%ff",
    "+",
    "\"",
    "\\u0000",
    "\\ud800",
    "{",
    "[[[[",
    "null",
    "1e400",
    "-1",
    "18446744073709551616",
];

/// Asserts that a target holds for its corpus, which is not empty, and for inputs near it.
pub(super) fn assert_holds(target: &str, body: Body) {
    let seeds = corpus(target);
    assert!(!seeds.is_empty(), "{target} has no corpus");
    for (name, seed) in &seeds {
        catch_unwind(AssertUnwindSafe(|| body(seed))).unwrap_or_else(|_| panic!("fuzz/corpus/{target}/{name}"));
    }
    let seeds: Vec<_> = seeds.into_iter().map(|(_, seed)| seed).collect();
    let mut runner = TestRunner::new(Config { cases: DERIVED, failure_persistence: None, ..Config::default() });
    let result = runner.run(&near(seeds), |input| {
        body(&input);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{target}: {failure}"));
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("fuzz/corpus").is_dir());
    let folder = folder.expect("the checkout has the corpus").join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect()
}

/// One to eight edits of a seed.
fn near(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<Vec<u8>> =
        seeds.iter().flat_map(|seed| seed.split(|byte| !byte.is_ascii_alphanumeric())).map(<[u8]>::to_vec).collect();
    let text = prop_oneof![
        3 => select(words),
        3 => select(&AWKWARD[..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..5),
        1 => (any::<u8>(), 1..3000_usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    let edit = (any::<Index>(), 0..40_usize, text, prop_oneof![9 => Just(1), 1 => 2..30_usize]);
    (select(seeds), prop::collection::vec(edit, 1..8)).prop_map(|(mut input, edits)| {
        for (at, removed, text, times) in edits {
            let start = at.index(input.len() + 1);
            let end = input.len().min(start + removed);
            let gone: Vec<u8> = input.splice(start..end, text.repeat(times)).collect();
            // Half of the edits insert, and remove nothing.
            if removed % 2 == 0 {
                input.splice(start..start, gone);
            }
        }
        input
    })
}
