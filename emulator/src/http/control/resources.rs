//! The control API's requests that create and delete connectors and services, for users without an AWS client.

use axum::body::Bytes;
use axum::extract::{self, RawQuery};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{ControlError, JsonResponse, State, arn, bad_request, missing, read};
use crate::model::account_region::AccountRegion;
use crate::model::clock::now;
use crate::{DEFAULT_ACCOUNT, ServiceStatus};

/// A connector or a service to create.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    region: String,
    #[serde(default = "default_account")]
    account: String,
}

/// A service to create.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewService {
    name: String,
    region: String,
    #[serde(default = "default_account")]
    account: String,
    /// The name of the connector that the service uses: its newest ACTIVE revision.
    connector: Option<String>,
}

fn default_account() -> String {
    DEFAULT_ACCOUNT.to_owned()
}

/// Creates an ACTIVE connector.
pub(super) async fn create_connector(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let New { name, region, account } = read(&body)?;
    let arn = shared.state().create_connector(&AccountRegion::new(&account, &region), &name, &[]);
    Ok(created(&arn))
}

/// Creates a RUNNING service.
pub(super) async fn create_service(extract::State(shared): State, body: Bytes) -> Result<JsonResponse, ControlError> {
    let NewService { name, region, account, connector } = read(&body)?;
    let (state, owner) = (&mut *shared.state(), AccountRegion::new(&account, &region));
    let connector = connector.map(|connector| {
        let connectors = &state.region(&owner, now()).0.connectors;
        let newest = connectors.iter().rfind(|it| it.name == connector && it.is_active(now()));
        newest.map(|it| it.arn.clone()).ok_or_else(|| bad_request(&format!("there is no ACTIVE connector {connector}")))
    });
    let arn = state.create_service(&owner, &name, connector.transpose()?.as_deref());
    Ok(created(&arn))
}

/// Deletes a service at once.
pub(super) async fn delete_service(
    extract::State(shared): State,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ControlError> {
    let arn = arn(query.as_deref().unwrap_or_default())?.ok_or_else(|| bad_request("arn is missing"))?;
    let deleted =
        shared.state().change_service(&arn, now(), |service| service.set_status(ServiceStatus::Deleted, now()));
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(missing(format!("there is no service {arn}"))) }
}

fn created(arn: &str) -> JsonResponse {
    JsonResponse(StatusCode::CREATED, json!({ "arn": arn }))
}
