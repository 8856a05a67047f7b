//! A namespace, an App Runner and an operator for each test, with methods that prepare, change and await objects.
//!
//! Theme files add methods of their own to [`World`] by `impl World`: flags, gitops, `in_use`, leadership, limits,
//! logging, refusals, and `proxy` in this folder.

pub mod cluster;
pub mod forward_proxy;
pub mod gitops_health;
pub mod operator;
pub mod policy;
pub mod proxy;
pub mod servers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apprunner_emulator::{AccessKey, Behaviors, Call, CallFilter, Config, Emulator, Fault, FaultKind, Operation};
use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, VpcConnectorSpec, VpcConnectorStatus};
use devcluster::DevCluster;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use cluster::{operator_user_confined_to, operator_user_on, run, shared};
use operator::{Operator, PACE, Settings, UNLIMITED};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
/// Long enough for the slowest machine; a wait that takes longer has failed.
const DEADLINE: Duration = Duration::from_mins(2);

/// Credentials of another account.
pub const OTHER: (&str, &str, &str) = ("AKIDOTHER", "not-a-secret-either", "999999999999");
/// Temporary credentials of [`ACCOUNT`]: key, secret and session token.
pub const TEMPORARY: (&str, &str, &str) = ("ASIATEMPORARY", "not-a-secret-for-long", "session-token");

/// The namespace, emulator and cluster of one test.
pub struct World {
    pub cluster: Arc<DevCluster>,
    pub emulator: Arc<Emulator>,
    pub namespace: String,
    pub api: Api<VpcConnector>,
    pub client: Client,
    pub settings: Settings,
    versions: Arc<Mutex<Vec<Observed>>>,
}

/// A version of an object, as the watch delivered it.
#[derive(Clone, Debug)]
pub enum Observed {
    Version(Box<VpcConnector>),
    Deleted(String),
}

impl World {
    /// Creates a namespace and an emulator; starts no operator.
    pub async fn new() -> Self {
        Self::with_behaviors(Behaviors { connector_quota: 1000, ..Behaviors::default() }).await
    }

    /// Creates the world on another cluster than the shared one.
    pub async fn on_cluster(cluster: Arc<DevCluster>) -> Self {
        Self::build(cluster, Behaviors { connector_quota: 1000, ..Behaviors::default() }).await
    }

    pub async fn with_behaviors(behaviors: Behaviors) -> Self {
        Self::build(shared(), behaviors).await
    }

    async fn build(cluster: Arc<DevCluster>, behaviors: Behaviors) -> Self {
        let temporary = AccessKey::new(TEMPORARY.0, TEMPORARY.1, ACCOUNT).with_session_token(TEMPORARY.2, None);
        let access_keys = vec![AccessKey::default(), AccessKey::new(OTHER.0, OTHER.1, OTHER.2), temporary];
        let config = Config { access_keys, behaviors, ..Config::default() };
        Self::in_new_namespace(cluster, Arc::new(Emulator::start(config).await.unwrap())).await
    }

    /// Creates another namespace with the same App Runner; with a cluster id of its own it acts as another cluster.
    pub async fn with_same_emulator(&self) -> Self {
        Self::in_new_namespace(self.cluster.clone(), self.emulator.clone()).await
    }

    async fn in_new_namespace(cluster: Arc<DevCluster>, emulator: Arc<Emulator>) -> Self {
        let client = admin_of(&cluster).await;
        let namespace = create_namespace(&client).await;
        let api = Api::namespaced(client.clone(), &namespace);
        let settings = Settings {
            endpoint: emulator.url(),
            access_key: (AccessKey::default().id, AccessKey::default().secret),
            arguments: vec![format!("--watch-namespace={namespace}")],
            environment: Vec::new(),
            pace: PACE,
            limits: UNLIMITED,
        };
        let versions = watch_all(&api).await;
        Self { cluster, emulator, namespace, api, client, settings, versions }
    }

    /// Makes this world use another namespace.
    pub fn switch_namespace(&mut self, namespace: &str) {
        self.api = Api::namespaced(self.client.clone(), namespace);
        namespace.clone_into(&mut self.namespace);
    }

    /// Starts an operator for this namespace.
    pub fn operator(&self) -> Operator {
        self.operator_with(&[])
    }

    /// Starts an operator with more arguments.
    pub fn operator_with(&self, arguments: &[&str]) -> Operator {
        let mut settings = self.settings.clone();
        settings.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Operator::start_as(operator_user_on(&self.cluster), &settings)
    }

    /// Starts an operator that has the operator's rights in this namespace, and none elsewhere.
    pub fn operator_confined(&self, arguments: &[&str]) -> Operator {
        let mut settings = self.settings.clone();
        settings.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Operator::start_as(operator_user_confined_to(&self.namespace), &settings)
    }

    /// Starts an operator with another account's credentials.
    pub fn operator_of_other_account(&self) -> Operator {
        let access_key = (OTHER.0.to_owned(), OTHER.1.to_owned());
        let settings = Settings { access_key, ..self.settings.clone() };
        Operator::start_as(operator_user_on(&self.cluster), &settings)
    }

    /// Lets operators of this namespace use a Lease in it.
    pub fn allow_election(&self) {
        let role = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/leader-election.yaml");
        let namespace = format!("--namespace={}", self.namespace);
        run(self.cluster.kubectl().args(["apply", "-f", role, &namespace]));
        let bind = ["create", "rolebinding", "candidates", "--role=apprunner-operator-leader-election"];
        run(self.cluster.kubectl().args(bind).args(["--group=apprunner-operators", &namespace]));
    }

    /// Creates a connector in AWS.
    pub fn connector(&self, name: &str) -> String {
        self.emulator.create_connector(ACCOUNT, REGION, name)
    }

    /// Creates an object for a connector.
    pub async fn create(&self, name: &str, arn: &str) -> VpcConnector {
        self.create_with(name, arn, |_| {}).await
    }

    pub async fn create_with(&self, name: &str, arn: &str, change: impl FnOnce(&mut VpcConnector)) -> VpcConnector {
        let spec = VpcConnectorSpec { arn: arn.to_owned(), deletion_policy: Some(DeletionPolicy::Delete) };
        let mut object = VpcConnector::new(name, spec);
        change(&mut object);
        self.api.create(&PostParams::default(), &object).await.unwrap()
    }

    /// Creates a connector and an object for it, and waits until the connector is claimed.
    pub async fn claimed(&self, name: &str) -> String {
        let arn = self.connector(&format!("conn-{name}"));
        self.create(name, &arn).await;
        self.reason(name, "Available").await;
        arn
    }

    pub async fn delete(&self, name: &str) {
        self.api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Deletes every object; tries again if a busy server has closed the connection.
    pub async fn delete_all(&self) {
        let (delete, all) = (DeleteParams::default(), ListParams::default());
        let deleted =
            async || self.api.delete_collection(&delete, &all).await.inspect_err(|error| eprintln!("{error}")).ok();
        assert!(eventually(deleted).await.is_some(), "the API server accepts no deletions");
    }

    pub async fn annotate(&self, name: &str, key: &str, value: Option<&str>) {
        self.merge(name, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    pub async fn policy(&self, name: &str, policy: &str) {
        self.merge(name, json!({"spec": {"deletionPolicy": policy}})).await;
    }

    pub async fn merge(&self, name: &str, patch: Value) {
        self.api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn merge_status(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Replaces the whole status.
    pub async fn replace_status(&self, name: &str, status: Value) {
        let patch: json_patch::Patch =
            serde_json::from_value(json!([{"op": "replace", "path": "/status", "value": status}])).unwrap();
        self.api.patch_status(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await.unwrap();
    }

    /// Waits until the Ready condition has this reason, and returns the object.
    pub async fn reason(&self, name: &str, reason: &str) -> VpcConnector {
        self.until(name, reason, |o| o.status.as_ref().and_then(VpcConnectorStatus::ready_reason) == Some(reason)).await
    }

    /// Waits until an object satisfies `is`, and returns it; `what` names the condition in a failure.
    pub async fn until(&self, name: &str, what: &str, is: impl Fn(&VpcConnector) -> bool) -> VpcConnector {
        let found = eventually(async || self.api.get_opt(name).await.unwrap().filter(|object| is(object))).await;
        match found {
            Some(object) => object,
            None => panic!("{name} never became {what}: {:#?}", self.api.get_opt(name).await.unwrap()),
        }
    }

    /// Waits until an object is deleted.
    pub async fn until_deleted(&self, name: &str) {
        let deleted = eventually(async || self.api.get_opt(name).await.unwrap().is_none().then_some(())).await;
        assert!(deleted.is_some(), "{name} is still there: {:#?}", self.api.get_opt(name).await.unwrap());
    }

    /// Number of objects whose reason is Available.
    pub async fn available(&self) -> usize {
        let all = self.api.list(&ListParams::default()).await.unwrap();
        let reasons = all.items.iter().filter_map(|object| object.status.as_ref()?.ready_reason());
        reasons.filter(|reason| *reason == "Available").count()
    }

    /// Waits until an object is deleted or satisfies `is`.
    pub async fn until_deleted_or(&self, name: &str, is: impl Fn(&VpcConnector) -> bool) {
        let found = async || self.api.get_opt(name).await.unwrap().is_none_or(|object| is(&object)).then_some(());
        assert!(eventually(found).await.is_some(), "{name} stays: {:#?}", self.api.get_opt(name).await.unwrap());
    }

    /// Waits until an object is deleted, also while the API server does not answer yet.
    pub async fn until_deleted_after_outage(&self, name: &str) {
        let deleted = async || matches!(self.api.get_opt(name).await, Ok(None)).then_some(());
        assert!(eventually(deleted).await.is_some(), "{name} is still there");
    }

    /// The statuses of a deleted object in order, up to and including the last one.
    pub async fn history(&self, name: &str) -> Vec<VpcConnectorStatus> {
        let ended = |observed: &Observed| matches!(observed, Observed::Deleted(deleted) if deleted == name);
        let complete = eventually(async || self.observed().iter().any(ended).then_some(())).await;
        assert!(complete.is_some(), "the watch never showed the end of {name}");
        let versions = self.observed().into_iter();
        versions
            .filter_map(|observed| match observed {
                Observed::Version(object) if object.name_any() == name => object.status,
                _ => None,
            })
            .collect()
    }

    /// Every status of any object that the watch delivered.
    pub fn statuses(&self) -> impl Iterator<Item = VpcConnectorStatus> {
        self.observed().into_iter().filter_map(|observed| match observed {
            Observed::Version(object) => object.status,
            Observed::Deleted(_) => None,
        })
    }

    fn observed(&self) -> Vec<Observed> {
        self.versions.lock().unwrap().clone()
    }

    /// Calls of one operation to the emulator.
    pub fn calls(&self, operation: Operation) -> Vec<Call> {
        let filter = CallFilter { operation: Some(operation.name().to_owned()), ..CallFilter::default() };
        self.emulator.calls_matching(&filter)
    }

    pub fn deletes(&self) -> usize {
        self.calls(Operation::DeleteVpcConnector).len()
    }

    /// Number of delete calls for one connector.
    pub fn deletes_of(&self, arn: &str) -> usize {
        self.calls(Operation::DeleteVpcConnector).iter().filter(|call| call.arn.as_deref() == Some(arn)).count()
    }

    pub fn fault(&self, operation: Operation, kind: FaultKind) {
        self.emulator.add_fault(Fault::new(kind).on(operation));
    }

    pub fn lasting_fault(&self, operation: Operation, kind: FaultKind) {
        self.emulator.add_fault(Fault::new(kind).on(operation).forever());
    }

    /// Lets the next delete take effect at once and its answer arrive late.
    pub fn delay_delete_answer(&self, ms: u64) {
        self.fault(Operation::DeleteVpcConnector, FaultKind::LateAnswer { ms });
    }

    pub fn inactive(&self, arn: &str) -> bool {
        self.emulator.connector(arn).is_none_or(|c| c.status == apprunner_emulator::ConnectorStatus::Inactive)
    }

    pub fn owner_tag(&self, arn: &str) -> Option<String> {
        self.emulator.tags(arn).unwrap_or_default().remove(api::OWNER_TAG)
    }

    /// Waits for an Event about an object, and returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        let found = eventually(async || self.events(name).await.remove(reason)).await;
        found.unwrap_or_else(|| panic!("no Event {reason} about {name}"))
    }

    /// The notes of all Events.
    pub async fn notes(&self) -> Vec<String> {
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await.unwrap();
        all.items.into_iter().filter_map(|event| event.note).collect()
    }

    /// The Events about an object: reason and note.
    pub async fn events(&self, name: &str) -> BTreeMap<String, String> {
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await.unwrap();
        let about =
            all.items.into_iter().filter(|e| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name));
        about.map(|e| (e.reason.unwrap_or_default(), e.note.unwrap_or_default())).collect()
    }
}

/// Adds our finalizer to a new object.
pub fn with_finalizer(object: &mut VpcConnector) {
    object.metadata.finalizers = Some(vec![api::FINALIZER.into()]);
}

/// Message of the Ready condition.
pub fn message(object: &VpcConnector) -> &str {
    &object.status.as_ref().unwrap().condition("Ready").unwrap().message
}

/// A client with every right.
pub async fn admin_of(cluster: &DevCluster) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Creates a namespace that no other test uses.
pub async fn create_namespace(client: &Client) -> String {
    let metadata = ObjectMeta { generate_name: Some("test-".into()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    created.name_any()
}

/// Calls `ask` until it returns a value or the deadline passes.
pub async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> Option<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.ok()
}

/// Records every version of every object that the API server delivers from now on.
async fn watch_all(api: &Api<VpcConnector>) -> Arc<Mutex<Vec<Observed>>> {
    let versions = Arc::<Mutex<Vec<Observed>>>::default();
    let (seen, watched) = (versions.clone(), api.clone());
    let (ready, watching) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        let mut events = watcher(watched, watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    seen.lock().unwrap().push(Observed::Version(Box::new(object)));
                }
                Ok(watcher::Event::Delete(object)) => seen.lock().unwrap().push(Observed::Deleted(object.name_any())),
                Ok(watcher::Event::InitDone) => {
                    let _ = ready.take().map(|ready| ready.send(()));
                }
                _ => {}
            }
        }
    });
    // Without the CRD the watch cannot start yet, so there is nothing to wait for.
    if api.list(&ListParams::default()).await.is_ok() {
        watching.await.unwrap();
    }
    versions
}
