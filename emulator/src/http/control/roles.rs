//! The control API's requests about roles.

use axum::body::Bytes;
use axum::extract::{self, RawQuery};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, JsonResponse, State, arn, bad_request, missing, ok, read};
use crate::Role;
use crate::auth::roles::Roles;
use crate::model::clock::now;

/// Lists the roles, without their external ids.
pub(super) async fn list(extract::State(shared): State) -> JsonResponse {
    let roles: Vec<Value> = shared.state().roles.all().iter().map(to_json).collect();
    ok(&json!({ "roles": roles }))
}

fn to_json(role: &Role) -> Value {
    json!({ "arn": role.arn, "trusts": role.trusts, "external_id": role.external_id.is_some() })
}

/// Adds a role, or replaces the one with its ARN.
pub(super) async fn put(extract::State(shared): State, body: Bytes) -> Result<StatusCode, ControlError> {
    let role: Role = read(&body)?;
    role.check().map_err(bad_request)?;
    shared.state().roles.put(role);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the role that the query names, or all roles.
pub(super) async fn delete(
    extract::State(shared): State,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ControlError> {
    let named = arn(query.as_deref().unwrap_or_default())?;
    let roles = &mut shared.state().roles;
    match named {
        Some(arn) if !roles.delete(&arn) => Err(no_role(&arn)),
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => {
            *roles = Roles::default();
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

fn no_role(arn: &str) -> ControlError {
    missing(format!("there is no role {arn}"))
}

/// The role whose sessions end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionsOf {
    arn: String,
}

/// Makes the credentials of all sessions of a role expire.
pub(super) async fn expire_sessions(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let SessionsOf { arn } = read(&body)?;
    let roles = &mut shared.state().roles;
    roles.find(&arn).ok_or_else(|| no_role(&arn))?;
    Ok(ok(&json!({ "expired": roles.expire_sessions(&arn, now()) })))
}
