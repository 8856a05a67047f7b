//! One request of an AWS client: read, logged, authenticated, performed, answered.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};
use axum::response::Response;

use super::peer::Peer;
use crate::Operation;
use crate::api_error::ApiError;
use crate::auth::{Caller, authenticate};
use crate::call_log::Answered;
use crate::faults::{Matched, Reply, Taken, play};
use crate::model::clock::now;
use crate::ops::params::Params;
use crate::ops::perform;

use super::wire::{Protocol, Rendered, render};
use crate::auth::sigv4::{Claim, Signed};
use crate::state::Shared;

/// Larger than any request that the API allows.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Marks a response in whose place the connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HangUp;

/// A call in the log that ends even when its connection is cut.
struct Underway<'a> {
    shared: &'a Shared,
    seq: u64,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.shared.world().calls.break_off(self.seq, now());
    }
}

/// Answers a request to App Runner or STS.
pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ());
    let asked = Asked::read(&parts, body.as_ref().map(Bytes::as_ref).unwrap_or_default());
    let seq = shared.world().calls.begin(asked.name.clone(), asked.arn.clone(), now());
    let _underway = Underway { shared: &shared, seq };
    let reply = match body {
        Ok(body) => respond(&shared, seq, &parts, &body, &asked).await,
        Err(()) => Reply::Normal(Err(ApiError::serialization("The request's body is too long or broke off."))),
    };
    let (outcome, damage) = match reply {
        Reply::Normal(outcome) => (outcome, None),
        Reply::Damaged(outcome, damage) => (outcome, Some(damage)),
        Reply::HangUp => return hung_up(),
        Reply::Refuse(period) => {
            // Goes on only when the time is over before it began: this connection is cut too.
            shared.gate.done(shared.gate.refuse(Some(period))).await;
            return hung_up();
        }
    };
    let Rendered { response, error } = render(asked.protocol, asked.operation, &outcome);
    let response = match damage {
        Some(damage) => damage(response),
        None => response.map(Body::from),
    };
    shared.world().calls.end(seq, Answered { at: now(), status: Some(response.status().as_u16()), error });
    response
}

fn hung_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

async fn respond(shared: &Shared, seq: u64, parts: &Parts, body: &[u8], asked: &Asked) -> Reply {
    match admit(shared, seq, parts, body, asked) {
        Err(error) => Reply::Normal(Err(error)),
        Ok(admitted) => {
            let Admitted { caller, operation, fault } = admitted;
            let denied = || caller.denied(operation, asked.arn.as_deref());
            let effect = || {
                let params = asked.params.as_ref().map_err(Clone::clone)?;
                perform(&mut shared.world(), &caller, operation, params)
            };
            let (fault, cleared) = fault.map(Taken::into_parts).unzip();
            let let_go = async {
                tokio::select! {
                    () = option(cleared) => {}
                    () = option(parts.extensions.get::<Peer>().map(Peer::gone)) => {}
                }
            };
            play(fault, denied, effect, let_go).await
        }
    }
}

/// Waits for what may not exist, and then for ever.
async fn option(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// A call that will be performed, or play a fault.
struct Admitted {
    caller: Caller,
    operation: Operation,
    fault: Option<Taken>,
}

fn admit(shared: &Shared, seq: u64, parts: &Parts, body: &[u8], asked: &Asked) -> Result<Admitted, ApiError> {
    let claim = Claim::read(&parts.headers);
    if let Ok(claim) = &claim {
        let (key, region) = (claim.access_key_id.to_owned(), claim.region.to_owned());
        shared.world().calls.amend(seq, |call| {
            call.access_key_id = Some(key);
            call.region = Some(region);
        });
    }
    let operation = asked.operation.ok_or_else(ApiError::unknown_operation)?;
    let signed = Signed { method: &parts.method, uri: &parts.uri, headers: &parts.headers, body };
    let caller = authenticate(&shared.config.access_keys, claim, &signed, operation.service(), now())?;
    let fault = let_in(shared, seq, &caller, operation, asked.arn.as_deref())?;
    Ok(Admitted { caller, operation, fault })
}

/// Applies the request rate to a known caller, and takes the fault that the call plays.
fn let_in(
    shared: &Shared,
    seq: u64,
    caller: &Caller,
    operation: Operation,
    arn: Option<&str>,
) -> Result<Option<Taken>, ApiError> {
    let (account, region, access_key_id) = (&caller.account, &caller.region, &caller.access_key_id);
    let world = &mut *shared.world();
    world.calls.amend(seq, |call| call.account = Some(account.clone()));
    if let Some(per_second) = world.behaviors.requests_per_second
        && operation != Operation::GetCallerIdentity
        && !world.rate_limiter.try_acquire(&caller.account_region(), per_second, now())
    {
        return Err(ApiError::throttled());
    }
    let fault = world.faults.take(&Matched { operation, arn, account, region, access_key_id });
    world.calls.amend(seq, |call| call.fault = fault.as_ref().map(|taken| taken.kind.clone()));
    Ok(fault)
}

/// What a request asks for, as far as it can be read.
struct Asked {
    protocol: Protocol,
    name: Option<String>,
    operation: Option<Operation>,
    params: Result<Params, ApiError>,
    arn: Option<String>,
}

impl Asked {
    fn read(parts: &Parts, body: &[u8]) -> Self {
        let mut asked = if is_query(&parts.headers) { Self::query(body) } else { Self::json(&parts.headers, body) };
        if parts.method != Method::POST || parts.uri.path() != "/" {
            asked.operation = None;
        }
        asked
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
        let field =
            |name: &str| form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let name = field("Action");
        let known = name.as_deref().and_then(Operation::from_name);
        let right_version = field("Version").as_deref() == Some("2011-06-15");
        Self {
            protocol: Protocol::Query,
            operation: known.filter(|operation| operation.service() == "sts" && right_version),
            name,
            params: Ok(Params::default()),
            arn: None,
        }
    }
}

fn is_query(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    is_form && !headers.contains_key("x-amz-target")
}

fn named_arn(params: &Params) -> Option<String> {
    let names = ["VpcConnectorArn", "ServiceArn", "ResourceArn"];
    names.iter().find_map(|name| params.raw(name)?.as_str().map(str::to_owned))
}
