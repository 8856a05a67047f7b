//! Converts the results of the SDK: replies into connectors, errors into outcomes.

use std::error::Error;

use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::primitives::DateTime;
use aws_sdk_apprunner::types::{EgressConfiguration, Service as Described, ServiceSummary, Tag, VpcConnector};
use jiff::Timestamp;
use tracing::warn;

use super::error_text;
use super::exchange::{Exchange, Flaw};
use super::inventory::ServiceSettings;
use crate::api::OWNER_TAG;
use crate::causes;
use crate::core::arn::MAX_ARN;
use crate::core::clock::is_plausible;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Connector, Failure, Outcome, Service, WireError, classify};
use crate::core::{text, words};

/// No name or id of AWS has more characters. A longer text would not fit into an object.
const MAX_TEXT: usize = 128;
/// No connector can have more ids.
const MAX_IDS: usize = 64;

/// The message of a call without an answer.
pub(super) const NO_ANSWER: &str = "no answer within the deadline";

/// Converts a connector. A reply without a connector becomes one without members, which proves nothing.
pub(super) fn connector(reply: Option<VpcConnector>) -> Connector {
    let Some(reply) = reply else { return Connector::default() };
    Connector {
        name: reply.vpc_connector_name.map(|name| shown(&name)),
        revision: (reply.vpc_connector_revision != 0).then_some(reply.vpc_connector_revision),
        subnets: ids(reply.subnets),
        security_groups: ids(reply.security_groups),
        status: reply.status.map(|status| shown(status.as_str()).as_str().into()),
        created_at: reply.created_at.and_then(|at| plausible_time("CreatedAt", reply.vpc_connector_arn.as_deref(), at)),
        deleted_at: reply.deleted_at.and_then(|at| plausible_time("DeletedAt", reply.vpc_connector_arn.as_deref(), at)),
        arn: reply.vpc_connector_arn.as_deref().map(arn),
    }
}

pub(super) fn service(listed: ServiceSummary) -> Service {
    Service {
        arn: listed.service_arn.as_deref().map(arn).unwrap_or_default(),
        name: listed.service_name.map(|name| shown(&name)).unwrap_or_default(),
        status: listed.status.map(|status| shown(status.as_str())).unwrap_or_default(),
        updated_at: listed
            .updated_at
            .and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()),
    }
}

/// The connector of the outgoing traffic of a described service.
///
/// A service without an `EgressConfiguration` has the default, which uses no connector. Source: App Runner API,
/// `NetworkConfiguration`.
pub(super) fn egress(service: Option<Described>, asked_for: &str) -> Result<Option<String>, String> {
    let service = service.ok_or("the answer has no Service")?;
    if service.service_arn != asked_for {
        return Err(format!("the answer describes another service, {}", shown(&service.service_arn)));
    }
    let egress = service.network_configuration.and_then(|network| network.egress_configuration);
    let Some(EgressConfiguration { egress_type, vpc_connector_arn, .. }) = egress else { return Ok(None) };
    match (egress_type, vpc_connector_arn) {
        (_, Some(connector)) => Ok(Some(arn(&connector))),
        (Some(kind), None) if !words::same(kind.as_str(), "DEFAULT") => {
            Err(format!("the answer has EgressType {} and no VpcConnectorArn", shown(kind.as_str())))
        }
        (_, None) => Ok(None),
    }
}

/// The resources that a described service refers to.
pub(super) fn settings(service: Option<Described>, asked_for: &str) -> Result<ServiceSettings, String> {
    let described = service.ok_or("the answer has no Service")?;
    let source =
        described.source_configuration.as_ref().and_then(|source| source.authentication_configuration.as_ref());
    let scaling = described.auto_scaling_configuration_summary.as_ref();
    let observability = described.observability_configuration.as_ref();
    Ok(ServiceSettings {
        auto_scaling: scaling.and_then(|scaling| scaling.auto_scaling_configuration_arn()).map(arn),
        source_connection: source.and_then(|source| source.connection_arn()).map(arn),
        observability: observability.and_then(|one| one.observability_configuration_arn()).map(arn),
        created_at: plausible_time("CreatedAt", Some(asked_for), described.created_at),
        connector: egress(Some(described), asked_for)?,
    })
}

/// The value of the owner tag; AWS limits it to 256 characters. A tag with our key and without a value is an error: it
/// names no owner, and does not prove that there is none.
pub(super) fn owner_tag(tags: &[Tag]) -> Result<Option<String>, String> {
    let Some(ours) = tags.iter().find(|tag| tag.key() == Some(OWNER_TAG)) else { return Ok(None) };
    let value = ours.value().ok_or_else(|| format!("the answer has no Value of the tag {OWNER_TAG}"))?;
    Ok(Some(text::one_line(value, 256)))
}

/// A name or a word of AWS.
pub(super) fn shown(text: &str) -> String {
    text::one_line(text, MAX_TEXT)
}

/// An ARN. A longer one, or one with a control character, is no ARN, and equals none that the operator knows.
pub(super) fn arn(text: &str) -> String {
    text::one_line(text, MAX_ARN)
}

fn ids(list: Option<Vec<String>>) -> Vec<String> {
    list.unwrap_or_default().iter().take(MAX_IDS).map(|id| shown(id)).collect()
}

/// A time between 2020 and 2100. A receipt without a time is better than one with an absurd time.
fn plausible_time(member: &str, arn: Option<&str>, at: DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(at.subsec_nanos()).unwrap_or(0);
    let time = Timestamp::new(at.secs(), nanos).ok().filter(|time| is_plausible(*time));
    if time.is_none() {
        warn!(arn, member, seconds = at.secs(), "AWS gave a time outside 2020 to 2100; it is left out");
    }
    time
}

/// The outcome of a failed call: refused, not sent, or unknown because the call may have taken effect.
pub(super) fn outcome_of<T, E>(call: Exchange<'_>, error: &SdkError<E, HttpResponse>) -> Outcome<T>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let failure = failure_of(call, error);
    // A success status with an unreadable answer is not a refusal.
    let refused = error.raw_response().is_some_and(|answer| !answer.status().is_success());
    match error {
        SdkError::ConstructionFailure(_) => Outcome::NotSent(failure),
        SdkError::DispatchFailure(_) if causes::never_connected(error) => Outcome::NotSent(failure),
        _ if refused && failure.class != ErrorClass::ServiceError => Outcome::Refused(failure),
        _ => Outcome::Unknown(failure),
    }
}

pub(super) fn failure_of<E>(call: Exchange<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (error, error.raw_response()) {
        (_, Some(answer)) if answer.status().is_success() => invalid_answer(call, error, answer),
        (SdkError::ServiceError(context), Some(answer)) if context.err().code().is_some() => {
            let meta = context.err().meta();
            classify(call.operation, &wire_error(answer, meta.code(), meta.message()))
        }
        (_, Some(answer)) => {
            let flaw = causes::chain(error).find_map(|cause| cause.downcast_ref::<Flaw>());
            let without_a_code = || error_text::without_a_code(call.operation, answer);
            let message = flaw.map_or_else(without_a_code, ToString::to_string);
            classify(call.operation, &wire_error(answer, None, Some(&message)))
        }
        (_, None) => unanswered(call, error),
    }
}

/// The failure of a call whose answer has a success status and proves nothing.
fn invalid_answer(call: Exchange<'_>, error: &(dyn Error + 'static), answer: &HttpResponse) -> Failure {
    let flaw = causes::chain(error).find_map(|cause| cause.downcast_ref::<Flaw>());
    let (class, code) = match flaw {
        Some(Flaw::MissingMember(_)) => (ErrorClass::Unproven, "Unproven"),
        _ => (ErrorClass::ServiceError, "UnreadableAnswer"),
    };
    let message = flaw.map_or_else(|| error_text::unreadable(call.operation, answer), ToString::to_string);
    Failure::new(call.operation, class, code, &message).with_request_id(request_id(answer))
}

fn unanswered<E>(call: Exchange<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: Error + 'static,
{
    let (code, message) = match error {
        _ if error_text::untrusted(error) => {
            let message = error_text::no_connection(error, call.host);
            return Failure::new(call.operation, ErrorClass::Untrusted, "UntrustedCertificate", &message);
        }
        SdkError::TimeoutError(_) => ("Timeout", NO_ANSWER.to_owned()),
        _ if causes::never_connected(error) => ("NoConnection", error_text::no_connection(error, call.host)),
        SdkError::ConstructionFailure(_) => {
            ("NotSent", format!("the request could not be sent: {}", error_text::root(error)))
        }
        _ => ("ConnectionLost", format!("the connection broke before an answer came: {}", error_text::root(error))),
    };
    Failure::new(call.operation, ErrorClass::Unreachable, code, &message)
}

fn wire_error<'a>(raw: &'a HttpResponse, code: Option<&'a str>, message: Option<&'a str>) -> WireError<'a> {
    WireError { http_status: raw.status().as_u16(), code, message, request_id: request_id(raw) }
}

pub(super) fn request_id_of<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    request_id(error.raw_response()?).map(text::code)
}

fn request_id(raw: &HttpResponse) -> Option<&str> {
    raw.headers().get("x-amzn-requestid")
}

#[cfg(test)]
mod tests {
    use aws_sdk_apprunner::types::NetworkConfiguration;

    use super::*;

    const SERVICE: &str = "arn:aws:apprunner:us-east-1:111122223333:service/web/1";
    const CONNECTOR: &str = "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/1";

    fn described(egress: Option<EgressConfiguration>) -> Described {
        let time = DateTime::from_secs(1_780_000_000);
        let network = NetworkConfiguration::builder().set_egress_configuration(egress).build();
        let named = Described::builder().service_name("web").service_id("1").service_arn(SERVICE);
        named.created_at(time).updated_at(time).status("RUNNING".into()).network_configuration(network).build().unwrap()
    }

    #[test]
    fn service_uses_the_connector_of_its_egress_and_an_unclear_egress_proves_nothing() {
        let read = |kind: Option<&str>, connector: Option<&str>| {
            let egress = EgressConfiguration::builder().set_egress_type(kind.map(Into::into));
            let egress = egress.set_vpc_connector_arn(connector.map(str::to_owned)).build();
            egress_of(Some(described(Some(egress))))
        };
        for kind in [Some("VPC"), Some("vpc"), Some("DEFAULT"), None] {
            assert_eq!(
                read(kind, Some(CONNECTOR)),
                Ok(Some(CONNECTOR.to_owned())),
                "{kind:?}: a service uses the connector that it names"
            );
        }
        for kind in [Some("DEFAULT"), Some("default"), None] {
            assert_eq!(read(kind, None), Ok(None), "{kind:?}");
        }
        for kind in ["VPC", "vpc", "SOMETHING_NEW"] {
            let why = read(Some(kind), None).unwrap_err();
            assert_eq!(why, format!("the answer has EgressType {kind} and no VpcConnectorArn"));
        }
        assert_eq!(egress_of(Some(described(None))), Ok(None), "the default");
        assert_eq!(egress_of(None), Err("the answer has no Service".into()));
        let another = egress(Some(described(None)), "arn:another");
        assert_eq!(another, Err(format!("the answer describes another service, {SERVICE}")));
    }

    fn egress_of(service: Option<Described>) -> Result<Option<String>, String> {
        egress(service, SERVICE)
    }

    #[test]
    fn owner_tag_without_a_value_is_an_error() {
        let tag = |key: &str, value: Option<&str>| Tag::builder().key(key).set_value(value.map(str::to_owned)).build();
        let other = || tag("team", None);
        assert_eq!(owner_tag(&[]), Ok(None));
        assert_eq!(owner_tag(&[other()]), Ok(None));
        assert_eq!(owner_tag(&[other(), tag(OWNER_TAG, Some("c/n/o"))]), Ok(Some("c/n/o".into())));
        assert_eq!(owner_tag(&[tag(OWNER_TAG, Some(&"x".repeat(300)))]).unwrap().unwrap().len(), 256);
        assert!(owner_tag(&[tag(OWNER_TAG, None)]).unwrap_err().contains(OWNER_TAG));
    }
}
