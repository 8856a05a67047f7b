//! Two replicas, one of which leads: the other takes the lead when the leader is killed, stopped or frozen.

use std::time::{Duration, Instant};

use apprunner_emulator::FaultKind;
use jiff::Timestamp;
use libtest_mimic::Trial;

use crate::world::{World, scenario};

const TWO: [&str; 2] = ["replicaCount=2", "podDisruptionBudget.enabled=true"];
/// The leader's call in flight has taken effect, and the answer never comes.
const UNANSWERED: FaultKind = FaultKind::BlackHole { after_effect: true };

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("leader-killed", leader_killed_during_deletions),
        scenario("leader-stopped", leader_stopped_during_deletions),
        scenario("leader-frozen", leader_frozen_during_deletions),
    ]
}

async fn leader_killed_during_deletions(world: &World) {
    world.install(&TWO);
    let [arn, other] = ["shop-egress", "jobs-egress"].map(|name| world.claimed(name));
    let leader = world.leader().await;
    world.begin_deletion("shop-egress", &arn, UNANSWERED).await;
    world.until_renewed().await;
    let killed = Instant::now();
    world.signal(&leader.pod, "SIGKILL");
    // Mostly the standby leads next; sometimes it is the killed pod's new container, which by then is a candidate too.
    world.next_leader(&leader).await;
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?} after a kill", killed.elapsed());
    world.until_restarted(&leader.pod, 137);
    world.until_deleted("shop-egress", &arn);
    assert!(world.deletes(&arn) <= 2, "{} deletes", world.deletes(&arn));
    assert_next_leader_continues(world, &other);
    world.uninstall();
}

async fn leader_stopped_during_deletions(world: &World) {
    world.install(&TWO);
    let [arn, other] = ["shop-egress", "jobs-egress"].map(|name| world.claimed(name));
    let leader = world.leader().await;
    let stopped = world.pod(&leader.pod).await;
    world.begin_deletion("shop-egress", &arn, FaultKind::LateAnswer { ms: 3_000 }).await;
    world.kubectl(&["delete", "pod", &leader.pod, "--wait=false"]);
    assert_eq!(world.exit_code(&stopped).await, 0);
    let next = world.next_leader(&leader).await;
    let released = granted(world, &leader.pod).pop().unwrap();
    let acquired = granted(world, &next.pod).remove(0);
    let between = acquired.duration_since(released);
    assert!(!between.is_negative() && between.as_millis() < 3_000, "{between:?} after a clean stop");
    world.until_deleted("shop-egress", &arn);
    assert_eq!(world.deletes(&arn), 1, "the first finished it");
    assert_next_leader_continues(world, &other);
    world.uninstall();
}

async fn leader_frozen_during_deletions(world: &World) {
    // The kubelet would kill the frozen operator before the test can continue it.
    world.install(&[&TWO[..], &["livenessProbe.failureThreshold=60"]].concat());
    let [arn, other] = ["shop-egress", "jobs-egress"].map(|name| world.claimed(name));
    let leader = world.leader().await;
    let frozen = world.pod(&leader.pod).await;
    world.begin_deletion("shop-egress", &arn, UNANSWERED).await;
    world.signal(&leader.pod, "SIGSTOP");
    world.until_deleted("shop-egress", &arn);
    assert!(world.deletes(&arn) <= 2, "{} deletes", world.deletes(&arn));
    let next = world.next_leader(&leader).await;
    assert_ne!(next.pod, leader.pod);
    let done = || (world.calls_of(&frozen), world.writes_of(&leader.pod).len());
    let before = done();
    assert!(before.0 > 0 && before.1 > 0, "it did its work before: {before:?}");
    world.signal(&leader.pod, "SIGCONT");
    world.until_restarted(&leader.pod, 1);
    let log = world.kubectl(&["logs", "--previous", &leader.pod]);
    assert!(log.contains("the Lease was lost"), "{log}");
    assert_next_leader_continues(world, &other);
    assert_eq!(done(), before, "the old leader continued its work: {:?}", world.writes_of(&leader.pod));
    assert_eq!(world.leader().await, next);
    world.uninstall();
}

/// Checks that the next leader does the work that the old one had not begun.
fn assert_next_leader_continues(world: &World, other: &str) {
    world.claimed("late-egress");
    world.until_reason("vpcc/jobs-egress", "Available");
    world.kubectl(&["delete", "vpcc", "jobs-egress", "late-egress", "--wait=false"]);
    world.until_deleted("jobs-egress", other);
    assert_eq!(world.deletes(other), 1);
    world.kubectl(&["wait", "vpcc/late-egress", "--for=delete", "--timeout=60s"]);
}

/// Times at which the API server granted a pod its writes of the Lease.
fn granted(world: &World, pod: &str) -> Vec<Timestamp> {
    let writes = world.writes_of(pod).into_iter();
    let granted = writes.filter(|it| it["objectRef"]["resource"] == "leases" && it["responseStatus"]["code"] == 200);
    granted.map(|it| it["stageTimestamp"].as_str().map(str::parse).unwrap().unwrap()).collect()
}
