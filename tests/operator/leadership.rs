//! Several operators, one of which leads; and the probes and metrics of each.

use std::time::{Duration, Instant};

use apprunner_emulator::{FaultKind, Operation};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;

use crate::support::cluster::{requests_of, run};
use crate::support::operator::Operator;
use crate::support::proxy::{Calls, Fault, FaultKind as Wrong, Proxy};
use crate::support::{World, eventually};

impl World {
    /// An operator that works only while it leads, and serves probes and metrics.
    fn candidate(&self) -> Operator {
        let lease = format!("--lease-namespace={}", self.namespace);
        let addresses = ["--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"];
        self.operator_with(&["--leader-election=true", &lease, addresses[0], addresses[1]])
    }

    /// A candidate behind a proxy that plays `fault` for every Lease call from the start.
    async fn candidate_behind_proxy(&mut self, fault: Option<Fault>) -> (Operator, Proxy) {
        self.allow_election();
        let proxy = self.proxy().await;
        fault.map(|fault| proxy.fault(fault.on(lease_calls()).forever()));
        let lease = format!("--lease-namespace={}", self.namespace);
        self.settings.arguments.extend(["--leader-election=true".to_owned(), lease]);
        let operator = self.operator_through(&proxy);
        operator.until_leading().await;
        (operator, proxy)
    }

    async fn lease(&self) -> Option<LeaseSpec> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        leases.get_opt("apprunner-operator").await.unwrap()?.spec
    }

    async fn holder(&self) -> Option<String> {
        self.lease().await?.holder_identity
    }

    /// Returns whether this operator has led all the time since the Lease was created.
    async fn was_always_led_by(&self, operator: &Operator) -> bool {
        let lease = self.lease().await.unwrap();
        lease.holder_identity.is_some_and(|who| who.ends_with(&operator.identity()))
            && lease.lease_transitions == Some(0)
    }
}

fn lease_calls() -> Calls {
    Calls::any().resource("leases")
}

/// Waits until `more` further renewals have succeeded.
async fn wait_for_renewals(proxy: &Proxy, more: usize) {
    let granted = || {
        let updates = proxy.requests_matching(&Calls::verb("update").resource("leases"));
        updates.iter().filter(|update| update.status == Some(200)).count()
    };
    let before = granted();
    let renewed = async || (granted() >= before + more).then_some(());
    assert!(eventually(renewed).await.is_some(), "{} renewals", granted() - before);
}

/// Lets every Lease call hang for this long, counted from the first.
async fn stall_lease_calls(proxy: &Proxy, time: Duration) {
    let stall = proxy.fault(Fault::new(Wrong::BlackHoleBeforeEffect).on(lease_calls()).forever());
    let over = async || {
        let stalled = proxy.requests_matching(&lease_calls()).into_iter().find(|call| call.fault.is_some());
        stalled.is_some_and(|first| first.at.elapsed() >= time).then_some(())
    };
    assert!(eventually(over).await.is_some(), "there is no Lease call");
    proxy.clear_fault(stall);
}

impl Operator {
    async fn until_leading(&self) {
        assert!(eventually(async || self.is_leading().then_some(())).await.is_some(), "it never led");
    }

    fn is_leading(&self) -> bool {
        !self.logged("leading").is_empty()
    }

    fn is_standing_by(&self) -> bool {
        !self.logged("waiting for the Lease").is_empty() && !self.is_leading()
    }

    async fn until_ready(&self) {
        let ready = async || (self.http_get(0, "/readyz").await.0 == 200).then_some(());
        assert!(eventually(ready).await.is_some(), "{:?}", self.http_get(0, "/readyz").await);
    }

    fn signal(&self, name: &str) {
        run(std::process::Command::new("kill").args([name, &self.id().to_string()]));
    }
}

#[tokio::test]
async fn one_of_two_operators_works_and_the_other_stands_by() {
    let world = World::new().await;
    world.allow_election();
    let first = world.candidate();
    first.until_leading().await;
    let second = world.candidate();
    second.until_ready().await;
    assert!(second.is_standing_by());
    first.until_ready().await;
    let arn = world.claimed("egress").await;
    assert!(
        requests_of(&second.user).iter().all(|request| request.resource != "vpcconnectors"),
        "the standby reads no objects"
    );

    let killed = Instant::now();
    drop(first);
    second.until_leading().await;
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?} after a kill", killed.elapsed());
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1);
}

#[tokio::test]
async fn stopping_leader_finishes_its_call_and_releases_the_lease() {
    let world = World::new().await;
    world.allow_election();
    let mut first = world.candidate();
    first.until_leading().await;
    let second = world.candidate();
    second.until_ready().await;
    let arn = world.claimed("egress").await;
    world.fault(Operation::DeleteVpcConnector, FaultKind::LateAnswer { ms: 1_000 });
    world.delete("egress").await;
    assert!(eventually(async || (world.deletes() == 1).then_some(())).await.is_some());

    first.terminate();
    assert!(first.ended().await.success());
    let stopped = Instant::now();
    second.until_leading().await;
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?} after a clean stop", stopped.elapsed());
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(world.deletes(), 1, "the first finished it");
    assert!(world.holder().await.unwrap().ends_with(second.identity().as_str()));
}

#[tokio::test]
async fn leader_frozen_past_its_lease_does_nothing_when_it_continues() {
    let world = World::new().await;
    world.allow_election();
    let mut frozen = world.candidate();
    frozen.until_leading().await;
    let arn = world.claimed("egress").await;
    frozen.signal("-STOP");
    let second = world.candidate();
    second.until_leading().await;
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    let (calls, requests) = (world.emulator.calls().len(), requests_of(&frozen.user).len());

    frozen.signal("-CONT");
    let status = frozen.ended().await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(frozen.log().contains("the Lease was lost"), "{}", frozen.log());
    assert_eq!(world.emulator.calls().len(), calls, "it called AWS");
    let writes = requests_of(&frozen.user).split_off(requests);
    assert!(writes.iter().all(|request| request.verb == "get" || request.verb == "watch"), "{writes:?}");
    assert!(second.is_leading());
}

/// Log lines for the first failing Lease call and for the recovery.
const FAILURE_AND_RECOVERY: [&str; 2] =
    ["a call for the Lease failed; it is tried again", "calls for the Lease work again"];

#[tokio::test]
async fn three_seconds_for_each_lease_call_end_no_leadership() {
    let mut world = World::new().await;
    let (mut operator, proxy) = world.candidate_behind_proxy(Some(Fault::new(Wrong::Delay { ms: 3_000 }))).await;
    world.claimed("egress").await;
    wait_for_renewals(&proxy, 5).await;
    world.claimed("late").await;
    assert!(world.was_always_led_by(&operator).await);
    assert!(operator.logged(FAILURE_AND_RECOVERY[0]).is_empty(), "{}", operator.log());
    operator.terminate();
    assert!(operator.ended().await.success());
    assert_eq!(world.holder().await, None, "it was released");
}

#[tokio::test]
async fn seven_second_stall_ends_no_leadership_and_is_logged_once() {
    let mut world = World::new().await;
    let (operator, proxy) = world.candidate_behind_proxy(None).await;
    stall_lease_calls(&proxy, Duration::from_secs(7)).await;
    wait_for_renewals(&proxy, 2).await;
    world.claimed("egress").await;
    assert!(world.was_always_led_by(&operator).await);
    assert_eq!(FAILURE_AND_RECOVERY.map(|line| operator.logged(line).len()), [1, 1], "{}", operator.log());
}

#[tokio::test]
async fn renewal_with_a_lost_answer_is_repeated_and_keeps_the_leadership() {
    let mut world = World::new().await;
    let (operator, proxy) = world.candidate_behind_proxy(None).await;
    proxy.fault(Fault::new(Wrong::ClosedAfterEffect).on(Calls::verb("update").resource("leases")));
    let since = async || {
        let calls = proxy.requests_matching(&lease_calls());
        let lost = calls.iter().position(|call| call.fault.is_some())?;
        let calls = calls.into_iter().skip(lost).take(4);
        let answered: Vec<_> = calls.map(|call| (call.verb, call.effect, call.status)).collect();
        (answered.len() == 4 && answered[3].2.is_some()).then_some(answered)
    };
    let calls = eventually(since).await.expect("no renewal follows");
    let calls: Vec<_> = calls.iter().map(|(verb, effect, status)| (verb.as_str(), effect.unwrap(), *status)).collect();
    let expected =
        [("update", 200, None), ("update", 409, Some(409)), ("get", 200, Some(200)), ("update", 200, Some(200))];
    assert_eq!(calls, expected);
    assert!(world.was_always_led_by(&operator).await);
}

#[tokio::test]
async fn leader_exits_after_ten_seconds_without_a_renewal() {
    let mut world = World::new().await;
    let (mut operator, proxy) = world.candidate_behind_proxy(None).await;
    wait_for_renewals(&proxy, 1).await;
    let stalled = Instant::now();
    let _ends = proxy.fault(Fault::new(Wrong::BlackHoleBeforeEffect).on(lease_calls()).forever());
    assert_eq!(operator.ended().await.code(), Some(1));
    let took = stalled.elapsed();
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(12), "{took:?}");
    assert!(operator.log().contains("the Lease was lost"), "{}", operator.log());
    assert_eq!(FAILURE_AND_RECOVERY.map(|line| operator.logged(line).len()), [1, 0], "{}", operator.log());
}

#[tokio::test]
async fn operator_serves_probes_and_metrics() {
    let world = World::new().await;
    let addresses = ["--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"];
    let operator = world.operator_with(&addresses);
    operator.until_ready().await;
    assert_eq!(operator.http_get(0, "/livez").await.0, 200);
    let arn = world.claimed("held").await;
    world.emulator.create_service(crate::support::ACCOUNT, crate::support::REGION, "shop", Some(&arn));
    world.claimed("egress").await;
    for name in ["held", "egress"] {
        world.delete(name).await;
    }
    world.until_deleted("egress").await;
    world.reason("held", "InUse").await;
    // A paused object keeps the reason that it had before.
    world.claimed("paused").await;
    world.annotate("paused", "apprunner-operator.dev/paused", Some("true")).await;
    world.delete("paused").await;
    let lines = [
        r#"apprunner_operator_aws_requests_total{operation="DeleteVpcConnector",outcome="Done",account="111122223333",region="us-east-1"} 1"#,
        r#"apprunner_operator_aws_requests_total{operation="GetCallerIdentity",outcome="Done",account="",region="us-east-1"} 1"#,
        r#"apprunner_operator_deletions_total{outcome="Deleted"} 1"#,
        r#"apprunner_operator_objects{reason="InUse"} 1"#,
        r#"apprunner_operator_objects{reason="Available"} 1"#,
        r#"apprunner_operator_deletions_waiting{reason="InUse",account="111122223333",region="us-east-1"} 1"#,
        r#"apprunner_operator_deletions_waiting{reason="Paused",account="111122223333",region="us-east-1"} 1"#,
        "apprunner_operator_leader 1",
        "apprunner_operator_credentials_known 1",
        "apprunner_operator_queue_depth 0",
    ];
    let whole = async || {
        let (_, text) = operator.http_get(1, "/metrics").await;
        lines.iter().all(|line| text.lines().any(|shown| shown == *line)).then_some(text)
    };
    let text = eventually(whole).await.expect("some metrics are missing");
    assert!(text.contains("application/openmetrics-text") && text.ends_with("# EOF\n"));
    assert!(!text.contains("held") && !text.contains(&arn), "no object's name is a label");
}

#[tokio::test]
async fn taken_address_is_a_clear_error() {
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--metrics-address={}", taken.local_addr().unwrap());
    let mut operator = world.operator_with(&[&address]);
    assert_eq!(operator.ended().await.code(), Some(1));
    assert!(operator.log().contains("--metrics-address"), "{}", operator.log());
}
