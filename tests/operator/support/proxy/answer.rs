//! Answers that the proxy makes itself.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};

pub(super) type Answer = Response<AnswerBody>;
/// An error in the body closes the connection at that point.
pub(super) type AnswerBody = BoxBody<Bytes, std::io::Error>;

/// A refusal in the API server's form.
pub(super) fn refusal(code: u16, retry_after: Option<u32>) -> Answer {
    let mut answer = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer.body(whole(status(code, retry_after).to_string().into())).unwrap()
}

pub(super) fn whole(body: Bytes) -> AnswerBody {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// A `metav1.Status`.
pub(super) fn status(code: u16, retry_after: Option<u32>) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("the proxy answers {code}"),
        "reason": reason(code),
        "details": { "retryAfterSeconds": retry_after.unwrap_or_default() },
        "code": code,
    })
}

fn reason(code: u16) -> &'static str {
    match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}
