//! A real API server accepts the rendered objects under its strictest validation.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use devcluster::{DevCluster, Options};

use crate::support::{NAMESPACE, file, manifests, output_of, parsed, text, values_files};

/// A cluster with the namespaces and kinds that the values files need.
pub fn cluster() -> DevCluster {
    let cluster = DevCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}"));
    for namespace in [NAMESPACE, "monitoring", "shop", "jobs"] {
        kubectl(&cluster, &["create", "namespace", namespace]);
    }
    let warn = ["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted"];
    kubectl(&cluster, &warn);
    output_of(&run_with_input(
        cluster.kubectl().args(["apply", "--filename=-"]),
        &file("tests/chart/monitoring-crds.yaml"),
    ));
    let kinds = ["servicemonitors", "podmonitors", "prometheusrules"];
    let names = kinds.map(|kind| format!("crd/{kind}.monitoring.coreos.com"));
    let wait = ["wait", "--for=condition=Established", "--timeout=30s", &names[0], &names[1], &names[2]];
    kubectl(&cluster, &wait);
    cluster
}

/// Waits until the API server serves our CRD.
pub fn until_served(cluster: &DevCluster) {
    let crd = "crd/vpcconnectors.apprunner-operator.dev";
    kubectl(cluster, &["wait", "--for=condition=Established", "--timeout=30s", crd]);
}

/// Runs kubectl, which must succeed, and returns its output.
pub fn kubectl(cluster: &DevCluster, arguments: &[&str]) -> String {
    output_of(&cluster.kubectl().args(arguments).output().unwrap())
}

/// Runs a command with this input.
fn run_with_input(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn dry_run(cluster: &DevCluster, manifests: &str) -> Output {
    run_with_input(
        cluster.kubectl().args(["apply", "--dry-run=server", "--validate=strict", "--filename=-"]),
        manifests,
    )
}

/// The API server admits a pod only with an existing service account, and a dry run creates none.
fn create_service_account_of_the_test(cluster: &DevCluster, rendered: &str) {
    if let Some(pod) = parsed(rendered).iter().find(|object| object["kind"] == "Pod") {
        let account = pod["spec"]["serviceAccountName"].as_str().unwrap();
        // It may exist already.
        let create = ["create", "serviceaccount", account, "--save-config", "--namespace", NAMESPACE];
        cluster.kubectl().args(create).output().unwrap();
    }
}

#[test]
fn every_values_file_passes_strict_validation_and_restricted_pod_security() {
    let cluster = cluster();
    for values in values_files() {
        let rendered = manifests(&["--values", values.to_str().unwrap()]);
        create_service_account_of_the_test(&cluster, &rendered);
        let taken = dry_run(&cluster, &rendered);
        assert!(taken.status.success() && taken.stderr.is_empty(), "{}: {}", values.display(), text(&taken.stderr));
        assert_eq!(text(&taken.stdout).lines().count(), rendered.matches("\nkind: ").count(), "{}", values.display());
    }
    // The absence of warnings proves something only if a mistake gives one.
    let open = manifests(&["--set", "securityContext.allowPrivilegeEscalation=true"]);
    assert!(text(&dry_run(&cluster, &open).stderr).contains("would violate PodSecurity"));
    for monitor in ["serviceMonitor.enabled=true", "podMonitor.enabled=true"] {
        let misspelt = manifests(&["--set", monitor]).replace("scrapeTimeout", "scrapeTimeOut");
        assert!(text(&dry_run(&cluster, &misspelt).stderr).contains("unknown field"), "{monitor}");
    }
}

/// Every object of the uninstall check, as kind and name.
fn checks(cluster: &DevCluster) -> Vec<String> {
    let kinds = "jobs,serviceaccounts,clusterroles,clusterrolebindings";
    let all = kubectl(cluster, &["get", kinds, "--namespace", NAMESPACE, "--output=name"]);
    all.lines().filter(|name| name.contains("preflight")).map(str::to_owned).collect()
}

#[test]
fn applying_rendered_manifests_does_not_run_the_uninstall_check() {
    let cluster = cluster();
    let rendered = manifests(&[]);
    let folder = cluster.directory().join("rendered");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("rendered.yaml"), &rendered).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), "resources: [rendered.yaml]\n").unwrap();
    // By Kustomize, and so by Flux's kustomize-controller; and by kubectl, as the chart's README describes.
    kubectl(&cluster, &["apply", "--kustomize", folder.to_str().unwrap()]);
    kubectl(&cluster, &["get", "deployment", "apprunner-operator", "--namespace", NAMESPACE]);
    assert_eq!(checks(&cluster), Vec::<String>::new());
    for arguments in [["--no-hooks", "--include-crds"], ["--set", "preflight.enabled=false"]] {
        output_of(&run_with_input(cluster.kubectl().args(["apply", "--filename=-"]), &manifests(&arguments)));
        assert_eq!(checks(&cluster), Vec::<String>::new());
    }
    // The absence of a check proves something only because the rendered objects contain it.
    output_of(&run_with_input(cluster.kubectl().args(["apply", "--filename=-"]), &rendered));
    assert_eq!(checks(&cluster).len(), 4);
}
