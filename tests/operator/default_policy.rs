//! The deletion policy of objects that have none in their spec: the default of the namespace, and then of the operator.

use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, condition};

use crate::support::World;
use crate::support::cluster::{cluster, requests_of, run};
use crate::support::operator::Operator;

impl World {
    async fn create_without_policy(&self, name: &str) -> String {
        let arn = self.connector(&format!("conn-{name}"));
        self.create_with(name, &arn, |object| object.spec.deletion_policy = None).await;
        arn
    }

    async fn claimed_without_policy(&self, name: &str) -> String {
        let arn = self.create_without_policy(name).await;
        self.reason(name, "Available").await;
        arn
    }

    fn annotate_namespace(&self, policy: &str) {
        let annotation = format!("{}={policy}", api::DEFAULT_DELETION_POLICY);
        run(self.cluster.kubectl().args(["annotate", "namespace", &self.namespace, "--overwrite", &annotation]));
    }

    async fn recorded(&self, name: &str) -> Option<DeletionPolicy> {
        self.api.get(name).await.unwrap().status.unwrap().deletion_policy
    }
}

fn says(part: &'static str) -> impl Fn(&VpcConnector) -> bool {
    move |object| {
        let ready = object.status.as_ref().and_then(|status| status.condition(condition::READY));
        ready.is_some_and(|ready| ready.message.contains(part))
    }
}

#[tokio::test]
async fn an_object_keeps_the_default_that_it_was_adopted_with() {
    let world = World::new().await;
    let operator = world.operator();
    let deleted = world.claimed_without_policy("deleted").await;
    assert_eq!(world.recorded("deleted").await, Some(DeletionPolicy::Delete));
    drop(operator);

    let _operator = world.operator_with(&["--default-deletion-policy=retain"]);
    let retained = world.claimed_without_policy("retained").await;
    assert_eq!(world.recorded("retained").await, Some(DeletionPolicy::Retain));
    world.annotate_namespace("Delete");
    let of_namespace = world.claimed_without_policy("of-namespace").await;
    assert_eq!(world.recorded("of-namespace").await, Some(DeletionPolicy::Delete));
    let table = run(cluster().kubectl().args(["get", "vpcc", "retained", "--namespace", &world.namespace]));
    assert!(table.contains("POLICY") && table.contains("Retain"), "{table}");

    for name in ["deleted", "retained", "of-namespace"] {
        world.delete(name).await;
        world.until_deleted(name).await;
    }
    assert!(world.inactive(&deleted) && world.inactive(&of_namespace) && !world.inactive(&retained));
    assert_eq!(world.owner_tag(&retained), None);
}

#[tokio::test]
async fn the_policy_of_the_spec_counts_before_any_default_and_costs_no_read() {
    let world = World::new().await;
    world.annotate_namespace("Retain");
    let operator = world.operator_with(&["--cluster-id=c"]);
    let arn = world.claimed("egress").await;
    assert_eq!(world.recorded("egress").await, Some(DeletionPolicy::Delete));
    let reads = requests_of(&operator.user).into_iter().filter(|request| request.resource == "namespaces").count();
    assert_eq!(reads, 0);
    // A recorded default is replaced by a policy in the spec, and comes back in no case.
    let kept = world.claimed_without_policy("kept").await;
    world.policy("kept", "Delete").await;
    world.until("kept", "Delete", |o| o.status.as_ref().unwrap().deletion_policy == Some(DeletionPolicy::Delete)).await;
    for name in ["egress", "kept"] {
        world.delete(name).await;
        world.until_deleted(name).await;
    }
    assert!(world.inactive(&arn) && world.inactive(&kept));
}

#[tokio::test]
async fn an_object_that_is_deleted_before_its_adoption_has_the_default_as_well() {
    let world = World::new().await;
    world.annotate_namespace("retain");
    let arn = world.connector("conn");
    let with_finalizer = |object: &mut VpcConnector| {
        object.spec.deletion_policy = None;
        object.metadata.finalizers = Some(vec![api::FINALIZER.to_owned()]);
    };
    world.create_with("egress", &arn, with_finalizer).await;
    world.delete("egress").await;
    let _operator = world.operator();
    world.until_deleted("egress").await;
    assert!(!world.inactive(&arn));
    assert_eq!(world.deletes(), 0);
}

#[tokio::test]
async fn an_unknown_default_holds_the_object_until_it_is_corrected() {
    let world = World::new().await;
    world.annotate_namespace("Orphan");
    let _operator = world.operator();
    world.create_without_policy("egress").await;
    world.until("egress", "held", says("'Orphan', and it may be Delete or Retain")).await;
    assert_eq!(world.reason("egress", "InvalidRequest").await.status.unwrap().deletion_policy, None);
    world.annotate_namespace("Retain");
    world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("1")).await;
    world.reason("egress", "Available").await;
    assert_eq!(world.recorded("egress").await, Some(DeletionPolicy::Retain));
}

#[tokio::test]
async fn without_the_right_to_read_the_namespace_the_object_says_so() {
    let world = World::new().await;
    let user = format!("without-namespaces-{}", world.namespace);
    let allow = |role: &str, verbs: &str, resource: &str| {
        let namespace = ["--namespace", &world.namespace];
        run(cluster().kubectl().args(["create", "role", role, verbs, resource]).args(namespace));
        let (role_flag, user_flag) = (format!("--role={role}"), format!("--user={user}"));
        run(cluster().kubectl().args(["create", "rolebinding", role, &role_flag, &user_flag]).args(namespace));
    };
    allow("objects", "--verb=get,list,watch,patch", "--resource=vpcconnectors.apprunner-operator.dev");
    allow("statuses", "--verb=patch", "--resource=vpcconnectors.apprunner-operator.dev/status");
    let kubeconfig = cluster().user_kubeconfig(&user, None).unwrap();
    let mut settings = world.settings.clone();
    settings.arguments.push("--cluster-id=c".to_owned());
    let _operator = Operator::start_as((user, kubeconfig), &settings);
    world.create_without_policy("egress").await;
    world.until("egress", "held", says("allow the operator to get namespaces")).await;
    world.policy("egress", "Retain").await;
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn an_object_is_reconciling_until_it_is_ready() {
    let world = World::new().await;
    let reconciling = |object: &VpcConnector| {
        let condition = object.status.as_ref().and_then(|status| status.condition(condition::RECONCILING));
        condition.map(|condition| (condition.status.clone(), condition.reason.clone()))
    };
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    assert_eq!(reconciling(&world.api.get("egress").await.unwrap()), None);
    // Nothing that the operator does helps an object whose connector another owner has.
    world.create("second", &arn).await;
    assert_eq!(reconciling(&world.reason("second", "OwnedByAnother").await), None);
    world.delete("egress").await;
    let seen = world.history("egress").await;
    let adopting = seen.iter().find(|status| status.ready_reason() == Some("Adopting")).unwrap();
    assert_eq!(adopting.condition(condition::RECONCILING).unwrap().status, "True");
}
