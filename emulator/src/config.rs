//! What an emulator is started with, and why a start can fail.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use jiff::Timestamp;

use crate::Behaviors;

/// The access key id known when no other is configured.
pub const DEFAULT_ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
/// The secret that belongs to [`DEFAULT_ACCESS_KEY_ID`]; it opens nothing but an emulator.
pub const DEFAULT_SECRET_ACCESS_KEY: &str = "not-a-secret";
/// The account that [`DEFAULT_ACCESS_KEY_ID`] belongs to.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// Says where an emulator listens, whom it knows and how it behaves from the start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to bind; port 0 takes any free port. Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Everyone who may call. Default: [`AccessKey::default`] alone.
    pub access_keys: Vec<AccessKey>,
    /// Answers to the questions that AWS leaves open; `reset` comes back to these.
    pub behaviors: Behaviors,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_keys: vec![AccessKey::default()],
            behaviors: Behaviors::default(),
        }
    }
}

/// One caller's credentials and the account they belong to.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id, which the call log names.
    pub id: String,
    /// Secret access key; never logged or answered.
    pub secret: String,
    /// Account, 12 digits.
    pub account: String,
    /// Session token that every request with this key must carry; without one, a request must carry none.
    pub session_token: Option<SessionToken>,
}

/// The temporary part of temporary credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken {
    /// Value of `x-amz-security-token`; never logged or answered.
    pub token: String,
    /// When the token stops being accepted; never, when absent.
    pub expires_at: Option<Timestamp>,
}

impl AccessKey {
    /// Makes a key without a session token.
    pub fn new(id: impl Into<String>, secret: impl Into<String>, account: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), account: account.into(), session_token: None }
    }

    /// Adds a session token that expires at the given time, or never.
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
        if self.account.len() == 12 && self.account.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(())
        } else {
            Err(Error::Account { id: self.id.clone() })
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.access_keys.iter().try_for_each(AccessKey::check)
    }
}

/// Why an emulator could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An access key was not written as `ID:SECRET:ACCOUNT[:SESSION_TOKEN[@EXPIRY]]`; the text is left out, it holds a secret.
    #[error("an access key is written ID:SECRET:ACCOUNT[:SESSION_TOKEN[@EXPIRY]]")]
    AccessKeyFormat,
    /// An access key's account is not 12 digits.
    #[error("the account of access key {id} is not 12 digits")]
    Account {
        /// The access key's id.
        id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_access_keys() {
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
    fn refuses_incomplete_access_keys_without_repeating_them() {
        for text in
            ["", "AKID", "AKID:hush", "AKID:hush:", ":hush:111122223333", "AKID:hush:1", "AKID:hush:11112222333x"]
        {
            let error = text.parse::<AccessKey>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = AccessKey::new("AKID", "hush", "111122223333").with_session_token("quiet", None);
        let shown = format!("{key:?} {:?}", key.session_token);
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }
}
