//! README, docs, chart and examples describe one installation: one namespace, one service account, and commands that
//! work.

use std::path::Path;

use serde_json::Value;

use crate::support::{CLUSTER_NAME, NAMESPACE, RELEASE, file, find, objects, parsed, tracked, values_files};

/// Every file that users read or copy from, with its text.
fn pages() -> Vec<(String, String)> {
    let parts = [
        "README.md",
        "SECURITY.md",
        "docs/",
        "charts/",
        "examples/",
        "crds/",
        "src/commands/preflight.rs",
        "src/core/",
        "hack/demo.rs",
    ];
    let of_ours =
        |path: &String| parts.iter().any(|part| path.starts_with(part)) && Path::new(path).extension().is_some();
    let pages: Vec<_> = tracked(&[]).into_iter().filter(of_ours).map(|path| (path.clone(), file(&path))).collect();
    assert!(pages.len() > 40, "{}", pages.len());
    pages
}

#[test]
fn docs_chart_and_examples_use_one_namespace() {
    let wrong = [
        "--namespace apprunner-operator",
        "--namespace=apprunner-operator",
        "-n apprunner-operator",
        "namespace: apprunner-operator\n",
        "serviceaccount:apprunner-operator:",
        "serviceaccount=apprunner-operator:",
        "kubernetes-namespace\": \"apprunner-operator\"",
    ];
    for (path, text) in pages() {
        for words in wrong {
            assert!(!text.contains(words), "{path} says {words}");
        }
    }
    let readers = [
        "README.md",
        "docs/install/eks.md",
        "charts/apprunner-operator/README.md",
        "examples/rbac.yaml",
        "examples/leader-election.yaml",
        "examples/deletion-protection.yaml",
        "examples/argocd/applications.yaml",
        "examples/iam/trust-irsa.json",
        "examples/iam/trust-pod-identity.json",
    ];
    for path in readers {
        assert!(file(path).contains(NAMESPACE), "{path} does not name {NAMESPACE}");
    }
}

/// The trust policies, the association and the policy name the chart's service account.
#[test]
fn examples_name_the_service_account_of_the_chart() {
    let deployment = find(&objects(&[]), "Deployment", RELEASE).clone();
    let (namespace, account) = (
        deployment["metadata"]["namespace"].as_str().unwrap(),
        deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap(),
    );
    let user = format!("system:serviceaccount:{namespace}:{account}");
    for path in ["examples/iam/trust-irsa.json", "examples/deletion-protection.yaml"] {
        assert!(file(path).contains(&user), "{path}");
    }
    let trust: Value = serde_json::from_str(&file("examples/iam/trust-pod-identity.json")).unwrap();
    let condition = &trust["Statement"][0]["Condition"]["StringEquals"];
    assert_eq!(condition["aws:RequestTag/kubernetes-namespace"], namespace);
    assert_eq!(condition["aws:RequestTag/kubernetes-service-account"], account);
    let association = format!("--namespace {namespace} \\\n         --service-account {account} ");
    assert!(file("docs/install/eks.md").contains(&association));
}

#[test]
fn no_example_overwrites_an_object_of_a_release() {
    for values in values_files() {
        let rendered = objects(&["--values", values.to_str().unwrap()]);
        for path in ["examples/rbac.yaml", "examples/leader-election.yaml"] {
            for example in parsed(&file(path)) {
                let same = |object: &&Value| {
                    ["kind", "/metadata/name"].iter().all(|part| {
                        let at = |value: &Value| value.get(part).or_else(|| value.pointer(part)).cloned();
                        at(object) == at(&example)
                    })
                };
                assert!(
                    rendered.iter().find(same).is_none(),
                    "{path} has the {} {}",
                    example["kind"],
                    example["metadata"]["name"]
                );
            }
        }
    }
    assert_eq!(find(&objects(&[]), "ClusterRoleBinding", CLUSTER_NAME)["subjects"][0]["namespace"], NAMESPACE);
}

/// With Crossplane installed, `vpcconnectors` may be its resource.
#[test]
fn every_command_names_the_resource_unambiguously() {
    let ours = ["vpcconnectors.apprunner-operator.dev", "vpcconnectors.apprunner.aws.upbound.io"];
    let mut commands = 0;
    for (path, text) in pages() {
        // A command may continue on the next line.
        let text = text.replace("\\\n", " ");
        for line in text.lines().filter(|line| line.contains("kubectl ")) {
            commands += 1;
            let command = line.split_once("kubectl ").unwrap().1;
            for word in command.split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))) {
                let meant = !word.starts_with("vpcconnector") || ours.iter().any(|name| word.starts_with(name));
                assert!(
                    meant || line.contains(&format!("/{word}.yaml")) || !is_argument(command, word),
                    "{path}: {line}"
                );
            }
        }
    }
    assert!(commands > 60, "{commands}");
}

/// Returns whether a word is at a position where kubectl expects a resource: after a verb, and before any quoted text.
fn is_argument(command: &str, word: &str) -> bool {
    let before = command.split_once(word).map_or("", |(before, _)| before);
    !before.contains('`') && !before.contains('#') && !before.contains("arn:")
}
