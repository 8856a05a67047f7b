//! The operator as a process of its own, which ends with the test, also when the test process is killed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::eventually;

/// Divisor of the operator's waits, so that a backoff of a minute takes 3 s.
pub const PACE: u32 = 20;

/// Ends the operator when our end of its pipe closes.
const GUARDED: &str = include_str!("../../../hack/guarded.sh");

/// Settings with which an operator is started.
#[derive(Clone, Debug)]
pub struct Settings {
    pub endpoint: String,
    pub access_key: (String, String),
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub pace: u32,
    pub limits: Limits,
}

/// Rate limit of one account and region: calls per second, and burst.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub rate: u32,
    pub burst: u32,
}

/// The defaults of the operator's flags.
pub const DEFAULTS: Limits = Limits { rate: 5, burst: 40 };
/// Limits so high that no test reaches them.
pub const UNLIMITED: Limits = Limits { rate: 10_000, burst: 10_000 };

/// A running operator; dropping it kills the process.
pub struct Operator {
    child: Child,
    log: PathBuf,
    /// The operator's user name at the API server.
    pub user: String,
}

impl Operator {
    /// Starts the operator as one of the cluster's users.
    pub fn start_as((user, kubeconfig): (String, PathBuf), settings: &Settings) -> Self {
        let log = kubeconfig.with_extension("log");
        let child = Command::new("/bin/sh")
            .args(["-c", GUARDED, "sh", env!("CARGO_BIN_EXE_apprunner-operator"), "run"])
            .args(&settings.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", &settings.endpoint)
            .env("AWS_ACCESS_KEY_ID", &settings.access_key.0)
            .env("AWS_SECRET_ACCESS_KEY", &settings.access_key.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("APPRUNNER_OPERATOR_PACE_DIVISOR", settings.pace.to_string())
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

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The operator's identity in the leader election.
    pub fn identity(&self) -> String {
        self.logged("waiting for the Lease")[0]["identity"].as_str().unwrap().to_owned()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The log line by line; each line is a JSON object.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The log lines with this message.
    pub fn logged(&self, message: &str) -> Vec<serde_json::Value> {
        self.lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Sends a GET to one of the operator's addresses; returns the status code and the whole answer.
    pub async fn http_get(&self, which: usize, path: &str) -> (u16, String) {
        let listening = eventually(async || self.logged("listening").get(which).cloned()).await.unwrap();
        let mut stream = TcpStream::connect(listening["address"].as_str().unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// Sends SIGTERM, as Kubernetes does.
    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// The status of the process, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.exited() {
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
