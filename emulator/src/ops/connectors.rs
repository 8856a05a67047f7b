//! The operations on VPC connectors.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::render::seconds;
use super::{pages, tags};
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{self, Kind};
use crate::model::clock::later;
use crate::model::connector::{Connector, NewConnector};
use crate::model::pages::ListItem;
use crate::{Behaviors, CreateExistingName, DeleteAgain, DeleteReply};

/// Creates a connector. Source: App Runner API, `CreateVpcConnector`.
pub(super) fn create(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = params.required_text("VpcConnectorName", 4..=40)?;
    if !arn::is_name(name) {
        return Err(params
            .invalid("VpcConnectorName", "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,39}"));
    }
    let subnets = params.text_list("Subnets", 0..=51_200)?.ok_or_else(|| params.missing("Subnets"))?;
    if subnets.is_empty() {
        return Err(params.invalid("Subnets", "must have at least one item"));
    }
    let given_groups = params.text_list("SecurityGroups", 0..=51_200)?.filter(|groups| !groups.is_empty());
    let tags = tags::read(params)?.unwrap_or_default();
    check_new(context, name, given_groups.as_deref())?;
    let security_groups = given_groups.unwrap_or_else(|| vec![DEFAULT_SECURITY_GROUP.to_owned()]);
    let new = NewConnector { name: name.to_owned(), subnets, security_groups, tags };
    let connector =
        context.region.make_connector(&context.caller.account_region(), new, context.behaviors, context.now);
    let reply = json!({ "VpcConnector": to_json(&connector, context.behaviors, context.now) });
    context.region.connectors.push(connector);
    Ok(reply)
}

/// The default security group of the VPC; in the emulator, all subnets belong to one VPC.
const DEFAULT_SECURITY_GROUP: &str = "sg-0default00000000";

fn check_new(context: &RequestContext<'_>, name: &str, groups: Option<&[String]>) -> Result<(), ApiError> {
    let active = || context.region.connectors.iter().filter(|connector| connector.is_active(context.now));
    if let Some(existing) = active().find(|connector| connector.name == name)
        && context.behaviors.create_existing_name == CreateExistingName::Refused
    {
        let message = format!("VPC connector with name {name} already exists. ARN: {}", existing.arn);
        return Err(ApiError::invalid_request(message));
    }
    if let Some(groups) = groups
        && let Some(existing) = active().find(|connector| same_items(&connector.security_groups, groups))
    {
        return Err(ApiError::invalid_request(format!(
            "The security groups combination provided in the request already exists on existing vpc connector. \
             Existing VPC connector arn: {}, Security Groups: [{}]",
            existing.arn,
            groups.join(", ")
        )));
    }
    let quota = context.behaviors.connector_quota;
    if active().count() >= quota {
        let message = format!("You have reached the quota of {quota} VPC connectors for this account and region.");
        return Err(ApiError::quota_exceeded(message));
    }
    Ok(())
}

fn same_items(left: &[String], right: &[String]) -> bool {
    left.iter().collect::<BTreeSet<_>>() == right.iter().collect::<BTreeSet<_>>()
}

/// Describes a connector. Source: App Runner API, `DescribeVpcConnector`.
pub(super) fn describe(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = context.arn(params, "VpcConnectorArn", &[Kind::Connector])?;
    let found = context.region.find_connector(arn, context.behaviors, context.now);
    let connector = found.ok_or_else(|| ApiError::not_found(Kind::Connector.label(), arn))?;
    Ok(json!({ "VpcConnector": to_json(connector, context.behaviors, context.now) }))
}

/// Lists connectors, a page at a time. Source: App Runner API, `ListVpcConnectors`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let (behaviors, now) = (context.behaviors, context.now);
    let listed = |connector: &&Connector| {
        connector.is_active(now) || (behaviors.list_inactive_connectors && connector.is_describable(behaviors, now))
    };
    let connectors = context.region.connectors.iter().filter(listed);
    let items = connectors
        .map(|connector| ListItem { seq: connector.seq, value: to_json(connector, behaviors, now) })
        .collect();
    pages::reply(context, params, "VpcConnectors", 1..=100, items)
}

/// Deletes a connector that is not in use. Source: App Runner API, `DeleteVpcConnector`.
pub(super) fn delete(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = context.arn(params, "VpcConnectorArn", &[Kind::Connector])?;
    let (behaviors, now) = (context.behaviors, context.now);
    let in_use = context.region.is_in_use(arn, behaviors, now);
    let found = context.region.find_connector(arn, behaviors, now);
    let connector = found.ok_or_else(|| ApiError::not_found(Kind::Connector.label(), arn))?;
    if !connector.is_active(now) {
        return delete_again(connector, behaviors, now);
    }
    if in_use {
        // AWS writes two spaces here.
        let aws_message = || format!("Provided VPC connector arn is being used by other services. ARN:  {arn}");
        return Err(ApiError::invalid_request(behaviors.in_use_message.clone().unwrap_or_else(aws_message)));
    }
    connector.delete(match behaviors.delete_reply {
        DeleteReply::Inactive => now,
        DeleteReply::Eventual => later(now, behaviors.delete_settles_after_ms),
    });
    Ok(json!({ "VpcConnector": to_json(connector, behaviors, now) }))
}

fn delete_again(connector: &Connector, behaviors: &Behaviors, now: Timestamp) -> ApiResult {
    match behaviors.delete_again {
        DeleteAgain::Inactive => Ok(json!({ "VpcConnector": to_json(connector, behaviors, now) })),
        DeleteAgain::NotFound => Err(ApiError::not_found(Kind::Connector.label(), &connector.arn)),
        DeleteAgain::InvalidRequest => {
            Err(ApiError::invalid_request(format!("VPC connector is not active. ARN: {}", connector.arn)))
        }
    }
}

/// Renders a connector as App Runner does. Source: App Runner API, `VpcConnector`.
fn to_json(connector: &Connector, behaviors: &Behaviors, now: Timestamp) -> Value {
    let mut rendered = json!({
        "VpcConnectorName": connector.name,
        "VpcConnectorArn": connector.arn,
        "VpcConnectorRevision": connector.revision,
        "Subnets": connector.subnets,
        "SecurityGroups": connector.security_groups,
        "Status": behaviors.status(connector.status(now)),
        "CreatedAt": seconds(connector.created_at),
    });
    if let Some(at) = connector.deleted_at(now) {
        rendered["DeletedAt"] = seconds(at);
    }
    rendered
}
