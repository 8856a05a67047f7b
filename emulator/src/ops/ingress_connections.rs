//! The operations on VPC ingress connections.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::render::seconds;
use super::{pages, services, tags};
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{self, Kind};
use crate::model::ingress_connection::{IngressConnection, NewIngressConnection};
use crate::model::pages::ListItem;
use crate::{Behaviors, IngressConnectionStatus, ServiceStatus};

/// Creates a VPC ingress connection. Source: App Runner API, `CreateVpcIngressConnection`.
pub(super) fn create(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = params.required_text("VpcIngressConnectionName", 4..=40)?;
    if !arn::is_name(name) {
        return Err(params.invalid(
            "VpcIngressConnectionName",
            "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,39}",
        ));
    }
    let missing = || params.missing("IngressVpcConfiguration");
    let vpc = params.object("IngressVpcConfiguration")?.ok_or_else(missing)?;
    let service = services::existing(context, params, &[ServiceStatus::Running])?;
    let new = NewIngressConnection {
        name: name.to_owned(),
        service,
        vpc: vpc.required_text("VpcId", 1..=51_200)?.to_owned(),
        vpc_endpoint: vpc.required_text("VpcEndpointId", 1..=51_200)?.to_owned(),
        tags: tags::read(params)?.unwrap_or_default(),
    };
    let (behaviors, now) = (context.behaviors, context.now);
    let taken = |connection: &IngressConnection| connection.name == name && connection.exists(now);
    if context.region.ingress_connections.iter().any(taken) {
        let message = format!("VPC ingress connection with the provided name already exists: {name}.");
        return Err(ApiError::invalid_request(message));
    }
    let (owner, takes_ms) = (context.caller.account_region(), behaviors.ingress_connection_operation_ms);
    let connection = context.region.make_ingress_connection(&owner, new, takes_ms, now);
    let reply = reply(&connection, &owner.account, behaviors, now);
    context.region.ingress_connections.push(connection);
    Ok(reply)
}

/// Describes a VPC ingress connection. Source: App Runner API, `DescribeVpcIngressConnection`.
pub(super) fn describe(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let (account, behaviors, now) = (&context.caller.account, context.behaviors, context.now);
    Ok(reply(find(context, params)?, account, behaviors, now))
}

/// Lists VPC ingress connections, a page at a time. Source: App Runner API, `ListVpcIngressConnections`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let now = context.now;
    let filter = params.object("Filter")?.unwrap_or_default();
    let endpoint = filter.text("VpcEndpointId", 0..=51_200)?;
    let service = match filter.raw("ServiceArn") {
        Some(_) => Some(context.arn(&filter, "ServiceArn", &[Kind::Service])?),
        None => None,
    };
    let listed = |connection: &&IngressConnection| {
        connection.exists(now)
            && service.is_none_or(|arn| connection.service == arn)
            && endpoint.is_none_or(|id| connection.vpc_endpoint == id)
    };
    let items = context.region.ingress_connections.iter().filter(listed).map(|connection| {
        let value = json!({ "VpcIngressConnectionArn": connection.arn, "ServiceArn": connection.service });
        ListItem { seq: connection.seq, value }
    });
    let items = items.collect();
    pages::reply(context, params, "VpcIngressConnectionSummaryList", 1..=100, items)
}

/// Deletes a VPC ingress connection. Source: App Runner API, `DeleteVpcIngressConnection`.
pub(super) fn delete(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    use IngressConnectionStatus::{Available, FailedCreation, FailedDeletion, FailedUpdate};
    let (account, behaviors, now) = (&context.caller.account, context.behaviors, context.now);
    let connection = find(context, params)?;
    let (arn, status) = (&connection.arn, connection.status(now));
    if status == IngressConnectionStatus::Deleted {
        return Err(ApiError::not_found(Kind::IngressConnection.label(), arn));
    }
    if ![Available, FailedCreation, FailedUpdate, FailedDeletion].contains(&status) {
        return Err(ApiError::invalid_state(format!(
            "DeleteVpcIngressConnection is not possible while the VPC ingress connection is in state {}. ARN: {arn}",
            json!(status)
        )));
    }
    connection.start_deletion(behaviors.ingress_connection_operation_ms, now);
    Ok(reply(connection, account, behaviors, now))
}

fn find<'a>(context: &'a mut RequestContext<'_>, params: &Params) -> Result<&'a mut IngressConnection, ApiError> {
    let arn = context.arn(params, "VpcIngressConnectionArn", &[Kind::IngressConnection])?;
    let found = context.region.find_ingress_connection(arn);
    found.ok_or_else(|| ApiError::not_found(Kind::IngressConnection.label(), arn))
}

/// Renders a VPC ingress connection. Source: App Runner API, `VpcIngressConnection`.
fn reply(connection: &IngressConnection, account: &str, behaviors: &Behaviors, now: Timestamp) -> Value {
    let mut rendered = json!({
        "VpcIngressConnectionArn": connection.arn,
        "VpcIngressConnectionName": connection.name,
        "ServiceArn": connection.service,
        "Status": behaviors.status(connection.status(now)),
        "AccountId": account,
        "DomainName": connection.domain,
        "IngressVpcConfiguration": { "VpcId": connection.vpc, "VpcEndpointId": connection.vpc_endpoint },
        "CreatedAt": seconds(connection.created_at),
    });
    if let Some(at) = connection.deleted_at(now) {
        rendered["DeletedAt"] = seconds(at);
    }
    json!({ "VpcIngressConnection": rendered })
}
