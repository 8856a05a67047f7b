//! The operations on auto scaling and observability configurations.

use serde_json::{Map, Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::render::seconds;
use super::{pages, tags};
use crate::Behaviors;
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{self, Kind};
use crate::model::configuration::{Configuration, NewConfiguration, default_auto_scaling};
use crate::model::pages::ListItem;
use crate::model::region::Region;

/// Returns the name of a member of the API, which begins with the kind.
fn member(kind: Kind, rest: &str) -> String {
    let prefix = if kind == Kind::AutoScaling { "AutoScaling" } else { "Observability" };
    format!("{prefix}Configuration{rest}")
}

/// Creates a revision of a configuration. Source: App Runner API, `CreateAutoScalingConfiguration`,
/// `CreateObservabilityConfiguration`.
pub(super) fn create(context: &mut RequestContext<'_>, params: &Params, kind: Kind) -> ApiResult {
    let name_member = member(kind, "Name");
    let name = params.required_text(&name_member, 4..=32)?;
    if !arn::is_name(name) {
        let constraint = "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,31}";
        return Err(params.invalid(&name_member, constraint));
    }
    let settings = if kind == Kind::AutoScaling { auto_scaling(params)? } else { observability(params)? };
    let tags = tags::read(params)?.unwrap_or_default();
    let new = NewConfiguration { kind, name: name.to_owned(), settings, tags };
    let configuration = context.region.make_configuration(&context.caller.account_region(), new, context.now);
    let arn = configuration.arn.clone();
    context.region.configurations.push(configuration);
    reply(context, kind, &arn)
}

fn auto_scaling(params: &Params) -> Result<Map<String, Value>, ApiError> {
    let mut settings = default_auto_scaling();
    for (name, max) in [("MaxConcurrency", 200), ("MinSize", 25), ("MaxSize", i64::from(i32::MAX))] {
        settings.extend(params.integer(name, 1..=max)?.map(|value| (name.to_owned(), value.into())));
    }
    if settings["MinSize"].as_i64() > settings["MaxSize"].as_i64() {
        return Err(params.invalid("MinSize", "must be less than or equal to MaxSize"));
    }
    Ok(settings)
}

fn observability(params: &Params) -> Result<Map<String, Value>, ApiError> {
    let Some(trace) = params.object("TraceConfiguration")? else { return Ok(Map::new()) };
    let vendor = trace.required_text("Vendor", 1..=51_200)?;
    if vendor != "AWSXRAY" {
        return Err(trace.invalid("Vendor", "must satisfy enum value set: [AWSXRAY]"));
    }
    Ok(Map::from_iter([("TraceConfiguration".to_owned(), json!({ "Vendor": vendor }))]))
}

/// Lists ACTIVE configurations, a page at a time. Source: App Runner API, `ListAutoScalingConfigurations`,
/// `ListObservabilityConfigurations`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params, kind: Kind) -> ApiResult {
    let (region, behaviors) = (&*context.region, context.behaviors);
    let name = params.text(&member(kind, "Name"), 4..=32)?;
    let latest_only = params.boolean("LatestOnly")?.unwrap_or(true);
    let listed = |configuration: &&Configuration| {
        name.is_none_or(|name| configuration.name == name) && (!latest_only || is_latest(configuration, region))
    };
    let items = region.active_configurations(kind).filter(listed).map(|configuration| {
        let value = summary_json(configuration, region, behaviors);
        ListItem { seq: configuration.seq, value }
    });
    let items = items.collect();
    pages::reply(context, params, &member(kind, "SummaryList"), 1..=100, items)
}

/// Deletes a configuration that no service uses, or all its revisions. Source: App Runner API,
/// `DeleteAutoScalingConfiguration`, `DeleteObservabilityConfiguration`.
pub(super) fn delete(context: &mut RequestContext<'_>, params: &Params, kind: Kind) -> ApiResult {
    let arn = context.arn(params, &member(kind, "Arn"), &[kind])?;
    let all_revisions = kind == Kind::AutoScaling && params.boolean("DeleteAllRevisions")?.unwrap_or(false);
    let region = &mut *context.region;
    let missing = || ApiError::not_found(kind.label(), arn);
    let found = region.find_configuration(kind, arn).ok_or_else(missing)?.arn.clone();
    if all_revisions && arn.matches('/').count() > 1 {
        return Err(params.invalid(&member(kind, "Arn"), "must end with the name if DeleteAllRevisions is true"));
    }
    let prefix = if all_revisions { arn } else { &found };
    let deleted: Vec<String> = region
        .active_configurations(kind)
        .filter(|configuration| configuration.has_arn(prefix))
        .map(|configuration| configuration.arn.clone())
        .collect();
    deleted.iter().try_for_each(|arn| check_unused(region, arn))?;
    for configuration in region.configurations.iter_mut().filter(|configuration| deleted.contains(&configuration.arn)) {
        configuration.deleted_at = Some(context.now);
    }
    reply(context, kind, &found)
}

fn check_unused(region: &Region, arn: &str) -> Result<(), ApiError> {
    if region.configuration(arn).is_some_and(|configuration| configuration.is_default) {
        return Err(ApiError::invalid_request(format!("The default configuration cannot be deleted. ARN: {arn}")));
    }
    if region.services_with(arn).next().is_some() {
        return Err(ApiError::invalid_request(format!("The configuration is being used by services. ARN: {arn}")));
    }
    Ok(())
}

/// Lists the services with an auto scaling configuration, a page at a time. Source: App Runner API,
/// `ListServicesForAutoScalingConfiguration`.
pub(super) fn list_services(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let kind = Kind::AutoScaling;
    let arn = context.arn(params, "AutoScalingConfigurationArn", &[kind])?;
    let found = context.region.find_configuration(kind, arn);
    let configuration = found.ok_or_else(|| ApiError::not_found(kind.label(), arn))?;
    let services = context.region.services_with(&configuration.arn);
    let items = services.map(|service| ListItem { seq: service.seq, value: service.arn.as_str().into() }).collect();
    pages::reply(context, params, "ServiceArnList", 1..=100, items)
}

fn is_latest(configuration: &Configuration, region: &Region) -> bool {
    region.latest_revision(configuration.kind, &configuration.name) == Some(configuration.revision)
}

/// Replies with a configuration. Source: App Runner API, `AutoScalingConfiguration`, `ObservabilityConfiguration`.
fn reply(context: &RequestContext<'_>, kind: Kind, arn: &str) -> ApiResult {
    let (region, behaviors) = (&*context.region, context.behaviors);
    let configuration = region.configuration(arn).ok_or_else(|| ApiError::not_found(kind.label(), arn))?;
    let mut rendered = summary_json(configuration, region, behaviors);
    rendered["Latest"] = is_latest(configuration, region).into();
    rendered["Status"] = status(configuration, behaviors);
    rendered["CreatedAt"] = seconds(configuration.created_at);
    if let Some(at) = configuration.deleted_at {
        rendered["DeletedAt"] = seconds(at);
    }
    for (name, value) in &configuration.settings {
        rendered[name] = value.clone();
    }
    let name = member(kind, "");
    Ok(json!({ name: rendered }))
}

/// Renders a configuration as in a list. Source: App Runner API, `AutoScalingConfigurationSummary`,
/// `ObservabilityConfigurationSummary`.
pub(super) fn summary_json(configuration: &Configuration, region: &Region, behaviors: &Behaviors) -> Value {
    let kind = configuration.kind;
    let mut rendered = json!({
        member(kind, "Arn"): configuration.arn,
        member(kind, "Name"): configuration.name,
        member(kind, "Revision"): configuration.revision,
    });
    if kind == Kind::AutoScaling {
        rendered["Status"] = status(configuration, behaviors);
        rendered["CreatedAt"] = seconds(configuration.created_at);
        rendered["HasAssociatedService"] = region.services_with(&configuration.arn).next().is_some().into();
        rendered["IsDefault"] = configuration.is_default.into();
    }
    rendered
}

fn status(configuration: &Configuration, behaviors: &Behaviors) -> Value {
    behaviors.status(if configuration.is_active() { "ACTIVE" } else { "INACTIVE" })
}
