//! The configuration of an emulator, and the errors of a start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use jiff::Timestamp;

use crate::{Behaviors, Role};

/// The access key id of the default configuration.
pub const DEFAULT_ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
/// The secret access key of [`DEFAULT_ACCESS_KEY_ID`]; it is valid for an emulator only.
pub const DEFAULT_SECRET_ACCESS_KEY: &str = "not-a-secret";
/// The account of [`DEFAULT_ACCESS_KEY_ID`].
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// The address, the access keys, the roles and the behaviors of an emulator at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 takes any free port. Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Access keys that the emulator accepts. Default: [`AccessKey::default`] alone.
    pub access_keys: Vec<AccessKey>,
    /// Roles at the start and after a reset. Default: none.
    pub roles: Vec<Role>,
    /// Behaviors at the start and after a reset.
    pub behaviors: Behaviors,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_keys: vec![AccessKey::default()],
            roles: Vec::new(),
            behaviors: Behaviors::default(),
        }
    }
}

/// The credentials of a caller, and the caller's account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id; the call log contains it.
    pub id: String,
    /// Secret access key; the emulator neither logs it nor sends it.
    pub secret: String,
    /// Account, 12 digits.
    pub account: String,
    /// Session token that every request with this key must have; if absent, a request must not have one.
    pub session_token: Option<SessionToken>,
}

/// The session token of temporary credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken {
    /// Value of the header `x-amz-security-token`; the emulator neither logs it nor sends it.
    pub token: String,
    /// Time from which the emulator rejects the token; if absent, the token does not expire.
    pub expires_at: Option<Timestamp>,
}

impl AccessKey {
    /// Makes a key without a session token.
    pub fn new(id: impl Into<String>, secret: impl Into<String>, account: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), account: account.into(), session_token: None }
    }

    /// Adds a session token that expires at the given time, or does not expire.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>, expires_at: Option<Timestamp>) -> Self {
        self.session_token = Some(SessionToken { token: token.into(), expires_at });
        self
    }
}

impl Default for AccessKey {
    fn default() -> Self {
        Self::new(DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, DEFAULT_ACCOUNT)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("account", &self.account).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Reads `ID:SECRET:ACCOUNT`, `ID:SECRET:ACCOUNT:SESSION_TOKEN` or `ID:SECRET:ACCOUNT:SESSION_TOKEN@EXPIRY`, an expiry
/// as `2026-01-31T12:00:00Z`.
impl FromStr for AccessKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (Some(id), Some(secret), Some(account)) = (next(), next(), next()) else {
            return Err(Error::AccessKeyFormat);
        };
        let key = Self::new(id, secret, account);
        key.check()?;
        Ok(match next() {
            Some(text) => {
                let (token, expires_at) = split_expiry(text);
                key.with_session_token(token, expires_at)
            }
            None => key,
        })
    }
}

fn split_expiry(text: &str) -> (&str, Option<Timestamp>) {
    let split = text.rsplit_once('@').and_then(|(token, expiry)| Some((token, expiry.parse().ok()?)));
    split.map_or((text, None), |(token, expiry)| (token, Some(expiry)))
}

impl AccessKey {
    fn check(&self) -> Result<(), Error> {
        if is_account(&self.account) { Ok(()) } else { Err(Error::Account { id: self.id.clone() }) }
    }
}

/// Returns true for the 12 digits of an account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.access_keys.iter().try_for_each(AccessKey::check)?;
        self.roles.iter().try_for_each(Role::check).map_err(|reason| Error::Role { reason })
    }
}

/// The reason why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The emulator cannot listen on the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Configured address.
        address: SocketAddr,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// An access key is not of the form `ID:SECRET:ACCOUNT[:SESSION_TOKEN[@EXPIRY]]`. The error leaves out the text,
    /// which contains a secret.
    #[error("an access key is written ID:SECRET:ACCOUNT[:SESSION_TOKEN[@EXPIRY]]")]
    AccessKeyFormat,
    /// An access key's account is not 12 digits.
    #[error("the account of access key {id} is not 12 digits")]
    Account {
        /// Id of the access key.
        id: String,
    },
    /// A role is not of the form `ARN[,trust=PRINCIPAL]...[,external-id=ID]`. The error leaves out the text, which may
    /// contain an external id.
    #[error("a role is written ARN[,trust=PRINCIPAL]...[,external-id=ID], and {reason}")]
    Role {
        /// The rule that the role breaks.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_access_keys_with_and_without_session_token() {
        let key: AccessKey = "AKID:s/e+cret:111122223333".parse().unwrap();
        assert_eq!(key, AccessKey::new("AKID", "s/e+cret", "111122223333"));
        let key: AccessKey = "AKID:secret:111122223333:to:ken".parse().unwrap();
        assert_eq!(key.session_token.unwrap(), SessionToken { token: "to:ken".to_owned(), expires_at: None });
        let key: AccessKey = "AKID:secret:111122223333:to@ken@2026-01-31T12:00:00Z".parse().unwrap();
        let expires_at = Some("2026-01-31T12:00:00Z".parse().unwrap());
        assert_eq!(key.session_token.unwrap(), SessionToken { token: "to@ken".to_owned(), expires_at });
        let key: AccessKey = "AKID:secret:111122223333:to@ken".parse().unwrap();
        assert_eq!(key.session_token.unwrap(), SessionToken { token: "to@ken".to_owned(), expires_at: None });
    }

    #[test]
    fn rejects_incomplete_access_keys_without_their_secret_in_the_error() {
        for text in
            ["", "AKID", "AKID:hush", "AKID:hush:", ":hush:111122223333", "AKID:hush:1", "AKID:hush:11112222333x"]
        {
            let error = text.parse::<AccessKey>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let key = AccessKey::new("AKID", "hush", "111122223333").with_session_token("quiet", None);
        let shown = format!("{key:?} {:?}", key.session_token);
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }
}
