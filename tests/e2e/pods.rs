//! The operator's pods: the leader, the calls and writes of each pod, and their ends.

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::release::RELEASE;
use crate::world::{World, eventually};

/// Holder of the Lease: a process, because a restarted container is another candidate.
#[derive(Debug, PartialEq, Eq)]
pub struct Leader {
    pub pod: String,
    process: String,
}

impl World {
    /// Waits for a leader.
    pub async fn leader(&self) -> Leader {
        eventually("one leads", async || self.holder().await).await
    }

    /// Waits until another candidate leads.
    pub async fn next_leader(&self, leader: &Leader) -> Leader {
        eventually("another leads", async || self.holder().await.filter(|holder| holder != leader)).await
    }

    /// Waits until the leader has renewed its Lease; from that moment the Lease lasts longest.
    pub async fn until_renewed(&self) {
        let before = self.lease().await.resource_version();
        let renewed = async || (self.lease().await.resource_version() != before).then_some(());
        eventually("it is renewed", renewed).await;
    }

    async fn lease(&self) -> Lease {
        Api::namespaced(self.client.clone(), self.name).get(RELEASE).await.unwrap()
    }

    async fn holder(&self) -> Option<Leader> {
        let holder = self.lease().await.spec?.holder_identity?;
        let (pod, process) = holder.rsplit_once('_').unwrap();
        Some(Leader { pod: pod.to_owned(), process: process.to_owned() })
    }

    pub async fn pod(&self, name: &str) -> Pod {
        self.pods().get(name).await.unwrap()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.name)
    }

    /// Sends a signal to a pod's operator.
    pub fn signal(&self, pod: &str, signal: &str) {
        self.cluster.signal(self.name, pod, signal).unwrap();
    }

    /// Waits until a pod's operator has ended with this code and was started again.
    pub fn until_restarted(&self, pod: &str, exit_code: u8) {
        let ended =
            format!("--for=jsonpath={{.status.containerStatuses[0].lastState.terminated.exitCode}}={exit_code}");
        self.kubectl(&["wait", "pod", pod, &ended, "--timeout=60s"]);
    }

    /// Waits until this pod is deleted; returns the exit code of its operator.
    pub async fn exit_code(&self, pod: &Pod) -> i32 {
        let only = WatchParams::default().fields(&format!("metadata.name={}", pod.name_any())).timeout(60);
        let mut changes = self.pods().watch(&only, &pod.resource_version().unwrap()).await.unwrap().boxed();
        while let Some(change) = changes.next().await {
            if let WatchEvent::Deleted(pod) = change.unwrap() {
                let state = pod.status.unwrap().container_statuses.unwrap().remove(0).state.unwrap();
                return state.terminated.unwrap().exit_code;
            }
        }
        panic!("{} is still there", pod.name_any());
    }

    /// Number of AWS calls of a pod.
    pub fn calls_of(&self, pod: &Pod) -> usize {
        let key = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
        self.emulator.calls().iter().filter(|call| call.access_key_id.as_ref() == key).count()
    }

    /// A pod's requests to the API server other than reads.
    pub fn writes_of(&self, pod: &str) -> Vec<Value> {
        let reads = ["get", "list", "watch"].map(Value::from);
        let by_it = |event: &Value| event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0] == *pod;
        self.audit().into_iter().filter(|event| by_it(event) && !reads.contains(&event["verb"])).collect()
    }
}
