//! The log: one line when a shared failure begins and one when it ends, and one line for each change in AWS.

use std::path::PathBuf;

use apprunner_emulator::{AccessKey, Fault, FaultKind, Operation};
use futures::future::join_all;
use serde_json::Value;

use crate::support::operator::Operator as Running;
use crate::support::proxy::{self, Calls};
use crate::support::{ACCOUNT, OTHER, World, eventually, message};

/// With four objects a line per object would be noticed.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Number of times that a failure occurs before it ends.
const TIMES: usize = 3;

impl World {
    /// Creates objects of connectors that are not claimed yet.
    async fn create_all(&self) {
        for name in NAMES {
            self.create(name, &self.connector(&format!("conn-{name}"))).await;
        }
    }

    /// Waits until all objects have this reason, and returns their messages.
    async fn all_messages(&self, reason: &str) -> Vec<String> {
        join_all(NAMES.map(async |name| message(&self.reason(name, reason).await).to_owned())).await
    }

    async fn all_available(&self) {
        join_all(NAMES.map(|name| self.reason(name, "Available"))).await;
    }
}

impl Running {
    /// The lines of these levels, in the order they were written.
    fn at(&self, levels: &[&str]) -> Vec<Value> {
        self.lines().into_iter().filter(|line| levels.iter().any(|level| line["level"] == *level)).collect()
    }

    fn warnings(&self) -> Vec<Value> {
        self.at(&["WARN", "ERROR"])
    }

    /// Waits until the log has repeated `times` times that a failure lasts.
    async fn until_repeated(&self, trouble: &str, times: usize) {
        let repeated = || self.logged("shared failure continues").into_iter();
        let at_debug = |line: &Value| line["trouble"] == trouble && line["level"] == "DEBUG";
        let enough = async || (repeated().filter(at_debug).count() >= times).then_some(());
        assert!(eventually(enough).await.is_some(), "{trouble} was not repeated {times} times");
    }

    /// Waits until the log reports the end of a failure.
    async fn until_over(&self) {
        assert!(eventually(async || (!self.endings().is_empty()).then_some(())).await.is_some(), "it never ended");
    }

    fn endings(&self) -> Vec<Value> {
        self.at(&["INFO"]).into_iter().filter(|line| line["message"] == "shared failure ended").collect()
    }

    /// Checks that the log has exactly one failure, with these words, logged once when it began and once when it ended.
    fn assert_logged_once(&self, trouble: &str, words: &str) {
        let (warnings, endings) = (self.warnings(), self.endings());
        let errors = |lines: &[Value]| lines.iter().map(|line| error(line).to_owned()).collect::<Vec<_>>();
        assert_eq!(errors(&warnings), [words]);
        assert_eq!(errors(&endings), [words]);
        assert_eq!(warnings[0]["message"], "shared failure");
        assert_eq!(warnings[0]["trouble"], trouble);
        assert!(endings[0]["lasted_ms"].as_u64().is_some(), "{}", endings[0]);
    }
}

/// The error of a line, in the words of the conditions.
fn error(line: &Value) -> &str {
    line["error"].as_str().unwrap_or_default()
}

fn expired() -> FaultKind {
    FaultKind::expired_token()
}

/// A world in which the wait for credentials is short.
async fn with_short_credential_wait() -> World {
    let mut world = World::new().await;
    world.settings.pace = 100;
    world
}

/// Has STS fail for every object, at least `TIMES` times, and then recover; returns the message of the conditions.
async fn while_sts_fails(kind: FaultKind, reason: &str, trouble: &str) -> String {
    let world = with_short_credential_wait().await;
    world.lasting_fault(Operation::GetCallerIdentity, kind);
    world.create_all().await;
    let operator = world.operator();
    let held = world.all_messages(reason).await;
    assert!(held.iter().all(|words| *words == held[0]), "{held:?}");
    operator.until_repeated(trouble, TIMES).await;
    assert!(world.calls(Operation::GetCallerIdentity).len() > TIMES);
    assert_eq!(operator.warnings().len(), 1);
    world.emulator.clear_faults();
    world.all_available().await;
    operator.assert_logged_once(trouble, &held[0]);
    held[0].clone()
}

#[tokio::test]
async fn missing_credentials_and_their_recovery_are_logged_once() {
    let mut world = with_short_credential_wait().await;
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("credentials-{}", world.namespace));
    world.settings.access_key = (String::new(), String::new());
    world.settings.environment.push(("AWS_SHARED_CREDENTIALS_FILE".into(), file.display().to_string()));
    world.create_all().await;
    let operator = world.operator();
    let held = world.all_messages("CredentialsRejected").await;
    operator.until_repeated("NoCredentials", TIMES).await;
    assert!(held[0].starts_with("no AWS credentials were found: "), "{}", held[0]);
    assert_eq!(operator.warnings().len(), 1);
    assert_eq!(world.emulator.calls(), [], "AWS has no part in it");

    let AccessKey { id, secret, .. } = AccessKey::default();
    let profile = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(&file, profile).unwrap();
    world.all_available().await;
    operator.assert_logged_once("NoCredentials", &held[0]);
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn credentials_rejected_by_sts_are_logged_once() {
    let words = while_sts_fails(expired(), "CredentialsRejected", "CredentialsRejected").await;
    assert!(words.starts_with("AWS does not accept the credentials for GetCallerIdentity: ExpiredToken"), "{words}");
}

#[tokio::test]
async fn wrong_clock_is_logged_once() {
    let words = while_sts_fails(FaultKind::skewed_clock(), "CredentialsRejected", "WrongClock").await;
    assert!(words.starts_with("the clock here differs from AWS's"), "{words}");
}

#[tokio::test]
async fn silent_sts_is_logged_once() {
    let words = while_sts_fails(FaultKind::ClosedBeforeEffect, "Unreachable", "Unreachable").await;
    assert!(words.starts_with("no answer to GetCallerIdentity: "), "{words}");
}

#[tokio::test]
async fn credentials_expired_during_the_run_are_logged_once_for_both_services() {
    let world = World::new().await;
    let operator = world.operator();
    world.create_all().await;
    world.all_available().await;
    world.emulator.add_fault(Fault::new(expired()).forever());
    join_all(NAMES.map(|name| world.delete(name))).await;
    world.all_messages("CredentialsRejected").await;
    operator.until_repeated("CredentialsRejected", TIMES).await;
    world.emulator.clear_faults();
    join_all(NAMES.map(|name| world.until_deleted(name))).await;
    let words = error(&operator.warnings()[0]).to_owned();
    assert!(words.starts_with("AWS does not accept the credentials for ListTagsForResource: "), "{words}");
    operator.assert_logged_once("CredentialsRejected", &words);
    assert_eq!(operator.logged("AWS credentials are of this account").len(), 1, "it is the same one all the time");
}

#[tokio::test]
async fn rejection_by_app_runner_alone_is_logged_once_with_its_region() {
    let world = World::new().await;
    let operator = world.operator();
    world.lasting_fault(Operation::DescribeVpcConnector, expired());
    world.create_all().await;
    world.all_messages("CredentialsRejected").await;
    operator.until_repeated("CredentialsRejected", 2 * NAMES.len()).await;
    let logged = operator.warnings().remove(0);
    assert_eq!((logged["account"].as_str(), logged["region"].as_str()), (Some(ACCOUNT), Some("us-east-1")));
    world.emulator.clear_faults();
    world.all_available().await;
    operator.assert_logged_once("CredentialsRejected", error(&logged));
}

#[tokio::test]
async fn wrong_account_is_logged_once_and_ends_with_the_last_object() {
    let world = World::new().await;
    world.create_all().await;
    let operator = world.operator_of_other_account();
    let held = world.all_messages("WrongAccount").await;
    assert!(held[0].contains(ACCOUNT) && held[0].contains(OTHER.2), "{}", held[0]);
    operator.until_repeated("WrongAccount", 2 * NAMES.len()).await;
    for (left, name) in NAMES.into_iter().enumerate().rev() {
        world.policy(name, "Retain").await;
        world.delete(name).await;
        world.until_deleted(name).await;
        assert!(left == 0 || operator.endings().is_empty(), "{left} objects still have it");
    }
    operator.until_over().await;
    operator.assert_logged_once("WrongAccount", &held[0]);
    assert_eq!(operator.endings()[0]["objects"], NAMES.len());
}

#[tokio::test]
async fn account_taken_from_the_credentials_is_logged_once() {
    let mut world = World::new().await;
    world.lasting_fault(Operation::GetCallerIdentity, FaultKind::ClosedBeforeEffect);
    world.settings.environment.push(("AWS_ACCOUNT_ID".into(), ACCOUNT.into()));
    let operator = world.operator();
    world.create_all().await;
    world.all_available().await;
    let logged = operator.warnings();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["trouble"], "UnconfirmedAccount");
    assert!(error(&logged[0]).contains(ACCOUNT), "{}", logged[0]);
}

const MANY: usize = 50;

/// Fifty objects whose deletion App Runner fails until its faults are cleared.
async fn fifty_being_deleted(world: &World) -> Vec<String> {
    let names: Vec<_> = (0..MANY).map(|n| format!("egress-{n}")).collect();
    for name in &names {
        world.create(name, &world.connector(&format!("conn-{name}"))).await;
    }
    let claimed = async || (world.available().await == MANY).then_some(());
    assert!(eventually(claimed).await.is_some());
    world.lasting_fault(Operation::DeleteVpcConnector, FaultKind::service_unavailable());
    world.delete_all().await;
    join_all(names.iter().map(|name| world.reason(name, "ServiceError"))).await;
    names
}

#[tokio::test]
async fn silent_api_server_with_fifty_objects_is_at_most_a_few_log_lines() {
    let world = World::new().await;
    let proxy = world.proxy().await;
    let operator = world.operator_through(&proxy);
    let names = fifty_being_deleted(&world).await;
    assert_eq!(operator.warnings(), Vec::<Value>::new());

    proxy.refuse().await;
    world.emulator.clear_faults();
    let failed = || operator.logged("reconcile failed; the object is requeued").len();
    let enough = async || (failed() >= 6 * MANY).then_some(());
    assert!(eventually(enough).await.is_some(), "only {} reconciles failed", failed());
    proxy.allow().await;

    join_all(names.iter().map(|name| world.until_deleted(name))).await;
    operator.until_over().await;
    let logged = operator.warnings();
    assert!(logged.len() <= 10, "{} lines: {logged:#?}", logged.len());
    let outages: Vec<_> = logged.iter().filter(|line| line["trouble"] == "ApiServer").collect();
    assert_eq!(outages.len(), 1, "{outages:#?}");
    assert!(error(outages[0]).starts_with("the API server does not answer; "), "{}", outages[0]);
    let endings = operator.endings();
    assert_eq!(endings.len(), 1, "{endings:#?}");
    assert!(endings[0]["objects"].as_u64() > Some(MANY as u64 / 2), "{}", endings[0]);
}

#[tokio::test]
async fn api_server_that_is_not_up_yet_is_two_log_lines() {
    let world = World::new().await;
    let proxy = world.proxy().await;
    proxy.refuse().await;
    let operator = world.operator_through(&proxy);
    operator.until_repeated("ApiServer", TIMES).await;
    proxy.allow().await;
    world.claimed("egress").await;
    assert_eq!((operator.warnings().len(), operator.endings().len()), (1, 1), "{}", operator.log());
    assert_eq!(operator.warnings()[0]["trouble"], "ApiServer");
}

#[tokio::test]
async fn silent_app_runner_with_fifty_objects_is_two_log_lines() {
    let world = World::new().await;
    let operator = world.operator();
    let names = fifty_being_deleted(&world).await;
    world.emulator.refuse_connections_until_allowed().await;
    operator.until_repeated("Unreachable", 3 * MANY).await;
    world.emulator.allow_connections().await;
    world.emulator.clear_faults();
    join_all(names.iter().map(|name| world.until_deleted(name))).await;
    let logged = operator.warnings();
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(error(&logged[0]).starts_with("no answer to "), "{}", logged[0]);
    assert_eq!(operator.endings().len(), 1);
}

#[tokio::test]
async fn failure_of_one_object_is_logged_once() {
    let world = World::new().await;
    let proxy = world.proxy().await;
    let operator = world.operator_through(&proxy);
    world.claimed("egress").await;
    // Each reconcile fetches the object once and tries again before it fails.
    let conflict = proxy::Fault::new(proxy::FaultKind::status(409));
    proxy.fault(conflict.on(Calls::finalizer_removed()).times(2 * 5));
    world.delete("egress").await;
    world.until_deleted("egress").await;
    let failed = operator.logged("reconcile failed; the object is requeued");
    let levels: Vec<_> = failed.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["ERROR", "DEBUG", "DEBUG", "DEBUG", "DEBUG"]);
}

/// Operation and outcome of the calls that were logged at a level.
fn calls(operator: &Running, level: &str) -> Vec<(String, String)> {
    let lines = operator.logged("called AWS").into_iter().filter(|line| line["level"] == level);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    lines.map(|line| (word(&line["operation"]), word(&line["outcome"]))).collect()
}

#[tokio::test]
async fn each_change_in_aws_is_one_log_line_and_reads_are_none() {
    let world = World::new().await;
    let operator = world.operator();
    let arn = world.claimed("egress").await;
    world.fault(Operation::DeleteVpcConnector, FaultKind::ClosedAfterEffect);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    let done = |operation: &str| (operation.to_owned(), "Done".to_owned());
    let lost = ("DeleteVpcConnector".to_owned(), "Unknown".to_owned());
    assert_eq!(calls(&operator, "INFO"), [done("TagResource"), lost]);
    let reads = calls(&operator, "DEBUG");
    for operation in ["GetCallerIdentity", "DescribeVpcConnector", "ListTagsForResource"] {
        assert!(reads.contains(&done(operation)), "{operation}: {reads:?}");
    }

    let line = operator.logged("called AWS").into_iter().find(|line| line["operation"] == "TagResource").unwrap();
    let fields = ["namespace", "name", "arn", "region"].map(|field| line[field].as_str().unwrap_or_default());
    assert_eq!(fields, [world.namespace.as_str(), "egress", arn.as_str(), "us-east-1"]);
    assert!(line["request_id"].is_string() && line["duration_ms"].is_u64() && line["error"].is_null(), "{line}");
    let span = ["object.namespace", "object.name", "arn"].map(|field| line["span"][field].as_str().unwrap_or_default());
    assert_eq!(span, [world.namespace.as_str(), "egress", arn.as_str()], "every line of a reconcile has its span");
}
