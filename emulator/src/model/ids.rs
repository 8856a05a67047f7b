//! Random identifiers.

/// Makes an id in the form of a version 4 UUID.
pub(crate) fn uuid() -> String {
    let hex = random_hex();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// Makes 32 random hexadecimal digits, the last part of the ARNs that AWS makes.
pub(crate) fn random_hex() -> String {
    format!("{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_groups_of_8_4_4_4_and_12_digits() {
        let id = uuid();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
