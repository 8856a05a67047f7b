//! AWS's words, compared in one place and without regard to case.
//!
//! The API model spells a Status in upper case, and a tool that runs against the real App Runner reports lower case. Nobody
//! has confirmed either, so the case of a letter never decides anything. What AWS wrote is shown as it is; what it means
//! is asked here.

/// Whether a word of AWS's is this one.
pub(crate) fn same(word: &str, known: &str) -> bool {
    word.eq_ignore_ascii_case(known)
}

/// Whether a text of AWS's holds this phrase.
pub(crate) fn says(text: &str, phrase: &str) -> bool {
    position(text, phrase).is_some()
}

/// Where a phrase begins in a text of AWS's, in bytes.
pub(crate) fn position(text: &str, phrase: &str) -> Option<usize> {
    // Only ASCII letters change, so every byte stays where it was.
    text.to_ascii_lowercase().find(&phrase.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_of_a_letter_never_matters() {
        assert!(same("inactive", "INACTIVE") && same("Inactive", "INACTIVE") && !same("ACTIVE", "INACTIVE"));
        assert!(says("Is Being USED by other services", "is being used by") && !says("is used", "is being used by"));
        assert_eq!(position("süß Authorization=", "authorization="), Some(6));
    }
}
