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

/// Makes random characters of base 32, as in AWS's ids of access keys and roles.
pub(crate) fn random_base32(length: usize) -> String {
    random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", length)
}

/// Makes 40 random characters of base 64, the form of a secret access key.
pub(crate) fn random_secret() -> String {
    random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40)
}

fn random_text(alphabet: &[u8], length: usize) -> String {
    (0..length).filter_map(|_| fastrand::choice(alphabet)).map(|byte| char::from(*byte)).collect()
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
