//! The settings of a service in the requests that create or change it.

use serde_json::{Map, Value, json};

use super::context::RequestContext;
use super::params::Params;
use crate::api_error::ApiError;
use crate::model::arn::{self, Kind};

/// Parameters that replies return unchanged, except that the ARN of a configuration becomes its full ARN.
pub(super) const ECHOED: [&str; 5] = [
    "SourceConfiguration",
    "InstanceConfiguration",
    "EncryptionConfiguration",
    "HealthCheckConfiguration",
    "ObservabilityConfiguration",
];

/// Checks that the source of a service is a code repository or an image.
pub(super) fn check_source(params: &Params, required: bool) -> Result<(), ApiError> {
    let Some(source) = params.object("SourceConfiguration")? else {
        return if required { Err(params.missing("SourceConfiguration")) } else { Ok(()) };
    };
    match (source.object("CodeRepository")?, source.object("ImageRepository")?) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(params.invalid("SourceConfiguration", "must have one of CodeRepository and ImageRepository")),
    }
}

/// Reads the settings that replies return: the echoed parameters, and the network without its egress. Resources that
/// they name must exist.
pub(super) fn read(context: &RequestContext<'_>, params: &Params) -> Result<Map<String, Value>, ApiError> {
    let echoed = ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), params.raw(name)?)));
    let mut settings: Map<String, Value> = echoed.collect();
    if let Some(network) = params.object("NetworkConfiguration")? {
        for name in ["IngressConfiguration", "IpAddressType"] {
            settings.extend(network.raw(name).map(|value| (name.to_owned(), value)));
        }
    }
    let auto_scaling = configuration(context, params, "AutoScalingConfigurationArn", Kind::AutoScaling)?;
    settings.extend(auto_scaling.map(|arn| ("AutoScalingConfigurationArn".to_owned(), arn.into())));
    let observability = observability(context, params)?;
    settings.extend(observability.map(|given| ("ObservabilityConfiguration".to_owned(), given)));
    check_connection(context, params)?;
    Ok(settings)
}

/// Reads the observability of a service, with the full ARN of its configuration.
fn observability(context: &RequestContext<'_>, params: &Params) -> Result<Option<Value>, ApiError> {
    let Some(given) = params.object("ObservabilityConfiguration")? else { return Ok(None) };
    let is_enabled = given.boolean("ObservabilityEnabled")?.ok_or_else(|| given.missing("ObservabilityEnabled"))?;
    let mut rendered = json!({ "ObservabilityEnabled": is_enabled });
    if let Some(arn) = configuration(context, &given, "ObservabilityConfigurationArn", Kind::Observability)? {
        rendered["ObservabilityConfigurationArn"] = arn.into();
    }
    Ok(Some(rendered))
}

/// Reads the ARN of a configuration, which may be partial; returns the full ARN.
fn configuration(
    context: &RequestContext<'_>,
    params: &Params,
    name: &str,
    kind: Kind,
) -> Result<Option<String>, ApiError> {
    let Some(given) = params.text(name, 1..=arn::MAX_LENGTH)? else { return Ok(None) };
    let arn = context.arn(params, name, &[kind]).ok();
    let found = arn.and_then(|arn| context.region.find_configuration(kind, arn));
    found.map(|configuration| Some(configuration.arn.clone())).ok_or_else(|| unusable(kind, given))
}

fn check_connection(context: &RequestContext<'_>, params: &Params) -> Result<(), ApiError> {
    let Some(source) = params.object("SourceConfiguration")? else { return Ok(()) };
    let Some(authentication) = source.object("AuthenticationConfiguration")? else { return Ok(()) };
    let Some(given) = authentication.text("ConnectionArn", 1..=arn::MAX_LENGTH)? else { return Ok(()) };
    if context.region.connections.iter().any(|connection| connection.arn == given) {
        return Ok(());
    }
    Err(unusable(Kind::Connection, given))
}

/// One error for all wrong ARNs: in the API model, `ResourceNotFoundException` is only about the service.
fn unusable(kind: Kind, arn: &str) -> ApiError {
    ApiError::invalid_request(format!("{} doesn't exist or isn't active. ARN: {arn}", kind.label()))
}

/// Replaces the changed settings; of `InstanceConfiguration`, only the members in the request.
pub(super) fn merge(settings: &mut Map<String, Value>, changed: Map<String, Value>) {
    for (name, value) in changed {
        match (settings.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) if name == "InstanceConfiguration" => old.extend(new),
            (_, value) => {
                settings.insert(name, value);
            }
        }
    }
}

/// The route of a service's outgoing traffic in a request.
pub(super) enum Egress {
    Unspecified,
    Public,
    Connector(String),
}

impl Egress {
    pub(super) fn connector(self) -> Option<String> {
        match self {
            Self::Connector(arn) => Some(arn),
            Self::Unspecified | Self::Public => None,
        }
    }
}

/// Reads the route of outgoing traffic; a connector must be usable.
pub(super) fn egress(context: &RequestContext<'_>, params: &Params) -> Result<Egress, ApiError> {
    let Some(network) = params.object("NetworkConfiguration")? else { return Ok(Egress::Unspecified) };
    let Some(egress) = network.object("EgressConfiguration")? else { return Ok(Egress::Unspecified) };
    let connector = egress.text("VpcConnectorArn", 1..=arn::MAX_LENGTH)?;
    match (egress.text("EgressType", 1..=7)?, connector) {
        (Some("DEFAULT") | None, None) => Ok(Egress::Public),
        (Some("VPC") | None, Some(given)) => match context.arn(&egress, "VpcConnectorArn", &[Kind::Connector]) {
            Ok(arn) if context.region.has_usable_connector(arn) => Ok(Egress::Connector(arn.to_owned())),
            _ => Err(unusable(Kind::Connector, given)),
        },
        (Some("VPC"), None) => Err(egress.missing("VpcConnectorArn")),
        (Some("DEFAULT"), Some(_)) => Err(egress.invalid("VpcConnectorArn", "must be absent with EgressType DEFAULT")),
        _ => Err(egress.invalid("EgressType", "must satisfy enum value set: [DEFAULT, VPC]")),
    }
}
