//! Reads what the SDK hands back: replies into connectors, errors into outcomes.

use std::error::Error;

use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_apprunner::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_apprunner::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::primitives::DateTime;
use aws_sdk_apprunner::types::{Service as Described, ServiceSummary, VpcConnector};
use jiff::Timestamp;
use tracing::warn;

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

/// Reads a listed service; one without an ARN can't be looked at.
pub(super) fn service(listed: ServiceSummary) -> Option<Service> {
    Some(Service {
        arn: listed.service_arn?,
        name: listed.service_name.map(|name| word(&name)).unwrap_or_default(),
        status: listed.status.map(|status| word(status.as_str())).unwrap_or_default(),
        updated_at: listed
            .updated_at
            .and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()),
    })
}

/// Reads which connector a service's outgoing traffic goes through.
pub(super) fn egress(service: Described) -> Option<String> {
    service.network_configuration?.egress_configuration?.vpc_connector_arn
}

/// A tag's value, which AWS keeps to 256 characters.
pub(super) fn tag_value(value: Option<String>) -> String {
    value.unwrap_or_default().chars().take(256).collect()
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
        SdkError::ServiceError(_) | SdkError::ResponseError(_) if failure.class != Class::ServiceError => {
            Outcome::Refused(failure)
        }
        _ => Outcome::Unknown(failure),
    }
}

/// Reads what went wrong.
pub(super) fn failure_of<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
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
