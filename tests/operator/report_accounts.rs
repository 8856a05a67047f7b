//! `report` and `adopt` over several accounts: the whole chain of resources, the plan, exit codes, and the difference.

use std::path::PathBuf;
use std::process::Command;

use apprunner_emulator::{AccessKey, Config, Emulator, Fault, FaultKind, Operation, Role};
use serde_json::{Value, json};

use crate::report::{Printed, command, printed};
use crate::support::cluster::operator_user_on;
use crate::support::{ACCOUNT, REGION, World};

const OTHER: &str = "444455556666";
const ROLE: &str = "arn:aws:iam::444455556666:role/reader";
const REGIONS: &str = "--regions=us-east-1,eu-west-1";

impl World {
    /// Two accounts, each with a chain from a VPC ingress connection to a connector, and the file that names the other.
    async fn with_two_accounts() -> (Self, String) {
        let world = Self::new().await;
        world.emulator.put_role(Role::new(ROLE).trusting(ACCOUNT));
        for account in [ACCOUNT, OTHER] {
            let shop = world.emulator.create_connector(account, REGION, "shop");
            let web = world.emulator.create_service(account, REGION, "web-shop", Some(&shop));
            world.emulator.create_service(account, "eu-west-1", "alone", None);
            world.emulator.create_ingress_connection(&web, "web-in").unwrap();
            assert!(world.emulator.add_custom_domain(&web, "shop.example.com"));
            world.emulator.create_auto_scaling_configuration(account, REGION, "tight");
        }
        let file = world.file("report-accounts.yaml");
        std::fs::write(&file, format!("- role: {ROLE}\n  namespaces: [\"*\"]\n")).unwrap();
        let argument = format!("--accounts={}", file.display());
        (world, argument)
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", self.namespace))
    }
}

async fn report(world: &World, arguments: &[&str]) -> Printed {
    let reader = operator_user_on(&world.cluster).1;
    printed(command(world, Some(&reader), &[&[REGIONS], arguments].concat())).await
}

fn region_of(report: &Value, account: &str, region: &str) -> Value {
    let accounts = report["accounts"].as_array().unwrap();
    let account = accounts.iter().find(|one| one["account"] == account).unwrap();
    account["regions"].as_array().unwrap().iter().find(|one| one["region"] == region).unwrap().clone()
}

#[tokio::test]
async fn one_run_reads_the_whole_chain_of_every_account() {
    let (world, accounts) = World::with_two_accounts().await;
    let printed = report(&world, &[&accounts, "-o", "json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let json: Value = serde_json::from_str(&printed.out).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../docs/reference/report.schema.json")).unwrap();
    jsonschema::validate(&schema, &json).unwrap_or_else(|error| panic!("{error}"));
    for account in [ACCOUNT, OTHER] {
        let here = region_of(&json, account, REGION);
        let (service, ingress) = (&here["services"][0], &here["ingressConnections"][0]);
        assert_eq!(ingress["status"], "AVAILABLE");
        assert_eq!((&ingress["service"], &service["ingressConnections"]), (&service["arn"], &json!([ingress["arn"]])));
        assert_eq!(service["connectors"], json!([here["connectors"][0]["arn"]]));
        assert_eq!(service["customDomains"], json!(["shop.example.com"]));
        assert_eq!(here["connectors"][0]["heldBy"][0]["name"], "web-shop");
        assert_eq!(here["unused"]["autoScalingConfigurations"][0]["name"], "tight");
        assert_eq!(region_of(&json, account, "eu-west-1")["services"][0]["connectors"], json!([]));
    }
    assert_eq!(json["summary"]["services"], 4);
    let with_role = world.emulator.calls().into_iter().filter(|call| call.account.as_deref() == Some(OTHER)).count();
    assert!(with_role > 10, "the other account is read with its role");

    let plan = report(&world, &[&accounts, "--plan", "--quiet"]).await;
    assert_eq!((plan.code, plan.err.as_str()), (Some(0), ""));
    for part in [
        "delete-vpc-ingress-connection --region us-east-1 --vpc-ingress-connection-arn arn:aws:apprunner:us-east-1:4444",
        "web-shop   RUNNING; after web-in; custom domains: shop.example.com",
        "shop   after web-shop; no object manages it: run apprunner-operator adopt",
        "aws ec2 describe-network-interfaces --region us-east-1",
        "delete-auto-scaling-configuration",
        "AWSServiceRoleForAppRunnerNetworking",
    ] {
        assert!(plan.out.contains(part), "{part}\n{}", plan.out);
    }
    assert!(!plan.out.to_lowercase().contains("safe"), "{}", plan.out);
    assert_eq!(world.deletes(), 0);
}

#[tokio::test]
async fn each_profile_is_read_with_its_own_credentials() {
    let world = World::new().await;
    let keys = [("AKIDONE", ACCOUNT), ("AKIDTWO", OTHER)];
    let access_keys = keys.map(|(key, account)| AccessKey::new(key, "not-a-secret", account)).to_vec();
    let emulator = Emulator::start(Config { access_keys, ..Config::default() }).await.unwrap();
    emulator.create_connector(ACCOUNT, REGION, "first");
    emulator.create_connector(OTHER, REGION, "second");
    let config = world.file("profiles");
    let profiles = keys.map(|(key, _)| {
        format!("[profile {key}]\naws_access_key_id = {key}\naws_secret_access_key = not-a-secret\nregion = {REGION}\n")
    });
    std::fs::write(&config, profiles.concat()).unwrap();
    let run = async |profiles: &str| {
        let mut command = command(&world, None, &[REGIONS, "-o=json", profiles]);
        command.env("AWS_ENDPOINT_URL", emulator.url()).env("AWS_CONFIG_FILE", &config);
        // The keys in the environment are not those of a profile.
        command.env("AWS_ACCESS_KEY_ID", "AKIDUNKNOWN");
        printed(command).await
    };
    let both = run("--profile=AKIDONE,AKIDTWO").await;
    assert_eq!(both.code, Some(0), "{}", both.err);
    let json: Value = serde_json::from_str(&both.out).unwrap();
    for (account, name) in [(ACCOUNT, "first"), (OTHER, "second")] {
        assert_eq!(region_of(&json, account, REGION)["connectors"][0]["name"], name);
    }
    assert_eq!(json["accounts"][1]["credentials"], json!({"profile": "AKIDTWO"}));
    let half = run("--profile=AKIDONE,missing").await;
    assert_eq!(half.code, Some(3), "{}", half.err);
    assert!(half.err.contains("in profile missing: ") && half.err.contains("has no profile missing"), "{}", half.err);
    assert_eq!(run("--profile=AKIDONE,,AKIDTWO").await.code, Some(2));
    let twice = run("--profile=AKIDONE,AKIDONE").await;
    assert!(twice.code == Some(0) && twice.err.contains("which another profile reads"), "{}", twice.err);
    std::fs::remove_file(config).unwrap();
}

#[tokio::test]
async fn the_exit_code_says_if_something_is_held_or_unread() {
    let (world, accounts) = World::with_two_accounts().await;
    for (fail_on, code) in [("none", 0), ("blocked", 1), ("unread", 0)] {
        assert_eq!(report(&world, &[&format!("--fail-on={fail_on}")]).await.code, Some(code), "{fail_on}");
    }
    world.emulator.delete_role(ROLE);
    for (fail_on, code) in [("none", 0), ("unread", 3)] {
        let printed = report(&world, &[&accounts, &format!("--fail-on={fail_on}")]).await;
        assert_eq!(printed.code, Some(code), "{fail_on}: {}", printed.err);
        assert!(printed.err.contains("sts:AssumeRole") && printed.out.contains("Not read: "), "{}", printed.out);
        assert!(printed.out.contains("web-shop"), "the own account is read");
    }
    for wrong in ["--fail-on=sometimes", "--output=pdf", "--accounts=/does/not/exist"] {
        assert_eq!(report(&world, &[wrong]).await.code, Some(2), "{wrong}");
    }
    assert_eq!(report(&world, &["--diff=old.json", "--output=csv"]).await.code, Some(2));
    let old = world.file("no-report.json");
    std::fs::write(&old, "{}").unwrap();
    let refused = report(&world, &[&format!("--diff={}", old.display())]).await;
    assert!(refused.code == Some(1) && refused.err.contains("--diff: it is no report"), "{}", refused.err);
}

#[tokio::test]
async fn the_difference_shows_what_went() {
    let (world, accounts) = World::with_two_accounts().await;
    let old = world.file("old.json");
    std::fs::write(&old, report(&world, &[&accounts, "-o=json"]).await.out).unwrap();
    let diff = format!("--diff={}", old.display());
    let same = report(&world, &[&accounts, &diff]).await;
    assert!(same.out.contains("Nothing changed."), "{}", same.out);
    let state = world.emulator.state();
    let place = state.iter().find(|place| place.account == OTHER && place.region == REGION).unwrap();
    assert!(world.emulator.delete_service(&place.services[0].arn));
    let printed = report(&world, &[&accounts, &diff]).await;
    assert!(printed.out.contains(&format!("Gone:\n  {OTHER} {REGION} Service web-shop")), "{}", printed.out);
    assert!(printed.out.contains("held by [web-shop] -> deletable yes"), "{}", printed.out);
    let json = report(&world, &[&accounts, &diff, "-o=json"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["gone"][0]["name"], "web-shop");

    world.emulator.add_fault(Fault::new(FaultKind::AccessDenied).on(Operation::ListServices).account(OTHER).forever());
    let unread = report(&world, &[&accounts, &diff]).await;
    assert!(!unread.out.contains("Gone:") && unread.out.contains("\nUnknown, since"), "{}", unread.out);
    assert!(unread.out.ends_with("Not everything was read in both reports.\n"), "{}", unread.out);
}

#[tokio::test]
async fn an_orphan_and_a_connector_of_another_cluster_are_told_apart() {
    let world = World::new().await;
    let tag = |value: &str, name: &str| {
        let tags = [("apprunner-operator.dev/owner", value)];
        world.emulator.create_connector_with_tags(ACCOUNT, REGION, name, &tags)
    };
    let orphan = format!("here/{}/gone", world.namespace);
    tag(&orphan, "orphan");
    tag("elsewhere/shop/egress", "foreign");
    let shown = report(&world, &["--cluster-id=here"]).await;
    let line = |name: &str| shown.out.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("orphan  ").contains(&format!("{}/gone (orphan)", world.namespace)), "{}", shown.out);
    assert!(line("foreign").contains("cluster elsewhere: shop/egress"), "{}", shown.out);

    let mut adopt = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"));
    let reader = operator_user_on(&world.cluster).1;
    let inherited: Vec<_> =
        command(&world, Some(&reader), &[]).get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
    adopt.args(["adopt", REGIONS, "--cluster-id=here", "--into-namespace=shop", "-q"]).env_clear().envs(inherited);
    let adopted = printed(adopt).await;
    assert_eq!((adopted.code, adopted.err.as_str()), (Some(0), ""));
    for part in [
        "deletionPolicy: Retain",
        "# its owner tag is of this cluster, and its object is gone",
        "# careful: it belongs to another owner, so this object cannot claim it: cluster elsewhere: shop/egress",
        "name: orphan-us-east-1\n  namespace: shop\n",
    ] {
        assert!(adopted.out.contains(part), "{part}\n{}", adopted.out);
    }
    world.fault(Operation::ListTagsForResource, FaultKind::AccessDenied);
    let unread = report(&world, &["--cluster-id=here"]).await;
    assert!(unread.out.contains(" ? ") && unread.code == Some(3), "{}", unread.out);
}

/// The regions of an entry say where the account may be used, and not where it has resources.
#[tokio::test]
async fn a_region_in_which_an_account_may_not_be_used_is_read() {
    let (world, _) = World::with_two_accounts().await;
    let file = world.file("restricted.yaml");
    std::fs::write(&file, format!("- role: {ROLE}\n  namespaces: [a]\n  regions: [us-west-2]\n")).unwrap();
    let printed = report(&world, &[&format!("--accounts={}", file.display()), "-o=json"]).await;
    let json: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(region_of(&json, OTHER, REGION)["connectors"][0]["name"], "shop");
}

/// A session that ends between two pages is no reason to take the rest of a list for absent.
#[tokio::test]
async fn a_list_that_breaks_off_hides_nothing_in_any_format() {
    let (world, accounts) = World::with_two_accounts().await;
    for n in 0..25 {
        world.emulator.create_service(OTHER, REGION, &format!("more-{n:02}"), None);
    }
    let old = world.file("whole.json");
    std::fs::write(&old, report(&world, &[&accounts, "-o=json"]).await.out).unwrap();
    let second_page = Fault::new(FaultKind::expired_token()).on(Operation::ListServices).account(OTHER).region(REGION);
    let whole = report(&world, &[&accounts, &format!("--diff={}", old.display())]).await;
    assert!(whole.out.contains("Nothing changed.\n"), "{}", whole.out);
    let cut = async |arguments: &[&str]| {
        world.emulator.clear_faults();
        world.emulator.add_fault(second_page.clone().skip(1).forever());
        report(&world, &[&[accounts.as_str()], arguments].concat()).await
    };
    let difference = cut(&[&format!("--diff={}", old.display())]).await;
    assert!(!difference.out.contains("Gone:") && difference.out.contains("Service more-24"), "{}", difference.out);
    let csv = cut(&["-o=csv"]).await;
    assert!(csv.out.contains(&format!("{OTHER},{REGION},Service,unknown")), "{}", csv.out);
    let json: Value = serde_json::from_str(&cut(&["-o=json"]).await.out).unwrap();
    assert_eq!(region_of(&json, OTHER, REGION)["complete"]["services"], false);
}

#[tokio::test]
async fn a_large_account_is_read_within_its_burst() {
    let (world, _) = World::with_two_accounts().await;
    for n in 0..9 {
        world.emulator.create_service(ACCOUNT, REGION, &format!("more-{n}"), None);
    }
    let mut command = command(&world, None, &[REGIONS, "-o=json", "-q"]);
    command.env_remove("APPRUNNER_OPERATOR_AWS_RATE").env_remove("APPRUNNER_OPERATOR_AWS_BURST");
    let printed = printed(command).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let calls = world.emulator.calls().iter().filter(|call| call.region.as_deref() == Some(REGION)).count();
    assert!(calls <= 40, "{calls} calls, of which 40 need no wait");
}
