//! The owner tag of a connector in AWS, and its meaning for one object.
//!
//! The tag's value is `<cluster id>/<namespace>/<name>`. A re-created object of the same name is the same owner, so an object
//! keeps its connector when it moves between Git repositories, or when a cluster is restored under its old id.

use std::fmt;
use std::str::FromStr;

/// The name of this cluster in owner tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterId(String);

/// The text is not a cluster id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a cluster id: 1 to 64 letters, digits, '.', '_' or '-'")]
pub struct ClusterIdError(String);

impl ClusterId {
    /// The id in owner tags.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, ClusterIdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClusterIdError(text.to_owned()))
        }
    }
}

/// The value this object writes into the owner tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnerTag {
    cluster: ClusterId,
    namespace: String,
    name: String,
}

/// The meaning of an owner tag for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// There is no tag.
    Nobody,
    /// The tag names this object.
    Us,
    /// The tag names another object of this cluster.
    OtherObject {
        /// The other object's namespace.
        namespace: String,
        /// The other object's name.
        name: String,
        /// The tag's value.
        tag: String,
    },
    /// The tag names another cluster, or does not parse.
    OtherCluster {
        /// The tag's value.
        tag: String,
    },
}

/// The state of the other object that a tag names, from the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherObjectState {
    /// It does not exist, or names another connector.
    Released,
    /// It exists and names this connector.
    Claims,
    /// The API server does not allow the operator to read it.
    Unreadable,
}

impl OwnerTag {
    /// Makes the tag of one object.
    pub(crate) fn new(cluster: ClusterId, namespace: &str, name: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Interprets the value of a tag for this object.
    pub(crate) fn read(&self, tag: Option<&str>) -> Owner {
        let Some(tag) = tag else { return Owner::Nobody };
        let parts: Vec<&str> = tag.split('/').collect();
        match parts.as_slice() {
            &[cluster, namespace, name] if cluster == self.cluster.as_str() && is_name(namespace) && is_name(name) => {
                if namespace == self.namespace && name == self.name {
                    Owner::Us
                } else {
                    Owner::OtherObject { namespace: namespace.to_owned(), name: name.to_owned(), tag: tag.to_owned() }
                }
            }
            _ => Owner::OtherCluster { tag: tag.to_owned() },
        }
    }
}

/// True if the text can be the name of a namespace or an object. The operator does not fetch an object with any other name:
/// that no such object exists proves nothing about the owner that the tag means.
///
/// Source: Kubernetes, Object Names and IDs, DNS subdomain names.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let is_label =
        |label: &str| label.bytes().all(plain) && edge(label.as_bytes().first()) && edge(label.as_bytes().last());
    text.len() <= 253 && text.split('.').all(is_label)
}

impl fmt::Display for OwnerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster.as_str(), self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> OwnerTag {
        OwnerTag::new("c1".parse().unwrap(), "shop", "egress")
    }

    #[test]
    fn a_tag_is_interpreted_for_the_object_that_reads_it() {
        assert_eq!(ours().read(None), Owner::Nobody);
        assert_eq!(ours().read(Some(&ours().to_string())), Owner::Us);
        let other_object =
            Owner::OtherObject { namespace: "shop".into(), name: "other".into(), tag: "c1/shop/other".into() };
        assert_eq!(ours().read(Some("c1/shop/other")), other_object);
        for strange in [
            "c2/shop/egress",
            "",
            "c1",
            "c1/shop",
            "c1/shop/egress/x",
            "c1//x",
            "c1/../x",
            "c1/shop/a b",
            "c1/shop/a..b",
            "c1/shop/a.-b",
        ] {
            assert_eq!(ours().read(Some(strange)), Owner::OtherCluster { tag: strange.into() });
        }
    }

    #[test]
    fn a_cluster_id_has_no_characters_that_separate_the_tag() {
        for bad in ["", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad}");
        }
        assert!("7c0f1b52-0000-4000-8000-000000000000".parse::<ClusterId>().is_ok());
    }
}
