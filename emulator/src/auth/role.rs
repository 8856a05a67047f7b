//! IAM roles that a caller may assume.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::role_arn::RoleArn;
use crate::config::{Error, is_account};

/// A role and its trust policy.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// ARN, as `arn:aws:iam::ACCOUNT:role/NAME`; the sessions of the role act in this account.
    pub arn: String,
    /// Callers that may assume the role: an account (12 digits) with all its users and roles, or the ARN of a user or a
    /// role. If empty, every caller may.
    #[serde(default)]
    pub trusts: Vec<String>,
    /// External id that a request to assume the role must have; if absent, a request may have any. The emulator neither
    /// logs it nor sends it.
    #[serde(default)]
    pub external_id: Option<String>,
}

impl Role {
    /// Makes a role that every caller may assume.
    pub fn new(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), trusts: Vec::new(), external_id: None }
    }

    /// Adds a caller that may assume the role; from the first on, no others may.
    #[must_use]
    pub fn trusting(mut self, principal: impl Into<String>) -> Self {
        self.trusts.push(principal.into());
        self
    }

    /// Requires an external id.
    #[must_use]
    pub fn with_external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// Returns the reason why a request could never assume the role. The reason contains no part of the role.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if RoleArn::parse(&self.arn).is_none() {
            return Err("the ARN is not arn:aws:iam::ACCOUNT:role/NAME");
        }
        if !self.trusts.iter().all(|principal| is_principal(principal)) {
            return Err("it can trust an account (12 digits), arn:aws:iam::ACCOUNT:user/NAME and \
                        arn:aws:iam::ACCOUNT:role/NAME");
        }
        if !self.external_id.as_deref().is_none_or(is_external_id) {
            return Err("an external id has 2 to 1224 letters, digits and characters of +=,.@:/-_");
        }
        Ok(())
    }
}

fn is_principal(text: &str) -> bool {
    let is_user = || {
        let user = text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":user/"));
        user.is_some_and(|(account, name)| is_account(account) && !name.is_empty())
    };
    is_account(text) || RoleArn::parse(text).is_some() || is_user()
}

/// Returns true for a valid external id. Source: STS API, `AssumeRole`.
fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.chars().count()) && text.chars().all(is_external_id_char)
}

/// Returns true for a character of an external id. Source: STS API, `AssumeRole`: `[\w+=,.@:\/-]*`.
pub(crate) fn is_external_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c)
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("arn", &self.arn).field("trusts", &self.trusts).finish_non_exhaustive()
    }
}

/// Reads `ARN[,trust=PRINCIPAL]...[,external-id=ID]`. The external id is last, because it may contain commas. A role with
/// a comma in its name cannot be written in this form.
impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let split = text.split_once(",external-id=");
        let (rest, external_id) = split.map_or((text, None), |(rest, id)| (rest, Some(id.to_owned())));
        let invalid = |reason| Error::Role { reason };
        let mut parts = rest.split(',');
        let arn = parts.next().unwrap_or_default().to_owned();
        let trusts = parts.map(|part| part.strip_prefix("trust=").map(str::to_owned)).collect::<Option<Vec<_>>>();
        let trusts = trusts.ok_or_else(|| invalid("after the ARN it has only trust=PRINCIPAL and external-id=ID"))?;
        let role = Self { arn, trusts, external_id };
        role.check().map_err(invalid)?;
        Ok(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:role/reader";

    #[test]
    fn parses_roles_with_trusts_and_external_id() {
        assert_eq!(ARN.parse::<Role>().unwrap(), Role::new(ARN));
        let user = "arn:aws:iam::444455556666:user/AKIDOTHER";
        let text = format!("{ARN},trust=444455556666,trust={user},trust={ARN},external-id=a,trust=b");
        let role = Role::new(ARN).trusting("444455556666").trusting(user).trusting(ARN).with_external_id("a,trust=b");
        assert_eq!(text.parse::<Role>().unwrap(), role);
    }

    #[test]
    fn rejects_invalid_roles_without_their_external_id_in_the_error() {
        for rest in [
            ",external-id=",
            ",external-id=h",
            ",external-id=hush hush",
            ",externalid=hush",
            ",trust=,external-id=hush",
            ",trust=*,external-id=hush",
            ",trust=arn:aws:iam::1:user/x,external-id=hush",
            ",trust=arn:aws:iam::111122223333:root,external-id=hush",
        ] {
            let error = format!("{ARN}{rest}").parse::<Role>().unwrap_err().to_string();
            assert!(error.contains("external-id=ID") && !error.contains("hush"), "{rest}: {error}");
        }
        assert!("".parse::<Role>().is_err() && ",external-id=hush".parse::<Role>().is_err());
    }

    #[test]
    fn debug_output_contains_no_external_id() {
        assert!(!format!("{:?}", Role::new(ARN).with_external_id("hush")).contains("hush"));
    }
}
