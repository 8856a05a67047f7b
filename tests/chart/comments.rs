//! The comments of `values.yaml`, in the form of helm-docs: `# -- text` above a value, and `## text` above a group of values.

use serde_json::Value;

use crate::support::{file, parsed};

pub const VALUES: &str = "charts/apprunner-operator/values.yaml";

/// A value with its comment.
pub struct Documented {
    /// The heading above it.
    pub section: String,
    /// Its keys, with dots between them.
    pub path: String,
    /// The text of its comment.
    pub text: String,
    /// The default.
    pub default: Value,
}

impl Documented {
    /// Returns whether this value is a map of other documented values.
    pub fn is_group(&self, all: &[Self]) -> bool {
        all.iter().any(|other| other.path.starts_with(&format!("{}.", self.path)))
    }
}

/// Every documented value, in the order of the file.
pub fn documented() -> Vec<Documented> {
    let (text, values) = (file(VALUES), parsed(&file(VALUES)).remove(0));
    let (mut section, mut comment, mut keys, mut found) = (String::new(), None::<String>, Vec::new(), Vec::new());
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        } else if let Some(first) = bare.strip_prefix("# -- ") {
            comment = Some(first.to_owned());
        } else if let Some(more) = bare.strip_prefix("# ") {
            // Without a line with `--` before it, it is a comment for readers of the file alone.
            comment = comment.map(|text| format!("{text} {more}"));
        } else if let Some((key, _)) = bare.split_once(':').filter(|_| !bare.starts_with('-')) {
            keys.truncate((line.len() - bare.len()) / 2);
            keys.push(key.to_owned());
            if let Some(text) = comment.take() {
                let path = keys.join(".");
                let default = default_of(&values, &keys);
                found.push(Documented { section: section.clone(), path, text, default });
            }
        }
    }
    found
}

fn default_of(values: &Value, keys: &[String]) -> Value {
    let at = keys.iter().try_fold(values, |value, key| value.get(key));
    at.unwrap_or_else(|| panic!("{VALUES} has no {}", keys.join("."))).clone()
}

/// The paths of all values that are not maps of others.
pub fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
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
