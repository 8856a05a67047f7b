//! The operations on connections to providers of source code.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::render::seconds;
use super::{pages, tags};
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{self, Kind};
use crate::model::connection::{Connection, NewConnection};
use crate::model::pages::ListItem;
use crate::{Behaviors, ConnectionStatus};

/// Creates a connection. Source: App Runner API, `CreateConnection`.
pub(super) fn create(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = params.required_text("ConnectionName", 4..=32)?;
    if !arn::is_name(name) {
        let constraint = "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,31}";
        return Err(params.invalid("ConnectionName", constraint));
    }
    let provider = params.required_text("ProviderType", 1..=51_200)?;
    if !["GITHUB", "BITBUCKET"].contains(&provider) {
        return Err(params.invalid("ProviderType", "must satisfy enum value set: [GITHUB, BITBUCKET]"));
    }
    let tags = tags::read(params)?.unwrap_or_default();
    if context.region.connections.iter().any(|connection| connection.name == name) {
        return Err(ApiError::invalid_request(format!("Connection with the provided name already exists: {name}.")));
    }
    // The user completes the handshake in the console.
    let status = ConnectionStatus::PendingHandshake;
    let new = NewConnection { name: name.to_owned(), provider: provider.to_owned(), status, tags };
    let connection = context.region.make_connection(&context.caller.account_region(), new, context.now);
    let reply = json!({ "Connection": to_json(&connection, context.behaviors) });
    context.region.connections.push(connection);
    Ok(reply)
}

/// Lists connections, a page at a time. Source: App Runner API, `ListConnections`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = params.text("ConnectionName", 4..=32)?;
    let listed = context.region.connections.iter().filter(|connection| name.is_none_or(|name| connection.name == name));
    let behaviors = context.behaviors;
    let items = listed.map(|connection| ListItem { seq: connection.seq, value: to_json(connection, behaviors) });
    let items = items.collect();
    pages::reply(context, params, "ConnectionSummaryList", 1..=100, items)
}

/// Deletes a connection that no service uses. Source: App Runner API, `DeleteConnection`.
pub(super) fn delete(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = context.arn(params, "ConnectionArn", &[Kind::Connection])?;
    let region = &mut *context.region;
    let position = region.connections.iter().position(|connection| connection.arn == arn);
    let position = position.ok_or_else(|| ApiError::not_found(Kind::Connection.label(), arn))?;
    if region.services_with(arn).next().is_some() {
        return Err(ApiError::invalid_request(format!("Connection is being used by services. ARN: {arn}")));
    }
    let deleted = Connection { status: ConnectionStatus::Deleted, ..region.connections.remove(position) };
    Ok(json!({ "Connection": to_json(&deleted, context.behaviors) }))
}

/// Renders a connection. Source: App Runner API, `Connection`, `ConnectionSummary`.
fn to_json(connection: &Connection, behaviors: &Behaviors) -> Value {
    json!({
        "ConnectionName": connection.name,
        "ConnectionArn": connection.arn,
        "ProviderType": connection.provider,
        "Status": behaviors.status(connection.status),
        "CreatedAt": seconds(connection.created_at),
    })
}
