//! One operator for two accounts: that of its own credentials, and one whose role it assumes.

use apprunner_emulator::{ConnectorStatus, DEFAULT_ACCOUNT, Role};
use libtest_mimic::Trial;

use crate::world::{REGION, World, scenario};

/// The account whose role the operator assumes.
pub const TARGET: &str = "444455556666";
/// The role.
pub const ROLE: &str = "arn:aws:iam::444455556666:role/apprunner-operator";

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("several-accounts", connectors_of_two_accounts_are_deleted_with_their_objects)]
}

async fn connectors_of_two_accounts_are_deleted_with_their_objects(world: &World) {
    world.emulator.put_role(Role::new(ROLE).trusting(DEFAULT_ACCOUNT).with_external_id("prod-eu-1"));
    let role = format!("aws.accounts[0].role={ROLE}");
    let listed = |namespace: &str| format!("aws.accounts[0].namespaces={{{namespace}}}");
    let (elsewhere, here) = (listed("elsewhere"), listed(world.name));
    world.install(&[&role, &elsewhere, "aws.accounts[0].externalId=prod-eu-1"]);
    let own = world.claimed("own-egress");
    let target = world.object_in_target("shop-egress");
    world.until_reason("vpcc/shop-egress", "WrongAccount");

    // A changed list restarts the pod.
    world.release("upgrade", &[&role, &here, "aws.accounts[0].externalId=prod-eu-1"]);
    world.until_reason("vpcc/shop-egress", "Available");
    let service = world.emulator.create_service(TARGET, REGION, "shop", Some(&target));
    world.kubectl(&["delete", "vpcc/own-egress", "vpcc/shop-egress", "--wait=false"]);
    world.kubectl(&["wait", "vpcc/shop-egress", "--for=jsonpath={.status.blockedBySummary}=shop", "--timeout=60s"]);
    assert!(world.emulator.delete_service(&service));
    world.until_deleted("own-egress", &own);
    world.until_deleted("shop-egress", &target);

    let kept = world.object_in_target("kept-egress");
    world.until_reason("vpcc/kept-egress", "Available");
    world.kubectl(&["patch", "vpcc/kept-egress", "--type=merge", r#"--patch={"spec":{"deletionPolicy":"Retain"}}"#]);
    world.kubectl(&["delete", "vpcc/kept-egress", "--wait", "--timeout=60s"]);
    assert_eq!((world.status(&kept), world.deletes(&kept)), (ConnectorStatus::Active, 0));
    world.uninstall();
}

impl World {
    /// Creates a connector of the other account and an object for it.
    fn object_in_target(&self, name: &str) -> String {
        let arn = self.emulator.create_connector(TARGET, REGION, name);
        self.object_of(name, &arn);
        arn
    }
}
