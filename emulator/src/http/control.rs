//! The control API under `/_emulator/`: reads the calls and the state, and changes behaviors and faults.
//!
//! It is no part of AWS and needs no signature. It is strict: a misspelt member is an error, not a default.

mod resources;
mod roles;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{self, Path, RawQuery};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::clock::now;
use crate::state::SharedState;
use crate::{Behaviors, CallFilter, Fault, FaultId};

/// Routes the control API.
pub(crate) fn router() -> Router<Arc<SharedState>> {
    Router::new()
        .route("/calls", get(calls).delete(clear_calls))
        .route("/reset", post(reset))
        .route("/behaviors", get(behaviors).put(replace_behaviors).patch(change_behaviors))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/roles", get(roles::list).post(roles::put).delete(roles::delete))
        .route("/expire-role-sessions", post(roles::expire_sessions))
        .route("/refuse", post(refuse))
        .route("/state", get(state))
        .route("/connectors", post(resources::create_connector))
        .route("/services", post(resources::create_service).delete(resources::delete_service))
        .fallback(not_found)
}

type State = extract::State<Arc<SharedState>>;

async fn calls(extract::State(shared): State, RawQuery(query): RawQuery) -> Result<JsonResponse, ControlError> {
    let filter = filter(query.as_deref().unwrap_or_default())?;
    let calls = shared.state().calls.filtered(&filter);
    Ok(ok(&json!({ "calls": calls })))
}

async fn clear_calls(extract::State(shared): State) -> StatusCode {
    shared.state().calls.clear();
    StatusCode::NO_CONTENT
}

async fn reset(extract::State(shared): State) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}

async fn behaviors(extract::State(shared): State) -> JsonResponse {
    ok(&shared.state().behaviors)
}

async fn replace_behaviors(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let behaviors: Behaviors = read(&body)?;
    shared.state().behaviors = behaviors.clone();
    Ok(ok(&behaviors))
}

async fn change_behaviors(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let changes: serde_json::Map<String, Value> = read(&body)?;
    let state = &mut *shared.state();
    let mut merged = serde_json::to_value(&state.behaviors)?;
    for (name, value) in changes {
        merged[name] = value;
    }
    state.behaviors = serde_json::from_value(merged)?;
    Ok(ok(&state.behaviors))
}

async fn faults(extract::State(shared): State) -> JsonResponse {
    ok(&json!({ "faults": shared.state().faults.all() }))
}

async fn add_fault(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let fault: Fault = read(&body)?;
    fault.check().map_err(bad_request)?;
    let id = shared.state().faults.add(fault);
    Ok(JsonResponse(StatusCode::CREATED, json!({ "id": id })))
}

async fn clear_faults(extract::State(shared): State) -> StatusCode {
    shared.state().faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(extract::State(shared): State, Path(id): Path<String>) -> Result<StatusCode, ControlError> {
    let id = id.parse().map_err(|_| missing(format!("{id} is no fault's id")))?;
    if shared.state().faults.remove(FaultId(id)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(missing(format!("there is no fault {id}, or no longer")))
}

/// The period without connections. It is required: the control API is unreachable too, so nobody could end the refusal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusalPeriod {
    ms: u64,
}

async fn refuse(extract::State(shared): State, body: Bytes) -> Result<StatusCode, ControlError> {
    let RefusalPeriod { ms } = read(&body)?;
    shared.gate.completed(shared.gate.refuse(Some(Duration::from_millis(ms)))).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn state(extract::State(shared): State) -> JsonResponse {
    ok(&json!({ "regions": shared.state().view(now()) }))
}

async fn not_found() -> ControlError {
    missing(
        "the control API has calls, reset, behaviors, faults, roles, expire-role-sessions, refuse, state, connectors and services",
    )
}

fn filter(query: &str) -> Result<CallFilter, ControlError> {
    let mut filter = CallFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let text = Some(value.clone().into_owned());
        match name.as_ref() {
            "operation" => filter.operation = text,
            "arn" => filter.arn = text,
            "account" => filter.account = text,
            "region" => filter.region = text,
            "after" => filter.after = Some(value.parse().map_err(|_| bad_request("after must be a number"))?),
            other => return Err(bad_request(&format!("there is no filter {other}"))),
        }
    }
    Ok(filter)
}

/// The ARN that a query names, if it names one.
fn arn(query: &str) -> Result<Option<String>, ControlError> {
    let mut arn = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "arn" => arn = Some(value.into_owned()),
            other => return Err(bad_request(&format!("there is no filter {other}"))),
        }
    }
    Ok(arn)
}

/// Reads an object. It rejects a list of the values in order, which serde accepts for a struct.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    let object: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    Ok(serde_json::from_value(Value::Object(object))?)
}

fn ok(body: &impl Serialize) -> JsonResponse {
    JsonResponse(StatusCode::OK, serde_json::to_value(body).unwrap_or_default())
}

fn bad_request(message: &str) -> ControlError {
    ControlError(StatusCode::BAD_REQUEST, message.to_owned())
}

fn missing(what: impl Into<String>) -> ControlError {
    ControlError(StatusCode::NOT_FOUND, what.into())
}

/// A status and a JSON body.
struct JsonResponse(StatusCode, Value);

impl IntoResponse for JsonResponse {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "application/json")], Body::from(self.1.to_string())).into_response()
    }
}

/// An error status and its message.
struct ControlError(StatusCode, String);

impl From<serde_json::Error> for ControlError {
    fn from(error: serde_json::Error) -> Self {
        bad_request(&error.to_string())
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        JsonResponse(self.0, json!({ "error": self.1 })).into_response()
    }
}
