//! Reaches the API server.

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ConfigExt;
use kube::{Api, Client, Config, ResourceExt};
use tower::{BoxError, ServiceBuilder};

use super::{CALL_DEADLINE, CONNECT_DEADLINE, Error, SILENCE_DEADLINE, within_deadline};
use crate::core::ownership::{ClusterId, ClusterIdError};

/// Says why there is no client, or no cluster id.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither a kubeconfig nor a pod's service account was found.
    #[error("no way to reach a cluster: {0}. Run in a pod with a service account, or set KUBECONFIG")]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    /// What was found can't be used.
    #[error("the way to the cluster can't be used: {0}")]
    Unusable(#[source] Box<kube::Error>),
    /// The cluster's own id could not be read.
    #[error(
        "reading the uid of namespace kube-system, which is the cluster's id in owner tags: {0}. Allow it, or set --cluster-id or --ownership-tags=off"
    )]
    NoClusterId(#[source] Error),
    /// The cluster's own id is not one.
    #[error(transparent)]
    NotAnId(#[from] ClusterIdError),
}

/// Makes a client from the kubeconfig or the pod's service account. Calls nobody.
pub async fn connect() -> Result<Client, StartError> {
    let config = Config::infer().await.map_err(|error| StartError::NoCluster(Box::new(error)))?;
    // It says which kinds of proxies it does not know: all of them, as it is built here.
    let client = if config.proxy_url.is_some() { Client::try_from(config) } else { direct(&config) };
    client.map_err(|error| StartError::Unusable(Box::new(error)))
}

/// The same for whoever must not wait: signing in may run a program that nobody can interrupt.
pub async fn connect_in_time() -> Result<Client, String> {
    let connecting = tokio::time::timeout(CALL_DEADLINE, tokio::spawn(connect())).await;
    let connected = connecting.map_err(|_| "no connection within the deadline".to_owned())?;
    connected.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// What kube makes by itself holds a request's body back until its head is acknowledged, for which a server may take
/// 40 ms (Nagle's algorithm); nor is anything to be tried twice unseen.
fn direct(config: &Config) -> kube::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    connector.set_read_timeout(Some(SILENCE_DEADLINE));
    connector.set_reset_reader_on_write(true);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(Client::new(service, &config.default_namespace))
}

/// Reads the name of this cluster in owner tags: the uid of its kube-system namespace.
pub async fn cluster_id(client: &Client) -> Result<ClusterId, StartError> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let system = within_deadline("get namespace kube-system", namespaces.get("kube-system"))
        .await
        .map_err(StartError::NoClusterId)?;
    Ok(system.uid().unwrap_or_default().parse()?)
}
