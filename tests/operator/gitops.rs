//! Health of objects in Argo CD and Flux, as the API server returns the objects. The core's tests cover states that are
//! hard to bring about here.

use apprunner_emulator::{FaultKind, Operation};
use apprunner_operator::api;
use serde_json::Value;

use crate::support::cluster::{cluster, run};
use crate::support::gitops_health::{Health, Kstatus, argo, checked, kstatus};
use crate::support::{ACCOUNT, REGION, World, message};

impl World {
    /// The object as any tool reads it, if it still exists.
    async fn read(&self, name: &str) -> Option<Value> {
        self.api.get_opt(name).await.unwrap()?;
        let get = ["get", "vpcconnector", name, "--namespace", &self.namespace, "--output=json"];
        Some(serde_json::from_str(&run(cluster().kubectl().args(get))).unwrap())
    }

    /// The results of the health check and of kstatus.
    async fn health(&self, name: &str) -> (Health, Kstatus) {
        let object = self.read(name).await.unwrap();
        (checked(&object).0, kstatus(Some(&object)))
    }

    /// Runs `kubectl wait` for a condition of the object; returns whether it succeeds, and its output.
    fn kubectl_wait(&self, name: &str, condition: &str, timeout: &str) -> (bool, String) {
        let (object, condition) = (format!("vpcc/{name}"), format!("--for=condition={condition}"));
        let wait = ["wait", &object, &condition, "--timeout", timeout, "--namespace", &self.namespace];
        let output = cluster().kubectl().args(wait).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `kubectl wait` sees the condition.
    fn assert_waits(&self, name: &str, condition: &str) {
        let (seen, error) = self.kubectl_wait(name, condition, "20s");
        assert!(seen, "{condition}: {error}");
    }

    /// Waits until the object is paused.
    async fn until_paused(&self, name: &str) {
        self.annotate(name, api::PAUSED, Some("true")).await;
        self.until(name, "paused", |o| o.status.as_ref().is_some_and(|s| s.condition("Paused").is_some())).await;
    }
}

#[tokio::test]
async fn object_is_in_progress_until_the_operator_has_claimed_it() {
    let world = World::new().await;
    let arn = world.connector("shop");
    world.create("egress", &arn).await;
    assert_eq!(world.health("egress").await, (Health::Progressing, Kstatus::InProgress), "no operator runs");
    {
        let _operator = world.operator();
        world.reason("egress", "Available").await;
        assert_eq!(world.health("egress").await, (Health::Healthy, Kstatus::Current));
    }
    world.policy("egress", "Retain").await;
    assert_eq!(
        world.health("egress").await,
        (Health::Progressing, Kstatus::InProgress),
        "no operator has observed the change"
    );
}

#[tokio::test]
async fn paused_object_is_suspended_and_current_only_if_it_was_before() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    world.until_paused("egress").await;
    assert_eq!(world.health("egress").await, (Health::Suspended, Kstatus::Current));
    world.assert_waits("egress", "Ready");
    world.assert_waits("egress", "Paused");
    world.annotate("egress", api::PAUSED, None).await;
    world.until("egress", "well", |o| o.status.as_ref().is_some_and(|s| s.condition("Paused").is_none())).await;
    assert_eq!(world.health("egress").await, (Health::Healthy, Kstatus::Current));

    let annotations = [(api::PAUSED.to_owned(), "true".to_owned())];
    let arn = world.connector("shop");
    world.create_with("new", &arn, |o| o.metadata.annotations = Some(annotations.into())).await;
    world.until_paused("new").await;
    assert_eq!(world.health("new").await, (Health::Suspended, Kstatus::InProgress));
    world.assert_waits("new", "Paused");
    let (ready, error) = world.kubectl_wait("new", "Ready", "1s");
    assert!(!ready && error.contains("timed out"), "{error}");
    world.annotate("new", api::PAUSED, None).await;
    world.reason("new", "Available").await;
    assert_eq!(world.health("new").await, (Health::Healthy, Kstatus::Current));
}

#[tokio::test]
async fn stalled_object_is_degraded_until_a_user_acts() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.connector("shop");
    world.fault(Operation::DescribeVpcConnector, FaultKind::error("ResourceNotFoundException", 400, "none such"));
    world.create("egress", &arn).await;
    world.reason("egress", "NotFound").await;
    assert_eq!(world.health("egress").await, (Health::Degraded, Kstatus::Failed));
    world.annotate("egress", api::RECONCILE_REQUESTED_AT, Some("t1")).await;
    world.reason("egress", "Available").await;
    assert_eq!(world.health("egress").await, (Health::Healthy, Kstatus::Current));
}

/// Argo CD runs no check on an object that is being deleted, so users find the blockers in the object itself.
#[tokio::test]
async fn waiting_prune_is_shown_as_in_progress_and_completes() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("egress").await;
    let service = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
    // Argo CD prunes in the foreground, which makes the garbage collector add a finalizer of its own.
    world.delete_in_the_foreground("egress");
    let named =
        world.until("egress", "held by web", |o| o.status.is_some() && message(o).contains("web (RUNNING)")).await;
    let object = world.read("egress").await.unwrap();
    assert_eq!(argo(&object), (Health::Progressing, "Pending deletion".into()));
    assert_eq!(checked(&object), (Health::Progressing, format!("InUse: {}", message(&named))));
    assert_eq!(kstatus(Some(&object)), Kstatus::Terminating);

    assert!(world.emulator.delete_service(&service));
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    assert_eq!(kstatus(world.read("egress").await.as_ref()), Kstatus::NotFound);
}

#[tokio::test]
async fn stalled_prune_is_shown_like_a_waiting_one() {
    let world = World::new().await;
    let _operator = world.operator();
    world.claimed("egress").await;
    let refusal = FaultKind::error("SubscriptionRequiredException", 403, "not subscribed");
    world.lasting_fault(Operation::DeleteVpcConnector, refusal);
    world.delete_in_the_foreground("egress");
    world.reason("egress", "SubscriptionRequired").await;
    let object = world.read("egress").await.unwrap();
    assert_eq!((argo(&object).0, checked(&object).0), (Health::Progressing, Health::Degraded));
    assert_eq!(kstatus(Some(&object)), Kstatus::Terminating);
    world.emulator.clear_faults();
    world.until_deleted("egress").await;
}

impl World {
    fn delete_in_the_foreground(&self, name: &str) {
        let delete = ["delete", "vpcconnector", name, "--cascade=foreground", "--wait=false"];
        run(cluster().kubectl().args(delete).args(["--namespace", &self.namespace]));
    }
}

/// The mistake that `docs/guides/gitops.md` warns of.
#[tokio::test]
async fn object_renamed_in_one_commit_deletes_its_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("old").await;
    world.create("new", &arn).await;
    world.reason("new", "OwnedByAnother").await;
    world.delete_in_the_foreground("old");
    world.until_deleted("old").await;
    assert!(world.inactive(&arn));
}

/// The two commits that `docs/guides/gitops.md` recommends.
#[tokio::test]
async fn object_renamed_in_two_commits_keeps_its_connector() {
    let world = World::new().await;
    let _operator = world.operator();
    let arn = world.claimed("old").await;
    world.policy("old", "Retain").await;
    // Both tools apply the new object before they prune the old one.
    world.create("new", &arn).await;
    world.reason("new", "OwnedByAnother").await;
    world.delete_in_the_foreground("old");
    world.until_deleted("old").await;
    world.reason("new", "Available").await;
    assert!(world.owner_tag(&arn).unwrap().ends_with("/new"));
    assert_eq!(world.deletes(), 0);
}

/// The command of `docs/guides/gitops.md`.
#[tokio::test]
async fn health_check_is_installed_beside_existing_entries() {
    const KEY: &str = "resource.customizations.health.apprunner-operator.dev_VpcConnector";
    let world = World::new().await;
    let health = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/argocd/health.lua");
    let kubectl = |arguments: &[&str]| run(cluster().kubectl().args(["--namespace", &world.namespace]).args(arguments));
    kubectl(&["create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com"]);
    let file = format!("--from-file={KEY}={health}");
    let made = kubectl(&["create", "configmap", "argocd-cm", "--dry-run=client", "--output=yaml", &file]);
    let patch = cluster().directory().join(format!("{}-argocd-cm.yaml", world.namespace));
    std::fs::write(&patch, made).unwrap();
    let from = format!("--patch-file={}", patch.display());
    kubectl(&["patch", "configmap", "argocd-cm", "--type=merge", &from]);
    let stored: Value = serde_json::from_str(&kubectl(&["get", "configmap", "argocd-cm", "--output=json"])).unwrap();
    assert_eq!(stored["data"][KEY], std::fs::read_to_string(health).unwrap());
    assert_eq!(stored["data"]["url"], "https://argocd.example.com");
    let page = include_str!("../../docs/guides/gitops.md");
    assert!(page.contains(KEY) && page.contains("--type=merge --patch-file"), "the page says it otherwise");
}

/// The API server validates our manifests of the examples; it does not know the kinds of Argo CD and Flux.
#[tokio::test]
async fn api_server_accepts_the_example_objects() {
    let world = World::new().await;
    let taken = async |file: &str| {
        let path = format!("{}/examples/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("namespace: shop", &format!("namespace: {}", world.namespace));
        let copy = cluster().directory().join(format!("{}-{}", world.namespace, file.replace('/', "-")));
        std::fs::write(&copy, text).unwrap();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "--output=json", "-f"];
        let made: Value = serde_json::from_str(&run(cluster().kubectl().args(apply).arg(&copy))).unwrap();
        made["metadata"]["annotations"].clone()
    };
    let annotations = taken("argocd/vpcconnector.yaml").await;
    assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=confirm,Delete=confirm");
    let annotations = taken("flux/vpcconnector.yaml").await;
    assert_eq!(annotations["kustomize.toolkit.fluxcd.io/prune"], "disabled");
    taken("vpcconnector.yaml").await;
}
