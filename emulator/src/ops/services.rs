//! The operations on services, with replies in the shape of App Runner's.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::service_json::{service_json, summary_json};
use super::service_settings::{self, Egress, check_source, egress};
use super::{pages, tags};
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{self, Kind};
use crate::model::ids::uuid;
use crate::model::pages::ListItem;
use crate::model::service::{NewService, Service};
use crate::{Operation, ServiceStatus};

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
    let settings = service_settings::read(context, params)?;
    let taken = |service: &Service| service.name == name && service.status != ServiceStatus::Deleted;
    if context.region.services.iter().any(taken) {
        return Err(ApiError::invalid_request(format!("Service with the provided name already exists: {name}.")));
    }
    let new = NewService { name: name.to_owned(), connector, settings, tags };
    let arn = context.region.add_service(&context.caller.account_region(), new, context.now);
    start_operation(context, &arn, ServiceStatus::Running, |_| {})
}

/// Changes a running service. Source: App Runner API, `UpdateService`.
pub(super) fn update(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    check_source(params, false)?;
    let arn = arn_in_status(context, params, &[ServiceStatus::Running])?;
    let egress = egress(context, params)?;
    let changed = service_settings::read(context, params)?;
    start_operation(context, &arn, ServiceStatus::Running, |service| {
        if !matches!(egress, Egress::Unspecified) {
            service.connector = egress.connector();
        }
        service_settings::merge(&mut service.settings, changed);
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
    found.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))?;
    Ok(json!({ "Service": rendered(context, arn) }))
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
    changed.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))?;
    Ok(json!({ "Service": rendered(context, arn), "OperationId": uuid() }))
}

fn rendered(context: &RequestContext<'_>, arn: &str) -> Option<Value> {
    let region = &*context.region;
    let service = region.services.iter().find(|service| service.arn == arn);
    service.map(|service| service_json(service, region, context.behaviors))
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
