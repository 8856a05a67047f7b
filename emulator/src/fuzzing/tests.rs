//! The fuzz target over its corpus, and over inputs near it: a short run on stable.

#[path = "../../../fuzz/inputs.rs"]
mod inputs;

#[test]
fn signatures_keep_their_invariants() {
    inputs::assert_holds("sigv4", super::sigv4);
}
