//! The operations on services, with replies in the shape of App Runner's.

use serde_json::{Map, Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::render::seconds;
use super::{pages, tags};
use crate::api_error::{ApiError, ApiResult};
use crate::auth::Caller;
use crate::model::arn::{self, Kind};
use crate::model::ids::uuid;
use crate::model::pages::ListItem;
use crate::model::service::{NewService, Service};
use crate::{Behaviors, Operation, ServiceStatus};

/// Parameters that replies return unchanged.
const ECHOED: [&str; 5] = [
    "SourceConfiguration",
    "InstanceConfiguration",
    "EncryptionConfiguration",
    "HealthCheckConfiguration",
    "ObservabilityConfiguration",
];

/// Creates a service. Source: App Runner API, `CreateService`.
pub(super) fn create(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = params.required_text("ServiceName", 4..=40)?;
    if !arn::is_name(name) {
        return Err(
            params.invalid("ServiceName", "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9-_]{3,39}")
        );
    }
    check_source(params, true)?;
    let tags = tags::read(params)?.unwrap_or_default();
    let connector = egress(context, params)?.connector();
    let taken = |service: &Service| service.name == name && service.status != ServiceStatus::Deleted;
    if context.region.services.iter().any(taken) {
        return Err(ApiError::invalid_request(format!("Service with the provided name already exists: {name}.")));
    }
    let new = NewService { name: name.to_owned(), connector, settings: settings(params), tags };
    let arn = context.region.add_service(&context.caller.account_region(), new, context.now);
    start_operation(context, &arn, ServiceStatus::Running, |_| {})
}

/// Changes a running service. Source: App Runner API, `UpdateService`.
pub(super) fn update(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    check_source(params, false)?;
    let arn = arn_in_status(context, params, &[ServiceStatus::Running])?;
    let egress = egress(context, params)?;
    let changed = settings(params);
    start_operation(context, &arn, ServiceStatus::Running, |service| {
        if !matches!(egress, Egress::Unspecified) {
            service.connector = egress.connector();
        }
        merge(&mut service.settings, changed);
    })
}

/// Pauses a running service. Source: App Runner API, `PauseService`.
pub(super) fn pause(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = arn_in_status(context, params, &[ServiceStatus::Running])?;
    start_operation(context, &arn, ServiceStatus::Paused, |_| {})
}

/// Resumes a paused service. Source: App Runner API, `ResumeService`.
pub(super) fn resume(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = arn_in_status(context, params, &[ServiceStatus::Paused])?;
    start_operation(context, &arn, ServiceStatus::Running, |_| {})
}

/// Deletes a service. Source: App Runner API, `DeleteService`.
pub(super) fn delete(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    use ServiceStatus::{CreateFailed, DeleteFailed, Paused, Running};
    let arn = arn_in_status(context, params, &[CreateFailed, DeleteFailed, Paused, Running])?;
    if let Some(connection) = context.region.ingress_connections_of(&arn, context.now).next() {
        // Source: the report https://github.com/hashicorp/terraform-provider-aws/issues/40896.
        return Err(ApiError::invalid_state(format!(
            "You cannot delete a Service while it has VpcIngressConnections with a status of {}. Service Arn: {arn} \
             VpcIngressConnection Arn: {}",
            json!(connection.status(context.now)).as_str().unwrap_or_default(),
            connection.arn
        )));
    }
    start_operation(context, &arn, ServiceStatus::Deleted, |_| {})
}

/// Describes a service. Source: App Runner API, `DescribeService`.
pub(super) fn describe(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = context.arn(params, "ServiceArn", &[Kind::Service])?;
    let found = context.region.find_service(arn, context.behaviors, context.now);
    let service = found.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))?;
    Ok(json!({ "Service": service_json(service, context.behaviors, context.caller) }))
}

/// Lists services, a page at a time. Source: App Runner API, `ListServices`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let (behaviors, now) = (context.behaviors, context.now);
    let listed = |service: &&Service| {
        service.deleted_at.is_none() || (behaviors.list_deleted_services && service.is_describable(behaviors, now))
    };
    let services = context.region.services.iter().filter(listed);
    let items = services
        .map(|service| ListItem { seq: service.seq, value: Value::Object(summary_json(service, behaviors)) })
        .collect();
    pages::reply(context, params, "ServiceSummaryList", 1..=20, items)
}

/// Changes a service, starts an operation on it, and replies with the service.
fn start_operation(
    context: &mut RequestContext<'_>,
    arn: &str,
    then: ServiceStatus,
    change: impl FnOnce(&mut Service),
) -> ApiResult {
    let (behaviors, now) = (context.behaviors, context.now);
    let changed = context.region.change_service(arn, behaviors, now, |service| {
        change(service);
        service.start_operation(then, behaviors.service_operation_ms, now);
    });
    let service = changed.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))?;
    Ok(json!({ "Service": service_json(service, context.behaviors, context.caller), "OperationId": uuid() }))
}

/// Reads the service's ARN; the service must have one of the allowed statuses.
fn arn_in_status(
    context: &mut RequestContext<'_>,
    params: &Params,
    allowed: &[ServiceStatus],
) -> Result<String, ApiError> {
    let arn = context.arn(params, "ServiceArn", &[Kind::Service])?;
    let found = context.region.find_service(arn, context.behaviors, context.now);
    let service = found.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))?;
    if allowed.contains(&service.status) {
        return Ok(arn.to_owned());
    }
    Err(wrong_state(context.operation, service.status, arn))
}

fn wrong_state(operation: Operation, status: ServiceStatus, arn: &str) -> ApiError {
    let (operation, status) = (operation.name(), json!(status));
    ApiError::invalid_state(format!("{operation} is not possible while the service is in state {status}. ARN: {arn}"))
}

/// Reads the ARN of a service for an operation on something that belongs to it; the service must have one of the allowed
/// statuses.
///
/// One error for all wrong ARNs: such an operation has no `ResourceNotFoundException` in the API model.
pub(super) fn existing(
    context: &mut RequestContext<'_>,
    params: &Params,
    allowed: &[ServiceStatus],
) -> Result<String, ApiError> {
    let given = params.required_text("ServiceArn", 1..=arn::MAX_LENGTH)?;
    let arn = context.arn(params, "ServiceArn", &[Kind::Service]);
    let service = arn.ok().and_then(|arn| context.region.find_service(arn, context.behaviors, context.now));
    let service = service.filter(|service| service.deleted_at.is_none());
    let missing = || ApiError::invalid_request(format!("Service doesn't exist. ARN: {given}"));
    let service = service.ok_or_else(missing)?;
    if allowed.contains(&service.status) {
        return Ok(service.arn.clone());
    }
    Err(wrong_state(context.operation, service.status, &service.arn))
}

fn check_source(params: &Params, required: bool) -> Result<(), ApiError> {
    let Some(source) = params.object("SourceConfiguration")? else {
        return if required { Err(params.missing("SourceConfiguration")) } else { Ok(()) };
    };
    match (source.object("CodeRepository")?, source.object("ImageRepository")?) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(params.invalid("SourceConfiguration", "must have one of CodeRepository and ImageRepository")),
    }
}

/// The route of a service's outgoing traffic in a request.
enum Egress {
    Unspecified,
    Public,
    Connector(String),
}

impl Egress {
    fn connector(self) -> Option<String> {
        match self {
            Self::Connector(arn) => Some(arn),
            Self::Unspecified | Self::Public => None,
        }
    }
}

/// Reads the route of outgoing traffic; a connector must be usable.
fn egress(context: &RequestContext<'_>, params: &Params) -> Result<Egress, ApiError> {
    let Some(network) = params.object("NetworkConfiguration")? else { return Ok(Egress::Unspecified) };
    let Some(egress) = network.object("EgressConfiguration")? else { return Ok(Egress::Unspecified) };
    let connector = egress.text("VpcConnectorArn", 1..=arn::MAX_LENGTH)?;
    match (egress.text("EgressType", 1..=7)?, connector) {
        (Some("DEFAULT") | None, None) => Ok(Egress::Public),
        (Some("VPC") | None, Some(given)) => {
            // One error for all wrong ARNs: in the API model, ResourceNotFoundException is only about the service.
            match context.arn(&egress, "VpcConnectorArn", &[Kind::Connector]) {
                Ok(arn) if context.region.has_usable_connector(arn) => Ok(Egress::Connector(arn.to_owned())),
                _ => {
                    Err(ApiError::invalid_request(format!("VPC connector doesn't exist or isn't active. ARN: {given}")))
                }
            }
        }
        (Some("VPC"), None) => Err(egress.missing("VpcConnectorArn")),
        (Some("DEFAULT"), Some(_)) => Err(egress.invalid("VpcConnectorArn", "must be absent with EgressType DEFAULT")),
        _ => Err(egress.invalid("EgressType", "must satisfy enum value set: [DEFAULT, VPC]")),
    }
}

/// Replaces the changed settings; of `InstanceConfiguration`, only the members in the request.
fn merge(settings: &mut Map<String, Value>, changed: Map<String, Value>) {
    for (name, value) in changed {
        match (settings.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) if name == "InstanceConfiguration" => old.extend(new),
            (_, value) => {
                settings.insert(name, value);
            }
        }
    }
}

/// Reads the settings that replies return: the echoed parameters, and the network without its egress.
fn settings(params: &Params) -> Map<String, Value> {
    let echoed = ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), params.raw(name)?)));
    let mut settings: Map<String, Value> = echoed.collect();
    if let Ok(Some(network)) = params.object("NetworkConfiguration") {
        for name in ["IngressConfiguration", "IpAddressType"] {
            settings.extend(network.raw(name).map(|value| (name.to_owned(), value)));
        }
    }
    settings
        .extend(params.raw("AutoScalingConfigurationArn").map(|arn| ("AutoScalingConfigurationArn".to_owned(), arn)));
    settings
}

/// Renders a service as in a list. Source: App Runner API, `ServiceSummary`.
fn summary_json(service: &Service, behaviors: &Behaviors) -> Map<String, Value> {
    let mut rendered = Map::new();
    rendered.insert("ServiceName".to_owned(), json!(service.name));
    rendered.insert("ServiceId".to_owned(), json!(service.id));
    rendered.insert("ServiceArn".to_owned(), json!(service.arn));
    rendered.insert("ServiceUrl".to_owned(), json!(service.url));
    rendered.insert("CreatedAt".to_owned(), seconds(service.created_at));
    rendered.insert("UpdatedAt".to_owned(), seconds(service.updated_at));
    rendered.insert("Status".to_owned(), behaviors.status(service.status));
    rendered
}

/// Renders a service. Source: App Runner API, `Service`.
fn service_json(service: &Service, behaviors: &Behaviors, caller: &Caller) -> Value {
    let mut rendered = summary_json(service, behaviors);
    let settings = &service.settings;
    rendered.extend(ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), settings.get(*name)?.clone()))));
    rendered.insert("InstanceConfiguration".to_owned(), instance(settings.get("InstanceConfiguration")));
    rendered.insert("NetworkConfiguration".to_owned(), network(service));
    rendered.insert("AutoScalingConfigurationSummary".to_owned(), auto_scaling(settings, caller));
    rendered.extend(service.deleted_at.map(|at| ("DeletedAt".to_owned(), seconds(at))));
    Value::Object(rendered)
}

fn instance(given: Option<&Value>) -> Value {
    let mut rendered = json!({ "Cpu": "1024", "Memory": "2048" });
    for (name, value) in given.and_then(Value::as_object).into_iter().flatten() {
        rendered[name] = value.clone();
    }
    rendered
}

fn network(service: &Service) -> Value {
    let egress = match &service.connector {
        Some(arn) => json!({ "EgressType": "VPC", "VpcConnectorArn": arn }),
        None => json!({ "EgressType": "DEFAULT" }),
    };
    let given = |name: &str, otherwise: Value| service.settings.get(name).cloned().unwrap_or(otherwise);
    json!({
        "EgressConfiguration": egress,
        "IngressConfiguration": given("IngressConfiguration", json!({ "IsPubliclyAccessible": true })),
        "IpAddressType": given("IpAddressType", json!("IPV4")),
    })
}

fn auto_scaling(settings: &Map<String, Value>, caller: &Caller) -> Value {
    let default = || {
        let (region, account, id) = (&caller.region, &caller.account, "00000000000000000000000000000001");
        format!("arn:aws:apprunner:{region}:{account}:autoscalingconfiguration/DefaultConfiguration/1/{id}")
    };
    let given = settings.get("AutoScalingConfigurationArn").and_then(Value::as_str);
    let arn = given.map_or_else(default, str::to_owned);
    let mut parts = arn.split('/').skip(1);
    let name = parts.next().unwrap_or_default().to_owned();
    let revision: u32 = parts.next().and_then(|part| part.parse().ok()).unwrap_or(1);
    json!({
        "AutoScalingConfigurationArn": arn,
        "AutoScalingConfigurationName": name,
        "AutoScalingConfigurationRevision": revision,
    })
}
