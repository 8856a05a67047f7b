//! Names and ARNs: validation, parsing, and the ARNs of new resources.

use super::account_region::AccountRegion;
use super::behaviors::ConnectorIds;
use super::ids::{random_hex, uuid};
use crate::config::is_account;

/// Maximum length of an ARN. Source: App Runner API, `AppRunnerResourceArn`.
pub(crate) const MAX_LENGTH: usize = 1011;

/// The kinds of resources with an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connector,
    Service,
    IngressConnection,
    AutoScaling,
    Observability,
    Connection,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Connector,
        Self::Service,
        Self::IngressConnection,
        Self::AutoScaling,
        Self::Observability,
        Self::Connection,
    ];

    /// The kind's name in error messages.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connector => "VPC connector",
            Self::Service => "Service",
            Self::IngressConnection => "VPC ingress connection",
            Self::AutoScaling => "Auto scaling configuration",
            Self::Observability => "Observability configuration",
            Self::Connection => "Connection",
        }
    }

    /// The word for the kind in ARNs.
    fn word(self) -> &'static str {
        match self {
            Self::Connector => "vpcconnector",
            Self::Service => "service",
            Self::IngressConnection => "vpcingressconnection",
            Self::AutoScaling => "autoscalingconfiguration",
            Self::Observability => "observabilityconfiguration",
            Self::Connection => "connection",
        }
    }
}

/// The kind and the owner in a well formed ARN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    pub(crate) kind: Kind,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
}

impl<'a> Arn<'a> {
    /// Parses the complete ARN of a resource. The ARN of a configuration may lack its id, or its revision and its id.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "apprunner", region, account, resource] = parts[..] else { return None };
        let kind = kind_of(resource)?;
        let is_valid = (partition == "aws" || partition.starts_with("aws-"))
            && is_lower_dashed(partition)
            && is_lower_dashed(region)
            && is_account(account);
        is_valid.then_some(Self { kind, region, account })
    }
}

fn kind_of(resource: &str) -> Option<Kind> {
    let parts: Vec<&str> = resource.split('/').collect();
    let (word, rest) = parts.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == *word)?;
    let is_valid = match (kind, rest) {
        (Kind::Connector, [name, revision, id]) => is_name(name) && is_revision(revision) && is_id(id),
        (Kind::AutoScaling | Kind::Observability, [name, rest @ ..]) => is_word(name) && is_revision_and_id(rest),
        // Resources that a test creates without a request may have shorter names than a request allows.
        (Kind::Service | Kind::IngressConnection | Kind::Connection, [name, id]) => is_word(name) && is_id(id),
        _ => false,
    };
    is_valid.then_some(kind)
}

/// Checks the end of a configuration's ARN. Source: App Runner API, `DeleteAutoScalingConfiguration`.
fn is_revision_and_id(parts: &[&str]) -> bool {
    match parts {
        [] => true,
        [revision] => is_revision(revision),
        [revision, id] => is_revision(revision) && is_id(id),
        _ => false,
    }
}

fn is_lower_dashed(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_revision(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|revision| revision > 0 && revision.to_string() == text)
}

/// Checks the last part. AWS does not document its form; in all known ARNs it is 32 hexadecimal digits.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns true for a valid name of a connector, a service or a VPC ingress connection. Source: App Runner API,
/// `VpcConnectorName`, `ServiceName`, `VpcIngressConnectionName`.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() >= 4 && is_word(text)
}

fn is_word(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Makes the ARN of a new connector with a unique last part.
pub(crate) fn new_connector(account: &str, region: &str, name: &str, revision: u32, form: ConnectorIds) -> String {
    let id = match form {
        ConnectorIds::Hex => random_hex(),
        ConnectorIds::Uuid => uuid(),
    };
    format!("arn:aws:apprunner:{region}:{account}:vpcconnector/{name}/{revision}/{id}")
}

/// Makes the ARN of a service.
pub(crate) fn service(account: &str, region: &str, name: &str, id: &str) -> String {
    format!("arn:aws:apprunner:{region}:{account}:service/{name}/{id}")
}

/// Makes the ARN of a new VPC ingress connection, configuration or connection; the name of a configuration has its
/// revision behind it.
pub(crate) fn new_resource(kind: Kind, owner: &AccountRegion, name: &str) -> String {
    let AccountRegion { account, region } = owner;
    format!("arn:aws:apprunner:{region}:{account}:{}/{name}/{}", kind.word(), random_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_arns_of_new_resources() {
        for form in [ConnectorIds::Hex, ConnectorIds::Uuid] {
            let arn = new_connector("111122223333", "eu-west-1", "shop", 1, form);
            let parsed = Arn::parse(&arn).unwrap();
            assert_eq!(parsed, Arn { kind: Kind::Connector, region: "eu-west-1", account: "111122223333" });
        }
        let arn = service("111122223333", "eu-west-1", "shop", &random_hex());
        assert_eq!(Arn::parse(&arn).unwrap().kind, Kind::Service);
        assert_eq!(Arn::parse(&arn.replace("shop", "web")).unwrap().kind, Kind::Service);
        let owner = AccountRegion::new("111122223333", "eu-west-1");
        for (kind, name) in [
            (Kind::IngressConnection, "shop"),
            (Kind::Connection, "shop"),
            (Kind::AutoScaling, "shop/1"),
            (Kind::Observability, "shop/12"),
        ] {
            assert_eq!(Arn::parse(&new_resource(kind, &owner, name)).unwrap().kind, kind);
        }
    }

    #[test]
    fn the_arn_of_a_configuration_may_end_with_its_name_or_its_revision() {
        let parses = |end: &str| {
            let arn = format!("arn:aws:apprunner:eu-west-1:111122223333:autoscalingconfiguration/{end}");
            Arn::parse(&arn).is_some_and(|arn| arn.kind == Kind::AutoScaling)
        };
        assert!(parses("shop") && parses("shop/2") && parses("shop/2/0a"));
        assert!(!parses("") && !parses("shop/") && !parses("shop/x") && !parses("shop/2/0a/b"));
    }

    #[test]
    fn rejects_incomplete_and_malformed_arns() {
        let good = "arn:aws:apprunner:eu-west-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";
        assert!(Arn::parse(good).is_some());
        for (part, instead) in [
            ("arn:", "arm:"),
            ("aws:", "gcp:"),
            ("apprunner", "ec2"),
            ("eu-west-1", ""),
            ("eu-west-1", "EU-WEST-1"),
            ("111122223333", "11112222333"),
            ("vpcconnector", "vpcConnector"),
            ("shop", "sh"),
            ("shop", "-hop"),
            ("/1/", "/0/"),
            ("/1/", "/01/"),
            ("/1/", "/"),
            ("/1/0123456789abcdef0123456789abcdef", "/1"),
            ("0123456789abcdef0123456789abcdef", ""),
            ("cdef0123", "cdef_0123"),
            ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef/x"),
        ] {
            let bad = good.replacen(part, instead, 1);
            assert_eq!(Arn::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_last_part_has_1_to_64_letters_digits_and_hyphens() {
        let parses =
            |id: &str| Arn::parse(&format!("arn:aws:apprunner:r:111122223333:vpcconnector/shop/1/{id}")).is_some();
        assert!(parses("A") && parses(&"a-0".repeat(21)) && parses(&"0".repeat(64)));
        assert!(!parses(&"0".repeat(65)) && !parses("ä"));
    }

    #[test]
    fn names_have_4_to_40_characters() {
        assert!(is_name("shop") && is_name("0_-a") && is_name(&"a".repeat(40)));
        assert!(
            !is_name("sho") && !is_name(&"a".repeat(41)) && !is_name("_hop") && !is_name("shöp") && !is_name("a.bc")
        );
    }
}
