//! The table of the tested versions, from the results that `make matrix` wrote.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::text::{file, tracked};

const RESULTS: &str = "docs/operations/matrix.json";

fn results() -> Value {
    serde_json::from_str(&file(RESULTS)).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The number of passed tests of a suite in which none failed, and of tests that did not run.
fn passed(suite: &Value) -> String {
    let [passed, failed, skipped] = ["passed", "failed", "skipped"].map(|count| suite[count].as_u64().unwrap());
    assert!(passed > 0 && failed == 0, "{RESULTS} has a suite that did not pass: {suite}");
    if skipped == 0 { passed.to_string() } else { format!("{passed}, {skipped} skipped") }
}

pub(crate) fn render() -> String {
    let results = results();
    let mut page = format!(
        "`make matrix` ran the tests with these combinations, last on {}, and none failed:\n\n\
         | Kubernetes | Helm | tests of the chart | tests of the operator |\n|---|---|---|---|\n",
        text(&results["date"])
    );
    for kubernetes in list(&results["kubernetes"]) {
        let (version, operator) = (text(&kubernetes["version"]), passed(&kubernetes["operator"]));
        for helm in list(&kubernetes["helm"]) {
            let (helm, chart) = (text(&helm["version"]), passed(&helm["chart"]));
            writeln!(page, "| {version} | {helm} | {chart} | {operator} |").unwrap();
        }
    }
    page
}

/// The tested versions of Kubernetes and of Helm.
fn tested() -> [BTreeSet<String>; 2] {
    let results = results();
    let all = list(&results["kubernetes"]);
    let versions = |of: &[Value]| of.iter().map(|it| text(&it["version"]).to_owned()).collect::<BTreeSet<_>>();
    [versions(all), all.iter().flat_map(|kubernetes| versions(list(&kubernetes["helm"]))).collect()]
}

#[test]
fn matrix_has_exactly_the_pinned_versions() {
    let modules = tracked().into_iter().filter(|name| name.starts_with("hack/tools/") && name.ends_with("go.mod"));
    let pins: Vec<_> = modules.map(|name| file(&name)).collect();
    let pinned = |module: &str| -> BTreeSet<String> {
        let of_module = |line: &str| {
            let mut words = line.trim_start_matches("require").split_whitespace();
            words.next().filter(|name| name.trim_end_matches(char::is_numeric) == module)?;
            Some(words.next()?.strip_prefix('v')?.to_owned())
        };
        pins.iter().flat_map(|pins| pins.lines()).filter_map(of_module).collect()
    };
    let expected = [pinned("k8s.io/kubernetes"), pinned("helm.sh/helm/v")];
    assert_eq!(tested(), expected, "{RESULTS} is of other versions than hack/tools pins; run `make matrix`");
}

#[test]
fn pages_name_the_tested_versions() {
    let [kubernetes, helm] = tested().map(|versions| versions.into_iter().collect::<Vec<_>>().join(" and "));
    let words = format!("Kubernetes {kubernetes}, Helm {helm}");
    for page in ["README.md", "charts/apprunner-operator/README.md"] {
        let page_words = file(page).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page_words.contains(&words), "{page} does not say: {words}");
    }
    let (minor, _) = kubernetes.split_once(" and ").unwrap().0.rsplit_once('.').unwrap();
    let lowest = format!("kubeVersion: \">={minor}.0-0\"");
    assert!(file("charts/apprunner-operator/Chart.yaml").contains(&lowest), "the chart does not ask for {lowest}");
}
