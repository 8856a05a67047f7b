//! Kubeconfigs: who speaks to which server.

use std::path::Path;

use serde_json::json;

/// Says how the holder of a certificate reaches the server; JSON, which every reader of YAML takes, needs no quoting
/// rules for odd paths.
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
