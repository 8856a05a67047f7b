//! The run that the picture shows: claims, deletions, services that block them, throttling, and an access error.

use std::fs;
use std::process::Command;
use std::time::Duration;

use apprunner_emulator::{DEFAULT_ACCOUNT, Fault, FaultKind, Operation, ThrottlingCode};
use tokio::time::sleep;

use crate::test_bed::{Process, Result, TestBed, check};

const REGION: &str = "us-east-1";
const OTHER_REGION: &str = "eu-west-1";
/// Another account, whose role the operator assumes.
const OTHER_ACCOUNT: &str = "444455556666";
pub(crate) const ROLE: &str = "arn:aws:iam::444455556666:role/apprunner-operator";
/// Milliseconds until the emulator answers these operations; it answers the others at once.
const LATENCIES: [(Operation, u64); 5] = [
    (Operation::DescribeVpcConnector, 120),
    (Operation::ListTagsForResource, 60),
    (Operation::TagResource, 180),
    (Operation::DeleteVpcConnector, 250),
    (Operation::ListServices, 90),
];

/// Starts the operator and takes it through the run; returns the operator, which still runs.
pub(crate) async fn run(bed: &TestBed, metrics: &str) -> Result<Process> {
    let file = bed.log.with_file_name("accounts.yaml");
    fs::write(&file, format!("- role: {ROLE}\n  namespaces: [shop]\n"))?;
    let accounts = format!("--accounts={}", file.display());
    // With fewer workers than by default, few objects wait for a worker as many would.
    let operator = bed.start_operator(&[&accounts, &format!("--metrics-address={metrics}"), "--concurrency=4"])?;
    bed.kubectl("create namespace shop")?;
    bed.answers(&[]);
    pause(10).await;

    say("22 connectors of two accounts and two regions are claimed");
    let connector = |account, region, name: &str| bed.aws.create_connector(account, region, name);
    for (account, region, name, number) in [
        (DEFAULT_ACCOUNT, REGION, "web", 12),
        (DEFAULT_ACCOUNT, OTHER_REGION, "shop", 4),
        (OTHER_ACCOUNT, REGION, "audit", 1),
    ] {
        for n in 0..number {
            connector(account, region, &format!("{name}-{n}"));
        }
    }
    let own = ["orders", "billing", "forgotten", "kept"].map(|name| connector(DEFAULT_ACCOUNT, REGION, name));
    let ledger = connector(OTHER_ACCOUNT, REGION, "ledger");
    let regions = format!("--regions={REGION},{OTHER_REGION}");
    let adopt = ["adopt", &accounts, &regions, "--into-namespace=shop", "--deletion-policy=Delete", "--quiet"];
    bed.apply(&String::from_utf8(bed.operator_command(&adopt)?.output()?.stdout)?)?;
    bed.kubectl("wait vpcc --all --for=condition=Ready --timeout=120s")?;
    pause(10).await;

    say("three are deleted: IAM does not allow the deletion of one, and services use the others");
    let denied = Fault::new(FaultKind::AccessDenied).on(Operation::DeleteVpcConnector).arn(&ledger).forever();
    bed.answers(std::slice::from_ref(&denied));
    bed.delete("ledger", REGION)?;
    pause(10).await;
    let services = [&own[0], &own[1]].map(|arn| bed.aws.create_service(DEFAULT_ACCOUNT, REGION, "web", Some(arn)));
    bed.delete("orders billing", REGION)?;
    pause(20).await;

    say("nine are deleted; of these one is gone in AWS, and one is kept there");
    check(bed.aws.forget_connector(&own[2]), "there is no such connector")?;
    bed.kubectl(r#"patch vpcc/kept-us-east-1 --type=merge --patch={"spec":{"deletionPolicy":"Retain"}}"#)?;
    let nine = "web-0 web-1 web-2 web-3 web-4 web-5 web-6 forgotten kept";
    bed.delete(nine, REGION)?;
    bed.gone(nine, REGION)?;
    pause(15).await;

    say("AWS throttles the deletion of four in another region");
    let throttled = FaultKind::Throttling { code: ThrottlingCode::ThrottlingException, retry_after_ms: None };
    bed.answers(&[Fault::new(throttled).region(OTHER_REGION).times(3), denied]);
    let four = "shop-0 shop-1 shop-2 shop-3";
    bed.delete(four, OTHER_REGION)?;
    bed.gone(four, OTHER_REGION)?;

    say("the refused deletion stalls");
    bed.kubectl("wait vpcc/ledger-us-east-1 --for=condition=Stalled --timeout=200s")?;
    pause(15).await;

    say("one service after the other is deleted, and then IAM allows the deletion");
    for (service, connector) in services.iter().zip(["orders", "billing"]) {
        check(bed.aws.delete_service(service), "there is no such service")?;
        bed.gone(connector, REGION)?;
        pause(10).await;
    }
    bed.answers(&[]);
    bed.kubectl("annotate vpcc/ledger-us-east-1 apprunner-operator.dev/reconcile-requested-at=now")?;
    bed.gone("ledger", REGION)?;
    pause(20).await;
    Ok(operator)
}

impl TestBed {
    /// Sets the faults of the emulator, and after them the time that its other answers take.
    fn answers(&self, faults: &[Fault]) {
        self.aws.clear_faults();
        let late = |(operation, ms)| Fault::new(FaultKind::Delay { ms }).on(operation).forever();
        for fault in faults.iter().cloned().chain(LATENCIES.map(late)) {
            self.aws.add_fault(fault);
        }
    }

    fn delete(&self, connectors: &str, region: &str) -> Result {
        self.kubectl(&format!("delete --wait=false {}", objects(connectors, region)))
    }

    fn gone(&self, connectors: &str, region: &str) -> Result {
        self.kubectl(&format!("wait --for=delete --timeout=120s {}", objects(connectors, region)))
    }

    fn kubectl(&self, arguments: &str) -> Result {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments.split(' ')).arg("--namespace=shop").env("KUBECONFIG", &self.kubeconfig);
        let output = command.output()?;
        check(output.status.success(), &String::from_utf8_lossy(&output.stderr))
    }
}

/// The objects that `adopt` makes of connectors.
fn objects(connectors: &str, region: &str) -> String {
    connectors.split(' ').map(|name| format!("vpcc/{name}-{region}")).collect::<Vec<_>>().join(" ")
}

fn say(step: &str) {
    println!("== {step}");
}

/// Lets the panels show the state for some seconds.
async fn pause(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
