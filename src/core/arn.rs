//! The parsed ARN of a connector, and its account and region.
//!
//! The account and the region in an ARN decide which credentials can prove anything about the connector. So only a text
//! that has exactly the form of a connector's ARN parses.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::text;

/// The length of the longest ARN. Source: App Runner API, the constraints of all ARNs.
pub(crate) const MAX_ARN: usize = 1011;
/// The regions of App Runner. Source: AWS General Reference, App Runner endpoints.
pub(crate) const APP_RUNNER_REGIONS: [&str; 11] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
];

/// An AWS account of twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountId(String);

/// An AWS region's name, such as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(String);

/// An account in a region. AWS limits calls, lists services, and has outages for each account and region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountRegion {
    pub account: AccountId,
    pub region: Region,
}

/// The account and region in the text of a connector's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BorrowedAccountRegion<'a> {
    account: &'a str,
    region: &'a str,
}

/// The full ARN of one VPC connector, revision and id included. Its clones share one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectorArn(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Parts {
    text: String,
    partition: String,
    account_region: AccountRegion,
    named: Named,
}

/// The parts of a text that has the form of a connector's ARN.
struct Fields<'a> {
    partition: &'a str,
    account_region: BorrowedAccountRegion<'a>,
    named: [&'a str; 3],
}

/// The part of an ARN after `vpcconnector/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Named {
    name: String,
    revision: String,
    id: String,
}

/// Why a text does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArnError(String);

impl ConnectorArn {
    /// The ARN as AWS writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The partition; today App Runner exists in `aws` only.
    pub(crate) fn partition(&self) -> &str {
        &self.0.partition
    }

    /// The region whose endpoint serves the connector.
    pub(crate) fn region(&self) -> &Region {
        &self.0.account_region.region
    }

    /// The account that owns the connector.
    pub(crate) fn account(&self) -> &AccountId {
        &self.0.account_region.account
    }

    /// The connector's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.named.name
    }

    /// The connector's revision, a number.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn revision(&self) -> &str {
        &self.0.named.revision
    }

    /// The connector's unique id. All ids seen so far have 32 hexadecimal digits; AWS does not document their form.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn id(&self) -> &str {
        &self.0.named.id
    }

    /// The account and region of the connector.
    pub(crate) fn account_region(&self) -> &AccountRegion {
        &self.0.account_region
    }
}

impl AccountId {
    /// The twelve digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Region {
    /// The partition whose credentials the region accepts.
    pub fn partition(&self) -> &'static str {
        match self.as_str() {
            name if name.starts_with("cn-") => "aws-cn",
            name if name.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The region's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        check_account(text).map(|()| Self(text.to_owned()))
    }
}

impl FromStr for Region {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        check_region(text).map(|()| Self(text.to_owned()))
    }
}

impl FromStr for ConnectorArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let Fields { partition, account_region, named } = Fields::of(text)?;
        let [name, revision, id] = named.map(str::to_owned);
        let (account_region, named) = (account_region.to_owned(), Named { name, revision, id });
        Ok(Self(Arc::new(Parts { text: text.to_owned(), partition: partition.to_owned(), account_region, named })))
    }
}

impl<'a> BorrowedAccountRegion<'a> {
    /// The account and region of a connector, if the text is its ARN; nothing is copied.
    pub(crate) fn of(arn: &'a str) -> Option<Self> {
        Fields::of(arn).ok().map(|fields| fields.account_region)
    }

    pub(crate) fn to_owned(self) -> AccountRegion {
        AccountRegion { account: AccountId(self.account.to_owned()), region: Region(self.region.to_owned()) }
    }
}

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Result<Self, ArnError> {
        let [Some("arn"), Some(partition), Some("apprunner"), Some(region), Some(account), Some(resource)] =
            items(text.splitn(6, ':'))
        else {
            return Err(ArnError::of(text, "is not the ARN of an App Runner resource"));
        };
        if !is_partition(partition) || text.len() > MAX_ARN {
            return Err(ArnError::of(text, "is not the ARN of an App Runner resource"));
        }
        let named = connector(resource).ok_or_else(|| {
            ArnError::of(text, "is not a full VPC connector ARN, which ends in vpcconnector/NAME/REVISION/ID")
        })?;
        check_region(region)?;
        check_account(account)?;
        Ok(Self { partition, account_region: BorrowedAccountRegion { account, region }, named })
    }
}

impl ArnError {
    fn of(text: &str, why: &str) -> Self {
        Self(format!("'{}' {why}", text::excerpt(text)))
    }
}

/// True if the text can be the name of a partition, such as `aws-cn`; the schema of `spec.arn` says the same.
pub(super) fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

fn check_account(text: &str) -> Result<(), ArnError> {
    let valid = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    valid.then_some(()).ok_or_else(|| ArnError::of(text, "is not an account of twelve digits"))
}

fn check_region(text: &str) -> Result<(), ArnError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid = !text.is_empty() && text.len() <= 63 && text.bytes().all(plain);
    valid.then_some(()).ok_or_else(|| ArnError::of(text, "is not the name of a region"))
}

/// The first items, without a list of them.
fn items<'a, const N: usize>(mut parts: impl Iterator<Item = &'a str>) -> [Option<&'a str>; N] {
    std::array::from_fn(|_| parts.next())
}

/// The name, the revision and the id of a connector.
fn connector(resource: &str) -> Option<[&str; 3]> {
    let [Some("vpcconnector"), Some(name), Some(revision), Some(id), None] = items(resource.split('/')) else {
        return None;
    };
    let valid_name = (4..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let valid_revision = (1..=9).contains(&revision.len()) && revision.bytes().all(|b| b.is_ascii_digit());
    let valid_id = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (valid_name && valid_revision && valid_id).then_some([name, revision, id])
}

macro_rules! display_as_text {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
display_as_text!(AccountId, Region, ConnectorArn);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";

    #[test]
    fn a_full_arn_parses_and_reads_back() {
        let arn: ConnectorArn = GOOD.parse().unwrap();
        assert_eq!(arn.as_str(), GOOD);
        assert_eq!(arn.partition(), "aws");
        assert_eq!(arn.region().as_str(), "us-east-1");
        assert_eq!(arn.account().as_str(), "111122223333");
        assert_eq!((arn.name(), arn.revision(), arn.id()), ("shop", "1", "0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn account_and_region_are_read_from_a_text_that_parses_and_from_no_other() {
        let read = |text| BorrowedAccountRegion::of(text).map(BorrowedAccountRegion::to_owned);
        assert_eq!(read(GOOD).as_ref(), Some(GOOD.parse::<ConnectorArn>().unwrap().account_region()));
        for bad in ["", "arn", &GOOD.replace("/1/", "/"), &GOOD.replace("111122223333", "1"), &format!("{GOOD}/more")] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_has_the_characters_that_app_runner_allows() {
        let named = |name: &str| GOOD.replace("/shop/", &format!("/{name}/")).parse::<ConnectorArn>().is_ok();
        for good in ["shop", "Shop-1_x", "0000", &"n".repeat(40)] {
            assert!(named(good), "{good}");
        }
        for bad in ["sho", "-shop", "_shop", "sh.op", "shöp", "sh op", &"n".repeat(41)] {
            assert!(!named(bad), "{bad}");
        }
    }

    #[test]
    fn a_revision_is_a_number_of_one_to_nine_digits() {
        let revised = |revision: &str| GOOD.replace("/1/", &format!("/{revision}/")).parse::<ConnectorArn>().is_ok();
        assert!(revised("1") && revised("123456789"));
        assert!(!revised("") && !revised("1234567890") && !revised("1a") && !revised("-1"));
    }

    #[test]
    fn an_id_may_have_another_form_than_the_known_ids() {
        let identified = |id: &str| GOOD.replace("0123456789abcdef0123456789abcdef", id).parse::<ConnectorArn>();
        for good in ["0", "A-Z", "6d0f4fd8-3c1e-4b52-9f4a-0c5cb0a1d9e7", "0123456789ABCDEF", &"x".repeat(64)] {
            assert_eq!(identified(good).unwrap().id(), good);
        }
        for bad in ["", "a_b", "a.b", "ä", "a:b", &"x".repeat(65)] {
            assert!(identified(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_belongs_to_one_partition() {
        let partition = |region: &str| region.parse::<Region>().unwrap().partition();
        assert_eq!(partition("eu-west-1"), "aws");
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert!("".parse::<Region>().is_err() && "US".parse::<Region>().is_err());
        assert!("r".repeat(64).parse::<Region>().is_err());
    }

    #[test]
    fn a_text_that_is_not_the_arn_of_a_connector_does_not_parse() {
        for bad in [
            "",
            "shop",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1",
            "arn:aws:apprunner:us-east-1:111122223333:service/shop/0123456789abcdef0123456789abcdef",
            "arn:AWS:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef",
            "arn:a\nws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef",
            &GOOD.replace("aws", &format!("aws{}", "-".repeat(1000))),
            "arn:aws:ec2:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef",
            "arn:aws:apprunner:us-east-1:11112222333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef",
            "arn:aws:apprunner:US-EAST-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123_4567",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123 4567",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/-hop/1/0123456789abcdef0123456789abcdef",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef/x",
        ] {
            assert!(bad.parse::<ConnectorArn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_any_text_in_one_short_line() {
        let error = format!("arn:{}\n", "x".repeat(100_000)).parse::<ConnectorArn>().unwrap_err().to_string();
        assert!(error.len() < 500 && error.ends_with("…' is not the ARN of an App Runner resource"), "{error}");
        let error = "1\n2".parse::<AccountId>().unwrap_err().to_string();
        assert_eq!(error, r"'1\n2' is not an account of twelve digits");
    }
}
