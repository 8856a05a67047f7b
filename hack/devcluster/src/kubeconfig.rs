//! Kubeconfigs: a server, and the certificate to use there.

use std::path::Path;

use serde_json::json;

/// Renders a kubeconfig as JSON, which every YAML reader accepts and which needs no quoting rules for unusual paths.
pub(crate) fn render(server: &str, authority: &Path, certificate: &Path, key: &Path) -> String {
    let name = "devcluster";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": { "server": server, "certificate-authority": authority } }],
        "users": [{ "name": name, "user": { "client-certificate": certificate, "client-key": key } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    format!("{config:#}\n")
}
