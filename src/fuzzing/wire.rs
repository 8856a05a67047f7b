//! Replies of App Runner and STS, read by the SDK and believed by the operator.

use std::cell::RefCell;
use std::sync::OnceLock;

use aws_sdk_apprunner::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::error_class::assert_texts;
use super::{ARN, MAX_MESSAGE_BYTES, MAX_NOTE_BYTES, assert_shown};
use crate::api::{FINALIZER, OWNER_TAG, VpcConnector, VpcConnectorSpec};
use crate::apprunner::CALL_DEADLINE;
use crate::apprunner::client::Call;
use crate::apprunner::session::Session;
use crate::core::arn::ConnectorArn;
use crate::core::attempt::Observed;
use crate::core::effect::{AwsOutcome, Completed, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence};
use crate::core::outcome::{Connector, Failure, Outcome};
use crate::core::state::Deletion;
use crate::core::{status, transition};

/// The service that is described.
const SERVICE: &str = "arn:aws:apprunner:us-east-1:111122223333:service/web/1";
/// A status with all its lists is smaller than this; etcd takes 1.5 MiB.
const MAX_STATUS_BYTES: usize = 128 * 1024;

thread_local! {
    static REPLY: RefCell<Option<HttpResponse>> = const { RefCell::new(None) };
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Answers every request with the reply of its thread.
#[derive(Debug)]
struct Canned;

impl HttpConnector for Canned {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let reply = REPLY.take().ok_or_else(|| ConnectorError::other("a second request".into(), None));
        HttpConnectorFuture::ready(reply)
    }
}

/// One reply, and the parts of it that the invariants are about.
struct Reply {
    operation: String,
    status: u16,
    content_type: Option<String>,
    head: String,
    body: Vec<u8>,
}

/// Reads a reply: a line with the operation and the HTTP status, the headers, an empty line, and the body.
///
/// A success is believed only if it has the required members; a refusal is never a success or a failure of AWS's own; only
/// a receipt for the very connector, or `ResourceNotFound`, confirms a deletion; and every text can be shown.
pub fn wire(data: &[u8]) {
    let Some(reply) = Reply::parse(data) else { return };
    RUNTIME.with(|runtime| runtime.block_on(read(&reply)));
}

/// The failure of a describe with this reply.
#[cfg(test)]
pub(super) fn failure_to_describe(data: &[u8]) -> Failure {
    let (_reply, arn) = (Reply::parse(data).unwrap(), ARN.parse::<ConnectorArn>().unwrap());
    let client = http_client_fn(|_, _| SharedHttpConnector::new(Canned));
    let session = Session::answered_by(arn.account().clone(), client);
    let call = RUNTIME.with(|runtime| runtime.block_on(session.describe(&arn)));
    call.outcome.into_failure().unwrap()
}

async fn read(reply: &Reply) {
    static SESSION: OnceLock<Session> = OnceLock::new();
    let Ok(arn) = ARN.parse::<ConnectorArn>() else { return };
    let client = || http_client_fn(|_, _| SharedHttpConnector::new(Canned));
    let session = SESSION.get_or_init(|| Session::answered_by(arn.account().clone(), client()));
    match reply.operation.as_str() {
        "DeleteVpcConnector" => connector(reply, session.delete(&arn).await, true),
        "DescribeVpcConnector" => connector(reply, session.describe(&arn).await, false),
        "ListTagsForResource" => owner_tag(reply, session.read_owner_tag(&arn, CALL_DEADLINE).await),
        "TagResource" => {
            let Some(owner) = evidence().owner_tag() else { return };
            let call = session.write_owner_tag(&arn, &owner).await;
            check(reply, &call, &[]);
        }
        "UntagResource" => {
            check(reply, &session.remove_owner_tag(&arn).await, &[]);
        }
        "ListVpcConnectors" => {
            let call = session.list_connectors(arn.region(), None).await;
            check(reply, &call, &["/VpcConnectors"]);
            let page = call.outcome.into_result();
            page.into_iter().flat_map(|page| page.items).for_each(|listed| assert_connector(&listed));
        }
        "ListServices" => {
            let call = session.list_services(arn.region(), None).await;
            check(reply, &call, &["/ServiceSummaryList"]);
            for service in call.outcome.into_result().into_iter().flat_map(|page| page.items) {
                assert!(!service.arn.is_empty());
                for text in [&service.arn, &service.name, &service.status] {
                    assert_shown(text, 4 * 1011);
                }
            }
        }
        "DescribeService" => egress(reply, session.describe_service(arn.region(), SERVICE).await),
        "GetCallerIdentity" => match session.account_by_sts().await {
            Ok(account) => {
                let body = String::from_utf8_lossy(&reply.body);
                assert!(reply.is_success() && (body.contains(account.as_str()) || body.contains('&')), "{body}");
            }
            Err(failure) => assert_texts(&failure),
        },
        _ => {}
    }
    REPLY.take();
}

/// Asserts what holds for every reply; the members are JSON pointers into the reply of a success.
fn check<T>(reply: &Reply, call: &Call<T>, members: &[&str]) {
    assert!(REPLY.take().is_none(), "the request was not sent");
    assert_shown(call.request_id.as_deref().unwrap_or_default(), 4 * 100);
    if let Some(failure) = call.outcome.failure() {
        assert_texts(failure);
    }
    match &call.outcome {
        Outcome::Done(_) => {
            assert!(reply.is_success() && reply.is_json());
            let body = reply.json();
            for member in members {
                let value = body.pointer(member).filter(|value| !value.is_null() && value.as_str() != Some(""));
                assert!(value.is_some(), "believed without {member}: {body}");
            }
        }
        Outcome::Refused(failure) => {
            assert!(!reply.is_success() && failure.class != ErrorClass::ServiceError, "{failure:?}");
        }
        Outcome::NotSent(failure) => unreachable!("there was an answer: {failure:?}"),
        Outcome::Unknown(_) => {}
    }
}

fn connector(reply: &Reply, call: Call<Connector>, delete: bool) {
    check(reply, &call, &["/VpcConnector/VpcConnectorArn", "/VpcConnector/Status"]);
    if let Outcome::Done(connector) = &call.outcome {
        assert_connector(connector);
    }
    let refused_as_missing = matches!(&call.outcome, Outcome::Refused(Failure { class: ErrorClass::NotFound, .. }) if reply.names_not_found());
    let mut evidence = evidence();
    let outcome = if delete { AwsOutcome::Delete(call.outcome) } else { AwsOutcome::Describe(call.outcome) };
    let Some(arn) = evidence.object.target.arn().cloned() else { return };
    transition::apply(&mut evidence, Completed::Aws(outcome, arn));
    let confirmed = matches!(evidence.state.deletion, Deletion::Confirmed { .. });
    let described = |word: &str| {
        let body = reply.json();
        let text = |member| body.pointer(member).and_then(Value::as_str);
        reply.is_success()
            && text("/VpcConnector/VpcConnectorArn") == Some(ARN)
            && text("/VpcConnector/Status").is_some_and(|status| status.eq_ignore_ascii_case(word))
    };
    if confirmed {
        assert!(described("INACTIVE") || refused_as_missing, "a deletion without a proof");
        let (status, events) = status::status_after(&evidence, &StatusWrite::Receipt);
        assert!(serde_json::to_vec(&status).expect("a status").len() < MAX_STATUS_BYTES);
        for condition in &status.conditions {
            assert_shown(&condition.message, MAX_MESSAGE_BYTES);
        }
        for event in &events {
            assert_shown(event.note(), MAX_NOTE_BYTES);
        }
    }
    let accepted = matches!(evidence.state.deletion, Deletion::Accepted { .. });
    let observed = matches!(evidence.attempt.observed, Some(Observed::Active(_)));
    assert!(!(accepted || observed) || described("ACTIVE"), "ACTIVE without a proof");
}

fn assert_connector(connector: &Connector) {
    let Connector { arn, name, status, .. } = connector;
    for text in [arn.as_deref(), name.as_deref(), status.as_deref()].into_iter().flatten() {
        assert_shown(text, 4 * 1011);
    }
    assert!(connector.subnets.len() <= 64 && connector.security_groups.len() <= 64);
    connector.subnets.iter().chain(&connector.security_groups).for_each(|id| assert_shown(id, 4 * 128));
}

/// There is no owner tag only if the list was read, and has none with its key.
fn owner_tag(reply: &Reply, call: Call<Option<String>>) {
    check(reply, &call, &["/Tags"]);
    let body = reply.json();
    let tags = body.pointer("/Tags").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ours = |tag: &&Value| tag.get("Key").and_then(Value::as_str) == Some(OWNER_TAG);
    match call.outcome {
        Outcome::Done(None) => assert!(!tags.iter().any(|tag| ours(&tag)), "the tag was overlooked: {body}"),
        Outcome::Done(Some(tag)) => {
            assert_shown(&tag, 4 * 256);
            assert!(tags.iter().any(|tag| ours(&tag) && tag["Value"].is_string()), "a tag from nowhere: {body}");
        }
        Outcome::Refused(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {}
    }
}

/// A service uses no connector only if it was described and names none.
fn egress(reply: &Reply, call: Call<Option<String>>) {
    check(reply, &call, &["/Service/ServiceArn", "/Service/Status", "/Service/NetworkConfiguration"]);
    let Outcome::Done(connector) = call.outcome else { return };
    let body = reply.json();
    assert_eq!(body.pointer("/Service/ServiceArn").and_then(Value::as_str), Some(SERVICE));
    let named = body.pointer("/Service/NetworkConfiguration/EgressConfiguration/VpcConnectorArn");
    assert_eq!(connector.is_some(), named.is_some_and(Value::is_string), "{body}");
    assert_shown(&connector.unwrap_or_default(), 4 * 1011);
}

/// The evidence of a claimed connector that is being deleted.
fn evidence() -> Evidence {
    let mut object = VpcConnector::new("egress", VpcConnectorSpec { arn: ARN.into(), ..VpcConnectorSpec::default() });
    object.metadata.namespace = Some("shop".into());
    object.metadata.finalizers = Some(vec![FINALIZER.into()]);
    let mut evidence = super::evidence(&object);
    evidence.object.deleting = true;
    evidence.object.status.arn = Some(ARN.into());
    evidence.caller = ARN.parse().map_or(Caller::Unknown, |arn: ConnectorArn| Caller::Account(arn.account().clone()));
    evidence
}

impl Reply {
    /// Parses a reply, and makes it the answer to the next request of this thread.
    fn parse(data: &[u8]) -> Option<Self> {
        let end = data.windows(2).position(|pair| pair == b"\n\n")?;
        let body = data[end + 2..].to_vec();
        let mut lines = data[..end].split(|byte| *byte == b'\n');
        let (operation, status) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let status = status.parse().ok()?;
        let mut response = http::Response::builder().status(status);
        for line in lines {
            let colon = line.windows(2).position(|pair| pair == b": ")?;
            response = response.header(&line[..colon], &line[colon + 2..]);
        }
        let response = HttpResponse::try_from(response.body(body.clone().into()).ok()?).ok()?;
        let content_type = response.headers().get_bytes("content-type").map(String::from_utf8_lossy);
        let content_type = content_type.map(|kind| kind.to_ascii_lowercase());
        let (operation, head) = (operation.to_owned(), String::from_utf8_lossy(&data[..end]).into_owned());
        REPLY.set(Some(response));
        Some(Self { operation, status, content_type, head, body })
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_json(&self) -> bool {
        self.content_type.as_deref().is_none_or(|kind| kind.contains("json"))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn names_not_found(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body).to_ascii_lowercase() + &self.head.to_ascii_lowercase();
        !self.is_success() && (text.contains("resourcenotfound") || text.contains("\\u"))
    }
}
