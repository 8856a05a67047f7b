//! One call as it is seen on the wire: where it goes, and whether its reply is to be believed.
//!
//! The SDK fills what is missing with defaults: no list becomes an empty list, a service without a network configuration
//! becomes one that uses no connector, and an item that is null is dropped. Believed, that would say of a connector in use
//! that nothing uses it. So the reply is looked at as it stands on the wire, and one that lacks such a member proves
//! nothing. Into a reply that it expects to be empty the SDK does not look at all: a proxy's login form would count as a
//! tag that was written.

use std::sync::{Arc, OnceLock};

use aws_sdk_apprunner::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_apprunner::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_apprunner::error::BoxError;
use serde_json::Value;

use super::plain;
use crate::core::outcome::Operation;

/// A call that is made once.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// What is called.
    pub(super) operation: Operation,
    host: Arc<OnceLock<String>>,
}

impl Exchange {
    /// Begins a call.
    pub(super) fn of(operation: Operation) -> Self {
        Self { operation, host: Arc::default() }
    }

    /// The host that is called, and the port where it is not the usual one.
    pub(super) fn host(&self) -> &str {
        self.host.get().map_or("AWS", String::as_str)
    }
}

/// Why a successful reply is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// It lacks this member.
    #[error("the answer has no {0}")]
    Lacks(String),
    /// It can't be read.
    #[error("{0}")]
    Unreadable(String),
}

/// The members that are relied on, each behind those that it stands in; `*` is every item of a list.
///
/// Source: App Runner API, the response of each operation. The model requires `VpcConnector`, `VpcConnectors`,
/// `ServiceSummaryList` and of a `Service` everything that is named here; the rest it leaves optional, and without it
/// nothing can be told from the reply. `EgressConfiguration` is not among them: a service that has none sends its traffic
/// out by default.
fn relied_on(operation: Operation) -> &'static [&'static [&'static str]] {
    match operation {
        Operation::DeleteVpcConnector | Operation::DescribeVpcConnector => {
            &[&["VpcConnector", "VpcConnectorArn"], &["VpcConnector", "Status"]]
        }
        Operation::ListVpcConnectors => &[&["VpcConnectors", "*", "VpcConnectorArn"]],
        Operation::ListServices => &[&["ServiceSummaryList", "*", "ServiceArn"]],
        Operation::DescribeService => {
            &[&["Service", "ServiceArn"], &["Service", "Status"], &["Service", "NetworkConfiguration"]]
        }
        Operation::ListTagsForResource => &[&["Tags", "*", "Key"]],
        Operation::TagResource
        | Operation::UntagResource
        | Operation::GetCallerIdentity
        | Operation::ResolveCredentials => &[],
    }
}

impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let host = host_in(context.request().uri());
        self.host.get_or_init(|| host.to_owned());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        // STS answers in XML, which the SDK parses; a reply that names no account is refused by who asked.
        if !answer.status().is_success() || self.operation == Operation::GetCallerIdentity {
            return Ok(());
        }
        let in_the_way = plain::in_the_way(self.operation, answer);
        in_the_way.map_or(Ok(()), |why| Err(Flaw::Unreadable(why).into()))
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        // What was not read to its end has failed already.
        match answer.body().bytes() {
            Some(body) if answer.status().is_success() => {
                let unreadable = || plain::unreadable(self.operation, answer);
                Ok(check(self.operation, body, unreadable)?)
            }
            _ => Ok(()),
        }
    }
}

/// The host of an address, which may be of any form that a user gave it.
fn host_in(address: &str) -> &str {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    // Before an @ there may be a password.
    authority.rsplit('@').next().unwrap_or_default()
}

fn check(operation: Operation, body: &[u8], unreadable: impl FnOnce() -> String) -> Result<(), Flaw> {
    let relied_on = relied_on(operation);
    if relied_on.is_empty() {
        return Ok(());
    }
    // To the SDK no body at all is a reply without members.
    let reply = if body.trim_ascii().is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
    let reply = reply.map_err(|_| Flaw::Unreadable(unreadable()))?;
    match relied_on.iter().find_map(|path| lacking(&reply, path, String::new())) {
        Some(member) => Err(Flaw::Lacks(member)),
        None => Ok(()),
    }
}

/// The first member on the way that is not there.
fn lacking(found: &Value, path: &[&str], way: String) -> Option<String> {
    match (found, path) {
        (Value::Null, _) if !way.is_empty() => Some(way),
        // The SDK's default is as good as nothing.
        (Value::String(text), []) if text.is_empty() => Some(way),
        (_, []) => None,
        (Value::Array(items), ["*", path @ ..]) => {
            items.iter().zip(1..).find_map(|(item, n)| lacking(item, path, format!("{way}.{n}")))
        }
        (_, [name, path @ ..]) => {
            let way = if way.is_empty() { (*name).to_owned() } else { format!("{way}.{name}") };
            lacking(found.get(name).unwrap_or(&Value::Null), path, way)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [Operation; 10] = [
        Operation::DeleteVpcConnector,
        Operation::DescribeVpcConnector,
        Operation::ListTagsForResource,
        Operation::TagResource,
        Operation::UntagResource,
        Operation::ListVpcConnectors,
        Operation::ListServices,
        Operation::DescribeService,
        Operation::GetCallerIdentity,
        Operation::ResolveCredentials,
    ];

    fn checked(operation: Operation, body: &str) -> Option<String> {
        check(operation, body.as_bytes(), || "unreadable".into()).err().map(|flaw| flaw.to_string())
    }

    /// A reply with nothing but what is relied on, and with two items in its list.
    fn least(operation: Operation) -> &'static str {
        match operation {
            Operation::DeleteVpcConnector | Operation::DescribeVpcConnector => {
                r#"{"VpcConnector": {"VpcConnectorArn": "arn:1", "Status": "INACTIVE"}}"#
            }
            Operation::ListTagsForResource => r#"{"Tags": [{"Key": "a"}, {"Key": "b"}]}"#,
            Operation::ListVpcConnectors => {
                r#"{"VpcConnectors": [{"VpcConnectorArn": "arn:1"}, {"VpcConnectorArn": "arn:2"}]}"#
            }
            Operation::ListServices => r#"{"ServiceSummaryList": [{"ServiceArn": "arn:1"}, {"ServiceArn": "arn:2"}]}"#,
            Operation::DescribeService => {
                r#"{"Service": {"ServiceArn": "arn:1", "Status": "RUNNING", "NetworkConfiguration": {}}}"#
            }
            _ => "{}",
        }
    }

    /// Every place in a reply that a member or an item stands at.
    fn places(value: &Value, at: &str) -> Vec<String> {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
            _ => Vec::new(),
        };
        let inner = inner.into_iter().map(|(name, value)| (format!("{at}/{name}"), value));
        inner.flat_map(|(at, value)| std::iter::once(at.clone()).chain(places(value, &at))).collect()
    }

    #[test]
    fn a_reply_that_lacks_any_member_relied_on_is_found_out_at_every_operation() {
        for operation in EVERY {
            let whole: Value = serde_json::from_str(least(operation)).unwrap();
            assert_eq!(checked(operation, least(operation)), None, "{operation}");
            let places = places(&whole, "");
            assert_eq!(places.is_empty(), relied_on(operation).is_empty(), "{operation}");
            for place in places {
                for void in [Value::Null, "".into()] {
                    let mut reply = whole.clone();
                    *reply.pointer_mut(&place).unwrap() = void;
                    assert!(checked(operation, &reply.to_string()).is_some(), "{operation} without {place}: {reply}");
                }
            }
        }
    }

    #[test]
    fn a_host_is_named_without_what_is_behind_it_or_secret() {
        for (address, host) in [
            ("https://apprunner.us-east-1.amazonaws.com/", "apprunner.us-east-1.amazonaws.com"),
            ("http://127.0.0.1:9", "127.0.0.1:9"),
            ("http://user:secret@proxy:3128/path?x#y", "proxy:3128"),
            ("http://[::1]:80/", "[::1]:80"),
            ("nonsense", "nonsense"),
            ("", ""),
        ] {
            assert_eq!(host_in(address), host, "{address}");
        }
    }

    #[test]
    fn the_first_member_that_is_lacking_is_named() {
        use Operation::{DeleteVpcConnector, DescribeService, ListServices, ListTagsForResource, TagResource};
        for (operation, body, named) in [
            (DescribeService, r#"{"Service": {"ServiceArn": "a", "Status": "X"}}"#, "Service.NetworkConfiguration"),
            (DescribeService, "{}", "Service"),
            (ListServices, r#"{"NextToken": "x"}"#, "ServiceSummaryList"),
            (ListServices, r#"{"ServiceSummaryList": [{"ServiceArn": "a"}, null]}"#, "ServiceSummaryList.2"),
            (ListServices, r#"{"ServiceSummaryList": [{"ServiceName": "x"}]}"#, "ServiceSummaryList.1.ServiceArn"),
            (ListTagsForResource, r#"{"Tags": [{"Value": "x"}]}"#, "Tags.1.Key"),
            (ListTagsForResource, r#"{"Other": {"Tags": []}}"#, "Tags"),
            (DeleteVpcConnector, "", "VpcConnector"),
            (DeleteVpcConnector, "null", "VpcConnector"),
            (DeleteVpcConnector, "[]", "VpcConnector"),
        ] {
            assert_eq!(checked(operation, body), Some(format!("the answer has no {named}")), "{operation} {body}");
        }
        for empty in [r#"{"Tags": []}"#, r#"{"Tags": [], "More": null}"#] {
            assert_eq!(checked(ListTagsForResource, empty), None, "an empty list is a list");
        }
        assert_eq!(checked(DeleteVpcConnector, "{\"VpcConnector\": {"), Some("unreadable".into()));
        for nothing_to_say in ["", "{}", "<html>"] {
            assert_eq!(checked(TagResource, nothing_to_say), None);
        }
    }
}
