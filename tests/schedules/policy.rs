//! An admission policy that refuses the operator's writes for a while, and nobody else's.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::steps::Refused;
use crate::support::World;

pub struct Policy {
    client: Client,
    namespace: String,
    in_force: bool,
}

impl Policy {
    pub fn new(world: &World) -> Self {
        Self { client: world.client.clone(), namespace: world.namespace.clone(), in_force: false }
    }

    /// Creates the policy. The API server may apply it only some steps later.
    pub async fn refuse(&mut self, refused: Refused) {
        if std::mem::replace(&mut self.in_force, true) {
            return;
        }
        let resources: &[&str] = match refused {
            Refused::Objects => &["vpcconnectors"],
            Refused::Statuses => &["vpcconnectors/status"],
            Refused::Both => &["vpcconnectors", "vpcconnectors/status"],
        };
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
            "metadata": {"name": self.namespace},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                    "resourceRules": [{
                        "apiGroups": ["apprunner-operator.dev"],
                        "apiVersions": ["*"],
                        "operations": ["UPDATE"],
                        "resources": resources,
                    }],
                },
                "validations": [{
                    "expression": "!request.userInfo.username.startsWith('operator-')",
                    "message": "the operator may not write here now",
                }],
            },
        }))
        .unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
            "metadata": {"name": self.namespace},
            "spec": {"policyName": self.namespace, "validationActions": ["Deny"]},
        }))
        .unwrap();
        Api::all(self.client.clone()).create(&PostParams::default(), &policy).await.unwrap();
        Api::all(self.client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    }

    pub async fn allow(&mut self) {
        if !std::mem::replace(&mut self.in_force, false) {
            return;
        }
        let (name, delete) = (&self.namespace, DeleteParams::default());
        Api::<ValidatingAdmissionPolicyBinding>::all(self.client.clone()).delete(name, &delete).await.unwrap();
        Api::<ValidatingAdmissionPolicy>::all(self.client.clone()).delete(name, &delete).await.unwrap();
    }
}
