//! The chart's README lists every value, the schema checks each, and every alert has an entry in the runbook.

use serde_json::Value;

use crate::support::{file, notes, parsed};

const VALUES: &str = "charts/apprunner-operator/values.yaml";
const RULES: &str = "charts/apprunner-operator/files/rules.yaml";

/// The rows of the README's tables: a value and its default as written there.
fn rows() -> Vec<(String, String)> {
    let readme = file("charts/apprunner-operator/README.md");
    let rows = readme.lines().filter_map(|line| {
        let (value, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (default, _) = rest.split_once(" | ")?;
        Some((value.to_owned(), default.trim_matches('`').to_owned()))
    });
    rows.collect()
}

fn at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

/// Every value that is not a map of others.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &below, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

#[test]
fn readme_lists_every_value_with_its_default() {
    let (values, rows) = (&parsed(&file(VALUES))[0], rows());
    let mut all = Vec::new();
    leaves(values, "", &mut all);
    let documented = |leaf: &str| rows.iter().any(|(row, _)| leaf == row || leaf.starts_with(&format!("{row}.")));
    let undocumented: Vec<_> = all.iter().filter(|leaf| !documented(leaf)).collect();
    assert!(undocumented.is_empty(), "README.md of the chart has no row for {undocumented:?}");
    for (row, default) in &rows {
        let value = at(values, row).unwrap_or_else(|| panic!("README.md lists {row}, which {VALUES} does not have"));
        let written = serde_json::from_str(default).unwrap_or_else(|_| Value::from(default.as_str()));
        assert!(written == *value || default == "see values.yaml", "{row} is {value}, and not {default}");
    }
}

#[test]
fn schema_has_exactly_the_values() {
    let schema: Value = serde_json::from_str(&file("charts/apprunner-operator/values.schema.json")).unwrap();
    for (row, _) in rows() {
        let mut part = &schema;
        for key in row.split('.') {
            assert_eq!(part["additionalProperties"], false, "the parent of {row} accepts any value");
            part = &part["properties"][key];
        }
        assert!(part.is_object(), "the schema does not know {row}");
    }
}

#[test]
fn every_alert_has_an_entry_in_the_runbook() {
    let (rules, runbook) = (&parsed(&file(RULES))[0], file("docs/runbook.md"));
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 5);
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        assert!(runbook.contains(&format!("\n### {alert}\n")), "docs/runbook.md has no entry {alert}");
        let url = format!("docs/runbook.md#{}", alert.to_lowercase());
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
