//! The endpoint of AWS clients: parses, logs, authenticates, performs and answers a request.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;

use super::peer::Peer;
use super::request::ParsedRequest;
use super::wire::{Rendered, render};
use crate::Operation;
use crate::api_error::ApiError;
use crate::auth::sigv4::{Authorization, SignedRequest};
use crate::auth::{Caller, authenticate};
use crate::call_log::Completion;
use crate::faults::{ActiveFault, CallAttributes, Reply, apply_fault};
use crate::model::clock::now;
use crate::ops::perform;
use crate::state::SharedState;

/// Larger than any request that the API allows.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Response extension that makes the server close the connection without a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseConnection;

/// A call in the log; dropping it ends the call, also when the server drops the request because its connection closed.
struct InFlight<'a> {
    shared: &'a SharedState,
    seq: u64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.state().calls.abort(self.seq, now());
    }
}

/// Answers a request to App Runner or STS.
pub(super) async fn answer(State(shared): State<Arc<SharedState>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ());
    let request = ParsedRequest::new(&parts, body.as_ref().map(Bytes::as_ref).unwrap_or_default());
    let seq = shared.state().calls.begin(request.name.clone(), request.arn.clone(), now());
    let _in_flight = InFlight { shared: &shared, seq };
    let reply = match body {
        Ok(body) => handle(&shared, seq, &parts, &body, &request).await,
        Err(()) => Reply::Normal(Err(ApiError::serialization("The request's body is too long or broke off."))),
    };
    let (result, corruption) = match reply {
        Reply::Normal(result) => (result, None),
        Reply::Corrupted(result, corruption) => (result, Some(corruption)),
        Reply::CloseConnection => return close_connection(),
        Reply::RefuseConnections(period) => {
            // The server closes this connection too, so only a period of 0 ms gets past this line.
            shared.gate.completed(shared.gate.refuse(Some(period))).await;
            return close_connection();
        }
    };
    let Rendered { response, error } = render(request.protocol, request.operation, &result);
    let response = match corruption {
        Some(corrupt) => corrupt(response),
        None => response.map(Body::from),
    };
    shared.state().calls.complete(seq, Completion { at: now(), status: Some(response.status().as_u16()), error });
    response
}

fn close_connection() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CloseConnection);
    response
}

async fn handle(shared: &SharedState, seq: u64, parts: &Parts, body: &[u8], request: &ParsedRequest) -> Reply {
    match accept(shared, seq, parts, body, request) {
        Err(error) => Reply::Normal(Err(error)),
        Ok(AcceptedCall { caller, operation, fault }) => {
            let denied = || caller.denied(operation, request.arn.as_deref());
            let effect = || {
                let params = request.params.as_ref().map_err(Clone::clone)?;
                perform(&mut shared.state(), &caller, operation, params)
            };
            let (fault, cleared) = fault.map(ActiveFault::into_parts).unzip();
            let abandoned = async {
                tokio::select! {
                    () = ready_or_never(cleared) => {}
                    () = ready_or_never(parts.extensions.get::<Peer>().map(Peer::closed)) => {}
                }
            };
            apply_fault(fault, denied, effect, abandoned).await
        }
    }
}

/// Awaits the future; without one, never returns.
async fn ready_or_never(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// An authenticated call of a known operation, within the rate limit, and its fault.
struct AcceptedCall {
    caller: Caller,
    operation: Operation,
    fault: Option<ActiveFault>,
}

fn accept(
    shared: &SharedState,
    seq: u64,
    parts: &Parts,
    body: &[u8],
    request: &ParsedRequest,
) -> Result<AcceptedCall, ApiError> {
    let authorization = Authorization::read(&parts.headers);
    if let Ok(authorization) = &authorization {
        let (key, region) = (authorization.access_key_id.to_owned(), authorization.region.to_owned());
        shared.state().calls.update(seq, |call| {
            call.access_key_id = Some(key);
            call.region = Some(region);
        });
    }
    let operation = request.operation.ok_or_else(ApiError::unknown_operation)?;
    let signed = SignedRequest { method: &parts.method, uri: &parts.uri, headers: &parts.headers, body };
    let find = |id: &str| shared.credentials(id);
    let caller = authenticate(find, authorization, &signed, operation.service(), now())?;
    let fault = rate_limit_and_fault(shared, seq, &caller, operation, request.arn.as_deref())?;
    Ok(AcceptedCall { caller, operation, fault })
}

/// Applies the rate limit, and takes the fault that matches the call out of the queue.
fn rate_limit_and_fault(
    shared: &SharedState,
    seq: u64,
    caller: &Caller,
    operation: Operation,
    arn: Option<&str>,
) -> Result<Option<ActiveFault>, ApiError> {
    let (account, region, access_key_id) = (&caller.account, &caller.region, &caller.access_key_id);
    let state = &mut *shared.state();
    state.calls.update(seq, |call| call.account = Some(account.clone()));
    if let Some(per_second) = state.behaviors.requests_per_second
        && operation.service() == "apprunner"
        && !state.rate_limiter.try_acquire(&caller.account_region(), per_second, now())
    {
        return Err(ApiError::throttled());
    }
    let fault = state.faults.take(&CallAttributes { operation, arn, account, region, access_key_id });
    state.calls.update(seq, |call| call.fault = fault.as_ref().map(|fault| fault.kind.clone()));
    Ok(fault)
}
