//! `apprunner-operator install`: prints the manifests of an installation without Helm.

use serde_json::{Value, json};

use crate::api;
use crate::cli::InstallArgs;

/// The manifests except the CRD, in the order in which they are applied.
const MANIFESTS: [&str; 4] = [
    include_str!("install/account.yaml"),
    include_str!("../../examples/rbac.yaml"),
    include_str!("../../examples/leader-election.yaml"),
    include_str!("install/deployment.yaml"),
];
const IRSA: &str = "eks.amazonaws.com/role-arn";

/// A manifest that cannot be written; the manifests are part of the program.
pub type Error = Box<dyn std::error::Error>;

/// The manifests as YAML, in the order in which they are applied.
pub fn manifests(args: &InstallArgs) -> Result<String, Error> {
    let mut documents = Vec::new();
    for document in MANIFESTS.iter().flat_map(|file| file.split("\n---\n")) {
        let mut manifest: Value = serde_saphyr::from_str(document)?;
        into_namespace(&mut manifest, &args.namespace);
        match manifest["kind"].as_str() {
            Some("ServiceAccount") => annotate(&mut manifest, args.role_arn.as_deref()),
            Some("Deployment") => configure(&mut manifest, args),
            _ => {}
        }
        documents.push(serde_saphyr::to_string(&manifest)?);
    }
    // The CRD follows the namespace, so that `kubectl apply` finds everything that a manifest refers to.
    documents.insert(1, api::crd_yaml()?);
    Ok(documents.join("---\n"))
}

/// Moves a manifest, and the subjects of a binding, into the namespace.
fn into_namespace(manifest: &mut Value, namespace: &str) {
    match manifest["kind"].as_str() {
        Some("Namespace") => manifest["metadata"]["name"] = json!(namespace),
        Some("ClusterRole" | "ClusterRoleBinding") => {}
        // The examples of the Lease's rights leave the namespace to kubectl.
        _ => manifest["metadata"]["namespace"] = json!(namespace),
    }
    let subjects = manifest.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten();
    for place in subjects.filter_map(|subject| subject.get_mut("namespace")) {
        *place = json!(namespace);
    }
}

fn annotate(service_account: &mut Value, role_arn: Option<&str>) {
    if let Some(arn) = role_arn {
        service_account["metadata"]["annotations"] = json!({ IRSA: arn });
    }
}

fn configure(deployment: &mut Value, args: &InstallArgs) {
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(args.image);
    if let Some(arguments) = container["args"].as_array_mut() {
        arguments.extend(args.flags.iter().map(|flag| json!(flag)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NAMESPACE: &str = "apprunner-system";

    fn printed(args: &InstallArgs) -> Vec<Value> {
        manifests(args).unwrap().split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    }

    fn args() -> InstallArgs {
        InstallArgs {
            namespace: NAMESPACE.into(),
            image: "registry/operator:1".into(),
            role_arn: None,
            flags: Vec::new(),
        }
    }

    #[test]
    fn every_manifest_of_the_namespace_moves_with_it() {
        let moved = printed(&InstallArgs { namespace: "elsewhere".into(), ..args() });
        assert!(moved.iter().all(|manifest| !manifest.to_string().contains(NAMESPACE)));
        let kinds: Vec<_> = moved.iter().map(|manifest| manifest["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds[..3], ["Namespace", "CustomResourceDefinition", "ServiceAccount"]);
        assert_eq!(kinds.last(), Some(&"Deployment"));
    }

    #[test]
    fn image_role_and_flags_are_those_of_the_command() {
        let flags = vec!["--log=debug".to_owned()];
        let role_arn = Some("arn:aws:iam::111122223333:role/apprunner-operator".to_owned());
        let printed = printed(&InstallArgs { role_arn: role_arn.clone(), flags, ..args() });
        let container = &printed.last().unwrap()["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry/operator:1");
        assert_eq!(container["args"].as_array().unwrap().last().unwrap(), "--log=debug");
        let account = printed.iter().find(|manifest| manifest["kind"] == "ServiceAccount").unwrap();
        assert_eq!(account["metadata"]["annotations"][IRSA].as_str(), role_arn.as_deref());
    }

    #[test]
    fn the_rights_are_those_that_the_tests_prove() {
        let rules = |documents: Vec<Value>| -> BTreeSet<String> {
            let rules = documents.iter().filter_map(|document| document["rules"].as_array());
            rules.flatten().map(ToString::to_string).collect()
        };
        let examples = [include_str!("../../examples/rbac.yaml"), include_str!("../../examples/leader-election.yaml")];
        let examples = examples.iter().flat_map(|file| file.split("\n---\n"));
        assert_eq!(
            rules(printed(&args())),
            rules(examples.map(|text| serde_saphyr::from_str(text).unwrap()).collect())
        );
    }
}
