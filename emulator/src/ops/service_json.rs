//! Services as replies show them.

use serde_json::{Map, Value, json};

use super::configurations;
use super::render::seconds;
use super::service_settings::ECHOED;
use crate::Behaviors;
use crate::model::region::Region;
use crate::model::service::Service;

/// Renders a service as in a list. Source: App Runner API, `ServiceSummary`.
pub(super) fn summary_json(service: &Service, behaviors: &Behaviors) -> Map<String, Value> {
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
pub(super) fn service_json(service: &Service, region: &Region, behaviors: &Behaviors) -> Value {
    let mut rendered = summary_json(service, behaviors);
    let settings = &service.settings;
    rendered.extend(ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), settings.get(*name)?.clone()))));
    rendered.insert("InstanceConfiguration".to_owned(), instance(settings.get("InstanceConfiguration")));
    rendered.insert("NetworkConfiguration".to_owned(), network(service));
    let auto_scaling = service.auto_scaling_configuration().and_then(|arn| region.configuration(arn));
    let auto_scaling = auto_scaling.map(|configuration| configurations::summary_json(configuration, region, behaviors));
    rendered.extend(auto_scaling.map(|summary| ("AutoScalingConfigurationSummary".to_owned(), summary)));
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
