//! Requests of one user to the API server, as the audit log has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use devcluster::AuditEntry;

use crate::Result;

/// Number of requests by verb and resource, such as `patch vpcconnectors/status`.
pub(crate) type Requests = BTreeMap<String, usize>;

/// The audit log from one position on.
pub(crate) struct AuditLog {
    path: PathBuf,
    from: u64,
}

impl AuditLog {
    /// The log from its present end on.
    pub(crate) fn from_now(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), from: path.metadata()?.len() })
    }

    /// The requests of a user that were answered since; a watch counts when it starts.
    pub(crate) fn requests(&self, user: &str) -> Result<Requests> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut log = String::new();
        file.read_to_string(&mut log)?;
        Ok(count(&log, user))
    }
}

fn count(log: &str, user: &str) -> Requests {
    let mut counted = Requests::new();
    for entry in log.lines().filter(|line| line.contains(user)).filter_map(AuditEntry::parse) {
        let answered = if entry.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        if entry.user != user || entry.stage != answered {
            continue;
        }
        let AuditEntry { verb, resource, subresource, .. } = entry;
        let target = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        *counted.entry(format!("{verb} {target}")).or_default() += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, stage: &str, verb: &str, subresource: &str) -> String {
        let target = serde_json::json!({"resource": "vpcconnectors", "subresource": subresource});
        let user = serde_json::json!({"username": user});
        let entry = serde_json::json!({"stage": stage, "verb": verb, "user": user, "objectRef": target});
        format!("{entry}\n")
    }

    #[test]
    fn each_answered_request_of_the_user_counts_once() {
        let log = [
            line("operator-1", "ResponseComplete", "patch", "status"),
            line("operator-1", "ResponseComplete", "patch", "status"),
            line("operator-1", "ResponseComplete", "patch", ""),
            line("operator-1", "ResponseStarted", "watch", ""),
            line("operator-1", "ResponseComplete", "watch", ""),
            line("operator-11", "ResponseComplete", "patch", ""),
        ];
        let expected = [("patch vpcconnectors", 1), ("patch vpcconnectors/status", 2), ("watch vpcconnectors", 1)];
        let expected: Requests = expected.map(|(request, n)| (request.to_owned(), n)).into();
        assert_eq!(count(&(log.concat() + "cut off: operator-1"), "operator-1"), expected);
    }
}
