//! ARNs, parsed once: what follows never splits a string again.
//!
//! The account and the region in an ARN decide which credentials may be believed about it, so a text that is not
//! surely a connector's ARN never becomes one of these types.

use std::fmt;
use std::str::FromStr;

/// The regions App Runner exists in. Source: AWS General Reference, App Runner endpoints.
pub const APP_RUNNER_REGIONS: [&str; 11] = [
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

/// A twelve-digit AWS account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(String);

/// An AWS region's name, such as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(String);

/// One account in one region: what AWS counts calls for, lists services of, and may be slow in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRegion {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

/// The full ARN of one VPC connector, revision and id included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectorArn {
    text: String,
    partition: String,
    region: Region,
    account: AccountId,
    named: Named,
}

/// What stands behind `vpcconnector/` in an ARN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Named {
    name: String,
    revision: String,
    id: String,
}

/// Says why a text is no such ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArnError(String);

impl ConnectorArn {
    /// The ARN as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition: `aws`, and nothing else where App Runner exists today.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The region whose endpoint knows the connector.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The account that owns the connector.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The connector's name.
    pub fn name(&self) -> &str {
        &self.named.name
    }

    /// Its revision, a number.
    pub fn revision(&self) -> &str {
        &self.named.revision
    }

    /// What no other connector has. Every one that was seen has 32 hexadecimal digits, which nobody guarantees.
    pub fn id(&self) -> &str {
        &self.named.id
    }

    /// The account and region of the connector.
    pub fn account_region(&self) -> AccountRegion {
        AccountRegion { account: self.account.clone(), region: self.region.clone() }
    }

    /// Whether that is its account and region.
    pub fn is_in(&self, account_region: &AccountRegion) -> bool {
        self.account == account_region.account && self.region == account_region.region
    }
}

impl AccountId {
    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Region {
    /// The partition whose credentials the region takes.
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
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ArnError(format!("'{text}' is not an account of twelve digits")))
        }
    }
}

impl FromStr for Region {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !text.is_empty() && text.len() <= 63 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ArnError(format!("'{text}' is not the name of a region")))
        }
    }
}

impl FromStr for ConnectorArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "apprunner", region, account, resource] = parts.as_slice() else {
            return Err(ArnError(format!("'{text}' is not the ARN of an App Runner resource")));
        };
        let named = connector(resource).ok_or_else(|| {
            ArnError(format!("'{text}' is not a full VPC connector ARN, which ends in vpcconnector/NAME/REVISION/ID"))
        })?;
        Ok(Self {
            named,
            text: text.to_owned(),
            partition: partition.to_owned(),
            region: region.parse()?,
            account: account.parse()?,
        })
    }
}

fn connector(resource: &str) -> Option<Named> {
    let parts: Vec<&str> = resource.split('/').collect();
    let &["vpcconnector", name, revision, id] = parts.as_slice() else {
        return None;
    };
    let is_named = (4..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let revised = (1..=9).contains(&revision.len()) && revision.bytes().all(|b| b.is_ascii_digit());
    let identified = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let whole = is_named && revised && identified;
    whole.then(|| Named { name: name.to_owned(), revision: revision.to_owned(), id: id.to_owned() })
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
    fn a_name_may_have_what_app_runner_allows_and_nothing_else() {
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
    fn an_id_may_be_of_another_form_than_those_that_were_seen() {
        let identified = |id: &str| GOOD.replace("0123456789abcdef0123456789abcdef", id).parse::<ConnectorArn>();
        for good in ["0", "A-Z", "6d0f4fd8-3c1e-4b52-9f4a-0c5cb0a1d9e7", "0123456789ABCDEF", &"x".repeat(64)] {
            assert_eq!(identified(good).unwrap().id(), good);
        }
        for bad in ["", "a_b", "a.b", "ä", "a:b", &"x".repeat(65)] {
            assert!(identified(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_is_of_one_partition() {
        let partition = |region: &str| region.parse::<Region>().unwrap().partition();
        assert_eq!(partition("eu-west-1"), "aws");
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert!("".parse::<Region>().is_err() && "US".parse::<Region>().is_err());
        assert!("r".repeat(64).parse::<Region>().is_err());
    }

    #[test]
    fn what_is_not_surely_a_connector_does_not_parse() {
        for bad in [
            "",
            "shop",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop",
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1",
            "arn:aws:apprunner:us-east-1:111122223333:service/shop/0123456789abcdef0123456789abcdef",
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
}
