//! Shows the operator at work, with a real API server, real `kubectl` commands, and the App Runner emulator as AWS.
//!
//! Run it with `make demo`. It ends by itself, leaves nothing running, and fails if any step has another result than
//! the text says.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its purpose is to print")]

mod test_bed;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use apprunner_emulator::{CallFilter, Config, ConnectorStatus, DEFAULT_ACCOUNT, IngressConnectionStatus, Role};
use test_bed::{Process, Result, TestBed, check, exit};

const REGION: &str = "us-east-1";
/// Another account, whose role the operator assumes.
const OTHER_ACCOUNT: &str = "444455556666";
const ROLE: &str = "arn:aws:iam::444455556666:role/apprunner-operator";
/// Columns shown while the deletion of an object is watched.
const WATCHED: &str = "custom-columns=REASON:.status.conditions[0].reason,STATUS:.status.status,DELETED AT:.status.deletedAt,FINALIZERS:.metadata.finalizers";

#[tokio::main]
async fn main() -> ExitCode {
    exit("demo", demonstrate().await)
}

async fn demonstrate() -> Result {
    let started = Instant::now();
    say("Starting the test bed: a Kubernetes API server, an App Runner, and the operator between them.");
    let role = Role::new(ROLE).trusting(DEFAULT_ACCOUNT);
    let bed = TestBed::start(Config { roles: vec![role], ..Config::default() }).await?;
    std::fs::write(bed.accounts(), format!("- role: {ROLE}\n  namespaces: [shop]\n"))?;
    let _operator = bed.start_operator(&[&bed.accounts_flag()])?;
    println!("    Kubernetes: KUBECONFIG={}\n    App Runner: {}", bed.kubeconfig, bed.aws.url());
    println!("    The operator's log: {}", bed.log.display());
    bed.kubectl(&["create", "namespace", "shop"])?;
    let outcome = bed.run_scenes();
    if outcome.is_err() {
        eprintln!("\nThe operator's last log lines:\n{}", indented(&bed.log_tail()));
    }
    drop(bed);
    outcome?;
    say(&format!("Done in {} s. Everything that was started is stopped.", started.elapsed().as_secs()));
    Ok(())
}

impl TestBed {
    fn run_scenes(&self) -> Result {
        self.adopt()?;
        self.delete()?;
        self.in_use()?;
        self.retain()?;
        self.leave()
    }

    fn adopt(&self) -> Result {
        say("1. A connector exists in AWS. An object that names its ARN claims it.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "shop-egress");
        self.create("shop-egress", &arn)?;
        self.kubectl(&["get", "vpcc", "--namespace=shop"])?;
        let owner = self.aws.tags(&arn).unwrap_or_default().remove("apprunner-operator.dev/owner");
        println!(
            "    In AWS it carries the tag apprunner-operator.dev/owner={}",
            owner.ok_or("it carries no owner tag")?
        );
        Ok(())
    }

    fn delete(&self) -> Result {
        say(
            "2. Deleting the object deletes the connector. A watch sees the receipt, Status and DeletedAt, before the object is removed.",
        );
        let arn = self.arn_of("shop-egress")?;
        let read_before = self.calls("ListTagsForResource");
        let watch = self.watch("shop-egress")?;
        self.kubectl(&["delete", "vpcc", "shop-egress", "--namespace=shop"])?;
        let seen = watch.seen()?;
        println!("    What `kubectl get vpcc shop-egress --watch` showed meanwhile:\n{}", indented(&seen));
        check(seen.contains("Deleted") && seen.contains("INACTIVE"), "the watch did not see the receipt")?;
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Inactive), "the connector is still there")?;
        let (read, deleted) = (self.calls("ListTagsForResource") - read_before, self.calls("DeleteVpcConnector"));
        println!(
            "    In AWS the connector is INACTIVE, after two calls: ListTagsForResource, which reads the owner tag,"
        );
        println!("    and DeleteVpcConnector.");
        check((read, deleted) == (1, 1), "it took other calls than these two")
    }

    fn in_use(&self) -> Result {
        say("3. App Runner refuses to delete a connector that services use, and does not name them. The object does.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "jobs-egress");
        let services = ["jobs", "shop"].map(|name| self.aws.create_service(DEFAULT_ACCOUNT, REGION, name, Some(&arn)));
        self.create("jobs-egress", &arn)?;
        self.kubectl(&["delete", "vpcc", "jobs-egress", "--namespace=shop", "--wait=false"])?;
        self.wait_for_blockers("jobs, shop")?;
        self.kubectl(&["get", "vpcc", "--namespace=shop"])?;
        let message = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
        self.kubectl(&["get", "vpcc/jobs-egress", "--namespace=shop", "--output", message])?;
        println!("\n    Now one of the services is deleted in AWS, and then the other: then the connector is deleted.");
        check(self.aws.delete_service(&services[1]), "there is no such service")?;
        self.wait_for_blockers("jobs")?;
        check(self.aws.delete_service(&services[0]), "there is no such service")?;
        let released = Instant::now();
        self.kubectl(&["wait", "vpcc/jobs-egress", "--namespace=shop", "--for=delete", "--timeout=60s"])?;
        println!(
            "    That was {:.1} s after the last service released the connector.",
            released.elapsed().as_secs_f32()
        );
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Inactive), "the connector is still there")
    }

    fn wait_for_blockers(&self, services: &str) -> Result {
        let blocked = format!("--for=jsonpath={{.status.blockedBySummary}}={services}");
        self.kubectl(&["wait", "vpcc/jobs-egress", "--namespace=shop", "--timeout=30s", &blocked])
    }

    fn retain(&self) -> Result {
        say("4. With deletionPolicy Retain the object is deleted and the connector stays.");
        let arn = self.aws.create_connector(DEFAULT_ACCOUNT, REGION, "legacy-egress");
        self.create("legacy-egress", &arn)?;
        let patch = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
        self.kubectl(&["patch", "vpcc", "legacy-egress", "--namespace=shop", "--type=merge", "--patch", patch])?;
        self.kubectl(&["delete", "vpcc", "legacy-egress", "--namespace=shop"])?;
        check(self.status_in_aws(&arn) == Some(ConnectorStatus::Active), "the connector is deleted")?;
        println!("    In AWS the connector is ACTIVE, and its owner tag is removed.");
        check(self.aws.tags(&arn).unwrap_or_default().is_empty(), "its owner tag is still there")
    }

    fn leave(&self) -> Result {
        say("5. The way out of App Runner, for two accounts: delete first, migrate later.");
        let create = |account, name| self.aws.create_connector(account, REGION, name);
        let (shared, forgotten) = (create(OTHER_ACCOUNT, "team-egress"), create(DEFAULT_ACCOUNT, "forgotten"));
        let service = |name| self.aws.create_service(OTHER_ACCOUNT, REGION, name, Some(&shared));
        let (web, batch) = (service("storefront"), service("batch"));
        let ingress = self.aws.create_ingress_connection(&web, "storefront-vpc").ok_or("there is no such service")?;
        self.operator(&["report", &self.accounts_flag(), "--regions=us-east-1", "--quiet"])?;
        println!("    Every connector without an object gets one. With Retain nothing can be lost yet.");
        let adopt = ["adopt", "--accounts=accounts.yaml", "--regions=us-east-1", "--into-namespace=shop", "--quiet"];
        println!("$ apprunner-operator {} | kubectl apply -f -", adopt.join(" "));
        let adopted =
            self.operator_command(&[&adopt[..1], &[&self.accounts_flag()], &adopt[2..]].concat())?.output()?;
        println!("{}", indented(&self.apply(&String::from_utf8(adopted.stdout)?)?));
        let objects = ["vpcc/team-egress-us-east-1", "vpcc/forgotten-us-east-1"];
        for object in objects {
            self.kubectl(&["wait", object, "--namespace=shop", "--for=condition=Ready", "--timeout=30s"])?;
            let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
            self.kubectl(&["patch", object, "--namespace=shop", "--type=merge", "--patch", patch])?;
        }
        self.kubectl(&["delete", objects[0], objects[1], "--namespace=shop", "--wait=false"])?;
        self.kubectl(&["wait", objects[1], "--namespace=shop", "--for=delete", "--timeout=60s"])?;
        check(self.status_in_aws(&forgotten) == Some(ConnectorStatus::Inactive), "the free connector is still there")?;
        println!("    The free connector is gone. The other one waits; the plan says for what.");
        self.operator(&["report", &self.accounts_flag(), "--regions=us-east-1", "--quiet", "--plan"])?;
        println!("    Its services are migrated, one after the other, and deleted in AWS.");
        self.aws.set_ingress_connection_status(&ingress, IngressConnectionStatus::Deleted);
        check(self.aws.delete_service(&web) && self.aws.delete_service(&batch), "there is no such service")?;
        self.kubectl(&["wait", objects[0], "--namespace=shop", "--for=delete", "--timeout=60s"])?;
        check(self.status_in_aws(&shared) == Some(ConnectorStatus::Inactive), "the connector is still there")?;
        let last = ["report", &self.accounts_flag(), "--regions=us-east-1", "--quiet", "--fail-on=blocked"];
        self.operator(&last)
    }

    /// The file of the accounts.
    fn accounts(&self) -> PathBuf {
        self.log.with_file_name("accounts.yaml")
    }

    fn accounts_flag(&self) -> String {
        format!("--accounts={}", self.accounts().display())
    }

    /// Runs a command of the operator's program, and prints both the command and its output.
    fn operator(&self, arguments: &[&str]) -> Result {
        let shown: Vec<_> =
            arguments.iter().map(|word| word.replace(&self.accounts_flag(), "--accounts=accounts.yaml")).collect();
        println!("$ apprunner-operator {}", shown.join(" "));
        let output = self.operator_command(arguments)?.output()?;
        println!("{}", indented(&String::from_utf8_lossy(&output.stdout)));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }

    /// Applies an object for a connector and waits until the connector is claimed.
    fn create(&self, name: &str, arn: &str) -> Result {
        let object = object(name, arn);
        println!("$ kubectl apply -f - <<'EOF'\n{object}EOF");
        println!("{}", indented(&self.apply(&object)?));
        let object = format!("vpcc/{name}");
        self.kubectl(&["wait", &object, "--namespace=shop", "--for=condition=Ready", "--timeout=30s"])
    }

    /// Runs kubectl as a reader would, and prints both the command and its output.
    fn kubectl(&self, arguments: &[&str]) -> Result {
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

    fn arn_of(&self, name: &str) -> Result<String> {
        let jsonpath = ["get", "vpcc", name, "--namespace=shop", "--output=jsonpath={.spec.arn}"];
        Ok(String::from_utf8(self.command(&jsonpath).output()?.stdout)?)
    }

    fn watch(&self, name: &str) -> Result<Watch> {
        let arguments = ["get", "vpcc", name, "--namespace=shop", "--watch", "--output", WATCHED];
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output of the watch")?);
        let mut first = String::new();
        // Reads the heading and the object's current state: from here on the watch misses nothing.
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

/// A running `kubectl get --watch`.
struct Watch {
    child: Process,
    lines: BufReader<std::process::ChildStdout>,
    seen: String,
}

impl Watch {
    /// Ends the watch, and returns its whole output.
    fn seen(mut self) -> Result<String> {
        // The object is deleted, but the watch may still be printing its last lines.
        std::thread::sleep(Duration::from_millis(500));
        drop(self.child);
        for line in self.lines.lines() {
            self.seen.push_str(&line?);
            self.seen.push('\n');
        }
        Ok(self.seen)
    }
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

/// Manifest of an object that claims a connector.
fn object(name: &str, arn: &str) -> String {
    format!(
        "apiVersion: apprunner-operator.dev/v1alpha1\nkind: VpcConnector\nmetadata:\n  name: {name}\n  \
         namespace: shop\nspec:\n  arn: {arn}\n  deletionPolicy: Delete\n"
    )
}
