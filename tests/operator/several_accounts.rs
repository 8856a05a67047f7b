//! One operator for several accounts: `--accounts`, the role of each account, and the namespaces that may use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use apprunner_emulator::{Call, Fault, FaultKind, Operation, Role};
use apprunner_operator::api::VpcConnector;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::{ACCOUNT, REGION, World, eventually, message};

const SHOP: &str = "444455556666";
const JOBS: &str = "777788889999";
/// In no log, no status and no Event.
const EXTERNAL_ID: &str = "prod-eu-1/hush";

/// The metric of the oldest deletion that waits.
const OLDEST: &str = "apprunner_operator_oldest_waiting_deletion_timestamp_seconds";

/// The role of an account.
fn role(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/teams/apprunner-operator")
}

/// An entry of the file that allows an account to some namespaces.
fn entry(account: &str, namespaces: &[&str]) -> Value {
    json!({"role": role(account), "namespaces": namespaces, "externalId": EXTERNAL_ID})
}

impl World {
    /// A world in which the own account may assume a role in each of the other two.
    async fn with_roles() -> Self {
        let world = Self::new().await;
        for account in [SHOP, JOBS] {
            world.let_in(account);
        }
        world
    }

    fn let_in(&self, account: &str) {
        self.emulator.put_role(Role::new(role(account)).trusting(ACCOUNT).with_external_id(EXTERNAL_ID));
    }

    /// Writes a file of accounts, and returns the argument that names it.
    fn accounts(&self, entries: &[Value]) -> String {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("accounts-{}.yaml", self.namespace));
        std::fs::write(&file, serde_json::to_string_pretty(entries).unwrap()).unwrap();
        format!("--accounts={}", file.display())
    }

    fn operator_for(&self, entries: &[Value]) -> Operator {
        self.operator_with(&[&self.accounts(entries), "--metrics-address=127.0.0.1:0"])
    }

    /// Creates a connector of an account, and an object for it.
    async fn create_in(&self, account: &str, name: &str) -> String {
        let arn = self.emulator.create_connector(account, REGION, &format!("conn-{name}"));
        self.create(name, &arn).await;
        arn
    }

    /// Creates a connector of an account, and waits until its object has claimed it.
    async fn claimed_in(&self, account: &str, name: &str) -> String {
        let arn = self.create_in(account, name).await;
        self.reason(name, "Available").await;
        arn
    }

    async fn delete_and_wait(&self, name: &str) {
        self.delete(name).await;
        self.until_deleted(name).await;
    }

    /// The calls that ask for credentials of an account's role.
    fn assumed(&self, account: &str) -> Vec<Call> {
        let calls = self.calls(Operation::AssumeRole).into_iter();
        calls.filter(|call| call.arn.as_deref() == Some(&role(account))).collect()
    }

    /// Asserts that every call to App Runner that names an ARN was signed with credentials of the ARN's account, and
    /// returns the accounts that were called.
    fn called_accounts(&self) -> BTreeSet<String> {
        let app_runner =
            |call: &Call| !["AssumeRole", "GetCallerIdentity"].contains(&call.operation.as_deref().unwrap());
        let calls: Vec<_> = self.emulator.calls().into_iter().filter(app_runner).collect();
        for call in &calls {
            let named = call.arn.as_deref().map(account_of);
            assert!(named.is_none() || named == call.account.as_deref(), "{call:#?}");
        }
        calls.into_iter().filter_map(|call| call.account).collect()
    }
}

fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap()
}

fn last_error(object: &VpcConnector) -> (String, String) {
    let error = object.status.as_ref().unwrap().last_error.clone().unwrap();
    (error.operation, error.code)
}

#[tokio::test]
async fn one_operator_serves_three_accounts_with_a_session_for_each() {
    let world = World::with_roles().await;
    let namespace = world.namespace.clone();
    let operator = world.operator_for(&[entry(SHOP, &[&namespace, "elsewhere"]), entry(JOBS, &["*"])]);
    let objects = [("own", ACCOUNT), ("shop-1", SHOP), ("shop-2", SHOP), ("jobs", JOBS)];
    let arns = join_all(objects.map(|(name, account)| world.claimed_in(account, name))).await;
    join_all(objects.map(|(name, _)| world.delete_and_wait(name))).await;

    assert!(arns.iter().all(|arn| world.inactive(arn)));
    assert_eq!(world.called_accounts(), BTreeSet::from([ACCOUNT, SHOP, JOBS].map(str::to_owned)));
    assert_eq!([SHOP, JOBS].map(|account| world.assumed(account).len()), [1, 1]);
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 1);

    let deletes: BTreeMap<_, _> = operator
        .logged("called AWS")
        .into_iter()
        .filter(|line| line["operation"] == "DeleteVpcConnector")
        .map(|line| (line["name"].as_str().unwrap().to_owned(), (line["account"].clone(), line["region"].clone())))
        .collect();
    assert_eq!(deletes["own"], (json!(ACCOUNT), json!(REGION)));
    assert_eq!(deletes["jobs"], (json!(JOBS), json!(REGION)));
    let (_, metrics) = operator.http_get(0, "/metrics").await;
    for line in [
        format!(
            r#"aws_requests_total{{operation="DeleteVpcConnector",outcome="Done",account="{SHOP}",region="{REGION}"}} 2"#
        ),
        format!(r#"aws_requests_total{{operation="AssumeRole",outcome="Done",account="{JOBS}",region="{REGION}"}} 1"#),
        format!(r#"aws_rate_limit{{account="{JOBS}",region="{REGION}"}}"#),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(!operator.log().contains("hush"), "the log shows the external id");
    let starting = &operator.logged("starting")[0];
    assert_eq!(starting["accounts"], format!("{SHOP},{JOBS}"));
}

#[tokio::test]
async fn waiting_deletions_are_counted_by_account_until_the_last_one_ends() {
    let world = World::with_roles().await;
    let operator = world.operator_for(&[entry(SHOP, &["*"])]);
    let mut deleted_at = BTreeMap::new();
    for (name, account) in [("own", ACCOUNT), ("shop-1", SHOP), ("shop-2", SHOP)] {
        let arn = world.claimed_in(account, name).await;
        world.emulator.create_service(account, REGION, &format!("{name}-web"), Some(&arn));
        world.delete(name).await;
        let object = world.reason(name, "InUse").await;
        let at = object.metadata.deletion_timestamp.unwrap().0.as_second();
        deleted_at.entry(account).or_insert(at);
    }
    let waiting = |account: &str, count: usize| {
        let labels = format!(r#"account="{account}",region="{REGION}""#);
        [
            format!(r#"apprunner_operator_deletions_waiting{{reason="InUse",{labels}}} {count}"#),
            format!("{OLDEST}{{{labels}}} {}", deleted_at[account]),
        ]
    };
    let shown = async |lines: [String; 2]| {
        let shows = async || {
            let (_, text) = operator.http_get(0, "/metrics").await;
            lines.iter().all(|line| text.lines().any(|shown| shown == line)).then_some(text)
        };
        eventually(shows).await.unwrap_or_else(|| panic!("not shown: {lines:?}"))
    };
    shown(waiting(ACCOUNT, 1)).await;
    shown(waiting(SHOP, 2)).await;

    for service in world.emulator.state().into_iter().flat_map(|region| region.services) {
        assert!(account_of(&service.arn) != SHOP || world.emulator.delete_service(&service.arn));
    }
    for name in ["shop-1", "shop-2"] {
        world.until_deleted(name).await;
    }
    let ended = async || {
        let (_, text) = operator.http_get(0, "/metrics").await;
        let of_shop = |line: &&str| line.contains(SHOP) && line.contains("_waiting");
        (text.lines().filter(of_shop).count() == 0).then_some(())
    };
    assert!(eventually(ended).await.is_some(), "the series of the account stay");
    shown(waiting(ACCOUNT, 1)).await;
}

#[tokio::test]
async fn a_namespace_that_is_not_allowed_never_uses_the_account() {
    let world = World::with_roles().await;
    let operator = world.operator_for(&[entry(SHOP, &["elsewhere"])]);
    for (name, account, part) in [
        ("shop", SHOP, format!("namespace {} may not use account {SHOP}", world.namespace)),
        ("jobs", JOBS, "is not listed in --accounts".into()),
    ] {
        let arn = world.create_in(account, name).await;
        let held = world.reason(name, "WrongAccount").await;
        assert!(message(&held).contains(&part), "{}", message(&held));
        world.policy(name, "Retain").await;
        world.delete_and_wait(name).await;
        assert!(!world.inactive(&arn));
    }
    assert_eq!(world.called_accounts(), BTreeSet::new());
    assert_eq!(world.calls(Operation::AssumeRole), []);
    drop(operator);
}

#[tokio::test]
async fn a_removed_account_holds_its_objects_until_it_is_restored_or_they_are_retained() {
    let world = World::with_roles().await;
    let all = [entry(SHOP, &["*"]), entry(JOBS, &["*"])];
    {
        let _operator = world.operator_for(&all);
        join_all(["kept", "retained"].map(|name| world.claimed_in(SHOP, name))).await;
    }
    world.emulator.clear_calls();
    {
        let _operator = world.operator_for(&all[1..]);
        join_all(["kept", "retained"].map(|name| world.delete(name))).await;
        join_all(["kept", "retained"].map(|name| world.reason(name, "WrongAccount"))).await;
        world.policy("retained", "Retain").await;
        world.until_deleted("retained").await;
        let note = world.event("retained", "Retained").await;
        assert!(note.contains("its owner tag remains"), "{note}");
        assert_eq!((world.called_accounts(), world.assumed(SHOP)), (BTreeSet::new(), vec![]));
    }
    let _operator = world.operator_for(&all);
    world.until_deleted("kept").await;
    assert_eq!(world.called_accounts(), BTreeSet::from([SHOP.to_owned()]));
}

#[tokio::test]
async fn a_wrong_external_id_affects_its_account_only_and_is_not_shown() {
    let world = World::with_roles().await;
    world.emulator.put_role(Role::new(role(SHOP)).trusting(ACCOUNT).with_external_id("another-id"));
    let operator = world.operator_for(&[entry(SHOP, &["*"]), entry(JOBS, &["*"])]);
    let arn = world.create_in(SHOP, "shop").await;
    let denied = world.reason("shop", "AccessDenied").await;
    assert!(
        message(&denied).contains("sts:AssumeRole") && message(&denied).contains(&role(SHOP)),
        "{}",
        message(&denied)
    );
    assert_eq!(last_error(&denied), ("AssumeRole".to_owned(), "AccessDenied".to_owned()));
    world.claimed_in(JOBS, "jobs").await;
    world.delete_and_wait("jobs").await;
    let shared = operator.logged("shared failure");
    let ours = shared.iter().find(|line| line["account"] == SHOP).expect("the failure is logged with its account");
    assert!(ours["error"].as_str().unwrap().contains("sts:AssumeRole"), "{ours}");

    world.let_in(SHOP);
    world.reason("shop", "Available").await;
    let ended = operator.logged("shared failure ended");
    assert!(ended.iter().any(|line| line["account"] == SHOP), "{ended:?}");
    assert!(!world.inactive(&arn));
    let shown = [operator.log(), world.notes().await.join("\n")].concat();
    assert!(!shown.contains("hush") && !shown.contains("another-id"), "{shown}");
}

#[tokio::test]
async fn a_role_that_is_deleted_while_a_deletion_waits_holds_it_until_the_role_is_back() {
    let world = World::with_roles().await;
    let _operator = world.operator_for(&[entry(SHOP, &["*"])]);
    let arn = world.claimed_in(SHOP, "shop").await;
    let service = world.emulator.create_service(SHOP, REGION, "web", Some(&arn));
    world.delete("shop").await;
    world.reason("shop", "InUse").await;
    assert!(world.emulator.delete_role(&role(SHOP)));
    world.emulator.delete_service(&service);
    let denied = world.reason("shop", "AccessDenied").await;
    assert_eq!(last_error(&denied).0, "AssumeRole");
    assert!(!world.inactive(&arn));
    world.let_in(SHOP);
    world.until_deleted("shop").await;
    assert!(world.inactive(&arn));
}

#[tokio::test]
async fn a_session_that_expires_is_replaced_by_another() {
    let world = World::with_roles().await;
    let _operator = world.operator_for(&[entry(SHOP, &["*"])]);
    world.claimed_in(SHOP, "shop").await;
    assert_eq!(world.emulator.expire_role_sessions(&role(SHOP)), 1);
    world.delete_and_wait("shop").await;
    assert_eq!(world.assumed(SHOP).len(), 2);
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 1, "the own session is another one");
}

#[tokio::test]
async fn a_session_is_named_after_the_cluster() {
    let world = World::with_roles().await;
    world.lasting_fault(Operation::DescribeVpcConnector, FaultKind::AccessDenied);
    let _operator = world.operator_with(&[&world.accounts(&[entry(SHOP, &["*"])]), "--cluster-id=prod-eu.1"]);
    world.create_in(SHOP, "shop").await;
    let denied = world.reason("shop", "AccessDenied").await;
    let session = format!("arn:aws:sts::{SHOP}:assumed-role/apprunner-operator/apprunner-operator-prod-eu.1");
    assert!(message(&denied).contains(&session), "{}", message(&denied));
}

#[tokio::test]
async fn a_throttled_assume_role_is_repeated_later() {
    let world = World::with_roles().await;
    world.emulator.add_fault(Fault::new(FaultKind::throttling()).on(Operation::AssumeRole).times(3));
    let _operator = world.operator_for(&[entry(SHOP, &["*"])]);
    world.create_in(SHOP, "shop").await;
    let throttled = world.reason("shop", "Throttled").await;
    assert_eq!(last_error(&throttled).0, "AssumeRole");
    world.reason("shop", "Available").await;
    assert_eq!(world.assumed(SHOP).len(), 4);
}

#[tokio::test]
async fn an_answer_for_another_account_is_not_used() {
    let world = World::with_roles().await;
    let other = format!("arn:aws:sts::{JOBS}:assumed-role/apprunner-operator/session");
    world.lasting_fault(Operation::AssumeRole, FaultKind::with("/AssumedRoleUser/Arn", other));
    let _operator = world.operator_for(&[entry(SHOP, &["*"])]);
    world.create_in(SHOP, "shop").await;
    let held = world.reason("shop", "CredentialsRejected").await;
    assert!(message(&held).contains(JOBS) && message(&held).contains(&role(SHOP)), "{}", message(&held));
    assert_eq!(world.called_accounts(), BTreeSet::new());
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 1, "the operator's own credentials are not at fault");
}

#[tokio::test]
async fn an_entry_restricts_the_operators_own_account() {
    let world = World::with_roles().await;
    world.let_in(ACCOUNT);
    {
        let _operator = world.operator_for(&[entry(ACCOUNT, &["elsewhere"])]);
        world.create_in(ACCOUNT, "own").await;
        world.reason("own", "WrongAccount").await;
        assert_eq!(world.called_accounts(), BTreeSet::new());
    }
    let _operator = world.operator_for(&[entry(ACCOUNT, &[&world.namespace])]);
    world.reason("own", "Available").await;
    assert_eq!(world.assumed(ACCOUNT).len(), 1, "another role of the account than the operator's own");
}

#[tokio::test]
async fn the_role_that_the_operator_runs_as_is_not_assumed_again() {
    let mut world = World::with_roles().await;
    world.let_in(ACCOUNT);
    let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{}", world.namespace));
    let profile = format!(
        "[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = not-a-secret\n\
         [default]\nregion = {REGION}\nrole_arn = {}\nexternal_id = {EXTERNAL_ID}\nsource_profile = base\n",
        role(ACCOUNT)
    );
    std::fs::write(&config, profile).unwrap();
    world.settings.access_key = (String::new(), String::new());
    world.settings.environment.push(("AWS_CONFIG_FILE".into(), config.display().to_string()));
    let _operator = world.operator_for(&[entry(ACCOUNT, &["*"]), entry(SHOP, &["*"])]);
    world.claimed_in(ACCOUNT, "own").await;
    assert_eq!(world.assumed(ACCOUNT).len(), 1, "by the profile");
    world.claimed_in(SHOP, "shop").await;
    join_all(["own", "shop"].map(|name| world.delete_and_wait(name))).await;
    assert_eq!(world.called_accounts(), BTreeSet::from([ACCOUNT, SHOP].map(str::to_owned)));
    std::fs::remove_file(config).unwrap();
}

#[tokio::test]
async fn an_account_that_never_answers_delays_no_other() {
    for silent in [Some(Operation::AssumeRole), None] {
        let world = World::with_roles().await;
        let fault = Fault::new(FaultKind::BlackHole { after_effect: false }).forever();
        world.emulator.add_fault(match silent {
            Some(operation) => fault.on(operation).arn(role(SHOP)),
            None => fault.account(SHOP),
        });
        let _operator = world.operator_for(&[entry(SHOP, &["*"]), entry(JOBS, &["*"])]);
        join_all((0..20).map(async |n| world.create_in(SHOP, &format!("shop-{n}")).await)).await;
        let waiting = || world.emulator.calls().iter().any(|call| call.answered_at.is_none());
        assert!(eventually(async || waiting().then_some(())).await.is_some(), "no call of the silent account");
        join_all(["jobs-1", "jobs-2", "jobs-3"].map(|name| world.claimed_in(JOBS, name))).await;
        join_all(["jobs-1", "jobs-2", "jobs-3"].map(|name| world.delete_and_wait(name))).await;
        assert!(waiting(), "the silent account has answered");
    }
}

#[tokio::test]
async fn a_wrong_file_ends_the_operator_and_names_the_line() {
    let world = World::new().await;
    let twice = world.accounts(&[entry(SHOP, &["*"]), entry(SHOP, &["elsewhere"])]);
    let missing = "--accounts=/does/not/exist.yaml".to_owned();
    for (argument, part) in [(twice, format!("account {SHOP} is listed twice")), (missing, "No such file".into())] {
        let output = Command::new(env!("CARGO_BIN_EXE_apprunner-operator")).arg("run").arg(&argument).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&part) && said.contains("--accounts <FILE>") && !said.contains("hush"), "{said}");
    }
    let listed = world.accounts(&[json!({"role": role(SHOP), "namespaces": ["a"], "externalID": EXTERNAL_ID})]);
    let output = Command::new(env!("CARGO_BIN_EXE_apprunner-operator")).arg("run").arg(&listed).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line 3: ") && said.contains("externalID") && !said.contains("hush"), "{said}");
}
