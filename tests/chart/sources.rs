//! Files that exist both in the chart and elsewhere have the same content.

use serde_json::{Value, json};

use crate::support::{CLUSTER_NAME, RELEASE, file, find, objects, output_of, parsed};

const CRD: &str = "crds/apprunner-operator.dev_vpcconnectors.yaml";
const PROTECTION: &str = "examples/deletion-protection.yaml";

#[test]
fn chart_files_are_exact_copies() {
    for (source, copy) in [(CRD, "crd.yaml"), (PROTECTION, "deletion-protection.yaml")] {
        let copy = format!("charts/apprunner-operator/files/{copy}");
        assert!(file(source) == file(&copy), "{copy} is not {source}: run `make crds`");
    }
}

#[test]
fn crd_matches_the_code_and_survives_helm_and_argo_deletion() {
    let name = "vpcconnectors.apprunner-operator.dev";
    let mut crd = find(&objects(&[]), "CustomResourceDefinition", name).clone();
    let annotations = json!({
        "helm.sh/resource-policy": "keep",
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    });
    assert_eq!(crd["metadata"]["annotations"], annotations);
    crd["metadata"] = json!({"name": name});
    assert_eq!(crd, parsed(&file(CRD))[0]);

    let left = objects(&["--set", "crds.keep=false"]);
    assert_eq!(find(&left, "CustomResourceDefinition", name)["metadata"]["annotations"], Value::Null);
    let without = objects(&["--set", "crds.enabled=false"]);
    assert!(without.iter().all(|object| object["kind"] != "CustomResourceDefinition"));
}

#[test]
fn policy_matches_the_examples_and_names_the_operators_of_the_release() {
    let own = r#"["system:serviceaccount:apprunner-system:apprunner-operator"]"#;
    let named = r#"["system:serviceaccount:apprunner-system:other","system:serviceaccount:jobs:it"]"#;
    let set = "serviceAccount.name=other,deletionProtection.operators={system:serviceaccount:jobs:it}";
    for (set, operators) in [("", own), (set, named)] {
        let rendered = objects(&["--set", &format!("deletionProtection.enabled=true,{set}")]);
        let mut examples = parsed(&file(PROTECTION));
        assert_eq!(examples.len(), 2);
        let of_the_example = examples[0]["spec"]["variables"][0].as_object_mut().unwrap();
        assert_eq!(of_the_example["name"], "operators");
        let service_accounts = of_the_example.insert("expression".into(), json!(operators)).unwrap();
        for binding in ["examples/rbac.yaml", "examples/leader-election.yaml"] {
            let subject = &parsed(&file(binding))[1]["subjects"][0];
            let user = ["namespace", "name"].map(|part| subject[part].as_str().unwrap()).join(":");
            assert!(service_accounts.as_str().unwrap().contains(&format!("system:serviceaccount:{user}")), "{user}");
        }
        for example in examples {
            let (kind, name) = (example["kind"].as_str().unwrap(), example["metadata"]["name"].as_str().unwrap());
            assert_eq!(find(&rendered, kind, name)["spec"], example["spec"]);
        }
    }
}

#[test]
fn rbac_rules_match_the_rules_the_tests_use() {
    let examples = parsed(&file("examples/rbac.yaml"));
    let example = find(&examples, "ClusterRole", "apprunner-operator")["rules"].as_array().unwrap().clone();
    let rendered = objects(&[]);
    assert_eq!(find(&rendered, "ClusterRole", CLUSTER_NAME)["rules"], json!(example));
    // In a Role the right to read namespaces is that to read its own.
    let roles = objects(&["--set", "rbac.namespaced=true,clusterId=shop-1,watchNamespaces={shop,jobs}"]);
    let roles: Vec<_> = roles.iter().filter(|o| o["kind"] == "Role" && o["metadata"]["name"] == RELEASE).collect();
    let namespaces: Vec<_> = roles.iter().map(|role| &role["metadata"]["namespace"]).collect();
    assert_eq!(namespaces, ["shop", "jobs"]);
    assert!(roles.iter().all(|role| role["rules"] == json!(example)));
}

#[test]
fn image_is_built_for_the_architecture_of_the_machine() {
    let folder = std::env::temp_dir().join(format!("apprunner-operator-uname-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (machine, target) in [("x86_64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "aarch64")] {
        let uname = folder.join("uname");
        std::fs::write(&uname, format!("#!/bin/sh\necho {machine}\n")).unwrap();
        std::fs::set_permissions(&uname, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut build = std::process::Command::new("hack/image/build");
        build.arg("target").env("PATH", path).env_remove("IMAGE_TARGET").current_dir(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(output_of(&build.output().unwrap()).trim(), format!("{target}-unknown-linux-gnu"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}
