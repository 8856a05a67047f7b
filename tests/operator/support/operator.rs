//! The operator as a process of its own, which ends with the test, also when that one is killed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Waits are divided by this, so that a minute's backoff is over in a moment.
pub const PACE: u32 = 20;

/// Ends the operator when our end of its pipe closes.
const GUARDED: &str = include_str!("../../../hack/guarded.sh");

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct Settings {
    pub endpoint: String,
    pub access_key: (String, String),
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub intervals: u32,
    pub limits: Limits,
}

/// What one account and region may be called: calls a second, and at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub rate: u32,
    pub burst: u32,
}

/// Those of the operator's flags.
pub const DEFAULTS: Limits = Limits { rate: 5, burst: 10 };
/// No limit that a test would notice.
pub const UNLIMITED: Limits = Limits { rate: 10_000, burst: 10_000 };

/// A running operator; dropped, it is killed.
pub struct Operator {
    child: Child,
    log: PathBuf,
    /// Its user name at the API server.
    pub user: String,
}

impl Operator {
    /// Starts it as one of the cluster's users.
    pub fn start_as((user, kubeconfig): (String, PathBuf), settings: &Settings) -> Self {
        let log = kubeconfig.with_extension("log");
        let child = Command::new("/bin/sh")
            .args(["-c", GUARDED, "sh", env!("CARGO_BIN_EXE_apprunner-operator")])
            .args(&settings.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", &settings.endpoint)
            .env("AWS_ACCESS_KEY_ID", &settings.access_key.0)
            .env("AWS_SECRET_ACCESS_KEY", &settings.access_key.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("APPRUNNER_OPERATOR_PACE_DIVISOR", settings.intervals.to_string())
            .env("APPRUNNER_OPERATOR_AWS_RATE", settings.limits.rate.to_string())
            .env("APPRUNNER_OPERATOR_AWS_BURST", settings.limits.burst.to_string())
            .env("APPRUNNER_OPERATOR_LOG", "info,apprunner_operator=debug")
            .envs(settings.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, user }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Who it is in an election.
    pub fn identity(&self) -> String {
        self.logged("waiting for the Lease")[0]["identity"].as_str().unwrap().to_owned()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The same, line by line; each is a JSON object.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The logged objects whose message is this.
    pub fn logged(&self, message: &str) -> Vec<serde_json::Value> {
        self.lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Asks it to stop, as Kubernetes does.
    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never stopped");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.user, self.log());
        }
    }
}
