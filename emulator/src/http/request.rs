//! An AWS request, parsed as far as its form allows.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::wire::Protocol;
use crate::Operation;
use crate::api_error::ApiError;
use crate::ops::params::Params;

/// A request of an AWS client.
pub(crate) struct ParsedRequest {
    pub(crate) protocol: Protocol,
    /// The operation as the request names it, for the call log.
    pub(crate) name: Option<String>,
    /// The operation, if the emulator has it.
    pub(crate) operation: Option<Operation>,
    pub(crate) params: Result<Params, ApiError>,
    pub(crate) arn: Option<String>,
}

impl ParsedRequest {
    pub(crate) fn new(parts: &Parts, body: &[u8]) -> Self {
        let mut request = if is_query(&parts.headers) { Self::query(body) } else { Self::json(&parts.headers, body) };
        if parts.method != Method::POST || parts.uri.path() != "/" {
            request.operation = None;
        }
        request
    }

    /// Source: AWS JSON 1.0 protocol; App Runner's targets begin with `AppRunner`.
    fn json(headers: &HeaderMap, body: &[u8]) -> Self {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let name = target.map(|target| target.strip_prefix("AppRunner.").unwrap_or(target));
        let known = target.and_then(|target| Operation::from_name(target.strip_prefix("AppRunner.")?));
        let params = Params::parse(body);
        Self {
            protocol: Protocol::Json,
            name: name.map(str::to_owned),
            operation: known.filter(|operation| operation.service() == "apprunner"),
            arn: params.as_ref().ok().and_then(named_arn),
            params,
        }
    }

    /// Source: AWS Query protocol; STS's version is 2011-06-15.
    fn query(body: &[u8]) -> Self {
        let params = Params::parse_form(body);
        let field = |name: &str| params.form_field(name).map(str::to_owned);
        let name = field("Action");
        let known = name.as_deref().and_then(Operation::from_name);
        let right_version = field("Version").as_deref() == Some("2011-06-15");
        Self {
            protocol: Protocol::Query,
            operation: known.filter(|operation| operation.service() == "sts" && right_version),
            name,
            arn: field("RoleArn"),
            params: Ok(params),
        }
    }
}

fn is_query(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    is_form && !headers.contains_key("x-amz-target")
}

fn named_arn(params: &Params) -> Option<String> {
    let names = [
        "VpcConnectorArn",
        "ServiceArn",
        "ResourceArn",
        "VpcIngressConnectionArn",
        "AutoScalingConfigurationArn",
        "ObservabilityConfigurationArn",
        "ConnectionArn",
    ];
    names.iter().find_map(|name| params.raw(name)?.as_str().map(str::to_owned))
}
