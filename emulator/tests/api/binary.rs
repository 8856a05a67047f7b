//! The emulator as a process, and the start and stop of the handle.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use apprunner_emulator::{AccessKey, Config, Emulator, Error, Role};

use crate::helpers::{Caller, eventually};

/// A process that the end of the test kills.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> (Process, BufReader<ChildStdout>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-emulator"));
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (Process(child), out, line.trim_end().to_owned())
}

#[tokio::test]
async fn prints_its_url_and_ends_on_sigterm() {
    let keys = ["--access-key", "AKONE:secret:111122223333", "--access-key", "AKTWO:secret:444455556666:token"];
    let role = "arn:aws:iam::777788889999:role/reader";
    let roles = ["--role", &format!("{role},trust=111122223333,external-id=a-shared-id")];
    let (mut process, mut out, url) = start(&[&keys[..], &["--quota", "1"], &roles].concat());
    for (id, token, account) in [("AKONE", None, "111122223333"), ("AKTWO", Some("token"), "444455556666")] {
        let caller = Caller { id, secret: "secret", token, region: "eu-west-1" };
        let identity = caller.sts(&url).get_caller_identity().send().await.unwrap();
        assert_eq!(identity.account(), Some(account));
    }
    let caller = Caller { id: "AKONE", secret: "secret", token: None, region: "eu-west-1" };
    let assume = caller.sts(&url).assume_role().role_arn(role).role_session_name("tests").external_id("a-shared-id");
    assert!(assume.send().await.is_ok());
    let client = caller.client(&url);
    let create = |name: &str| client.create_vpc_connector().vpc_connector_name(name).subnets("subnet-1").send();
    create("one1").await.unwrap();
    assert!(create("two2").await.unwrap_err().into_service_error().is_service_quota_exceeded_exception());

    let kill = Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert!(process.0.wait().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "it prints only the URL");
}

#[test]
fn wrong_arguments_are_rejected_without_their_secret() {
    let role = "arn:aws:iam::111122223333:role/reader";
    for (variable, value, part) in [
        ("APPRUNNER_EMULATOR_ACCESS_KEYS", "AKONE:hush", "ID:SECRET:ACCOUNT"),
        ("APPRUNNER_EMULATOR_ROLES", &format!("{role};{role},trust=x,external-id=hush"), "ARN[,trust=PRINCIPAL]"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-emulator"));
        let output = command.env(variable, value).output().unwrap();
        assert!(!output.status.success());
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(part) && !printed.contains("hush"), "{printed}");
    }
}

#[tokio::test]
async fn stop_and_drop_close_the_server() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let address = emulator.address();
    emulator.stop().await;
    let again = Emulator::start(Config { listen: address, ..Config::default() }).await.unwrap();
    let arn = again.create_connector("111122223333", "eu-central-1", "shop");
    let client = Caller::default().client(&again.url());
    client.describe_vpc_connector().vpc_connector_arn(arn).send().await.unwrap();
    drop(again);
    eventually("the server does not answer", async || client.list_vpc_connectors().send().await.is_err()).await;
}

#[tokio::test]
async fn start_returns_the_reason_of_its_failure() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let taken = Config { listen: emulator.address(), ..Config::default() };
    assert!(matches!(Emulator::start(taken).await, Err(Error::Listen { .. })));
    let access_keys = vec![AccessKey::new("AKID", "secret", "12")];
    let wrong = Config { access_keys, ..Config::default() };
    assert!(matches!(Emulator::start(wrong).await, Err(Error::Account { .. })));
    let wrong = Config { roles: vec![Role::new("reader")], ..Config::default() };
    assert!(matches!(Emulator::start(wrong).await, Err(Error::Role { .. })));
}
