//! The operator is killed in the middle of its work, and the kubelet starts it again.

use apprunner_emulator::FaultKind;
use libtest_mimic::Trial;

use crate::world::{World, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("killed-midway", restarted_operator_completes_the_deletion)]
}

async fn restarted_operator_completes_the_deletion(world: &World) {
    world.install(&[]);
    let [unheard, unanswered, kept] = ["unheard", "unanswered", "kept"].map(|name| world.claimed(name));
    let killed = world.leader().await;
    world.begin_deletion("unheard", &unheard, FaultKind::BlackHole { after_effect: false }).await;
    world.begin_deletion("unanswered", &unanswered, FaultKind::BlackHole { after_effect: true }).await;
    world.signal(&killed.pod, "SIGKILL");
    world.until_restarted(&killed.pod, 137);
    for (name, arn) in [("unheard", &unheard), ("unanswered", &unanswered)] {
        world.until_deleted(name, arn);
        assert!(world.deletes(arn) <= 2, "{name}: {} deletes", world.deletes(arn));
    }
    world.until_reason("vpcc/kept", "Available");
    world.kubectl(&["delete", "vpcc/kept", "--wait=false"]);
    world.until_deleted("kept", &kept);
    assert_eq!(world.deletes(&kept), 1);
    assert_eq!(world.next_leader(&killed).await.pod, killed.pod, "a restarted container leads under another name");
    world.uninstall();
}
