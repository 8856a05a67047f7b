//! The committed JSON schema: kubeconform accepts every manifest of examples and docs with it, and refuses the manifests
//! that the API server refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use devcluster::{DevCluster, Tools};
use serde_json::Value;

use crate::served::{cluster, kubectl, until_served};
use crate::support::{file, output_of, parsed, text, tracked};

const API_VERSION: &str = "apiVersion: apprunner-operator.dev/v1alpha1";
const VALID: &str = "apiVersion: apprunner-operator.dev/v1alpha1
kind: VpcConnector
metadata:
  name: shop-egress
  namespace: shop
spec:
  arn: arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef
  deletionPolicy: Delete
";
/// A text of [`VALID`], another text in its place, and words of the reason for which kubeconform refuses the result.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("  arn: arn:aws", "  # arn: arn:aws", "missing property 'arn'"),
    ("/0123456789abcdef0123456789abcdef", "", "does not match pattern"),
    ("us-east-1:111122223333", "us-east-1:1111", "does not match pattern"),
    ("arn: arn:aws", "arn: 12 #", "want string"),
    ("  arn: arn:aws", "  subnets: [subnet-1]\n  arn: arn:aws", "additional properties 'subnets' not allowed"),
    ("  arn: arn:aws", "  ARN: arn:aws", "additional properties 'ARN' not allowed"),
    ("deletionPolicy: Delete", "deletionPolicy: Orphan", "value must be one of 'Delete', 'Retain'"),
    ("deletionPolicy: Delete", "deletionPolicy: retain", "value must be one of 'Delete', 'Retain'"),
    ("arn: arn:aws", "arn: # arn:aws", "got null, want string"),
    ("  deletionPolicy: Delete", "deletionPolicy: Delete", "additional properties 'deletionPolicy' not allowed"),
    ("  namespace: shop", "  lables: {team: shop}", "additional properties 'lables' not allowed"),
    (
        "  namespace: shop",
        "  annotations: {apprunner-operator.dev/protected: true}",
        "got boolean, want null or string",
    ),
    ("  namespace: shop", "  labels: [shop]", "got array, want null or object"),
    ("  name: shop-egress\n", "", "missing property 'name'"),
    ("name: shop-egress", "name:", "got null, want string"),
    ("name: shop-egress", "name: Shop_Egress", "does not match pattern"),
    ("shop-egress", "n123456789-123456789-123456789-123456789-123456789-123456789-123", "maxLength: got 64, want 63"),
    ("spec:", "specs:", "missing property 'spec'"),
    ("kind: VpcConnector", "kind: VPCConnector", "value must be 'VpcConnector'"),
    ("v1alpha1", "v1", "could not find schema for VpcConnector"),
];
/// Other forms that the API server accepts.
const ALSO_VALID: &[(&str, &str)] = &[
    ("  deletionPolicy: Delete\n", ""),
    ("deletionPolicy: Delete", "deletionPolicy: Retain"),
    ("deletionPolicy: Delete", "deletionPolicy:"),
    ("  namespace: shop", "  namespace: shop\n  creationTimestamp: null\n  labels:\n  annotations: null"),
    (
        "  namespace: shop",
        "  namespace: shop\n  annotations: {apprunner-operator.dev/protected: \"true\", a/b: '', a/c: null}",
    ),
    ("arn:aws:apprunner:us-east-1", "arn:aws-us-gov:apprunner:us-gov-west-1"),
];

/// A directory for the manifests of a test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manifests").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes manifests into files of their own, and returns these.
fn written(folder: &Path, manifests: impl IntoIterator<Item = String>) -> Vec<PathBuf> {
    let write = |(n, manifest): (usize, String)| {
        let path = folder.join(format!("{n}.yaml"));
        fs::write(&path, manifest).unwrap();
        path
    };
    manifests.into_iter().enumerate().map(write).collect()
}

/// Runs kubeconform as docs/guides/gitops.md describes, on the committed schema.
fn kubeconform(files: &[PathBuf]) -> Output {
    let program = Tools::find().unwrap_or_else(|error| panic!("{error}")).directory().join("kubeconform");
    assert!(program.is_file(), "there is no {}: run `make tools`, which builds it", program.display());
    let schemas = "crds/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";
    let mut command = Command::new(program);
    command.args(["-strict", "-verbose", "-output=json", "-schema-location", schemas]).args(files);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().output().unwrap()
}

/// The result of each manifest: file, status, message.
fn results(output: &Output) -> Vec<(PathBuf, String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let result = |it: &Value| (text(&it["filename"]).into(), text(&it["status"]), text(&it["msg"]));
    report["resources"].as_array().unwrap().iter().map(result).collect()
}

/// The manifests of ours in a page: from their first line to the end of the block, without its indentation.
fn manifests_in(page: &str) -> Vec<String> {
    let lines: Vec<_> = page.lines().collect();
    let begins = |at: &usize| lines[*at].trim_start() == API_VERSION;
    let manifest = |at: usize| {
        let indentation = lines[at].len() - API_VERSION.len();
        let inside = |line: &&&str| line.get(..indentation).is_some_and(|start| start.trim().is_empty());
        let block = lines[at..].iter().take_while(inside).take_while(|line| !line.trim().is_empty());
        let ended = |line: &&&str| ["```", "---"].contains(&line.trim());
        block.take_while(|line| !ended(line)).flat_map(|line| [&line[indentation..], "\n"]).collect()
    };
    (0..lines.len()).filter(begins).map(manifest).collect()
}

/// All manifests of ours that users read or copy: of examples, of the output of `adopt`, of the docs, of the chart.
fn published() -> Vec<String> {
    let files = tracked(&["examples/*.yaml", "src/commands/report/expected/*.yaml"]);
    let whole = files.into_iter().map(|name| file(&name)).filter(|text| text.contains(API_VERSION));
    let pages = tracked(&["*.md"]).into_iter().flat_map(|name| manifests_in(&file(&name)));
    let chart = parsed(&file("charts/apprunner-operator/Chart.yaml")).remove(0);
    let of_chart = chart["annotations"]["artifacthub.io/crdsExamples"].as_str().unwrap().to_owned();
    let of_chart: Vec<Value> = serde_saphyr::from_str(&of_chart).unwrap();
    whole.chain(pages).chain(of_chart.iter().map(|object| serde_saphyr::to_string(object).unwrap())).collect()
}

#[test]
fn kubeconform_accepts_every_published_manifest() {
    let published = published();
    let objects: usize = published.iter().map(|text| text.matches("kind: VpcConnector\n").count()).sum();
    let output = kubeconform(&written(&folder("published"), published));
    let results = results(&output);
    assert!(results.iter().all(|(_, status, _)| status == "statusValid"), "{results:#?}");
    assert!(output.status.success() && results.len() == objects && objects > 8, "{objects}: {results:#?}");
}

/// The answer of the API server to a manifest.
fn served(cluster: &DevCluster, manifest: &Path) -> Output {
    let strictly = ["create", "--dry-run=server", "--validate=strict", "--filename"];
    cluster.kubectl().args(strictly).arg(manifest).output().unwrap()
}

fn changed(from: &str, to: &str) -> String {
    assert_eq!(VALID.matches(from).count(), 1, "{from}");
    VALID.replace(from, to)
}

#[test]
fn kubeconform_and_api_server_refuse_the_same_manifests() {
    let cluster = cluster();
    kubectl(&cluster, &["create", "--filename", "crds/apprunner-operator.dev_vpcconnectors.yaml"]);
    until_served(&cluster);
    let wrong = written(&folder("wrong"), MISTAKES.iter().map(|(from, to, _)| changed(from, to)));
    let found = results(&kubeconform(&wrong));
    assert_eq!(found.len(), MISTAKES.len());
    for (manifest, (_, to, reason)) in wrong.iter().zip(MISTAKES) {
        let (_, status, message) = found.iter().find(|(file, ..)| file == manifest).unwrap();
        assert!(status != "statusValid" && message.contains(reason), "{to}: {status}: {message}");
        let answer = served(&cluster, manifest);
        assert!(!answer.status.success(), "the API server accepts {to}");
    }
    let right = std::iter::once(VALID.to_owned()).chain(ALSO_VALID.iter().map(|(from, to)| changed(from, to)));
    let right = written(&folder("right"), right);
    let output = kubeconform(&right);
    assert!(output.status.success(), "{:#?}", results(&output));
    for manifest in right {
        output_of(&served(&cluster, &manifest));
    }
}

#[test]
fn kubeconform_refuses_a_repeated_field_of_which_kubectl_sends_the_last() {
    let repeated = changed("deletionPolicy: Delete", "deletionPolicy: Delete\n  deletionPolicy: Retain");
    let found = results(&kubeconform(&written(&folder("repeated"), [repeated])));
    assert!(found[0].1 == "statusError" && found[0].2.contains("already set"), "{found:?}");
}
