//! Values that every reply renders alike.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Renders a time as AWS JSON does: seconds since 1970, with a fraction.
pub(super) fn seconds(time: Timestamp) -> Value {
    json!(time.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_fraction() {
        let time: Timestamp = "2024-05-01T10:00:00.25Z".parse().unwrap();
        assert_eq!(seconds(time).to_string(), "1714557600.25");
    }
}
