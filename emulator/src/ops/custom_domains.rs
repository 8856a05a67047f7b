//! The operations on the custom domains of services.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use super::{pages, services};
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::Kind;
use crate::model::custom_domain::CustomDomain;
use crate::model::pages::ListItem;
use crate::model::service::Service;
use crate::{CustomDomainStatus, IngressConnectionStatus, ServiceStatus};

/// Associates a domain with a service. Source: App Runner API, `AssociateCustomDomain`.
pub(super) fn associate(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = domain_name(params)?;
    let enable_www = params.boolean("EnableWWWSubdomain")?.unwrap_or(true);
    let arn = services::existing(context, params, &[ServiceStatus::Running])?;
    if context.region.has_custom_domain(name) {
        return Err(ApiError::invalid_request(format!("Domain name is already associated with a service: {name}.")));
    }
    let status = CustomDomainStatus::PendingCertificateDnsValidation;
    let domain = context.region.make_custom_domain(name, enable_www, status);
    let service = find(context, &arn)?;
    service.custom_domains.push(domain.clone());
    // The reply shows the status before App Runner has made the validation records.
    let created = CustomDomain { status: CustomDomainStatus::Creating, ..domain };
    reply(context, &arn, json!({ "CustomDomain": to_json(&created) }))
}

/// Describes the domains of a service, a page at a time. Source: App Runner API, `DescribeCustomDomains`.
pub(super) fn describe(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let arn = context.arn(params, "ServiceArn", &[Kind::Service])?;
    let domains = find(context, arn)?.custom_domains.iter();
    let items = domains.map(|domain| ListItem { seq: domain.seq, value: to_json(domain) }).collect();
    let page = pages::reply(context, params, "CustomDomains", 1..=5, items)?;
    reply(context, arn, page)
}

/// Removes a domain from a service. Source: App Runner API, `DisassociateCustomDomain`.
pub(super) fn disassociate(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let name = domain_name(params)?;
    let arn = context.arn(params, "ServiceArn", &[Kind::Service])?;
    let service = find(context, arn)?;
    let position = service.custom_domains.iter().position(|domain| domain.name == name);
    let Some(position) = position else {
        let message = format!("Domain name is not associated with the service: {name}. ARN: {arn}");
        return Err(ApiError::new("ResourceNotFoundException", 400, message));
    };
    let domain = service.custom_domains.remove(position);
    let deleted = CustomDomain { status: CustomDomainStatus::Deleting, ..domain };
    reply(context, arn, json!({ "CustomDomain": to_json(&deleted) }))
}

fn domain_name(params: &Params) -> Result<&str, ApiError> {
    let name = params.required_text("DomainName", 1..=255)?;
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "*.-".contains(c)) {
        return Ok(name);
    }
    Err(params.invalid("DomainName", "must satisfy regular expression pattern: [A-Za-z0-9*.-]{1,255}"))
}

fn find<'a>(context: &'a mut RequestContext<'_>, arn: &str) -> Result<&'a mut Service, ApiError> {
    let found = context.region.find_service(arn, context.behaviors, context.now);
    found.ok_or_else(|| ApiError::not_found(Kind::Service.label(), arn))
}

/// Adds to a reply the names that the DNS records of the domains must point to.
fn reply(context: &mut RequestContext<'_>, arn: &str, mut reply: Value) -> ApiResult {
    let target = find(context, arn)?.url.clone();
    let now = context.now;
    let ingress = context.region.ingress_connections_of(arn, now);
    let available = ingress.filter(|connection| connection.status(now) == IngressConnectionStatus::Available);
    let vpc_targets = available.map(|connection| {
        json!({
            "VpcIngressConnectionArn": connection.arn,
            "VpcId": connection.vpc,
            "DomainName": connection.domain,
        })
    });
    let vpc_targets: Vec<Value> = vpc_targets.collect();
    reply["DNSTarget"] = target.into();
    reply["ServiceArn"] = arn.into();
    reply["VpcDNSTargets"] = vpc_targets.into();
    Ok(reply)
}

/// Renders a domain. Source: App Runner API, `CustomDomain`.
///
/// The status is in lower case, against the API model: that is how App Runner sends it.
fn to_json(domain: &CustomDomain) -> Value {
    let documented = json!(domain.status).as_str().map(str::to_ascii_lowercase);
    let mut rendered = json!({
        "DomainName": domain.name,
        "EnableWWWSubdomain": domain.enable_www,
        "Status": documented,
    });
    if domain.status != CustomDomainStatus::Creating {
        rendered["CertificateValidationRecords"] = validation_records(domain);
    }
    rendered
}

fn validation_records(domain: &CustomDomain) -> Value {
    let is_valid = matches!(domain.status, CustomDomainStatus::Active | CustomDomainStatus::BindingCertificate);
    let www = domain.enable_www.then(|| format!("www.{}", domain.name));
    let names = [Some(domain.name.clone()), www].into_iter().flatten();
    let records = names.zip(&domain.validation).map(|(name, random)| {
        json!({
            "Name": format!("_{random}.{name}."),
            "Type": "CNAME",
            "Value": format!("_{random}.acm-validations.aws."),
            "Status": if is_valid { "SUCCESS" } else { "PENDING_VALIDATION" },
        })
    });
    records.collect()
}
