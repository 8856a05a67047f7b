//! The API server's audit log: one line for each stage of each request.

use serde_json::Value;

/// One stage of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// `ResponseStarted` or `ResponseComplete`.
    pub stage: String,
    /// The verb, such as `patch`.
    pub verb: String,
    /// The name of the user.
    pub user: String,
    /// The resource, such as `pods`; empty for a request about none.
    pub resource: String,
    /// The subresource, such as `status`; empty without one.
    pub subresource: String,
    /// The name of the object; empty for a list or a watch.
    pub name: String,
}

impl AuditEntry {
    /// Reads one line of the log; the last line may be incomplete.
    pub fn parse(line: &str) -> Option<Self> {
        let entry: Value = serde_json::from_str(line).ok()?;
        let word = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            stage: word("/stage"),
            verb: word("/verb"),
            user: word("/user/username"),
            resource: word("/objectRef/resource"),
            subresource: word("/objectRef/subresource"),
            name: word("/objectRef/name"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_members_are_empty_and_an_incomplete_line_is_no_entry() {
        let line = r#"{"stage":"ResponseComplete","verb":"get","user":{"username":"me"}}"#;
        let entry = AuditEntry::parse(line).unwrap();
        assert_eq!((entry.verb.as_str(), entry.user.as_str(), entry.resource.as_str()), ("get", "me", ""));
        assert_eq!(AuditEntry::parse(&line[..20]), None);
    }
}
