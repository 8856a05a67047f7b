//! The file of `--accounts`.

use super::{MAX_MESSAGE_BYTES, assert_shown};
use crate::accounts_file::parse;
use crate::core::accounts::{Namespaces, RoleArn};

/// Parses a text as the file of accounts. Each entry of a valid one has a role of its account and names a namespace; the
/// error of any other text can be shown.
pub fn accounts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(accounts) => {
            assert!(!accounts.is_empty());
            for (id, account) in accounts.iter() {
                assert_eq!(
                    (account.role.account(), account.role.as_str().parse::<RoleArn>().as_ref()),
                    (id, Ok(&account.role))
                );
                assert!(account.namespaces != Namespaces::Only(Vec::new()));
                assert!(account.regions.as_ref().is_none_or(|regions| !regions.is_empty()));
            }
        }
        Err(error) => assert_shown(&error.to_string(), MAX_MESSAGE_BYTES),
    }
}
