//! A new release continues the deletions of the old one.

use std::process::Stdio;

use apprunner_emulator::{DEFAULT_ACCOUNT, FaultKind};
use libtest_mimic::Trial;

use crate::release::RELEASE;
use crate::world::{REGION, World, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("upgrade", deletions_in_progress_continue)]
}

async fn deletions_in_progress_continue(world: &World) {
    world.install(&[]);
    let calm = ["calm-1", "calm-2", "calm-3"].map(|name| (name, world.claimed(name)));
    let [slow, blocked] = ["slow", "blocked"].map(|name| world.claimed(name));
    let service = world.emulator.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&blocked));
    world.kubectl(&["delete", "vpcc/blocked", "--wait=false"]);
    let named = ["wait", "vpcc/blocked", "--for=jsonpath={.status.blockedBySummary}=jobs", "--timeout=60s"];
    world.kubectl(&named);
    let leader = world.leader().await;
    let old = world.pod(&leader.pod).await;
    let values = ["logLevel=debug", "readinessProbe.periodSeconds=1"];
    let mut upgrade = world.releasing(world.name, "upgrade", &values).stdout(Stdio::null()).spawn().unwrap();
    // The call begins only once the new pod starts, so its answer is still pending when the old pod has to end.
    let started = "--for=jsonpath={.status.replicas}=2";
    world.kubectl(&["wait", "deployment", RELEASE, started, "--timeout=60s"]);
    world.begin_deletion("slow", &slow, FaultKind::LateAnswer { ms: 9_000 }).await;
    assert!(upgrade.wait().unwrap().success());
    assert_eq!(world.exit_code(&old).await, 0, "the old operator did not end within its grace period");
    assert_ne!(world.next_leader(&leader).await.pod, leader.pod);
    world.until_deleted("slow", &slow);
    assert!(world.deletes(&slow) <= 2, "{} deletes", world.deletes(&slow));
    world.kubectl(&named);
    assert!(world.emulator.delete_service(&service));
    world.until_deleted("blocked", &blocked);
    for (name, arn) in calm {
        world.until_reason(&format!("vpcc/{name}"), "Available");
        world.kubectl(&["delete", "vpcc", name, "--wait=false"]);
        world.until_deleted(name, &arn);
        assert_eq!(world.deletes(&arn), 1);
    }
    world.uninstall();
}
