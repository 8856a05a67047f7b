//! An admission policy for the objects of one namespace, which has the name of the namespace.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Selects a namespace by its name.
pub fn selects(namespace: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
}

/// Refuses these operations where the expression does not hold. The API server applies a policy some time after its creation.
pub async fn create(
    client: &Client,
    namespace: &str,
    (operations, resources): (&[&str], &[&str]),
    (expression, message): (&str, &str),
) {
    let rule = json!({
        "apiGroups": ["apprunner-operator.dev"],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": resources,
    });
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {"namespaceSelector": selects(namespace), "resourceRules": [rule]},
            "validations": [{"expression": expression, "message": message}],
        },
    }))
    .unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"]},
    }))
    .unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &policy).await.unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

/// Deletes the policy of a namespace.
pub async fn delete(client: &Client, namespace: &str) {
    let delete = DeleteParams::default();
    Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()).delete(namespace, &delete).await.unwrap();
    Api::<ValidatingAdmissionPolicy>::all(client.clone()).delete(namespace, &delete).await.unwrap();
}
