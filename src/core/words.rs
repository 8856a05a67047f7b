//! Case-insensitive comparison of words and phrases from AWS.
//!
//! The API model spells a Status in upper case, and a tool that runs against the real App Runner reports lower case. Neither
//! is confirmed, so all comparisons ignore case. The operator shows AWS's text unchanged.

/// True if a word from AWS is the known word.
pub(crate) fn same(word: &str, known: &str) -> bool {
    word.eq_ignore_ascii_case(known)
}

/// True if a text from AWS contains the phrase.
pub(crate) fn says(text: &str, phrase: &str) -> bool {
    position(text, phrase).is_some()
}

/// The byte position of a phrase in a text from AWS.
pub(crate) fn position(text: &str, phrase: &str) -> Option<usize> {
    // The bytes of a phrase, which is ASCII, are never a part of another character.
    text.as_bytes().windows(phrase.len().max(1)).position(|bytes| bytes.eq_ignore_ascii_case(phrase.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_phrases_are_compared_without_case() {
        assert!(same("inactive", "INACTIVE") && same("Inactive", "INACTIVE") && !same("ACTIVE", "INACTIVE"));
        assert!(says("Is Being USED by other services", "is being used by") && !says("is used", "is being used by"));
        assert_eq!(position("süß Authorization=", "authorization="), Some(6));
    }
}
