//! The operator's servers in networks with IPv4, with IPv6, and with both, each in a network namespace of its own.
//!
//! `make e2e` runs this, since it needs root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An operator in a network namespace, which ends with it.
struct Alone {
    operator: Child,
    kubeconfig: PathBuf,
}

impl Alone {
    /// Starts the operator once this shell command has set up the network.
    fn started(network: &str, address: &str) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let one = STARTED.fetch_add(1, Ordering::Relaxed);
        let kubeconfig = std::env::temp_dir().join(format!("apprunner-operator-families-{}-{one}", std::process::id()));
        // Nothing answers at this address: the checks of this test do not need a cluster.
        let server = "http://127.0.0.1:1";
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{{"name":"c","cluster":{{"server":"{server}"}}}}],
            "users":[{{"name":"c","user":{{}}}}],"contexts":[{{"name":"c","context":{{"cluster":"c","user":"c"}}}}]}}"#
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let script = format!("ip link set lo up && {network} && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", &script, env!("CARGO_BIN_EXE_apprunner-operator"), "run", "--cluster-id=c"]);
        command.arg(format!("--health-address={address}:8081")).arg(format!("--metrics-address={address}:8080"));
        command.env("KUBECONFIG", &kubeconfig).stdout(Stdio::null()).stderr(Stdio::null());
        Self { operator: command.spawn().unwrap(), kubeconfig }
    }

    /// Returns whether this address answers within the deadline.
    fn answers(&self, address: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ask = format!(
            "exec 3<>/dev/tcp/{address}/8081 && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 &&
             exec 3<>/dev/tcp/{address}/8080 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3"
        );
        while Instant::now() < deadline {
            let network = format!("--net=/proc/{}/ns/net", self.operator.id());
            let asked = Command::new("nsenter").args([&network, "bash", "-c", &ask]).output().unwrap();
            if String::from_utf8_lossy(&asked.stdout).matches(" 200 OK").count() == 2 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.operator.kill().unwrap();
        self.operator.wait().unwrap();
        std::fs::remove_file(&self.kubeconfig).unwrap();
    }
}

#[test]
fn wildcard_address_answers_ipv4_and_ipv6_for_any_kernel_default() {
    for network in ["true", "sysctl --quiet --write net.ipv6.bindv6only=1"] {
        let operator = Alone::started(network, "[::]");
        assert!(operator.answers("::1") && operator.answers("127.0.0.1"), "{network}");
    }
}

#[test]
fn server_answers_where_only_one_address_family_exists() {
    let without_ipv6 = "sysctl --quiet --write net.ipv6.conf.all.disable_ipv6=1";
    assert!(Alone::started(without_ipv6, "[::]").answers("127.0.0.1"));
    assert!(Alone::started("ip address del 127.0.0.1/8 dev lo", "[::]").answers("::1"));
    assert!(Alone::started("true", "0.0.0.0").answers("127.0.0.1"));
}
