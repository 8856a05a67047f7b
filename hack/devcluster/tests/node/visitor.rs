//! A pod that visits a server by name, and the server.

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::LazyLock,
    thread,
};

use devcluster::{NodeCluster, write_image};

use crate::support::{Scratch, stdout_of};

const IMAGE: &str = "localhost/visitor:1";
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/programs/visitor.rs");

/// The image's archive, built once for all tests of this process; it leaves no file behind.
static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let scratch = Scratch::new("visitor");
    let (program, archive) = (scratch.0.join("visitor"), scratch.0.join("visitor.tar"));
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-o"]);
    stdout_of(rustc.arg(&program).arg(PROGRAM));
    write_image(&archive, IMAGE, &program).unwrap();
    fs::read(archive).unwrap()
});

/// Starts a pod that visits `apprunner.test:PORT`, in a namespace that enforces the strictest Pod Security, and waits
/// until it is ready.
pub(crate) fn run(cluster: &NodeCluster, namespace: &str, port: u16) {
    let archive = cluster.directory().join(format!("{namespace}.tar"));
    fs::write(&archive, &*ARCHIVE).unwrap();
    cluster.load_image(&archive).unwrap();
    stdout_of(cluster.kubectl().args(["create", "namespace", namespace]));
    let enforced = "pod-security.kubernetes.io/enforce=restricted";
    stdout_of(cluster.kubectl().args(["label", "namespace", namespace, enforced]));
    apply(cluster, namespace, &manifest(&format!("{}:{port}", NodeCluster::NAME)));
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "pod/visitor", "--namespace", namespace];
    stdout_of(cluster.kubectl().args(ready));
}

fn apply(cluster: &NodeCluster, namespace: &str, manifest: &str) {
    let path = cluster.directory().join(format!("{namespace}.json"));
    fs::write(&path, manifest).unwrap();
    stdout_of(cluster.kubectl().args(["apply", "--namespace", namespace, "--filename"]).arg(path));
}

fn manifest(server: &str) -> String {
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "visitor" },
        "spec": {
            // The program is its container's first process, which ignores signals that it has no handler for.
            "terminationGracePeriodSeconds": 1,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "visitor",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "args": [server],
                "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
                "resources": { "limits": { "memory": "16Mi" } },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    });
    pod.to_string()
}

/// Starts a server in the cluster's network that answers every request with `words`, and returns its port.
pub(crate) fn server(cluster: &NodeCluster, words: &'static str) -> u16 {
    let listener = thread::scope(|scope| {
        let bound = scope.spawn(|| {
            cluster.join_network().unwrap();
            TcpListener::bind((NodeCluster::ADDRESS, 0)).unwrap()
        });
        bound.join().unwrap()
    });
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The request is small enough to arrive in one piece, and its content does not matter.
            let _ = stream.read(&mut [0; 1024]);
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{words}").unwrap();
        }
    });
    port
}
