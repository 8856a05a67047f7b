//! The test bed of the demo and of the dashboard's picture: a real API server, an App Runner, and an operator between them.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use apprunner_emulator::{Config, DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, Emulator};

pub(crate) type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// Everything that an operator needs. Dropped in this order: AWS, the cluster.
pub(crate) struct TestBed {
    pub(crate) aws: Emulator,
    _cluster: Process,
    pub(crate) kubectl: PathBuf,
    pub(crate) kubeconfig: String,
    pub(crate) log: PathBuf,
}

/// A process that ends no later than this program.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The cluster stops its own processes only on SIGTERM, so it is not killed.
        drop(self.0.stdin.take());
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl TestBed {
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let kubectl = devcluster::Tools::find()?.kubectl();
        let (cluster, kubeconfig) = start_cluster()?;
        let aws = Emulator::start(config).await?;
        apply(&kubectl, &kubeconfig, &manifest("crds/apprunner-operator.dev_vpcconnectors.yaml")?)?;
        let log = Path::new(&kubeconfig).with_file_name("operator.log");
        Ok(Self { aws, _cluster: cluster, kubectl, kubeconfig, log })
    }

    /// Starts the operator with these arguments.
    pub(crate) fn start_operator(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = guarded(&program("apprunner-operator")?);
        self.environment(command.arg("run").args(arguments));
        Ok(Process(command.stderr(File::create(&self.log)?).spawn()?))
    }

    /// Another command of the operator's program.
    pub(crate) fn operator_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("apprunner-operator")?);
        self.environment(command.args(arguments));
        Ok(command)
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", DEFAULT_SECRET_ACCESS_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }

    /// The last lines of the operator's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub(crate) fn apply(&self, manifest: &str) -> Result<String> {
        apply(&self.kubectl, &self.kubeconfig, manifest)
    }
}

/// A command that ends with this program, even if this program is killed.
pub(crate) fn guarded(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", include_str!("guarded.sh"), "sh"]).arg(program).stdin(Stdio::piped());
    command
}

fn start_cluster() -> Result<(Process, String)> {
    let mut child = Command::new(program("devcluster")?).arg("up").stdout(Stdio::piped()).spawn()?;
    let mut kubeconfig = String::new();
    BufReader::new(child.stdout.take().ok_or("no output of devcluster")?).read_line(&mut kubeconfig)?;
    let cluster = Process(child);
    check(!kubeconfig.is_empty(), "the cluster did not start; its error is above")?;
    Ok((cluster, kubeconfig.trim().to_owned()))
}

/// Cargo puts the programs one directory above the examples.
fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().and_then(Path::parent).ok_or("the path of this program has no parent")?.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not built; run `make demo` or `make dashboard`", path.display()).into())
    }
}

fn manifest(path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?)
}

fn apply(kubectl: &Path, kubeconfig: &str, manifest: &str) -> Result<String> {
    let mut command = Command::new(kubectl);
    command.args(["apply", "--filename", "-"]).env("KUBECONFIG", kubeconfig);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("kubectl takes no input")?.write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    check(output.status.success(), &String::from_utf8_lossy(&output.stderr))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Exit code for a result; prints the error.
pub(crate) fn exit(program: &str, result: Result) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("\n{program}: {error}");
    ExitCode::FAILURE
}

pub(crate) fn check(holds: bool, otherwise: &str) -> Result {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
