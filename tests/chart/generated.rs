//! Texts that are generated from one source: the tables of the chart's README and the descriptions of its schema from the
//! comments of `values.yaml`, and parts of `Chart.yaml` from the files that they repeat.

use std::fmt::Write;

use serde_json::Value;

use crate::comments::{Documented, VALUES, documented, leaves};
use crate::committed;
use crate::support::{file, parsed};

const README: &str = "charts/apprunner-operator/README.md";
const SCHEMA: &str = "charts/apprunner-operator/values.schema.json";
const CHART: &str = "charts/apprunner-operator/Chart.yaml";
const MARKS: [&str; 2] = ["<!-- The values: generated from values.yaml -->\n", "<!-- The end of the values -->\n"];
const UPDATE: &str = "UPDATE_EXPECTED=1 cargo test --locked --test chart generated";
/// A longer default is only in `values.yaml`.
const MAX_DEFAULT: usize = 40;
/// Names that the schema knows only for the sake of a message that says where they are now.
const MOVED: [&str; 3] = ["dnsConfig", "dnsPolicy", "hostAliases"];

#[track_caller]
fn assert_generated(path: &str, text: &str) {
    committed::assert_committed(path, text, UPDATE);
}

/// A default as the table shows it.
fn shown(default: &Value) -> String {
    let text = match default {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    if text.len() > MAX_DEFAULT { "see values.yaml".into() } else { format!("`{text}`") }
}

fn tables(all: &[Documented]) -> String {
    let (mut text, mut section) = (String::new(), "");
    for value in all.iter().filter(|value| !value.is_group(all)) {
        if value.section != section {
            section = &value.section;
            write!(text, "\n### {section}\n\n| value | default | |\n|---|---|---|\n").unwrap();
        }
        let described = value.text.replace('|', "\\|");
        writeln!(text, "| `{}` | {} | {described} |", value.path, shown(&value.default)).unwrap();
    }
    text + "\n"
}

#[test]
fn readme_has_the_comments_of_the_values() {
    committed::assert_part(README, MARKS, &tables(&documented()), UPDATE);
}

fn schema() -> Value {
    serde_json::from_str(&file(SCHEMA)).unwrap()
}

#[test]
fn schema_has_the_comments_of_the_values() {
    let mut schema = schema();
    for value in documented() {
        let pointer = format!("/properties/{}", value.path.replace('.', "/properties/"));
        // A value such as a map of annotations has children with descriptions of their own kind, and no properties.
        let part = schema.pointer_mut(&pointer).unwrap_or_else(|| panic!("{SCHEMA} does not know {}", value.path));
        part["description"] = value.text.into();
    }
    assert_generated(SCHEMA, &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
}

#[test]
fn every_value_has_a_comment_and_a_section() {
    let all = documented();
    assert!(all.len() > 100, "{}", all.len());
    let mut values = Vec::new();
    leaves(&parsed(&file(VALUES))[0], "", &mut values);
    for leaf in values {
        let of_it = |value: &&Documented| leaf == value.path || leaf.starts_with(&format!("{}.", value.path));
        let value = all.iter().filter(of_it).max_by_key(|value| value.path.len());
        let value = value.unwrap_or_else(|| panic!("{VALUES} has no comment `# -- …` above {leaf}"));
        assert!(!value.is_group(&all), "{VALUES} has no comment `# -- …` above {leaf}");
        assert!(!value.section.is_empty(), "{leaf} is below no heading");
        assert!(value.text.ends_with('.'), "the comment of {leaf} is no sentence: {}", value.text);
    }
}

/// Every property of a schema, with its path.
fn properties<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        properties(property, &below, found);
        properties(&property["items"], &format!("{below}[]"), found);
        found.push((below, property));
    }
}

#[test]
fn schema_has_exactly_the_values_and_describes_each_property() {
    let (schema, all) = (schema(), documented());
    let (mut found, values) = (Vec::new(), &parsed(&file(VALUES))[0]);
    properties(&schema, "", &mut found);
    for (path, property) in &found {
        assert!(property["description"].is_string(), "{SCHEMA} does not describe {path}");
        let is_value = path.split('.').try_fold(values, |value, key| value.get(key)).is_some();
        let is_below = all.iter().any(|value| !value.is_group(&all) && path.starts_with(&value.path));
        let is_other = path == "global" || MOVED.contains(&path.as_str());
        assert!(is_value || is_below || is_other, "{VALUES} does not have {path}");
    }
    for value in all.iter().filter(|value| value.is_group(&all)) {
        let (_, group) = found.iter().find(|(path, _)| *path == value.path).unwrap();
        assert_eq!(group["additionalProperties"], false, "{} accepts any value", value.path);
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// A file as a URL, since the project has no public address for it yet.
fn data_url(kind: &str, text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/=:".contains(&byte);
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("data:{kind},{}", text.trim_end().bytes().map(escaped).collect::<String>())
}

#[test]
fn chart_has_the_icon_of_the_file() {
    let icon = data_url("image/svg+xml", &file("charts/apprunner-operator/icon.svg"));
    let chart = file(CHART);
    let line = chart.lines().find(|line| line.starts_with("icon:")).unwrap();
    assert_generated(CHART, &chart.replace(line, &format!("icon: {icon}")));
}

#[test]
fn chart_describes_the_crd_and_the_example() {
    let chart = &parsed(&file(CHART))[0];
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["annotations"]["artifacthub.io/license"], env!("CARGO_PKG_LICENSE"));
    let annotation = |name: &str| parsed(chart["annotations"][name].as_str().unwrap()).remove(0);
    let crd = parsed(&file("charts/apprunner-operator/files/crd.yaml")).remove(0);
    let listed = annotation("artifacthub.io/crds");
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["kind"], crd["spec"]["names"]["kind"]);
    assert_eq!(listed[0]["name"], crd["metadata"]["name"]);
    assert_eq!(listed[0]["version"], crd["spec"]["versions"][0]["name"]);
    let examples = annotation("artifacthub.io/crdsExamples");
    assert_eq!(*examples.as_array().unwrap(), parsed(&file("examples/vpcconnector.yaml")));
    // A version below 1.0.0 and an API in alpha are no stable release.
    let alpha = env!("CARGO_PKG_VERSION").starts_with("0.");
    assert_eq!(chart["annotations"]["artifacthub.io/prerelease"], alpha.to_string());
}
