//! Operators that are confined to some namespaces, and the deletion of such a namespace.

use std::fs;
use std::path::Path;

use apprunner_emulator::{CallFilter, ConnectorStatus, DEFAULT_ACCOUNT};
use libtest_mimic::Trial;

use crate::release::RELEASE;
use crate::world::{REGION, World, eventually, run, scenario};

const ROLES_ONLY: [&str; 2] = ["rbac.namespaced=true", "clusterId=one"];
const LOG: &str = "deployment/apprunner-operator";

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("watch-namespaces", unwatched_namespace_is_left_alone),
        scenario("namespaced", roles_without_cluster_roles_are_enough),
        scenario("stuck-namespace", namespace_deleted_before_its_objects),
        scenario("own-namespace", namespace_deleted_with_its_operator),
    ]
}

async fn unwatched_namespace_is_left_alone(world: &World) {
    let namespaces = ["shop", "jobs", "elsewhere"];
    for namespace in namespaces {
        world.restricted(namespace);
    }
    world.install(&["watchNamespaces={shop,jobs}"]);
    let outside = world.created_in("elsewhere");
    for namespace in ["shop", "jobs"] {
        world.claimed_and_deleted_in(namespace);
    }
    let traces = "--output=jsonpath={.metadata.finalizers}{.status.conditions}";
    assert_eq!(world.kubectl(&["--namespace=elsewhere", "get", "vpcc/egress", traces]), "");
    let of_it = CallFilter { arn: Some(outside.clone()), ..CallFilter::default() };
    assert_eq!(world.emulator.calls_matching(&of_it), []);
    // The object is like the others: the operator claims its connector as soon as the namespace is watched.
    world.release("upgrade", &["watchNamespaces={shop,jobs,elsewhere}"]);
    world.ready_in("elsewhere");
    world.deleted_in("elsewhere", &outside);
    world.uninstall();
    world.kubectl(&[&["delete", "namespace", "--wait=false"], &namespaces[..]].concat());
}

async fn roles_without_cluster_roles_are_enough(world: &World) {
    world.install(&ROLES_ONLY);
    let of_release = format!("--selector=app.kubernetes.io/instance={RELEASE}");
    let all = |kinds: &str| world.kubectl(&["get", kinds, &of_release, "--output=name"]);
    assert_eq!((all("roles").lines().count(), all("clusterroles,clusterrolebindings").as_str()), (2, ""));
    let arn = world.claimed("shop-egress");
    let refused = world.helm_refused(&["uninstall", RELEASE, "--wait", "--timeout=90s"]);
    assert!(refused.contains("shop-egress"), "what still needs it is not named: {refused}");
    let log = fs::read_to_string(world.cluster.audit_log()).unwrap();
    assert!(log.contains(r#"allowed by RoleBinding \"apprunner-operator-preflight/namespaced\""#));
    world.helm(&["rollback", RELEASE, "1", "--wait"]);
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
    assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
    world.uninstall();
}

async fn namespace_deleted_before_its_objects(world: &World) {
    for namespace in ["doomed", "spared"] {
        world.restricted(namespace);
    }
    world.install(&[&ROLES_ONLY[..], &["watchNamespaces={doomed,spared}"]].concat());
    let (arn, service) = world.stuck("doomed");
    assert!(world.emulator.delete_service(&service));
    let failing = async || world.kubectl(&["logs", LOG]).contains("the API server refused to").then_some(());
    eventually("the operator reports what it lacks", failing).await;
    // A restarted operator does not see the stuck object either; the other namespace has a working operator all the
    // while.
    world.kubectl(&["delete", "pods", "--selector=app.kubernetes.io/name=apprunner-operator"]);
    world.claimed_and_deleted_in("spared");

    let notes = world.helm(&["get", "notes", RELEASE]);
    let (_, way_out) = notes.split_once("rights from outside the namespace,\n\n").unwrap();
    let commands: Vec<_> = way_out.lines().take_while(|line| line.starts_with(' ')).collect();
    assert!(commands.concat().contains("clusterrolebinding"), "{notes}");
    world.shell(&commands.join("\n"));
    world.kubectl(&["wait", "namespace/doomed", "--for=delete", "--timeout=90s"]);
    assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
    let rescue = "apprunner-operator-rescue";
    world.kubectl(&["delete", &format!("clusterrolebinding/{rescue}"), &format!("clusterrole/{rescue}")]);
    // No Role can be created in a deleted namespace, not even for the hook.
    world.release("upgrade", &[&ROLES_ONLY[..], &["watchNamespaces={spared}"]].concat());
    world.claimed_and_deleted_in("spared");
    world.uninstall();
    world.kubectl(&["delete", "namespace", "spared", "--wait=false"]);
}

async fn namespace_deleted_with_its_operator(world: &World) {
    world.restricted("lost");
    world.release_in("lost", "install", &ROLES_ONLY);
    let (arn, service) = world.stuck("lost");
    world.kubectl(&["wait", "pods", "--all", "--for=delete", "--timeout=90s", "--namespace=lost"]);
    assert!(world.emulator.delete_service(&service));
    assert_eq!(world.status(&arn), ConnectorStatus::Active);
    world.install(&["crds.enabled=false", "clusterId=one", "watchNamespaces={lost}"]);
    world.kubectl(&["wait", "namespace/lost", "--for=delete", "--timeout=90s"]);
    assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
    world.uninstall();
}

impl World {
    /// Creates an object of a new connector in another namespace than the scenario's; returns the connector's ARN.
    fn created_in(&self, namespace: &str) -> String {
        let arn = self.emulator.create_connector(DEFAULT_ACCOUNT, REGION, namespace);
        self.object_in(namespace, "egress", &arn);
        arn
    }

    fn ready_in(&self, namespace: &str) {
        let ready = ["wait", "vpcc/egress", "--for=condition=Ready", "--timeout=60s", "--namespace", namespace];
        self.kubectl(&ready);
    }

    fn deleted_in(&self, namespace: &str, arn: &str) {
        self.kubectl(&["delete", "vpcc/egress", "--wait", "--timeout=60s", "--namespace", namespace]);
        assert_eq!((self.status(arn), self.deletes(arn)), (ConnectorStatus::Inactive, 1));
    }

    fn claimed_and_deleted_in(&self, namespace: &str) {
        let arn = self.created_in(namespace);
        self.ready_in(namespace);
        self.deleted_in(namespace, &arn);
    }

    /// Deletes a namespace whose object's connector is in use, so its Roles are deleted before the object can be.
    ///
    /// Returns the connector's ARN and the service's.
    fn stuck(&self, namespace: &str) -> (String, String) {
        let arn = self.created_in(namespace);
        self.ready_in(namespace);
        let service = self.emulator.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&arn));
        self.kubectl(&["delete", "namespace", namespace, "--wait=false"]);
        for right in ["role/apprunner-operator", "rolebinding/apprunner-operator"] {
            self.kubectl(&["wait", right, "--for=delete", "--timeout=60s", "--namespace", namespace]);
        }
        let hangs = "--for=condition=NamespaceFinalizersRemaining";
        self.kubectl(&["wait", &format!("namespace/{namespace}"), hangs, "--timeout=60s"]);
        (arn, service)
    }

    /// Runs commands from the documentation as a user would.
    fn shell(&self, commands: &str) {
        let mut shell = self.cluster.client(Path::new("sh"));
        let path = format!("{}:{}", self.cluster.tools().directory().display(), std::env::var("PATH").unwrap());
        run(shell.env("PATH", path).args(["-ec", commands]));
    }
}
