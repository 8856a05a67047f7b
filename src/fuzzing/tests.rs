//! The fuzz targets over their corpus, and over inputs near it: a short run on stable.

#[path = "../../fuzz/inputs.rs"]
mod inputs;

use self::inputs::assert_holds;

#[test]
fn the_file_of_accounts_keeps_its_invariants() {
    assert_holds("accounts", super::accounts);
}

#[test]
fn annotations_keep_their_invariants() {
    assert_holds("annotations", super::annotations);
}

#[test]
fn arn_keeps_its_invariants() {
    assert_holds("arn", super::arn);
}

#[test]
fn error_classes_keep_their_invariants() {
    assert_holds("error_class", super::error_class);
}

#[test]
fn objects_keep_their_invariants() {
    assert_holds("object", super::object);
}

#[test]
fn proxy_settings_keep_their_invariants() {
    assert_holds("proxy", super::proxy);
}

#[test]
fn replies_keep_their_invariants() {
    assert_holds("wire", super::wire);
}

#[test]
fn an_answer_without_end_is_not_kept_in_memory() {
    for status in ["200", "502"] {
        let head = format!("DescribeVpcConnector {status}\ncontent-type: application/x-amz-json-1.0\n\n");
        let endless = [head.as_bytes(), &vec![b' '; 5 * 1024 * 1024], br#"{"VpcConnector":"#].concat();
        let failure = super::wire::failure_to_describe(&endless);
        assert_eq!(failure.message, "the answer is longer than 4194304 bytes", "{status}");
    }
}
