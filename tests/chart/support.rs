//! Helm, and the objects that it renders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use devcluster::{DevCluster, Options, Tools};
use serde_json::Value;

/// Release and namespace of every test.
pub const RELEASE: &str = "apprunner-operator";
pub const NAMESPACE: &str = "apprunner-system";
/// Name of the release's cluster-scoped objects.
pub const CLUSTER_NAME: &str = "apprunner-system:apprunner-operator";

/// Reads a file of the checkout.
pub fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tracked files that match one of the patterns; without patterns, all of them.
pub fn tracked(patterns: &[&str]) -> Vec<String> {
    let listed =
        Command::new("git").arg("ls-files").args(patterns).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    output_of(&listed).lines().map(str::to_owned).collect()
}

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/apprunner-operator")
}

/// The values files, one for each way of using the chart.
pub fn values_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(chart().join("ci")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    files
}

/// Helm, without the user's own settings.
pub fn helm() -> Command {
    static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
        let helm = Tools::find().unwrap_or_else(|error| panic!("{error}")).directory().join("helm");
        assert!(helm.is_file(), "there is no {}: run `make tools`, which builds it", helm.display());
        helm
    });
    let mut command = Command::new(&*HELM);
    command.env_clear().env("HOME", "/nowhere");
    command
}

/// Renders the chart as it would be installed.
pub fn template(arguments: &[&str]) -> Output {
    let mut command = helm();
    command.args(["template", RELEASE]).arg(chart()).args(["--namespace", NAMESPACE]).args(arguments);
    command.output().unwrap()
}

/// Renders the chart, which must succeed, and returns the output.
pub fn manifests(arguments: &[&str]) -> String {
    output_of(&template(arguments))
}

/// Renders the chart into objects.
pub fn objects(arguments: &[&str]) -> Vec<Value> {
    parsed(&manifests(arguments))
}

/// The notes that an installation with these values prints. Helm 3 wants a cluster for that.
pub fn notes(set: &str) -> String {
    static CLUSTER: LazyLock<DevCluster> =
        LazyLock::new(|| DevCluster::start(Options::default()).unwrap_or_else(|error| panic!("{error}")));
    let mut install = helm();
    install.args(["install", RELEASE]).arg(chart()).args(["--namespace", NAMESPACE, "--dry-run=client", "--set", set]);
    install.env("KUBECONFIG", CLUSTER.kubeconfig());
    let printed = output_of(&install.output().unwrap());
    printed.split_once("NOTES:").unwrap_or_else(|| panic!("no notes in {printed}")).1.to_owned()
}

/// The objects of a file with several documents.
pub fn parsed(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The only object of a kind and name.
pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> = objects.iter().filter(|o| o["kind"] == kind && o["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name} among {:?}", names(objects));
    found[0]
}

/// The kind and name of each object.
pub fn names(objects: &[Value]) -> Vec<String> {
    let name = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', "");
    objects.iter().map(name).collect()
}

/// The arguments of the operator's container.
pub fn arguments(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let operator = &deployment["spec"]["template"]["spec"]["containers"][0];
    serde_json::from_value(operator["args"].clone()).unwrap()
}

/// Output of a command that must succeed.
pub fn output_of(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Error output of a command that must fail.
pub fn error_output(output: &Output) -> String {
    assert!(!output.status.success(), "it was not refused: {}", text(&output.stdout));
    text(&output.stderr)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
