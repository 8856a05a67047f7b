//! Text from outside, made fit to be shown: one line of a limited length.
//!
//! Statuses, Events and logs quote AWS, the API server and users, and none of them limits its texts. A proxy may answer
//! in place of AWS, and an object may be older than the schema of its CRD. So every such text passes one of these
//! functions once, where it enters the operator or where it is put into a message.

use super::words;

/// Codes and request ids of AWS are cut to this many characters.
const MAX_CODE: usize = 100;
/// A message of AWS or of the API server is cut to this many characters.
const MAX_MESSAGE: usize = 700;
/// A value that a message quotes is cut to this many characters; no ARN of a connector has more.
const MAX_EXCERPT: usize = 330;
/// The beginnings of a signed request, which may contain a session token.
const SIGNED_REQUEST: [&str; 4] = ["The Canonical String", "Authorization=", "Credential=", "X-Amz-Security-Token"];

/// A text in one line: a space in place of each control character, and at most so many characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.len() <= max && text.bytes().all(plain) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
}

/// A message in one line, without the signed request that it may quote.
pub(crate) fn message(text: &str) -> String {
    without_request(text, MAX_MESSAGE)
}

/// A code or a request id.
pub(crate) fn code(text: &str) -> String {
    without_request(text, MAX_CODE)
}

/// A value that a message quotes: control characters are escaped, and a longer value is cut.
pub(crate) fn excerpt(value: &str) -> String {
    match value.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => format!("{}…", value[..end].escape_debug()),
        None => value.escape_debug().to_string(),
    }
}

fn without_request(text: &str, max: usize) -> String {
    // A line break within a beginning must not hide it.
    let mut line = one_line(text, usize::MAX);
    let starts = SIGNED_REQUEST.iter().filter_map(|start| words::position(&line, start));
    line.truncate(starts.min().unwrap_or(line.len()));
    one_line(line.trim_end(), max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_do_not_quote_a_signed_request() {
        assert_eq!(message(&"ä".repeat(2000)).chars().count(), 700);
        assert_eq!(message("no\nbreaks"), "no breaks");
        let echo = "The signature does not match. The Canonical String for this request should have been \
                    'POST / x-amz-security-token:SECRET'";
        assert_eq!(message(echo), "The signature does not match.");
        assert_eq!(message("No. x-amz-SECURITY-token:SECRET"), "No.");
        assert_eq!(message("Requires 'Signature'. Authorization=AWS4-HMAC Credential=A/B"), "Requires 'Signature'.");
    }

    #[test]
    fn a_line_break_does_not_hide_a_signed_request() {
        assert_eq!(message("No.\nThe Canonical\nString for this request: SECRET"), "No.");
    }

    #[test]
    fn a_code_is_one_short_line_without_a_signed_request() {
        assert_eq!(code("Throttling\u{7}Exception"), "Throttling Exception");
        assert_eq!(code(&"x".repeat(200)).len(), 100);
        assert_eq!(code("X Credential=A/B"), "X");
    }

    #[test]
    fn a_quoted_value_is_escaped_and_cut() {
        assert_eq!(excerpt("a\nb\u{1b}[31m"), r"a\nb\u{1b}[31m");
        let cut = excerpt(&"\u{7}".repeat(100_000));
        assert!(cut.len() < 6 * 330 + 4 && cut.ends_with('…'), "{cut}");
    }
}
