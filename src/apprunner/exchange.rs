//! The exchanges with AWS: the host of the requests, and the check of each reply before the operator believes it.
//!
//! The SDK fills in missing members with defaults: a missing list becomes an empty list, a service without a network
//! configuration becomes one that uses no connector, and an item that is null is dropped. Read like that, a connector
//! in use would look unused. So this module checks the reply as it arrived, and a reply without such a member proves
//! nothing. The SDK does not read a reply that should be empty: the login form of a proxy would count as a tag that was
//! written.

use std::sync::{Arc, OnceLock};

use aws_sdk_apprunner::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_apprunner::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_apprunner::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::error_text;
use crate::core::outcome::Operation;

/// Far more than any page of App Runner has.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// A call that was made, and the host that it was sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    pub(super) operation: Operation,
    pub(super) host: &'a str,
}

/// Checks the replies of one client, and keeps the host that it calls.
///
/// It belongs to the client: the SDK builds the configuration of a client again for each call that has an interceptor of
/// its own.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplyCheck {
    host: Arc<OnceLock<String>>,
}

impl ReplyCheck {
    /// A call of this client. Its host has a port if that is not the default.
    pub(super) fn exchange(&self, operation: Operation) -> Exchange<'_> {
        Exchange { operation, host: self.host.get().map_or("AWS", String::as_str) }
    }
}

/// The operation that the SDK carries out.
fn operation(config: &ConfigBag) -> Result<Operation, Flaw> {
    let name = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
    Operation::named(name).ok_or_else(|| Flaw::Unreadable(format!("the operator does not know the replies of {name}")))
}

/// A defect of a successful reply: the operator does not believe the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("the answer has no {0}")]
    MissingMember(String),
    /// The reply cannot be parsed; the text says why.
    #[error("{0}")]
    Unreadable(String),
}

/// The members that a reply must have, each as the path to it; `*` is every item of a list.
///
/// Source: App Runner API, the response of each operation. The model requires `VpcConnector`, `VpcConnectors`,
/// `ServiceSummaryList` and all listed members of a `Service`. It leaves the others optional, but without them the
/// reply proves nothing. `EgressConfiguration` is not listed: a service without one sends its traffic out by default.
fn required_members(operation: Operation) -> &'static [&'static [&'static str]] {
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
        Operation::ListVpcIngressConnections => &[
            &["VpcIngressConnectionSummaryList", "*", "VpcIngressConnectionArn"],
            &["VpcIngressConnectionSummaryList", "*", "ServiceArn"],
        ],
        Operation::DescribeVpcIngressConnection => {
            &[&["VpcIngressConnection", "Status"], &["VpcIngressConnection", "ServiceArn"]]
        }
        Operation::DescribeCustomDomains => &[&["CustomDomains", "*", "DomainName"]],
        Operation::ListAutoScalingConfigurations => {
            &[&["AutoScalingConfigurationSummaryList", "*", "AutoScalingConfigurationArn"]]
        }
        Operation::ListConnections => &[&["ConnectionSummaryList", "*", "ConnectionArn"]],
        Operation::ListObservabilityConfigurations => {
            &[&["ObservabilityConfigurationSummaryList", "*", "ObservabilityConfigurationArn"]]
        }
        Operation::TagResource
        | Operation::UntagResource
        | Operation::GetCallerIdentity
        | Operation::AssumeRole
        | Operation::ResolveCredentials => &[],
    }
}

impl Intercept for ReplyCheck {
    fn name(&self) -> &'static str {
        "ReplyCheck"
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

    /// Limits the body, which the SDK keeps in memory as a whole: a proxy may send one without end.
    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::empty());
        *body = SdkBody::from_body_1_x(Limited::new(whole, MAX_BODY_BYTES).map_err(too_long));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (answer, operation) = (context.response(), operation(config)?);
        // STS answers in XML, which the SDK parses. `sts` refuses a reply without an account.
        if !answer.status().is_success() || operation.is_of_sts() {
            return Ok(());
        }
        let wrong_type = error_text::wrong_content_type(operation, answer);
        wrong_type.map_or(Ok(()), |why| Err(Flaw::Unreadable(why).into()))
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (answer, operation) = (context.response(), operation(config)?);
        // A reply that was not read to its end has failed before.
        match answer.body().bytes() {
            Some(body) if answer.status().is_success() => {
                let unreadable = || error_text::unreadable(operation, answer);
                Ok(check(operation, body, unreadable)?)
            }
            _ => Ok(()),
        }
    }
}

/// The error of a body that is longer than the limit, and any other error unchanged.
fn too_long(error: BoxError) -> BoxError {
    if error.is::<LengthLimitError>() {
        return Flaw::Unreadable(format!("the answer is longer than {MAX_BODY_BYTES} bytes")).into();
    }
    error
}

/// The host of an address. A user may have configured the address, so it can have any form.
fn host_in(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The part before an @ may be a password.
    authority.rsplit('@').next().unwrap_or_default()
}

fn check(operation: Operation, body: &[u8], unreadable: impl FnOnce() -> String) -> Result<(), Flaw> {
    let required = required_members(operation);
    if required.is_empty() {
        return Ok(());
    }
    // The SDK takes an empty body for a reply without members.
    let reply = if body.trim_ascii().is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
    let reply = reply.map_err(|_| Flaw::Unreadable(unreadable()))?;
    match required.iter().find_map(|path| missing_member(&reply, path, String::new())) {
        Some(member) => Err(Flaw::MissingMember(member)),
        None => Ok(()),
    }
}

/// The first missing member on a path.
fn missing_member(value: &Value, path: &[&str], parent: String) -> Option<String> {
    match (value, path) {
        (Value::Null, _) if !parent.is_empty() => Some(parent),
        // The SDK reads a missing string as an empty one.
        (Value::String(text), []) if text.is_empty() => Some(parent),
        (_, []) => None,
        (Value::Array(items), ["*", path @ ..]) => {
            items.iter().zip(1..).find_map(|(item, n)| missing_member(item, path, format!("{parent}.{n}")))
        }
        (_, [name, path @ ..]) => {
            let member = if parent.is_empty() { (*name).to_owned() } else { format!("{parent}.{name}") };
            missing_member(value.get(name).unwrap_or(&Value::Null), path, member)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(operation: Operation, body: &str) -> Option<String> {
        check(operation, body.as_bytes(), || "unreadable".into()).err().map(|flaw| flaw.to_string())
    }

    /// A reply with the required members only, and with two items in its list.
    fn minimal(operation: Operation) -> &'static str {
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
            Operation::ListVpcIngressConnections => {
                r#"{"VpcIngressConnectionSummaryList": [{"VpcIngressConnectionArn": "arn:1", "ServiceArn": "arn:2"}]}"#
            }
            Operation::DescribeVpcIngressConnection => {
                r#"{"VpcIngressConnection": {"Status": "AVAILABLE", "ServiceArn": "arn:1"}}"#
            }
            Operation::DescribeCustomDomains => r#"{"CustomDomains": [{"DomainName": "shop.example.com"}]}"#,
            Operation::ListAutoScalingConfigurations => {
                r#"{"AutoScalingConfigurationSummaryList": [{"AutoScalingConfigurationArn": "arn:1"}]}"#
            }
            Operation::ListConnections => r#"{"ConnectionSummaryList": [{"ConnectionArn": "arn:1"}]}"#,
            Operation::ListObservabilityConfigurations => {
                r#"{"ObservabilityConfigurationSummaryList": [{"ObservabilityConfigurationArn": "arn:1"}]}"#
            }
            Operation::TagResource
            | Operation::UntagResource
            | Operation::GetCallerIdentity
            | Operation::AssumeRole
            | Operation::ResolveCredentials => "{}",
        }
    }

    /// The path of every member and item in a reply.
    fn paths(value: &Value, at: &str) -> Vec<String> {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
            _ => Vec::new(),
        };
        let inner = inner.into_iter().map(|(name, value)| (format!("{at}/{name}"), value));
        inner.flat_map(|(at, value)| std::iter::once(at.clone()).chain(paths(value, &at))).collect()
    }

    #[test]
    fn reply_without_a_required_member_is_refused_at_every_operation() {
        for operation in Operation::ALL {
            let whole: Value = serde_json::from_str(minimal(operation)).unwrap();
            assert_eq!(checked(operation, minimal(operation)), None, "{operation}");
            let paths = paths(&whole, "");
            assert_eq!(paths.is_empty(), required_members(operation).is_empty(), "{operation}");
            for path in paths {
                for empty in [Value::Null, "".into()] {
                    let mut reply = whole.clone();
                    *reply.pointer_mut(&path).unwrap() = empty;
                    assert!(checked(operation, &reply.to_string()).is_some(), "{operation} without {path}: {reply}");
                }
            }
        }
    }

    #[test]
    fn host_of_an_address_has_no_path_and_no_password() {
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
    fn first_missing_member_is_named() {
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
        for ignored in ["", "{}", "<html>"] {
            assert_eq!(checked(TagResource, ignored), None);
        }
    }
}
