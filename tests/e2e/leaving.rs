//! The whole way out of App Runner, for two accounts: report, adopt, delete, migrate, an empty report.

use std::path::Path;

use apprunner_emulator::{ConnectorStatus, DEFAULT_ACCOUNT, IngressConnectionStatus, Role};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::accounts::{ROLE, TARGET};
use crate::world::{REGION, REPORTERS, World, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![scenario("leaving", objects_are_deleted_first_and_connectors_go_with_the_last_service)]
}

async fn objects_are_deleted_first_and_connectors_go_with_the_last_service(world: &World) {
    world.emulator.put_role(Role::new(ROLE).trusting(DEFAULT_ACCOUNT));
    let (role, namespaces) =
        (format!("aws.accounts[0].role={ROLE}"), format!("aws.accounts[0].namespaces={{{}}}", world.name));
    world.install(&[&role, &namespaces]);
    let aws = &world.emulator;
    let shared = aws.create_connector(TARGET, REGION, "team-egress");
    let services = ["storefront", "batch"].map(|name| aws.create_service(TARGET, REGION, name, Some(&shared)));
    let ingress = aws.create_ingress_connection(&services[0], "storefront-vpc").unwrap();
    let nobodys = aws.create_connector(DEFAULT_ACCOUNT, REGION, "nobodys");
    let cluster = world.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"]);
    let tag = format!("{cluster}/{}/gone", world.name);
    let orphan =
        aws.create_connector_with_tags(DEFAULT_ACCOUNT, REGION, "orphan", &[("apprunner-operator.dev/owner", &tag)]);

    let before = world.report(&["--output=json"]);
    assert_eq!(before["summary"]["orphans"], 1, "{before:#}");
    let manifests = world.operator(&["adopt", "--into-namespace", world.name]);
    world.apply(&manifests);
    let objects = ["team-egress-us-east-1", "nobodys-us-east-1", "orphan-us-east-1"];
    for name in objects {
        world.until_reason(&format!("vpcc/{name}"), "Available");
        world.kubectl(&["patch", "vpcc", name, "--type=merge", r#"--patch={"spec":{"deletionPolicy":"Delete"}}"#]);
    }
    world.kubectl(&[&["delete", "vpcc", "--wait=false"], &objects[..]].concat());
    world.until_deleted(objects[1], &nobodys);
    world.until_deleted(objects[2], &orphan);
    world.until_reason("vpcc/team-egress-us-east-1", "InUse");
    let plan = world.operator(&["report", "--plan"]);
    assert!(plan.contains("team-egress-us-east-1, which is being deleted, InUse: nothing to do"), "{plan}");

    aws.set_ingress_connection_status(&ingress, IngressConnectionStatus::Deleted);
    assert!(services.iter().all(|service| aws.delete_service(service)));
    world.until_deleted(objects[0], &shared);
    assert_eq!(world.status(&shared), ConnectorStatus::Inactive);
    let after = world.report(&["--output=json", "--fail-on=blocked"]);
    assert_eq!((&after["summary"]["connectors"], &after["summary"]["services"]), (&0.into(), &0.into()));
    world.uninstall();
}

impl World {
    /// Runs a command of the operator's program outside of the cluster, with a profile for each account; it must succeed.
    fn operator(&self, arguments: &[&str]) -> String {
        let config = self.cluster.directory().join("profiles");
        let profile = |(key, _): &(&str, &str)| {
            format!("[profile {key}]\naws_access_key_id = {key}\naws_secret_access_key = {}\n", crate::world::SECRET)
        };
        std::fs::write(&config, REPORTERS.iter().map(profile).collect::<String>()).unwrap();
        let mut command = self.cluster.client(Path::new(env!("CARGO_BIN_EXE_apprunner-operator")));
        let profiles = format!("--profile={}", REPORTERS.map(|(key, _)| key).join(","));
        command.args(arguments).args([&profiles, "--regions=us-east-1", "--quiet"]);
        command.env("AWS_CONFIG_FILE", config).env("AWS_ENDPOINT_URL", self.emulator.url());
        crate::world::run(&mut command)
    }

    fn report(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.operator(&[&["report"], arguments].concat())).unwrap()
    }
}
