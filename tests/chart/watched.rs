//! Alerts and dashboard select the release that they belong to.

use serde_json::Value;

use crate::support::{NAMESPACE, RELEASE, file, find, objects};

/// The metric names in a query, each with the text that follows it.
fn series(query: &str) -> Vec<&str> {
    let found: Vec<_> = query.match_indices("apprunner_operator_").map(|(at, _)| &query[at..]).collect();
    assert!(!found.is_empty(), "{query}");
    found
}

fn selected(query: &str, selector: &str) -> bool {
    series(query).iter().all(|series| {
        let labels = series.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        labels.strip_prefix('{').is_some_and(|labels| labels.starts_with(selector))
    })
}

fn rules(set: &str) -> Vec<Value> {
    let objects = objects(&["--set", "prometheusRule.enabled=true", "--set", set]);
    find(&objects, "PrometheusRule", RELEASE)["spec"]["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn every_alert_selects_its_own_release_and_has_an_absolute_runbook_url() {
    let own = format!(r#"namespace="{NAMESPACE}",job="{RELEASE}-metrics""#);
    let runbook = "https://wiki.example/runbook";
    let linked = rules(&format!("prometheusRule.runbookUrl={runbook}"));
    assert_eq!(linked.len(), file("charts/apprunner-operator/files/rules.yaml").matches("- alert:").count());
    for rule in &linked {
        assert!(selected(rule["expr"].as_str().unwrap(), &own), "{rule}");
        let entry = rule["alert"].as_str().unwrap().to_lowercase();
        assert_eq!(rule["annotations"]["runbook_url"], format!("{runbook}#{entry}"));
    }
    let chosen = r#"cluster="a""#;
    for rule in rules(r#"prometheusRule.selector=cluster="a""#) {
        assert!(selected(rule["expr"].as_str().unwrap(), chosen), "{rule}");
        assert_eq!(rule["annotations"]["runbook_url"], Value::Null, "the link is not absolute");
    }
}

#[test]
fn every_panel_selects_the_chosen_release() {
    let dashboard: Value = serde_json::from_str(&file("charts/apprunner-operator/files/dashboard.json")).unwrap();
    let chosen = r#"cluster=~"$cluster",namespace=~"$namespace",job=~"$job""#;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            assert!(selected(target["expr"].as_str().unwrap(), chosen), "{}", target["expr"]);
        }
    }
    let variables: Vec<_> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(variables, ["datasource", "cluster", "namespace", "job"]);
}
