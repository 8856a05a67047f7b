//! The floor: the least that deletes connectors with the operator's calls and writes, over the same clients.
//!
//! For each deleted object it reads the owner tag, deletes the connector, writes the receipt into the status and removes the
//! finalizer. It keeps no state, retries nothing, logs nothing and publishes no Event. It is a process of its own, so that
//! its CPU time can be read, and is built with the flags of the operator's image.

use std::collections::HashSet;
use std::io::Read;

use apprunner_operator::api::{ConnectorStatus, FINALIZER, OWNER_TAG, Reason, VpcConnector, VpcConnectorStatus};
use aws_sdk_apprunner::config::retry::RetryConfig;
use aws_sdk_apprunner::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_apprunner::types::VpcConnector as Connector;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt};
use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ApiResource, NotUsed, Object, Patch, PatchParams};
use kube::core::Request;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bed::connect;
use crate::{REGION, Result, claimed};

/// The operator has as many workers for one account and region.
const WORKERS: usize = 16;
/// The variable with the cluster's id in owner tags.
pub(crate) const CLUSTER_ID: &str = "BENCH_CLUSTER_ID";
/// The line that a floor prints when it has listed the objects.
pub(crate) const READY: &str = "ready";

#[derive(Deserialize, Clone, Debug)]
struct Spec {
    arn: String,
}

/// An object, of which only the fields that the floor needs are read.
type Claimed = Object<Spec, NotUsed>;

struct Floor {
    kube: Client,
    aws: aws_sdk_apprunner::Client,
    cluster_id: String,
}

/// Runs the floor until its standard input ends.
pub(crate) fn run() -> Result {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    // With a second thread it takes as long, and a quarter more CPU time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result {
    let kube = connect(&kube::Config::infer().await?)?;
    let floor = Floor { kube: kube.clone(), aws: aws()?, cluster_id: std::env::var(CLUSTER_ID)? };
    let (queue, deleted) = mpsc::unbounded();
    let watching = tokio::spawn(watch(kube, queue));
    let worked = deleted.map(Ok).try_for_each_concurrent(WORKERS, |object| floor.delete(object));
    worked.await?;
    Ok(watching.await??)
}

async fn watch(kube: Client, queue: mpsc::UnboundedSender<Claimed>) -> Result<(), watcher::Error> {
    let objects = Api::<Claimed>::all_with(kube, &ApiResource::erase::<VpcConnector>(&()));
    let mut queued = HashSet::new();
    let mut events = std::pin::pin!(watcher::watcher(objects, watcher::Config::default()));
    while let Some(event) = events.try_next().await? {
        match event {
            Event::InitDone => say_ready(),
            Event::Delete(object) => drop(queued.remove(&object.metadata.uid)),
            Event::Init => {}
            Event::Apply(object) | Event::InitApply(object) => {
                let held = object.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
                let deleting = object.metadata.deletion_timestamp.is_some() && held;
                if deleting && queued.insert(object.metadata.uid.clone()) {
                    let _ = queue.unbounded_send(object);
                }
            }
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the program that started this one reads it")]
fn say_ready() {
    println!("{READY}");
}

fn aws() -> Result<aws_sdk_apprunner::Client> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let bundle = std::fs::read(variable("AWS_CA_BUNDLE")?)?;
    let tls = TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(bundle)).build()?;
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls).build_https();
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    let config = aws_sdk_apprunner::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(variable("AWS_ENDPOINT_URL")?)
        .credentials_provider(Credentials::new(id, secret, None, None, "bench"))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(https);
    Ok(aws_sdk_apprunner::Client::from_conf(config.build()))
}

impl Floor {
    async fn delete(&self, object: Claimed) -> Result {
        let arn = &object.spec.arn;
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let owner = format!("{}/{namespace}/{name}", self.cluster_id);
        let tags = self.aws.list_tags_for_resource().resource_arn(arn).send().await?;
        if !tags.tags().iter().any(|tag| tag.key() == Some(OWNER_TAG) && tag.value() == Some(&owner)) {
            return Err(format!("{name} does not own {arn}").into());
        }
        let deleted = self.aws.delete_vpc_connector().vpc_connector_arn(arn).send().await?;
        let receipt = receipt(&object, deleted.vpc_connector().ok_or("a reply without a connector")?)?;
        let path = Request::new(VpcConnector::url_path(&(), Some(&namespace)));
        let same = || test("/metadata/uid", json!(object.metadata.uid));
        let write = patch(vec![same(), PatchOperation::Add(AddOperation { path: at("/status"), value: receipt })]);
        self.send(path.patch_subresource("status", &name, &PatchParams::default(), &write)?).await?;
        let entry = "/metadata/finalizers/0";
        let remove = PatchOperation::Remove(RemoveOperation { path: at(entry) });
        let release = patch(vec![same(), test(entry, json!(FINALIZER)), remove]);
        self.send(path.patch(&name, &PatchParams::default(), &release)?).await
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result {
        self.kube.request_text(request).await?;
        Ok(())
    }
}

fn patch(operations: Vec<PatchOperation>) -> Patch<()> {
    Patch::Json(json_patch::Patch(operations))
}

fn test(path: &'static str, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: at(path), value })
}

fn at(path: &'static str) -> PointerBuf {
    Pointer::from_static(path).to_buf()
}

/// The status that the operator writes as the receipt.
fn receipt(object: &Claimed, reply: &Connector) -> Result<Value> {
    let message = "App Runner reports the connector INACTIVE";
    let status = ConnectorStatus::from(reply.status().map_or("", |status| status.as_str()));
    let deleted_at = reply.deleted_at().and_then(|at| jiff::Timestamp::from_second(at.secs()).ok()).map(Time);
    let receipt = VpcConnectorStatus { status: Some(status), deleted_at, ..claimed::status(reply, &object.spec.arn) };
    Ok(serde_json::to_value(VpcConnectorStatus {
        conditions: vec![claimed::ready("False", Reason::Deleted, message, object.metadata.generation)],
        ..receipt
    })?)
}
