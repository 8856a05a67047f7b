//! Every alert has an entry in the runbook and tests, and README and notes give the same commands.

use serde_json::Value;

use crate::support::{file, notes, parsed};

const RULES: &str = "charts/apprunner-operator/files/rules.yaml";

#[test]
fn every_alert_has_an_entry_in_the_runbook() {
    let (rules, runbook) = (&parsed(&file(RULES))[0], file("docs/operations/runbook.md"));
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 5);
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        assert!(runbook.contains(&format!("\n### {alert}\n")), "docs/operations/runbook.md has no entry {alert}");
        let url = format!("docs/operations/runbook.md#{}", alert.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], url, "{alert}");
    }
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_does_not() {
    let (rules, cases) = (&parsed(&file(RULES))[0], &parsed(&file("tests/chart/alerts.yaml"))[0]);
    let tests = cases["tests"].as_array().unwrap().iter();
    let cases: Vec<_> = tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap()).collect();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        for fires in [true, false] {
            let is_such = |case: &&Value| case["exp_alerts"].as_array().unwrap().is_empty() != fires;
            let of_it = cases.iter().any(|case| case["alertname"] == rule["alert"] && is_such(case));
            assert!(of_it, "tests/chart/alerts.yaml has no case of {} where fires is {fires}", rule["alert"]);
        }
    }
}

/// The commands that give the operator rights from outside of a stuck namespace.
fn remedy_commands(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("kubectl create clusterrole "));
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn readme_and_notes_give_the_same_commands_for_a_stuck_namespace() {
    let (readme, notes) = (file("charts/apprunner-operator/README.md"), notes("rbac.namespaced=true,clusterId=c-1"));
    assert_eq!(remedy_commands(&readme).len(), 4);
    assert_eq!(remedy_commands(&readme), remedy_commands(&notes));
}
