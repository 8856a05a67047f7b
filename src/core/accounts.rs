//! The accounts of `--accounts`: the role of each, and the namespaces and regions that may use it.
//!
//! The account in an object's ARN selects the role. An object never chooses it: that would let everybody who may create
//! objects use every role that trusts the operator. An account that is not listed can only be the operator's own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::arn::{AccountId, ConnectorArn, Region};
use super::ownership::ClusterId;
use super::text;

/// The longest name of a role session. Source: STS API, `AssumeRole`.
const MAX_SESSION_NAME: usize = 64;

/// The accounts, each with its role.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_account: BTreeMap<AccountId, Account>,
}

/// One account: its role, and who may use it where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The role that the operator assumes.
    pub role: RoleArn,
    /// The external id that the role's trust policy requires.
    pub external_id: Option<ExternalId>,
    /// The namespaces whose objects may use the account.
    pub namespaces: Namespaces,
    /// The regions in which they may use it; all that the operator serves without it.
    pub regions: Option<Vec<Region>>,
}

/// The ARN of an IAM role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleArn {
    text: String,
    account: AccountId,
}

/// The external id of a trust policy. It is no secret in AWS's sense, but whoever knows it and may use the operator's
/// identity can assume the role, so no log and no message shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExternalId(String);

/// A set of namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// All of them, written `*`.
    All,
    /// These.
    Only(Vec<String>),
}

/// Why a text is not a role, an external id or a list of namespaces.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AccountError(String);

impl Accounts {
    /// Adds an account, unless it is listed already.
    pub(crate) fn insert(&mut self, account: Account) -> Result<(), AccountError> {
        let id = account.role.account.clone();
        if self.by_account.contains_key(&id) {
            return Err(AccountError(format!("account {id} is listed twice")));
        }
        self.by_account.insert(id, account);
        Ok(())
    }

    /// True if no account is listed.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_account.is_empty()
    }

    /// The listed accounts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AccountId, &Account)> {
        self.by_account.iter()
    }

    /// The entry of an account, if it is listed.
    pub(crate) fn get(&self, account: &AccountId) -> Option<&Account> {
        self.by_account.get(account)
    }

    /// Why the objects of a namespace may not use the account of this connector; none if they may, or if the account is
    /// not listed.
    pub(crate) fn denial(&self, namespace: &str, arn: &ConnectorArn) -> Option<String> {
        let (account, region) = (arn.account(), arn.region());
        let entry = self.get(account)?;
        if !entry.namespaces.contains(namespace) {
            return Some(format!("the namespace {namespace} may not use account {account} (--accounts)"));
        }
        let regions = entry.regions.as_ref()?;
        (!regions.contains(region))
            .then(|| format!("account {account} may not be used in region {region} (--accounts)"))
    }
}

impl Namespaces {
    fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == namespace),
        }
    }
}

impl RoleArn {
    /// The ARN as AWS writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name, without the path.
    pub(crate) fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The account of the role.
    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Source: IAM, names and paths of roles.
impl FromStr for RoleArn {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let refused = || {
            let shown = text::excerpt(text);
            AccountError(format!(
                "'{shown}' is not the ARN of a role, such as arn:aws:iam::111122223333:role/apprunner-operator"
            ))
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return Err(refused()) };
        let path = resource.strip_prefix("role/").ok_or_else(refused)?;
        let (path, name) = path.rsplit_once('/').unwrap_or(("", path));
        let named = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        let valid = super::arn::is_partition(partition)
            && (1..=64).contains(&name.len())
            && name.bytes().all(named)
            && path.len() <= 510
            && path.bytes().all(|b| b.is_ascii_graphic());
        let account = account.parse().map_err(|_| refused())?;
        if valid { Ok(Self { text: text.to_owned(), account }) } else { Err(refused()) }
    }
}

impl ExternalId {
    /// The text for STS.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

/// Source: STS API, `AssumeRole`.
impl FromStr for ExternalId {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (2..=1224).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(AccountError("an externalId has 2 to 1224 letters, digits and characters of _+=,.@:/-".into()))
    }
}

/// The name of the role sessions of a cluster, for the logs of AWS.
pub(crate) fn session_name(cluster: Option<&ClusterId>) -> String {
    let mut name = "apprunner-operator".to_owned();
    if let Some(cluster) = cluster {
        name = format!("{name}-{}", cluster.as_str());
    }
    // Every character of a cluster id may be in the name of a session, and is one byte.
    name.truncate(MAX_SESSION_NAME);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::444455556666:role/apprunner-operator";

    fn connector(account: &str, region: &str) -> ConnectorArn {
        let id = "0123456789abcdef0123456789abcdef";
        format!("arn:aws:apprunner:{region}:{account}:vpcconnector/shop/1/{id}").parse().unwrap()
    }

    fn account(namespaces: Namespaces, regions: Option<&[&str]>) -> Accounts {
        let regions = regions.map(|regions| regions.iter().map(|region| region.parse().unwrap()).collect());
        let mut accounts = Accounts::default();
        accounts.insert(Account { role: ROLE.parse().unwrap(), external_id: None, namespaces, regions }).unwrap();
        accounts
    }

    #[test]
    fn a_role_has_an_account_a_path_and_a_name() {
        for (text, name) in [
            (ROLE, "apprunner-operator"),
            ("arn:aws:iam::444455556666:role/teams/shop/app+runner@1", "app+runner@1"),
            ("arn:aws-cn:iam::444455556666:role/a", "a"),
        ] {
            let role: RoleArn = text.parse().unwrap();
            assert_eq!((role.as_str(), role.name(), role.account().as_str()), (text, name, "444455556666"));
        }
        for bad in [
            "",
            "apprunner-operator",
            "arn:aws:iam::44445555666:role/a",
            "arn:aws:iam::444455556666:role/",
            "arn:aws:iam::444455556666:user/a",
            "arn:aws:iam:us-east-1:444455556666:role/a",
            "arn:aws:sts::444455556666:assumed-role/a/b",
            "arn:aws:iam::444455556666:role/a b",
            "arn:gcp:iam::444455556666:role/a",
            &format!("arn:aws:iam::444455556666:role/{}", "n".repeat(65)),
        ] {
            let error = bad.parse::<RoleArn>().unwrap_err().to_string();
            assert!(error.contains("is not the ARN of a role"), "{error}");
        }
    }

    #[test]
    fn an_external_id_is_never_shown() {
        let id: ExternalId = "prod-eu:1/x".parse().unwrap();
        assert_eq!(id.expose(), "prod-eu:1/x");
        assert!(!format!("{id:?}").contains("prod"));
        for bad in ["", "x", "hush hush", &"n".repeat(1225)] {
            assert!(!bad.parse::<ExternalId>().unwrap_err().to_string().contains("hush"));
        }
    }

    #[test]
    fn a_listed_account_is_denied_to_other_namespaces_and_regions() {
        let arn = connector("444455556666", "eu-west-1");
        let only = |name: &str| Namespaces::Only(vec![name.to_owned()]);
        assert_eq!(account(Namespaces::All, None).denial("shop", &arn), None);
        assert_eq!(account(only("shop"), Some(&["eu-west-1"])).denial("shop", &arn), None);
        let denied = account(only("jobs"), None).denial("shop", &arn).unwrap();
        assert!(denied.contains("namespace shop may not use account 444455556666"), "{denied}");
        let denied = account(only("shop"), Some(&["us-east-1"])).denial("shop", &arn).unwrap();
        assert!(denied.contains("may not be used in region eu-west-1"), "{denied}");
        let not_listed = connector("111122223333", "eu-west-1");
        assert_eq!(account(only("jobs"), None).denial("shop", &not_listed), None);
    }

    #[test]
    fn an_account_is_listed_once() {
        let mut accounts = account(Namespaces::All, None);
        let again = accounts.get(&"444455556666".parse().unwrap()).unwrap().clone();
        assert!(accounts.insert(again).unwrap_err().to_string().contains("444455556666 is listed twice"));
    }

    #[test]
    fn a_session_is_named_after_the_cluster() {
        assert_eq!(session_name(None), "apprunner-operator");
        assert_eq!(session_name("prod-eu.1".parse().ok().as_ref()), "apprunner-operator-prod-eu.1");
        assert_eq!(session_name("c".repeat(64).parse().ok().as_ref()).len(), MAX_SESSION_NAME);
    }
}
