//! `spec.arn`, and the owner tag of a connector.

use super::{CLUSTER, MAX_MESSAGE_BYTES, assert_shown};
use crate::core::arn::{AccountId, ConnectorArn, Region};
use crate::core::evidence::Target;
use crate::core::ownership::{Owner, OwnerTag};

/// Parses a text as an ARN and as an owner tag. A text parses as an ARN if, and only if, the schema of `spec.arn` accepts
/// it; its parts make the same text again; and the error of any other text can be shown.
pub fn arn(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<ConnectorArn>() {
        Ok(arn) => {
            assert!(is_accepted_by_the_schema(text), "the schema refuses {text:?}");
            let (partition, region, account) = (arn.partition(), arn.region(), arn.account());
            let resource = [arn.name(), arn.revision(), arn.id()].join("/");
            assert_eq!(text, format!("arn:{partition}:apprunner:{region}:{account}:vpcconnector/{resource}"));
            assert_eq!((arn.as_str(), arn.to_string().parse()), (text, Ok(arn.clone())));
        }
        Err(error) => {
            assert!(!is_accepted_by_the_schema(text), "the schema accepts {text:?}: {error}");
            assert_shown(&error.to_string(), MAX_MESSAGE_BYTES);
            assert_shown(&Target::of(text).to_string(), MAX_MESSAGE_BYTES);
        }
    }
    if let Err(error) = text.parse::<AccountId>() {
        assert_shown(&error.to_string(), MAX_MESSAGE_BYTES);
    }
    if let Err(error) = text.parse::<Region>() {
        assert_shown(&error.to_string(), MAX_MESSAGE_BYTES);
    }
    owner_tag(text);
}

/// The pattern and the length in the schema, stated a second time.
fn is_accepted_by_the_schema(text: &str) -> bool {
    let fields: Vec<&str> = text.split([':', '/']).collect();
    let separators: String = text.chars().filter(|c| matches!(c, ':' | '/')).collect();
    let [arn, partition, service, region, account, kind, name, revision, id] = fields[..] else { return false };
    let of = |text: &str, length: std::ops::RangeInclusive<usize>, allowed: fn(char) -> bool| {
        length.contains(&text.chars().count()) && text.chars().all(allowed)
    };
    let lower = |c: char| c.is_ascii_lowercase() || c == '-';
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    separators == ":::::///"
        && (arn, service, kind) == ("arn", "apprunner", "vpcconnector")
        && partition.strip_prefix("aws").is_some_and(|rest| of(rest, 0..=1011, lower))
        && of(region, 1..=63, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && of(account, 12..=12, |c| c.is_ascii_digit())
        && of(name, 4..=40, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !name.starts_with(['-', '_'])
        && of(revision, 1..=9, |c| c.is_ascii_digit())
        && of(id, 1..=64, word)
        && text.len() <= 1011
}

/// An object reads the tag that it writes as its own, and no other one.
fn owner_tag(text: &str) {
    let Ok(cluster) = CLUSTER.parse() else { return };
    let ours = OwnerTag::new(cluster, "shop", "egress");
    let parts: Vec<&str> = text.split('/').collect();
    match ours.read(Some(text)) {
        Owner::Nobody => unreachable!("a tag names an owner"),
        Owner::Us => assert_eq!(text, "c1/shop/egress"),
        Owner::OtherObject { namespace, name, tag } => {
            assert_eq!((parts, tag.as_str()), (vec![CLUSTER, &namespace, &name], text));
            // They become a part of the path of a request.
            let plain = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.contains("..");
            assert!(plain(&namespace) && plain(&name), "{text}");
        }
        Owner::OtherCluster { tag } => assert!(tag == text && text != "c1/shop/egress"),
    }
}
