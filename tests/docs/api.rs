//! The reference of the resource, from the `CustomResourceDefinition`.

use std::fmt::Write;

use apprunner_operator::api;
use serde_json::Value;

use crate::text::cell;

pub(crate) fn render() -> String {
    let crd: Value = serde_saphyr::from_str(&api::crd_yaml().unwrap()).unwrap();
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut page = format!(
        "`apiVersion: {}/{}`, `kind: {}`, short name `{}`, categories {}. {}\n",
        crd["spec"]["group"].as_str().unwrap(),
        version["name"].as_str().unwrap(),
        names["kind"].as_str().unwrap(),
        names["shortNames"][0].as_str().unwrap(),
        list(&names["categories"]).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        words(schema),
    );
    for part in ["spec", "status"] {
        writeln!(page, "\n## {part}\n\n| field | type | |\n|---|---|---|").unwrap();
        rows(&schema["properties"][part], "", &mut page);
    }
    page.push_str("\n## Columns\n\n| column | from | with `-o wide` only | |\n|---|---|---|---|\n");
    for column in version["additionalPrinterColumns"].as_array().unwrap() {
        let wide = if column["priority"].as_i64().unwrap_or_default() > 0 { "yes" } else { "" };
        let [name, path] = ["name", "jsonPath"].map(|key| column[key].as_str().unwrap());
        writeln!(page, "| {} | `{}` | {wide} | {} |", name.to_uppercase(), cell(path), words(column)).unwrap();
    }
    page.push_str("\n## Rules that the API server checks\n\n| at | rule |\n|---|---|\n");
    rules(schema, "the object", &mut page);
    page
}

/// The rows of an object's fields, with those of the objects below it.
fn rows(object: &Value, path: &str, page: &mut String) {
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let required = list(&object["required"]).contains(&name.as_str());
        let items = if field["type"] == "array" { &field["items"] } else { field };
        let name = format!("{path}{name}{}", if field["type"] == "array" { "[]" } else { "" });
        let more = [Some(kind(items)), required.then(|| "required".to_owned()), one_of(items), default(field)];
        let more: Vec<_> = more.into_iter().flatten().collect();
        writeln!(page, "| `{name}` | {} | {} |", more.join("; "), words(field)).unwrap();
        rows(items, &format!("{name}."), page);
    }
}

fn kind(field: &Value) -> String {
    let of = field["format"].as_str().unwrap_or_else(|| field["type"].as_str().unwrap_or("any"));
    if of == "date-time" { "time (RFC 3339)".to_owned() } else { of.to_owned() }
}

fn one_of(field: &Value) -> Option<String> {
    let words = list(&field["enum"]);
    (!words.is_empty()).then(|| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "))
}

fn default(field: &Value) -> Option<String> {
    let default = field.get("default")?;
    Some(format!("default `{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned)))
}

/// The rules of an object and of the objects below it: expressions, patterns and lengths.
fn rules(object: &Value, at: &str, page: &mut String) {
    for rule in object["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["message"].as_str().unwrap_or_else(|| rule["rule"].as_str().unwrap());
        writeln!(page, "| `{at}` | {} |", cell(text)).unwrap();
    }
    if let Some(pattern) = object["pattern"].as_str() {
        writeln!(page, "| `{at}` | matches `{}` |", cell(pattern)).unwrap();
    }
    if let Some(length) = object["maxLength"].as_u64() {
        writeln!(page, "| `{at}` | at most {length} characters |").unwrap();
    }
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let at = if at == "the object" { name.clone() } else { format!("{at}.{name}") };
        rules(field, &at, page);
    }
}

fn words(of: &Value) -> String {
    cell(of["description"].as_str().unwrap_or_default())
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
