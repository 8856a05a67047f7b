//! Reads what the SDK hands back: replies into connectors, errors into outcomes.

use std::error::Error;

use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_apprunner::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_apprunner::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::primitives::DateTime;
use aws_sdk_apprunner::types::{EgressConfiguration, Service as Described, ServiceSummary, Tag, VpcConnector};
use jiff::Timestamp;
use tracing::warn;

use super::whole::Flaw;
use crate::api::OWNER_TAG;
use crate::core::outcome::{Class, Connector, Failure, Operation, Outcome, Service, WireError, classify};
use crate::core::words;

/// 2020-01-01 and 2100-01-01; App Runner is younger than the one, and a time beyond the other is no time.
const PLAUSIBLE_SECONDS: std::ops::Range<i64> = 1_577_836_800..4_102_444_800;

/// More characters than any name or id of AWS's has, and more ids than a connector can have. What is longer would not
/// fit into an object.
const LONGEST_WORD: usize = 128;
const MOST_IDS: usize = 64;

/// What is said where there is nothing to quote.
pub(super) const NO_ANSWER: &str = "no answer within the deadline";

/// Lets no web page pass for an answer: the SDK does not look into one that it expects to be empty, and a proxy's login
/// form would count as a tag that was written.
///
/// Source: AWS JSON 1.0 protocol; every answer is `application/x-amz-json-1.0`. One that does not say what it is may be.
#[derive(Debug)]
pub(super) struct OnlyJson;

impl Intercept for OnlyJson {
    fn name(&self) -> &'static str {
        "OnlyJson"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        match answer.headers().get("content-type") {
            Some(kind) if answer.status().is_success() && !words::says(kind, "json") => {
                Err(format!("{} is no answer of App Runner's", word(kind)).into())
            }
            _ => Ok(()),
        }
    }
}

/// Reads a connector. A reply without one reads as one without members, which proves nothing.
pub(super) fn connector(reply: Option<VpcConnector>) -> Connector {
    let Some(reply) = reply else { return Connector::default() };
    Connector {
        name: reply.vpc_connector_name.map(|name| word(&name)),
        revision: (reply.vpc_connector_revision != 0).then_some(reply.vpc_connector_revision),
        subnets: ids(reply.subnets),
        security_groups: ids(reply.security_groups),
        status: reply.status.map(|status| word(status.as_str()).as_str().into()),
        created_at: reply.created_at.and_then(|at| plausible("CreatedAt", reply.vpc_connector_arn.as_deref(), at)),
        deleted_at: reply.deleted_at.and_then(|at| plausible("DeletedAt", reply.vpc_connector_arn.as_deref(), at)),
        arn: reply.vpc_connector_arn,
    }
}

/// Reads a listed service.
pub(super) fn service(listed: ServiceSummary) -> Service {
    Service {
        arn: listed.service_arn.unwrap_or_default(),
        name: listed.service_name.map(|name| word(&name)).unwrap_or_default(),
        status: listed.status.map(|status| word(status.as_str())).unwrap_or_default(),
        updated_at: listed
            .updated_at
            .and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()),
    }
}

/// Reads which connector the outgoing traffic of the service that was asked for goes through.
///
/// A service without an `EgressConfiguration` has the default, which is none. Source: App Runner API,
/// `NetworkConfiguration`.
pub(super) fn egress(service: Option<Described>, asked_for: &str) -> Result<Option<String>, String> {
    let service = service.ok_or("the answer has no Service")?;
    if service.service_arn != asked_for {
        return Err(format!("the answer describes another service, {}", word(&service.service_arn)));
    }
    let egress = service.network_configuration.and_then(|network| network.egress_configuration);
    let Some(EgressConfiguration { egress_type, vpc_connector_arn, .. }) = egress else { return Ok(None) };
    match (egress_type, vpc_connector_arn) {
        (_, Some(connector)) => Ok(Some(connector)),
        (Some(kind), None) if !words::same(kind.as_str(), "DEFAULT") => {
            Err(format!("the answer has EgressType {} and no VpcConnectorArn", word(kind.as_str())))
        }
        (_, None) => Ok(None),
    }
}

/// Reads the owner tag's value, which AWS keeps to 256 characters. A tag of our key without a value names nobody, and
/// is not taken for somebody's.
pub(super) fn owner_tag(tags: &[Tag]) -> Result<Option<String>, String> {
    let Some(ours) = tags.iter().find(|tag| tag.key() == Some(OWNER_TAG)) else { return Ok(None) };
    let value = ours.value().ok_or_else(|| format!("the answer has no Value of the tag {OWNER_TAG}"))?;
    Ok(Some(value.chars().take(256).collect()))
}

fn word(text: &str) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

fn ids(list: Option<Vec<String>>) -> Vec<String> {
    list.unwrap_or_default().iter().take(MOST_IDS).map(|id| word(id)).collect()
}

/// A receipt without a time is better than one with an absurd time.
fn plausible(member: &str, arn: Option<&str>, at: DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(at.subsec_nanos()).unwrap_or(0);
    let time = PLAUSIBLE_SECONDS.contains(&at.secs()).then(|| Timestamp::new(at.secs(), nanos).ok()).flatten();
    if time.is_none() {
        warn!(arn, member, seconds = at.secs(), "AWS gave a time outside 2020 to 2100; it is left out");
    }
    time
}

/// Says what a failed call came to: whether it can have taken effect.
pub(super) fn outcome_of<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> Outcome
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let failure = failure_of(operation, error);
    match error {
        SdkError::ConstructionFailure(_) => Outcome::NotSent(failure),
        SdkError::DispatchFailure(_) if never_connected(error) => Outcome::NotSent(failure),
        SdkError::ServiceError(_) | SdkError::ResponseError(_)
            if failure.class != Class::ServiceError && !is_of_success(error) =>
        {
            Outcome::Refused(failure)
        }
        _ => Outcome::Unknown(failure),
    }
}

/// Whether AWS said that all is well, and only how it said so is wrong; that is no refusal.
fn is_of_success<E>(error: &SdkError<E, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|raw| raw.status().is_success())
}

/// Reads what went wrong.
pub(super) fn failure_of<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(flaw) = chain(error).find_map(|cause| cause.downcast_ref::<Flaw>()) {
        let (class, code) = match flaw {
            Flaw::Lacks(_) => (Class::Unproven, "Unproven"),
            Flaw::NotJson => (Class::ServiceError, "UnreadableAnswer"),
        };
        return Failure::new(operation, class, code, &flaw.to_string()).with_request_id(request_id_of(error));
    }
    let (class, code) = match error {
        SdkError::ServiceError(context) => {
            let meta = context.err().meta();
            return classify(operation, &wire_error(context.raw(), meta.code(), meta.message()));
        }
        SdkError::ResponseError(context) if !context.raw().status().is_success() => {
            return classify(operation, &wire_error(context.raw(), None, None));
        }
        SdkError::ResponseError(_) => (Class::ServiceError, "UnreadableAnswer"),
        SdkError::TimeoutError(_) => return Failure::new(operation, Class::Unreachable, "Timeout", NO_ANSWER),
        SdkError::ConstructionFailure(_) => (Class::Unreachable, "NotSent"),
        _ if never_connected(error) => (Class::Unreachable, "NoConnection"),
        _ => (Class::Unreachable, "ConnectionLost"),
    };
    Failure::new(operation, class, code, &causes(error)).with_request_id(request_id_of(error))
}

/// The chain of causes without the SDK's debug rendering, which holds headers.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = chain(error).map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// Only a failure to connect proves that nothing was sent.
pub(super) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|e| e.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect)
}

fn wire_error<'a>(raw: &'a HttpResponse, code: Option<&'a str>, message: Option<&'a str>) -> WireError<'a> {
    WireError { http_status: raw.status().as_u16(), code, message, request_id: request_id(raw) }
}

/// The request id of an answer that was an error.
pub(super) fn request_id_of<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    request_id(error.raw_response()?).map(str::to_owned)
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
    fn a_service_uses_the_connector_that_its_egress_names_and_what_does_not_say_proves_nothing() {
        let read = |kind: Option<&str>, connector: Option<&str>| {
            let egress = EgressConfiguration::builder().set_egress_type(kind.map(Into::into));
            let egress = egress.set_vpc_connector_arn(connector.map(str::to_owned)).build();
            egress_of(Some(described(Some(egress))))
        };
        for kind in [Some("VPC"), Some("vpc"), Some("DEFAULT"), None] {
            assert_eq!(read(kind, Some(CONNECTOR)), Ok(Some(CONNECTOR.to_owned())), "{kind:?}: what names it uses it");
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
    fn our_tag_without_a_value_is_neither_nobodys_nor_anothers() {
        let tag = |key: &str, value: Option<&str>| Tag::builder().key(key).set_value(value.map(str::to_owned)).build();
        let other = || tag("team", None);
        assert_eq!(owner_tag(&[]), Ok(None));
        assert_eq!(owner_tag(&[other()]), Ok(None));
        assert_eq!(owner_tag(&[other(), tag(OWNER_TAG, Some("c/n/o"))]), Ok(Some("c/n/o".into())));
        assert_eq!(owner_tag(&[tag(OWNER_TAG, Some(&"x".repeat(300)))]).unwrap().unwrap().len(), 256);
        assert!(owner_tag(&[tag(OWNER_TAG, None)]).unwrap_err().contains(OWNER_TAG));
    }
}
