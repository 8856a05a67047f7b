//! The control API under `/_emulator/`: what was asked, what there is, and what shall happen.
//!
//! It is not AWS's, so it needs no signature, and it is strict: a misspelt member is an error and not a default.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::clock::now;
use crate::state::Shared;
use crate::{Behaviors, CallFilter, Fault, FaultId};

/// Routes the control API.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/calls", get(calls).delete(clear_calls))
        .route("/reset", post(reset))
        .route("/behaviors", get(behaviors).put(replace_behaviors).patch(change_behaviors))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/refuse", post(refuse))
        .route("/state", get(state))
        .fallback(nothing_here)
}

type Shares = State<Arc<Shared>>;

async fn calls(State(shared): Shares, RawQuery(query): RawQuery) -> Result<Reply, Refusal> {
    let filter = filter(query.as_deref().unwrap_or_default())?;
    let calls = shared.world().calls.filtered(&filter);
    Ok(ok(&json!({ "calls": calls })))
}

async fn clear_calls(State(shared): Shares) -> StatusCode {
    shared.world().calls.clear();
    StatusCode::NO_CONTENT
}

async fn reset(State(shared): Shares) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}

async fn behaviors(State(shared): Shares) -> Reply {
    ok(&shared.world().behaviors)
}

async fn replace_behaviors(State(shared): Shares, body: Bytes) -> Result<Reply, Refusal> {
    let behaviors: Behaviors = read(&body)?;
    shared.world().behaviors = behaviors.clone();
    Ok(ok(&behaviors))
}

async fn change_behaviors(State(shared): Shares, body: Bytes) -> Result<Reply, Refusal> {
    let changes: serde_json::Map<String, Value> = read(&body)?;
    let world = &mut *shared.world();
    let mut merged = serde_json::to_value(&world.behaviors)?;
    for (name, value) in changes {
        merged[name] = value;
    }
    world.behaviors = serde_json::from_value(merged)?;
    Ok(ok(&world.behaviors))
}

async fn faults(State(shared): Shares) -> Reply {
    ok(&json!({ "faults": shared.world().faults.all() }))
}

async fn add_fault(State(shared): Shares, body: Bytes) -> Result<Reply, Refusal> {
    let fault: Fault = read(&body)?;
    fault.check().map_err(bad_request)?;
    let id = shared.world().faults.add(fault);
    Ok(Reply(StatusCode::CREATED, json!({ "id": id })))
}

async fn clear_faults(State(shared): Shares) -> StatusCode {
    shared.world().faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(shared): Shares, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let id = id.parse().map_err(|_| Refusal(StatusCode::NOT_FOUND, format!("{id} is no fault's id")))?;
    if shared.world().faults.remove(FaultId(id)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal(StatusCode::NOT_FOUND, format!("there is no fault {id}, or no longer")))
}

/// How long nobody shall connect; the control API cannot be reached either, so there has to be an end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusing {
    ms: u64,
}

async fn refuse(State(shared): Shares, body: Bytes) -> Result<StatusCode, Refusal> {
    let Refusing { ms } = read(&body)?;
    shared.gate.done(shared.gate.refuse(Some(Duration::from_millis(ms)))).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn state(State(shared): Shares) -> Reply {
    ok(&json!({ "regions": shared.world().view(now()) }))
}

async fn nothing_here() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "the control API has calls, reset, behaviors, faults, refuse and state".to_owned())
}

fn filter(query: &str) -> Result<CallFilter, Refusal> {
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

/// Reads an object; a list of values in the right order, which serde would take too, is a mistake.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let members: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    Ok(serde_json::from_value(Value::Object(members))?)
}

fn ok(body: &impl Serialize) -> Reply {
    Reply(StatusCode::OK, serde_json::to_value(body).unwrap_or_default())
}

fn bad_request(message: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message.to_owned())
}

/// A status and a JSON body.
struct Reply(StatusCode, Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "application/json")], Body::from(self.1.to_string())).into_response()
    }
}

/// A status and the reason for it.
struct Refusal(StatusCode, String);

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        bad_request(&error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Reply(self.0, json!({ "error": self.1 })).into_response()
    }
}
