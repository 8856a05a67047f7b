//! Labels, annotations and further objects.

use serde_json::{Value, json};

use crate::support::{NAMESPACE, RELEASE, find, names, objects, values_files};

#[test]
fn every_object_has_the_common_labels_and_annotations_and_keeps_its_own() {
    for values in values_files() {
        let common = "commonLabels.team=platform,commonAnnotations.contact=platform,extraObjects=null";
        let values = ["--values", values.to_str().unwrap()];
        let (with, without) = (objects(&[&values[..], &["--set", common]].concat()), objects(&values));
        for object in &with {
            let own = without.iter().find(|other| {
                ["/kind", "/metadata/name", "/metadata/namespace"]
                    .iter()
                    .all(|at| other.pointer(at) == object.pointer(at))
            });
            let (metadata, own) = (&object["metadata"], &own.unwrap()["metadata"]);
            let mut expected = own["labels"].clone();
            expected["team"] = "platform".into();
            assert_eq!(metadata["labels"], expected, "{}", metadata["name"]);
            let mut expected = own["annotations"].clone();
            expected["contact"] = "platform".into();
            assert_eq!(metadata["annotations"], expected, "{}", metadata["name"]);
        }
    }
}

#[test]
fn labels_of_the_deployment_are_not_those_of_the_pods() {
    let set = "deploymentLabels.tier=control,podLabels.mesh=none,serviceAccount.labels.owner=platform";
    let objects = objects(&["--set", set]);
    let deployment = find(&objects, "Deployment", RELEASE);
    let labels = |of: &Value, key: &str| of["metadata"]["labels"][key].clone();
    assert_eq!((labels(deployment, "tier"), labels(deployment, "mesh")), (json!("control"), Value::Null));
    let pod = &deployment["spec"]["template"];
    assert_eq!((labels(pod, "tier"), labels(pod, "mesh")), (Value::Null, json!("none")));
    assert_eq!(labels(find(&objects, "ServiceAccount", RELEASE), "owner"), "platform");
}

#[test]
fn extra_objects_are_templates() {
    let values = crate::support::chart().join("ci/everything-values.yaml");
    let rendered = objects(&["--values", values.to_str().unwrap()]);
    let extra = find(&rendered, "ConfigMap", "apprunner-operator-vpcc-extra");
    assert_eq!(extra["metadata"]["namespace"], NAMESPACE);
    assert_eq!(extra["data"]["operator"], "info,apprunner_operator=debug");
    assert_eq!(find(&rendered, "ConfigMap", "extra-text")["metadata"]["namespace"], NAMESPACE);
    assert!(!names(&objects(&[])).iter().any(|name| name.contains("extra")));
}
