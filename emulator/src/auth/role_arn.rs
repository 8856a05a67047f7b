//! The ARNs of IAM roles.

use crate::config::is_account;

/// The parts of a role's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoleArn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) account: &'a str,
    /// Name without the path.
    pub(crate) name: &'a str,
}

impl<'a> RoleArn<'a> {
    /// Parses `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`. Source: IAM User Guide, "IAM identifiers"; STS API,
    /// `AssumeRole`, for the length.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // A path may contain colons.
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else { return None };
        let path = resource.strip_prefix("role/")?;
        let name = path.rsplit('/').next()?;
        let is_valid = (20..=2048).contains(&text.len())
            && (partition == "aws" || partition.starts_with("aws-"))
            && is_account(account)
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && (1..=64).contains(&name.len())
            && name.chars().all(is_name_char);
        is_valid.then_some(Self { partition, account, name })
    }

    /// Makes the ARN of a session of this role. Source: STS API, `AssumedRoleUser`.
    pub(crate) fn session(&self, session_name: &str) -> String {
        let Self { partition, account, name } = self;
        format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}")
    }
}

/// Returns true for a character of the name of a role or of a role session. Source: STS API, `AssumeRole`:
/// `[\w+=,.@-]*`.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_name_of_the_role_without_its_path() {
        let arn = RoleArn::parse("arn:aws-cn:iam::111122223333:role/service-role/a:b/reader").unwrap();
        assert_eq!(arn, RoleArn { partition: "aws-cn", account: "111122223333", name: "reader" });
        assert_eq!(arn.session("me@home"), "arn:aws-cn:sts::111122223333:assumed-role/reader/me@home");
    }

    #[test]
    fn rejects_the_arns_of_other_things() {
        let good = "arn:aws:iam::111122223333:role/reader";
        assert!(RoleArn::parse(good).is_some());
        for (part, instead) in [
            ("arn:", "arm:"),
            ("aws", "gcp"),
            ("iam", "sts"),
            ("::", ":eu-west-1:"),
            ("111122223333", "11112222333"),
            ("role/", "user/"),
            ("role/", "role"),
            ("reader", ""),
            ("reader", "a path/reader"),
            ("reader", "reader/"),
            ("reader", "read:er"),
            ("reader", "réader"),
        ] {
            assert_eq!(RoleArn::parse(&good.replacen(part, instead, 1)), None, "{instead}");
        }
        assert_eq!(RoleArn::parse(&good.replace("reader", &"a".repeat(65))), None);
        assert_eq!(RoleArn::parse(&good.replace("role/", &format!("role/{}/", "a".repeat(2048)))), None);
    }
}
