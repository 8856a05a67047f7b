//! Shows what the operator does, with a real API server, real `kubectl` commands, and the App Runner emulator as AWS.
//!
//! Run it with `make demo`. It ends by itself, leaves nothing running, and fails if anything does not go as told.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "telling is what it is for")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use apprunner_emulator::{CallFilter, Config, ConnectorStatus, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, Emulator};

type Done<T = ()> = Result<T, Box<dyn Error>>;

const REGION: &str = "us-east-1";
/// Stands between the object's own columns while its deletion is watched.
const WATCHED: &str = "custom-columns=REASON:.status.conditions[0].reason,STATUS:.status.status,DELETED AT:.status.deletedAt,FINALIZERS:.metadata.finalizers";

#[tokio::main]
async fn main() -> ExitCode {
    match demonstrate().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate() -> Done {
    let started = Instant::now();
    let stage = Stage::set().await?;
    let played = stage.play();
    if played.is_err() {
        eprintln!("\nWhat the operator logged last:\n{}", stage.log_tail());
    }
    drop(stage);
    played?;
    say(&format!("That is all. It took {} s, and all that was started is stopped.", started.elapsed().as_secs()));
    Ok(())
}

/// Everything that runs. Dropped in this order: the operator, AWS, the cluster.
struct Stage {
    _operator: Process,
    aws: Emulator,
    _cluster: Process,
    kubectl: PathBuf,
    kubeconfig: String,
    log: PathBuf,
}

/// A process that ends no later than we do.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The cluster takes its own processes down when it is asked to end, so it is asked, not killed.
        drop(self.0.stdin.take());
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl Stage {
    async fn set() -> Done<Self> {
        say("Setting the stage: a Kubernetes API server, an App Runner, and the operator between them.");
        let kubectl = devcluster::Tools::find()?.kubectl();
        let (cluster, kubeconfig) = start_cluster()?;
        let aws = Emulator::start(Config::default()).await?;
        println!("    Kubernetes: KUBECONFIG={kubeconfig}\n    App Runner: {}", aws.url());
        apply(&kubectl, &kubeconfig, &manifest("crds/apprunner-operator.dev_vpcconnectors.yaml")?)?;
        let log = Path::new(&kubeconfig).with_file_name("operator.log");
        println!("    The operator's log: {}", log.display());
        let operator = start_operator(&kubeconfig, &aws.url(), &log)?;
        let stage = Self { _operator: operator, aws, _cluster: cluster, kubectl, kubeconfig, log };
        stage.kubectl(&["create", "namespace", "shop"])?;
        Ok(stage)
    }

    fn play(&self) -> Done {
        self.adopt()?;
        self.delete()?;
        self.in_use()?;
        self.retain()
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        indented(&lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    fn adopt(&self) -> Done {
        say("1. A connector exists in AWS. An object that names its ARN takes it over.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "shop-egress");
        self.create("shop-egress", &arn)?;
        self.kubectl(&["get", "vpcconnector", "--namespace=shop"])?;
        let owner = self.aws.tags(&arn).unwrap_or_default().remove("apprunner-operator.dev/owner");
        println!(
            "    In AWS it carries the tag apprunner-operator.dev/owner={}",
            owner.ok_or("it carries no owner tag")?
        );
        Ok(())
    }

    fn delete(&self) -> Done {
        say(
            "2. Deleting the object deletes the connector. A watch sees the receipt, Status and DeletedAt, before it goes.",
        );
        let arn = self.arn_of("shop-egress")?;
        let watch = self.watch("shop-egress")?;
        self.kubectl(&["delete", "vpcconnector", "shop-egress", "--namespace=shop"])?;
        let seen = watch.seen()?;
        println!("    What `kubectl get vpcconnector shop-egress --watch` showed meanwhile:\n{}", indented(&seen));
        check(seen.contains("Deleted") && seen.contains("INACTIVE"), "the watch did not see the receipt")?;
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Inactive), "the connector is still there")?;
        let calls = self.calls("DeleteVpcConnector");
        println!("    In AWS the connector is INACTIVE, after {calls} call of DeleteVpcConnector.");
        check(calls == 1, "it took more than one call")
    }

    fn in_use(&self) -> Done {
        say("3. App Runner does not delete a connector that a service uses. The object is held, and says so.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "jobs-egress");
        let service = self.aws.create_service(DEFAULT_ACCOUNT, REGION, "web", Some(&arn));
        self.create("jobs-egress", &arn)?;
        self.kubectl(&["delete", "vpcconnector", "jobs-egress", "--namespace=shop", "--wait=false"])?;
        let held = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}=InUse"#;
        self.kubectl(&[
            "wait",
            "vpcconnector/jobs-egress",
            "--namespace=shop",
            "--timeout=30s",
            &format!("--for={held}"),
        ])?;
        self.kubectl(&["get", "vpcconnector", "--namespace=shop"])?;
        self.kubectl(&["events", "--namespace=shop", "--for=vpcconnector/jobs-egress"])?;
        println!("    Now the service that uses it is deleted in AWS. The connector goes at the next attempt.");
        check(self.aws.delete_service(&service), "there is no such service")?;
        self.kubectl(&["wait", "vpcconnector/jobs-egress", "--namespace=shop", "--for=delete", "--timeout=60s"])?;
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Inactive), "the connector is still there")
    }

    fn retain(&self) -> Done {
        say("4. With deletionPolicy Retain the object goes and the connector stays.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "legacy-egress");
        self.create("legacy-egress", &arn)?;
        let patch = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
        self.kubectl(&[
            "patch",
            "vpcconnector",
            "legacy-egress",
            "--namespace=shop",
            "--type=merge",
            "--patch",
            patch,
        ])?;
        self.kubectl(&["delete", "vpcconnector", "legacy-egress", "--namespace=shop"])?;
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Active), "the connector is gone")?;
        println!("    In AWS the connector is ACTIVE, and its owner tag is off.");
        check(self.aws.tags(&arn).unwrap_or_default().is_empty(), "its owner tag is still there")
    }

    /// Applies an object for a connector and waits until it is adopted.
    fn create(&self, name: &str, arn: &str) -> Done {
        let object = format!(
            "apiVersion: apprunner-operator.dev/v1alpha1\nkind: VpcConnector\nmetadata:\n  name: {name}\n  \
             namespace: shop\nspec:\n  arn: {arn}\n  deletionPolicy: Delete\n"
        );
        println!("$ kubectl apply -f - <<'EOF'\n{object}EOF");
        println!("{}", indented(&apply(&self.kubectl, &self.kubeconfig, &object)?));
        let object = format!("vpcconnector/{name}");
        self.kubectl(&["wait", &object, "--namespace=shop", "--for=condition=Ready", "--timeout=30s"])
    }

    /// Runs kubectl as a reader would, and shows both the command and what it printed.
    fn kubectl(&self, arguments: &[&str]) -> Done {
        let shown: Vec<String> = arguments.iter().map(|a| shell_word(a)).collect();
        println!("$ kubectl {}", shown.join(" "));
        let output = self.command(arguments).output()?;
        println!("{}", indented(&String::from_utf8_lossy(&output.stdout)));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    fn arn_of(&self, name: &str) -> Done<String> {
        let jsonpath = ["get", "vpcconnector", name, "--namespace=shop", "--output=jsonpath={.spec.arn}"];
        Ok(String::from_utf8(self.command(&jsonpath).output()?.stdout)?)
    }

    fn watch(&self, name: &str) -> Done<Watch> {
        let arguments = ["get", "vpcconnector", name, "--namespace=shop", "--watch", "--output", WATCHED];
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output of the watch")?);
        let mut first = String::new();
        // The heading and the object as it is: from here on nothing is missed.
        lines.read_line(&mut first)?;
        lines.read_line(&mut first)?;
        Ok(Watch { child: Process(child), lines, seen: first })
    }

    fn status_in_aws(&self, arn: &str) -> Option<ConnectorStatus> {
        self.aws.connector(arn).map(|connector| connector.status)
    }

    fn calls(&self, operation: &str) -> usize {
        let filter = CallFilter { operation: Some(operation.to_owned()), ..CallFilter::default() };
        self.aws.calls_matching(&filter).len()
    }
}

/// A `kubectl get --watch` under way.
struct Watch {
    child: Process,
    lines: BufReader<std::process::ChildStdout>,
    seen: String,
}

impl Watch {
    /// Ends the watch, and gives all that it showed.
    fn seen(mut self) -> Done<String> {
        // The object is gone, but the last lines may still be on their way.
        std::thread::sleep(Duration::from_millis(500));
        drop(self.child);
        for line in self.lines.lines() {
            self.seen.push_str(&line?);
            self.seen.push('\n');
        }
        Ok(self.seen)
    }
}

fn start_cluster() -> Done<(Process, String)> {
    let mut child = Command::new(program("devcluster")?).arg("up").stdout(Stdio::piped()).spawn()?;
    let mut kubeconfig = String::new();
    BufReader::new(child.stdout.take().ok_or("no output of devcluster")?).read_line(&mut kubeconfig)?;
    let cluster = Process(child);
    check(!kubeconfig.is_empty(), "the cluster did not start; what it said stands above")?;
    Ok((cluster, kubeconfig.trim().to_owned()))
}

fn start_operator(kubeconfig: &str, endpoint: &str, log: &Path) -> Done<Process> {
    let child = Command::new("/bin/sh")
        .args(["-c", include_str!("guarded.sh"), "sh"])
        .arg(program("apprunner-operator")?)
        .env("KUBECONFIG", kubeconfig)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", apprunner_emulator::DEFAULT_SECRET_ACCESS_KEY)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stderr(File::create(log)?)
        .spawn()?;
    Ok(Process(child))
}

/// The programs stand one directory above the examples.
fn program(name: &str) -> Done<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().and_then(Path::parent).ok_or("this program stands nowhere")?.join(name);
    if path.is_file() { Ok(path) } else { Err(format!("{} is not built; run `make demo`", path.display()).into()) }
}

fn manifest(path: &str) -> Done<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?)
}

fn apply(kubectl: &Path, kubeconfig: &str, manifest: &str) -> Done<String> {
    let mut command = Command::new(kubectl);
    command.args(["apply", "--filename", "-"]).env("KUBECONFIG", kubeconfig);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("kubectl takes no input")?.write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    check(output.status.success(), &String::from_utf8_lossy(&output.stderr))?;
    Ok(String::from_utf8(output.stdout)?)
}

fn check(holds: bool, otherwise: &str) -> Done {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn say(what: &str) {
    println!("\n== {what}\n");
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
