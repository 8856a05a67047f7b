//! The JSON schema of an object, for tools that check manifests without a cluster.
//!
//! It comes from the CRD. The API server also checks metadata, which a CRD does not describe, and refuses or drops unknown
//! fields, which plain JSON schema allows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{VpcConnector, crd};

/// The form that the API server requires of an object's name.
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Returns the JSON schema of an object, for kubeconform and editors: that of the API server, and as strict about unknown
/// fields.
pub fn json_schema() -> Result<String, serde_json::Error> {
    let version = crd().spec.versions.into_iter().next();
    let mut schema = serde_json::to_value(version.and_then(|version| version.schema?.open_api_v3_schema))?;
    let word = |word: &str| json!({"type": "string", "enum": [word]});
    schema["properties"]["apiVersion"] = word(&VpcConnector::api_version(&()));
    schema["properties"]["kind"] = word(&VpcConnector::kind(&()));
    schema["properties"]["metadata"] = metadata();
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    adapt(&mut schema);
    // `anyOf` below accepts a name that is null, and the API server does not.
    schema["properties"]["metadata"]["properties"]["name"]["type"] = "string".into();
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// The schema of metadata.
fn metadata() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<ObjectMeta>().to_value();
    for key in ["$schema", "title"] {
        schema.as_object_mut().map(|schema| schema.remove(key));
    }
    let properties = &mut schema["properties"];
    for of_texts in ["annotations", "labels"] {
        properties[of_texts]["additionalProperties"] = json!({"type": ["string", "null"]});
    }
    properties["name"]["maxLength"] = 63.into();
    properties["name"]["pattern"] = NAME.into();
    schema["anyOf"] = json!([{"required": ["name"]}, {"required": ["generateName"]}]);
    schema
}

/// Changes a schema of the API server into one of JSON: where it lists fields, it refuses others, and an optional field
/// may be null, which the API server reads as an absent one. (`nullable` is a word of `OpenAPI`.)
fn adapt(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    let required = object.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|it| it == name));
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            adapt(property);
            if !is_required(name) {
                or_null(property);
            }
        }
        object.entry("additionalProperties").or_insert_with(|| false.into());
    }
    if let Some(items) = object.get_mut("items") {
        adapt(items);
    }
}

fn or_null(schema: &mut Value) {
    if schema["type"].is_string() {
        schema["type"] = json!([schema["type"], "null"]);
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    #[test]
    fn the_committed_schema_matches_the_code() {
        let file = "crds/apprunner-operator.dev/vpcconnector_v1alpha1.json";
        assert_committed(file, &json_schema().unwrap(), "make crds");
    }

    /// A place where fields are listed and others are allowed lets a misspelt field pass.
    #[test]
    fn every_object_with_listed_fields_refuses_others() {
        fn open(schema: &Value, at: &str, found: &mut Vec<String>) {
            if schema["properties"].is_object() && schema["additionalProperties"] != false {
                found.push(at.to_owned());
            }
            for (key, value) in schema.as_object().into_iter().flatten() {
                open(value, &format!("{at}/{key}"), found);
            }
        }
        let (schema, mut found) = (serde_json::from_str::<Value>(&json_schema().unwrap()).unwrap(), Vec::new());
        open(&schema, "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    /// An object as the API server returns it is valid too: a directory of manifests may come from `kubectl get`.
    #[test]
    fn a_stored_object_with_a_status_is_valid() {
        let schema = serde_json::from_str::<Value>(&json_schema().unwrap()).unwrap();
        let mut object = json!({
            "apiVersion": "apprunner-operator.dev/v1alpha1",
            "kind": "VpcConnector",
            "metadata": {
                "name": "shop-egress",
                "namespace": "shop",
                "uid": "0c5cb0a1-3c1e-4b52-9f4a-6d0f4fd8d9e7",
                "creationTimestamp": "2026-11-23T08:00:00Z",
                "finalizers": ["apprunner-operator.dev/finalizer"],
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:arn": {}}}}],
            },
            "spec": {"arn": "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef"},
            "status": {
                "observedGeneration": 1,
                "arn": null,
                "lastError": {"operation": "DeleteVpcConnector", "code": "X", "message": "", "requestId": null},
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Available", "message": "",
                    "lastTransitionTime": "2026-11-23T08:00:00Z",
                }],
            },
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&object), "{:?}", validator.iter_errors(&object).collect::<Vec<_>>());
        object["status"]["lastError"]["reqestId"] = "a typing mistake".into();
        assert!(!validator.is_valid(&object));
    }
}
