//! Configuration of the kubelet, of containerd, and of the pods' network.

use std::{fmt, path::Path};

use serde_json::{Value, json};

use crate::{
    image,
    network::{BRIDGE, NODE_ADDRESS, NODE_NAME},
};

pub(crate) fn arguments(root: &impl fmt::Display) -> Vec<String> {
    vec![
        format!("--config={root}/kubelet.json"),
        format!("--kubeconfig={root}/kubelet.kubeconfig"),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
        format!("--root-dir={root}/node/kubelet"),
        format!("--cert-dir={root}/node/kubelet-certificates"),
    ]
}

/// The kubelet's configuration; `group` is the parent cgroup of all containers.
pub(crate) fn configuration(root: &Path, group: &str) -> String {
    let root = root.display();
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": format!("{root}/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{root}/containerd.sock"),
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        // For pods with `dnsPolicy: Default`; the machine's own file would name servers that pods cannot reach.
        "resolvConf": format!("{root}/resolv.conf"),
        "podLogsDir": format!("{root}/pods"),
        "volumePluginDir": format!("{root}/node/volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        "enforceNodeAllocatable": [],
        // The kubelet must accept the machine with old cgroups, swap, or a full disk.
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
    });
    format!("{config:#}\n")
}

/// containerd's configuration; containerd looks for the network plugins in `tools`.
pub(crate) fn containerd(root: &Path, tools: &Path) -> String {
    // TOML's basic strings follow JSON's rules.
    let text = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    format!(
        r#"version = 3
root = {data}
state = "/run/containerd"

[grpc]
address = {socket}

[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{tools}]
conf_dir = {network}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "runc"
SystemdCgroup = false
"#,
        data = text(&root.join("node/containerd")),
        socket = text(&root.join("containerd.sock")),
        pause = image::PAUSE,
        tools = text(tools),
        network = text(&root.join("network")),
    )
}

/// The pods' network: a veth pair from each pod to the node's bridge, and a default route through the node.
pub(crate) fn network() -> String {
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "devcluster",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": "10.77.0.0/24", "rangeStart": "10.77.0.10", "gateway": NODE_ADDRESS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
                "dataDir": "/run/host-local",
            },
        }],
    });
    format!("{config:#}\n")
}
