//! Contents and formats of `report`, its omissions, and its behaviour when something cannot be read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use apprunner_emulator::{Fault, FaultKind, Operation, ServiceStatus, StatusCase};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::cluster::{cluster, operator_user_on, run};
use crate::support::operator::PACE;
use crate::support::{ACCOUNT, REGION, World, eventually};

const ELSEWHERE: &str = "eu-west-1";
/// A region without any connectors or services.
const EMPTY: &str = "us-west-2";

/// Exit code and output of a run.
pub(crate) struct Printed {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl Printed {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The report's entry for a region.
    fn region(&self, name: &str) -> Value {
        let json = self.json();
        let regions = json["accounts"][0]["regions"].as_array().unwrap();
        regions.iter().find(|region| region["region"] == name).unwrap().clone()
    }

    /// The report's entry for a connector, by name.
    fn connector(&self, region: &str, name: &str) -> Value {
        let region = self.region(region);
        let connectors = region["connectors"].as_array().unwrap();
        connectors.iter().find(|connector| connector["name"] == name).unwrap().clone()
    }

    fn line(&self, with: &[&str]) -> &str {
        let has_all = |line: &&str| with.iter().all(|word| line.contains(word));
        self.out.lines().find(has_all).unwrap_or_else(|| panic!("no line with {with:?} in\n{}", self.out))
    }
}

pub(crate) fn command(world: &World, kubeconfig: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"));
    command
        .arg("report")
        .args(arguments)
        .env_clear()
        .env("HOME", "/nowhere")
        .env("AWS_ENDPOINT_URL", &world.settings.endpoint)
        .env("AWS_ACCESS_KEY_ID", &world.settings.access_key.0)
        .env("AWS_SECRET_ACCESS_KEY", &world.settings.access_key.1)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("APPRUNNER_OPERATOR_PACE_DIVISOR", PACE.to_string())
        .env("APPRUNNER_OPERATOR_AWS_RATE", "10000")
        .env("APPRUNNER_OPERATOR_AWS_BURST", "10000")
        // A report does not use the operator's own setting for namespaces.
        .env("APPRUNNER_OPERATOR_NAMESPACE", "somewhere")
        .envs(kubeconfig.map(|path| ("KUBECONFIG", path)));
    command
}

/// Runs a command in parallel to the emulator, which lives in this process.
pub(crate) async fn printed(mut command: Command) -> Printed {
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { out: text(stdout), err: text(stderr), code: status.code() }
}

async fn report(world: &World, arguments: &[&str]) -> Printed {
    printed(command(world, Some(&reader(world)), arguments)).await
}

/// Kubeconfig of a user who may read all objects.
fn reader(world: &World) -> PathBuf {
    operator_user_on(&world.cluster).1
}

fn lasting_fault_in(world: &World, region: &str, operation: Operation, kind: FaultKind) {
    world.emulator.add_fault(Fault::new(kind).on(operation).region(region).forever());
}

fn refusal(code: &str) -> FaultKind {
    FaultKind::error(code, 400, "The AWS Access Key Id needs a subscription for the service")
}

/// Two regions: connectors that are free, used, managed, deleted; more services than fit on a page.
async fn mixed_account() -> World {
    let world = World::new().await;
    world.emulator.change_behaviors(|behaviors| {
        behaviors.list_inactive_connectors = true;
        behaviors.list_deleted_services = true;
    });
    let (shop, old) = (world.connector("shop"), world.connector("old-one"));
    world.connector("free");
    world.emulator.delete_connector(&old);
    let jobs = world.emulator.create_connector(ACCOUNT, ELSEWHERE, "jobs");
    for n in 0..21 {
        world.emulator.create_service(ACCOUNT, REGION, &format!("plain-{n:02}"), None);
    }
    let service = |region: &str, name: &str, arn: &str, status| {
        let service = world.emulator.create_service(ACCOUNT, region, name, Some(arn));
        world.emulator.set_service_status(&service, status);
    };
    service(REGION, "front", &shop, ServiceStatus::Running);
    service(REGION, "batch", &shop, ServiceStatus::Paused);
    service(REGION, "gone", &shop, ServiceStatus::Deleted);
    service(ELSEWHERE, "worker", &jobs, ServiceStatus::OperationInProgress);
    world.create("egress", &shop).await;
    world.merge_status("egress", json!({"arn": shop})).await;
    world
}

const MIXED: &str = "--regions=us-west-2,us-east-1,eu-west-1";

#[tokio::test]
async fn table_shows_manager_and_services_of_each_connector() {
    let world = mixed_account().await;
    let printed = report(&world, &[MIXED]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(printed.out.starts_with(&format!("Account {ACCOUNT} (current credentials)\n")), "{}", printed.out);
    let managed = format!("{}/egress", world.namespace);
    printed.line(&[REGION, "shop", "ACTIVE", " no ", &managed, "batch (PAUSED)"]);
    printed.line(&["   ", "front (RUNNING)"]);
    printed.line(&[REGION, "free", "ACTIVE", " yes ", "-"]);
    printed.line(&[REGION, "old-one", "INACTIVE", "deleted"]);
    printed.line(&[ELSEWHERE, "jobs", "ACTIVE", " no ", "worker (OPERATION_IN_PROGRESS)"]);
    printed.line(&["Quota used (10 is AWS's default", "eu-west-1 1 of 10, us-east-1 2 of 10"]);
    printed.line(&["Nothing in: us-west-2"]);
    printed.line(&[REGION, "plain-00", "RUNNING"]);
    printed
        .line(&["1 account, 3 regions: 0 VPC ingress connections, 24 services, 3 VPC connectors (1 deletable, 2 held"]);
    assert!(!printed.out.contains("gone (DELETED)"), "{}", printed.out);
    assert!(printed.err.contains("us-east-1: 23 services, 3 connectors"), "{}", printed.err);
    assert!(!(printed.out.clone() + &printed.err).contains(|c: char| c.is_control() && c != '\n'));
    assert_eq!(world.calls(Operation::ListServices).len(), 4, "two pages, and one for each other region");
    assert_eq!(world.deletes(), 0);
}

fn without_time(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("generatedAt").unwrap();
    report
}

#[tokio::test]
async fn json_and_yaml_agree_and_have_a_stable_order() {
    let world = mixed_account().await;
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let json = printed.json();
    assert_eq!((&json["accounts"][0]["account"], &json["cluster"]["read"]), (&json!(ACCOUNT), &json!(true)));
    assert_eq!((&json["kind"], &json["summary"]["complete"]), (&json!("AppRunnerReport"), &json!(true)));
    let regions: Vec<_> =
        json["accounts"][0]["regions"].as_array().unwrap().iter().map(|region| &region["region"]).collect();
    assert_eq!(regions, [ELSEWHERE, REGION, EMPTY]);
    assert_eq!(printed.region(REGION)["quota"], json!({"used": 2, "awsDefault": 10}));
    assert_eq!(
        printed.region(EMPTY),
        json!({
            "region": EMPTY, "state": "Read", "quota": {"used": 0, "awsDefault": 10},
            "ingressConnections": [], "services": [], "connectors": [], "problems": [],
            "complete": {"ingressConnections": true, "services": true, "connectors": true},
            "unused": {"autoScalingConfigurations": [], "sourceConnections": [], "observabilityConfigurations": []},
        })
    );
    let shop = printed.connector(REGION, "shop");
    assert_eq!(shop["deletable"], json!(false));
    let managed = json!({
        "namespace": world.namespace, "name": "egress", "claimed": true, "reason": null, "deletionPolicy": "Delete",
        "deleting": false,
    });
    assert_eq!(shop["managedBy"], json!([managed]));
    let holders: Vec<_> = shop["heldBy"].as_array().unwrap().iter().map(|s| (&s["name"], &s["status"])).collect();
    assert_eq!(holders, [(&json!("batch"), &json!("PAUSED")), (&json!("front"), &json!("RUNNING"))]);
    let free = printed.connector(REGION, "free");
    assert_eq!((&free["deletable"], &free["managedBy"]), (&json!(true), &json!([])));
    assert_eq!(printed.connector(REGION, "old-one")["deletable"], json!(false));

    let yaml = report(&world, &[MIXED, "-o", "yaml"]).await;
    assert_eq!(without_time(serde_saphyr::from_str(&yaml.out).unwrap()), without_time(json.clone()));
    assert_eq!(without_time(report(&world, &[MIXED, "--output=json"]).await.json()), without_time(json));
}

#[tokio::test]
async fn lower_case_states_are_shown_unchanged_and_mean_the_same() {
    let world = mixed_account().await;
    let documented = report(&world, &[MIXED, "--output=json"]).await;
    world.emulator.change_behaviors(|behaviors| behaviors.status_case = StatusCase::Lower);
    let lower = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!((lower.code, lower.connector(REGION, "shop")["status"].as_str()), (Some(0), Some("active")));
    let words = ["ACTIVE", "INACTIVE", "RUNNING", "PAUSED", "OPERATION_IN_PROGRESS"];
    let quoted = |word: &str| format!("\"{word}\"");
    let expected =
        words.iter().fold(documented.out, |out, word| out.replace(&quoted(word), &quoted(&word.to_lowercase())));
    let expected = serde_json::from_str(&expected).unwrap();
    assert_eq!(without_time(lower.json()), without_time(expected), "nothing but the spelling differs");
    let table = report(&world, &[MIXED]).await;
    table.line(&[REGION, "old-one", "inactive", "deleted"]);
    table.line(&["Quota used (10 is AWS's default", "eu-west-1 1 of 10, us-east-1 2 of 10"]);
    let manifests = report(&world, &[MIXED, "--manifests"]).await.out;
    assert_eq!(manifests.matches("kind: VpcConnector\n").count(), 2, "what is active: {manifests}");
    assert!(
        manifests.contains("# jobs in eu-west-1 of account 111122223333: held by worker (operation_in_progress)\n"),
        "{manifests}"
    );
}

#[tokio::test]
async fn missing_permission_is_named_and_the_readable_rest_is_shown() {
    let world = mixed_account().await;
    for (operation, region, state) in [
        (Operation::ListVpcConnectors, REGION, "PartlyRead"),
        (Operation::ListServices, REGION, "PartlyRead"),
        (Operation::DescribeService, ELSEWHERE, "PartlyRead"),
    ] {
        world.emulator.clear_faults();
        lasting_fault_in(&world, region, operation, FaultKind::AccessDenied);
        let printed = report(&world, &[MIXED, "--output=json"]).await;
        let action = format!("apprunner:{}", operation.name());
        assert_eq!(printed.code, Some(3), "{}", printed.err);
        assert!(printed.err.contains(&format!("in {region}: IAM does not allow {action}: ")), "{}", printed.err);
        let found = printed.region(region);
        assert_eq!((&found["state"], &found["problems"][0]["missingAction"]), (&json!(state), &json!(action)));
        let other =
            if region == REGION { printed.connector(ELSEWHERE, "jobs") } else { printed.connector(REGION, "shop") };
        assert_eq!(other["deletable"], json!(false));
        if operation != Operation::ListVpcConnectors {
            let name = if region == REGION { "free" } else { "jobs" };
            assert_eq!(printed.connector(region, name)["deletable"], Value::Null, "without the services it is unknown");
        }
    }
    let table = report(&world, &[MIXED]).await;
    assert_eq!(table.code, Some(3));
    table.line(&[ELSEWHERE, "jobs", "ACTIVE", "unknown"]);
    table.line(&["Read in part: eu-west-1 (DescribeService AccessDeniedException)"]);
    table.line(&["Not everything could be read."]);
}

#[tokio::test]
async fn region_without_a_subscription_is_no_failure() {
    let world = mixed_account().await;
    for (region, code) in [(EMPTY, "SubscriptionRequiredException"), (ELSEWHERE, "OptInRequired")] {
        let operations = Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetCallerIdentity);
        operations.for_each(|operation| lasting_fault_in(&world, region, operation, refusal(code)));
    }
    let printed = report(&world, &[MIXED]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    printed.line(&["Not subscribed to App Runner: eu-west-1, us-west-2"]);
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    let empty = printed.region(EMPTY);
    assert_eq!(
        (&empty["state"], &empty["connectors"], &empty["problems"]),
        (&json!("NotSubscribed"), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn without_a_cluster_no_connector_is_shown_as_unmanaged() {
    let world = mixed_account().await;
    let down = world.cluster.directory().join("nobody-listens.kubeconfig");
    let mut config: Value = serde_json::from_slice(&std::fs::read(reader(&world)).unwrap()).unwrap();
    config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:9");
    std::fs::write(&down, config.to_string()).unwrap();
    let forbidden = cluster().user_kubeconfig(&format!("stranger-of-{}", world.namespace), None).unwrap();
    for (kubeconfig, says) in
        [(None, "KUBECONFIG"), (Some(down.as_path()), "no answer"), (Some(forbidden.as_path()), "403")]
    {
        let found = printed(command(&world, kubeconfig, &[MIXED, "--output=json"])).await;
        assert_eq!(found.code, Some(0), "the regions were read: {}", found.err);
        assert!(found.err.contains("the cluster could not be read") && found.err.contains(says), "{}", found.err);
        assert_eq!(found.json()["cluster"]["read"], json!(false));
        assert_eq!(found.connector(REGION, "shop")["managedBy"], Value::Null);
        assert_eq!(found.connector(REGION, "free")["managedBy"], Value::Null);
        let table = printed(command(&world, kubeconfig, &[MIXED])).await;
        table.line(&[REGION, "shop", "unknown", "batch (PAUSED)"]);
        table.line(&["Who manages and owns what is not fully known"]);
        assert!(!table.err.contains("cluster"), "the table says it: {}", table.err);
        let manifests = printed(command(&world, kubeconfig, &[MIXED, "--manifests"])).await;
        assert!(manifests.out.contains("name: shop"), "{}", manifests.out);
        assert!(manifests.err.contains("whether objects manage these connectors already is not known"));
    }
}

#[tokio::test]
async fn silent_region_does_not_affect_other_regions() {
    let world = mixed_account().await;
    world.emulator.add_fault(Fault::new(FaultKind::ClosedBeforeEffect).region(ELSEWHERE).forever());
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!(printed.code, Some(3));
    assert!(printed.err.contains("in eu-west-1: no answer to ListVpcConnectors"), "{}", printed.err);
    assert_eq!(printed.region(ELSEWHERE)["state"], json!("NotRead"));
    assert_eq!(printed.region(ELSEWHERE)["quota"], Value::Null);
    assert_eq!(printed.connector(REGION, "shop")["heldBy"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn transient_errors_do_not_affect_the_report() {
    let world = mixed_account().await;
    let kinds = [
        FaultKind::InternalErrorBeforeEffect,
        FaultKind::ClosedBeforeEffect,
        FaultKind::Throttling { code: apprunner_emulator::ThrottlingCode::default(), retry_after_ms: None },
    ];
    for kind in kinds {
        for operation in [Operation::ListVpcConnectors, Operation::ListServices, Operation::DescribeService] {
            world.emulator.add_fault(Fault::new(kind.clone()).on(operation).region(ELSEWHERE));
        }
    }
    world.fault(Operation::GetCallerIdentity, FaultKind::ClosedBeforeEffect);
    // A service that is deleted before it is described uses nothing.
    let gone = FaultKind::error("ResourceNotFoundException", 400, "no such service");
    world.emulator.add_fault(Fault::new(gone).on(Operation::DescribeService).region(REGION));
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert_eq!(printed.connector(ELSEWHERE, "jobs")["heldBy"][0]["name"], json!("worker"));
    assert_eq!(printed.connector(REGION, "free")["deletable"], json!(true));
    assert_eq!(world.emulator.faults(), []);
}

#[tokio::test]
async fn missing_list_is_not_read_as_an_empty_one() {
    let world = mixed_account().await;
    lasting_fault_in(&world, REGION, Operation::ListServices, FaultKind::EmptyBody);
    lasting_fault_in(&world, ELSEWHERE, Operation::ListVpcConnectors, FaultKind::EmptyBody);
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!(printed.code, Some(3));
    assert!(printed.err.contains("the answer has no ServiceSummaryList"), "{}", printed.err);
    assert_eq!(printed.connector(REGION, "free")["deletable"], Value::Null);
    assert_eq!(printed.region(ELSEWHERE)["connectors"], Value::Null);
}

#[tokio::test]
async fn incomplete_reply_does_not_make_a_connector_look_free() {
    let world = mixed_account().await;
    let network = "/Service/NetworkConfiguration";
    for (operation, member, words) in [
        (Operation::DescribeService, network.to_owned(), "DescribeService proved nothing: the answer has no Service.N"),
        (
            Operation::DescribeService,
            format!("{network}/EgressConfiguration/VpcConnectorArn"),
            "has EgressType VPC and no",
        ),
        (Operation::ListServices, "/ServiceSummaryList/0/ServiceArn".into(), "has no ServiceSummaryList.1.ServiceArn"),
        (Operation::ListVpcConnectors, "/VpcConnectors/0/VpcConnectorArn".into(), "no VpcConnectors.1.VpcConnectorArn"),
    ] {
        world.emulator.clear_faults();
        lasting_fault_in(&world, ELSEWHERE, operation, FaultKind::without(&member));
        let printed = report(&world, &[MIXED, "--output=json"]).await;
        assert_eq!(printed.code, Some(3), "{member}");
        assert!(printed.err.contains(words), "{member}: {}", printed.err);
        let region = printed.region(ELSEWHERE);
        if operation == Operation::ListVpcConnectors {
            assert_eq!((&region["state"], &region["connectors"]), (&json!("PartlyRead"), &json!(null)));
        } else {
            let jobs = printed.connector(ELSEWHERE, "jobs");
            assert_eq!((&region["state"], &jobs["deletable"]), (&json!("PartlyRead"), &Value::Null), "{member}");
        }
        assert_eq!(printed.connector(REGION, "free")["deletable"], json!(true), "other regions are complete");
    }
    // The model does not require this member: a service without it sends its traffic out by default.
    world.emulator.clear_faults();
    world.emulator.create_service(ACCOUNT, EMPTY, "plain", None);
    world.emulator.create_connector(ACCOUNT, EMPTY, "idle");
    let default = FaultKind::without("/Service/NetworkConfiguration/EgressConfiguration");
    lasting_fault_in(&world, EMPTY, Operation::DescribeService, default);
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!((printed.code, &printed.connector(EMPTY, "idle")["deletable"]), (Some(0), &json!(true)));
}

#[tokio::test]
async fn unreadable_service_hides_no_other_service() {
    let world = mixed_account().await;
    let first = world.emulator.state().into_iter().find(|place| place.region == REGION).unwrap().services.remove(0);
    let fault = Fault::new(FaultKind::without("/Service/NetworkConfiguration")).on(Operation::DescribeService);
    world.emulator.add_fault(fault.arn(&first.arn).forever());
    let printed = report(&world, &[MIXED, "--output=json"]).await;
    assert_eq!(printed.code, Some(3));
    let shop = printed.connector(REGION, "shop");
    assert_eq!(shop["heldBy"].as_array().unwrap().len(), 2, "the other services are described");
    assert_eq!(printed.connector(REGION, "free")["deletable"], Value::Null);
}

#[tokio::test]
async fn missing_credentials_are_an_error_and_nothing_is_called() {
    let world = World::new().await;
    let mut command = command(&world, None, &[]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let printed = printed(command).await;
    assert_eq!((printed.code, printed.out.as_str()), (Some(1), ""));
    assert!(printed.err.contains("no AWS credentials; give some"), "{}", printed.err);
    assert_eq!(printed.err.lines().count(), 1, "what the operator logs is not for a terminal: {}", printed.err);
    assert_eq!(world.emulator.calls(), []);
}

#[tokio::test]
async fn closed_output_pipe_is_no_error() {
    let world = mixed_account().await;
    let mut child = command(&world, None, &[MIXED]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && !err.contains("pipe") && !err.contains("panic"), "{err}");
}

#[tokio::test]
async fn applied_manifests_are_claimed_and_none_are_left() {
    let world = mixed_account().await;
    // The same name twice, names that YAML would read as another type, and one that an object has already.
    world.emulator.create_connector(ACCOUNT, ELSEWHERE, "free");
    for name in ["1234", "true", "Null", "0x1f", "1e10", "2026-01-01", "Snake_Case_", "egress"] {
        world.connector(name);
    }
    let operator = world.operator();
    let namespace = format!("--namespace={}", world.namespace);
    let arguments = [MIXED, "--manifests", &namespace, "--deletion-policy=retain"];
    let printed = report(&world, &arguments).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(
        printed.out.contains("# jobs in eu-west-1 of account 111122223333: held by worker (OPERATION_IN_PROGRESS)\n"),
        "{}",
        printed.out
    );
    assert_eq!(printed.out.matches("deletionPolicy: Retain\n").count(), 11, "{}", printed.out);
    assert!(!printed.out.contains("old-one"), "{}", printed.out);
    let file = world.cluster.directory().join(format!("{}.yaml", world.namespace));
    std::fs::write(&file, &printed.out).unwrap();
    run(world.cluster.kubectl().args(["apply", "--dry-run=server", "--filename"]).arg(&file));
    run(world.cluster.kubectl().args(["apply", "--filename"]).arg(&file));
    let adopted = async || (world.available().await == 12).then_some(());
    assert!(eventually(adopted).await.is_some(), "only {} are available", world.available().await);
    let mut names: Vec<_> =
        world.api.list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    let expected = [
        "0x1f-us-east-1",
        "1234-us-east-1",
        "1e10-us-east-1",
        "2026-01-01-us-east-1",
        "egress",
        "egress-us-east-1",
        "free-eu-west-1",
        "free-us-east-1",
        "jobs-eu-west-1",
        "null-us-east-1",
        "snake-case-us-east-1",
        "true-us-east-1",
    ];
    assert_eq!(names, expected);
    drop(operator);

    let again = report(&world, &arguments).await;
    assert_eq!((again.code, again.out.as_str()), (Some(0), ""), "{}", again.err);
    assert!(again.err.contains("no manifests"), "{}", again.err);
}

#[tokio::test]
async fn manifests_always_have_a_deletion_policy_and_a_namespace_on_request() {
    let world = World::new().await;
    world.connector("shop");
    let printed = report(&world, &["--regions=us-east-1", "--manifests"]).await;
    let manifest: Value = serde_saphyr::from_str(&printed.out).unwrap();
    assert_eq!(manifest["metadata"], json!({"name": "shop-us-east-1"}));
    assert_eq!(manifest["spec"]["deletionPolicy"], json!("Retain"));
    for wrong in
        [["--namespace=shop", "--output=json"], ["--manifests", "--output=json"], ["--manifests", "--namespace=A"]]
    {
        let printed = report(&world, &wrong).await;
        assert_eq!((printed.code, printed.out.as_str()), (Some(2), ""), "{wrong:?}: {}", printed.err);
    }
}

#[tokio::test]
async fn report_keeps_the_rate_limit_of_a_region() {
    let world = World::new().await;
    let arn = world.connector("shop");
    for n in 0..7 {
        world.emulator.create_service(ACCOUNT, REGION, &format!("web-{n}"), Some(&arn));
    }
    let mut command = command(&world, None, &["--regions=us-east-1", "--aws-rate=4", "--aws-burst=3", "-o", "json"]);
    command.env_remove("APPRUNNER_OPERATOR_AWS_RATE").env_remove("APPRUNNER_OPERATOR_AWS_BURST");
    let began = std::time::Instant::now();
    let printed = printed(command).await;
    assert_eq!(printed.connector(REGION, "shop")["heldBy"].as_array().unwrap().len(), 7);
    assert!(began.elapsed() >= Duration::from_millis(1500), "nine calls, of which three are free");
}
