//! The test bed: a real API server, an App Runner behind TLS, and a user of its own for each measured program.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use apprunner_emulator::{Behaviors, Config, DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, Emulator};
use apprunner_operator::api::VpcConnector;
use devcluster::{DevCluster, Options};
use futures::{StreamExt, TryStreamExt, stream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use tower::{BoxError, ServiceBuilder};

use crate::audit::AuditLog;
use crate::claimed::AT_ONCE;
use crate::floor::CLUSTER_ID;
use crate::process::Process;
use crate::tls::{self, Plain};
use crate::{NAMESPACE, Result};

/// The group with the rights of `examples/rbac.yaml`.
const OPERATORS: &str = "apprunner-operators";
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A measured program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Program {
    Operator,
    Floor,
    GoFloor,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::Operator, Self::Floor, Self::GoFloor];

    fn user(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Floor => "floor",
            Self::GoFloor => "go-floor",
        }
    }
}

/// Everything that a measured program needs.
pub(crate) struct Bed {
    pub(crate) aws: Emulator,
    pub(crate) plain: Plain,
    pub(crate) client: Client,
    pub(crate) cluster_id: String,
    cluster: DevCluster,
    aws_url: String,
    plain_url: String,
    authority: PathBuf,
    users: AtomicUsize,
}

impl Bed {
    pub(crate) async fn start() -> Result<Self> {
        let cluster = DevCluster::start(Options::default())?;
        for manifest in ["crds/apprunner-operator.dev_vpcconnectors.yaml", "examples/rbac.yaml"] {
            kubectl(&cluster, &["apply", "--filename", &format!("{CHECKOUT}/{manifest}")])?;
        }
        kubectl(&cluster, &["wait", "--for=condition=Established", "crd/vpcconnectors.apprunner-operator.dev"])?;
        let group = format!("--group={OPERATORS}");
        kubectl(&cluster, &["create", "clusterrolebinding", "bench", "--clusterrole=apprunner-operator", &group])?;
        kubectl(&cluster, &["create", "namespace", NAMESPACE])?;
        // The emulator's quota of connectors would be met first.
        let behaviors = Behaviors { connector_quota: usize::MAX, ..Behaviors::default() };
        let aws = Emulator::start(Config { behaviors, ..Config::default() }).await?;
        let (aws_url, certificate) = tls::front(aws.address()).await?;
        let authority = cluster.directory().join("aws-authority.pem");
        std::fs::write(&authority, certificate)?;
        let plain = Plain::default();
        let plain_url = plain.serve().await?;
        let config = Kubeconfig::read_from(cluster.kubeconfig())?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = connect(&config)?;
        let system = Api::<Namespace>::all(client.clone()).get("kube-system").await?;
        let (cluster_id, users) = (system.uid().unwrap_or_default(), AtomicUsize::new(0));
        Ok(Self { aws, plain, client, cluster_id, cluster, aws_url, plain_url, authority, users })
    }

    /// Starts a program as a user of its own. The operator's log and the errors of the others go to a file.
    pub(crate) fn run(&self, program: Program, arguments: &[&str]) -> Result<Process> {
        let user = format!("{}-{}", program.user(), self.users.fetch_add(1, Ordering::Relaxed));
        let (mut command, health) = match program {
            Program::Operator => operator(arguments)?,
            Program::Floor => (floor()?, None),
            Program::GoFloor => (Command::new(variable("GO_FLOOR")?), None),
        };
        let aws = if program == Program::GoFloor { &self.plain_url } else { &self.aws_url };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", self.cluster.user_kubeconfig(&user, Some(OPERATORS))?)
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_CA_BUNDLE", &self.authority)
            .env("AWS_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", DEFAULT_SECRET_ACCESS_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env(CLUSTER_ID, &self.cluster_id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.log(&user))?);
        Process::spawn(command, user, health)
    }

    /// The last lines that a program logged.
    pub(crate) fn log_tail(&self, user: &str) -> String {
        let log = std::fs::read_to_string(self.log(user)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn log(&self, user: &str) -> PathBuf {
        self.file(&format!("{user}.log"))
    }

    /// A file that is removed with the cluster.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.cluster.directory().join(name)
    }

    pub(crate) fn audit(&self) -> Result<AuditLog> {
        AuditLog::from_now(self.cluster.audit_log())
    }

    /// Removes what a run leaves behind, so that it does not burden the next one.
    pub(crate) async fn clean(&self) -> Result {
        self.aws.reset();
        self.plain.reset(0);
        let events = Api::<Event>::namespaced(self.client.clone(), NAMESPACE);
        events.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }

    /// Deletes all objects without an operator.
    pub(crate) async fn forget(&self) -> Result {
        let api = Api::<VpcConnector>::namespaced(self.client.clone(), NAMESPACE);
        let names: Vec<_> =
            api.list_metadata(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
        let release = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
        let releasing = stream::iter(names).map(async |name| {
            api.patch(&name, &PatchParams::default(), &release).await?;
            api.delete(&name, &DeleteParams::default()).await
        });
        releasing.buffer_unordered(AT_ONCE).map_ok(|_| ()).try_collect::<()>().await?;
        self.clean().await
    }
}

/// The program of the variable `OPERATOR`, and the address of its probes.
fn operator(arguments: &[&str]) -> Result<(Command, Option<String>)> {
    let health = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", include_str!("../../guarded.sh"), "sh"]).arg(program()?).arg("run");
    command.args(arguments).arg(format!("--health-address={health}"));
    Ok((command, Some(health)))
}

/// The path of the measured operator.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(std::fs::canonicalize(variable("OPERATOR")?)?)
}

fn floor() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor");
    Ok(command)
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("the variable {name} names no program; run `make bench`").into())
}

/// A client like the operator's: without Nagle's algorithm, and without retries.
pub(crate) fn connect(config: &kube::Config) -> Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = config.rustls_https_connector_with_connector(tcp)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(https));
    Ok(Client::new(service, &config.default_namespace))
}

fn kubectl(cluster: &DevCluster, arguments: &[&str]) -> Result {
    let output = cluster.kubectl().args(arguments).output()?;
    let failed = || format!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(failed().into()) }
}

/// The directory of the results.
pub(crate) fn results() -> Result<PathBuf> {
    let path = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(CHECKOUT).join("target"), PathBuf::from);
    let path = path.join("bench");
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
