//! Responses in the two protocols: AWS JSON of App Runner and AWS Query of STS.

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::Operation;
use crate::api_error::{ApiError, ApiResult};
use crate::model::ids::uuid;

/// The protocol of a request and of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.0, for App Runner.
    Json,
    /// AWS Query, for STS: the request is a form, the response XML.
    Query,
}

/// A rendered response, and its error code for the call log.
pub(crate) struct Rendered {
    pub(crate) response: Response<Bytes>,
    pub(crate) error: Option<String>,
}

/// Renders a result in the protocol of the request.
pub(crate) fn render(protocol: Protocol, operation: Option<Operation>, result: &ApiResult) -> Rendered {
    let request_id = uuid();
    let (status, error) = match result {
        Ok(_) => (200, None),
        Err(error) => {
            let (code, status) = code_and_status(error, protocol);
            (status, Some((code.to_owned(), error)))
        }
    };
    let (content_type, body) = match (protocol, &error, result) {
        (Protocol::Json, Some((code, error)), _) => {
            ("application/x-amz-json-1.0", json!({ "__type": code, "Message": error.message }).to_string())
        }
        (Protocol::Json, None, result) => {
            ("application/x-amz-json-1.0", result.as_ref().map(Value::to_string).unwrap_or_default())
        }
        (Protocol::Query, Some((code, error)), _) => ("text/xml", xml_error(code, status, &error.message, &request_id)),
        (Protocol::Query, None, result) => {
            ("text/xml", xml_reply(operation, result.as_ref().unwrap_or(&Value::Null), &request_id))
        }
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    insert(&mut response, "x-amzn-requestid", &request_id);
    if let Some((code, error)) = &error {
        insert(&mut response, "x-amzn-errortype", code);
        if let Some(ms) = error.retry_after_ms {
            insert(&mut response, "x-amz-retry-after", &ms.to_string());
        }
    }
    Rendered { response, error: error.map(|(code, _)| code) }
}

/// Returns the code and status of an error in the spelling of the protocol.
///
/// Source: App Runner API and STS API, Common Errors.
fn code_and_status(error: &ApiError, protocol: Protocol) -> (&str, u16) {
    let code = error.code.as_ref();
    if protocol == Protocol::Json {
        return (code, error.status);
    }
    match code {
        "AccessDeniedException" => ("AccessDenied", 403),
        "ExpiredTokenException" => ("ExpiredToken", 403),
        "IncompleteSignatureException" => ("IncompleteSignature", 400),
        "InternalServiceErrorException" => ("InternalFailure", 500),
        "InvalidSignatureException" => ("SignatureDoesNotMatch", 403),
        "MissingAuthenticationTokenException" => ("MissingAuthenticationToken", 403),
        "ThrottlingException" => ("Throttling", 400),
        "UnknownOperationException" => ("InvalidAction", 400),
        "UnrecognizedClientException" => ("InvalidClientTokenId", 403),
        other => (other, error.status),
    }
}

/// Adds a header; skips a value that no header can have, which a fault may contain.
fn insert(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

fn xml_reply(operation: Option<Operation>, members: &Value, request_id: &str) -> String {
    let name = operation.map_or("Unknown", Operation::name);
    let fields = xml_value(members);
    format!(
        "<{name}Response xmlns=\"{STS_NAMESPACE}\"><{name}Result>{fields}</{name}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    )
}

/// Renders a value: a structure as one element for each member, a list as elements `member`, the rest as text.
fn xml_value(value: &Value) -> String {
    let element = |name: &str, value: &Value| format!("<{name}>{}</{name}>", xml_value(value));
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| element(name, value)).collect(),
        Value::Array(items) => items.iter().map(|item| element("member", item)).collect(),
        Value::String(text) => escaped(text),
        other => other.to_string(),
    }
}

fn xml_error(code: &str, status: u16, message: &str, request_id: &str) -> String {
    let error_type = if status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{STS_NAMESPACE}\"><Error><Type>{error_type}</Type><Code>{}</Code><Message>{}</Message>\
         </Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escaped(code),
        escaped(message)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_escapes_markup_in_values() {
        let reply = xml_reply(Some(Operation::GetCallerIdentity), &json!({ "Arn": "a<b>&\"" }), "id");
        assert!(reply.contains("<Arn>a&lt;b&gt;&amp;&quot;</Arn>"), "{reply}");
    }

    #[test]
    fn xml_nests_structures_and_lists() {
        let reply = xml_reply(Some(Operation::AssumeRole), &json!({ "User": { "Arn": "a" }, "Ids": ["b", 1] }), "id");
        assert!(reply.contains("<User><Arn>a</Arn></User>"), "{reply}");
        assert!(reply.contains("<Ids><member>b</member><member>1</member></Ids>"), "{reply}");
    }
}
