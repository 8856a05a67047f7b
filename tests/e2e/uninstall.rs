//! Uninstalling a release, in the wrong order and in the right one.

use apprunner_emulator::ConnectorStatus;
use libtest_mimic::Trial;

use crate::release::RELEASE;
use crate::world::{World, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("uninstall", uninstall_is_refused_while_objects_need_the_operator)]
}

async fn uninstall_is_refused_while_objects_need_the_operator(world: &World) {
    world.install(&[]);
    let arn = world.claimed("shop-egress");
    let refused = world.helm_refused(&["uninstall", RELEASE, "--wait", "--timeout=90s"]);
    assert!(refused.contains("shop-egress"), "what still needs it is not named: {refused}");
    // A refusal leaves the release half uninstalled, and a rollback repairs it.
    world.helm(&["rollback", RELEASE, "1", "--wait"]);
    world.release("upgrade", &["logLevel=debug"]);
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
    assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
    world.helm(&["uninstall", RELEASE, "--wait"]);
    let kept = world.kubectl(&["get", "crd", "vpcconnectors.apprunner-operator.dev", "--output=name"]);
    assert!(kept.contains("vpcconnectors"));
    world.kubectl(&["delete", "crd", "vpcconnectors.apprunner-operator.dev"]);
}
