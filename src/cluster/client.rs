//! Connects to the API server.

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ConfigExt;
use kube::{Api, Client, Config, ResourceExt};
use tower::util::MapErr;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::timeout::ResponseBodyTimeoutLayer;

use super::proxy::UnusableProxy;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, Error, SILENCE_DEADLINE, access, within_deadline};
use crate::cli::AccessArgs;
use crate::core::ownership::{ClusterId, ClusterIdError};

/// The reason why there is no client, or no cluster id.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither a kubeconfig nor a pod's service account was found.
    #[error(
        "no way to reach a cluster: there is no kubeconfig ({looked}), and no service account of a pod ({why}). Run in a pod with a service account, or set KUBECONFIG"
    )]
    NoCluster {
        /// The paths that were searched for a kubeconfig.
        looked: String,
        /// The reason why there is no service account.
        why: String,
    },
    /// The kubeconfig can't be used.
    #[error("the kubeconfig {files} can't be used: {why}")]
    Kubeconfig {
        /// The files that were read.
        files: String,
        /// The defect.
        why: String,
    },
    /// The configured proxy can't be used.
    #[error(transparent)]
    Proxy(#[from] UnusableProxy),
    /// The configuration of the client can't be used.
    #[error("the way to the cluster can't be used: {0}")]
    Unusable(#[from] Box<kube::Error>),
    /// The sign-in did not end within the deadline.
    #[error("no connection to the cluster within the deadline")]
    Late,
    /// The sign-in ended unexpectedly.
    #[error("connecting to the cluster: {0}")]
    Broken(#[from] tokio::task::JoinError),
    /// The id of the cluster could not be read.
    #[error(
        "reading the uid of namespace kube-system, which is the cluster's id in owner tags: {0}. Allow it, or set --cluster-id or --ownership-tags=false"
    )]
    NoClusterId(#[source] Error),
    /// The id of the cluster is not valid.
    #[error(transparent)]
    NotAnId(#[from] ClusterIdError),
}

/// Makes a client from the kubeconfig or the service account of the pod, without a call to the API server.
pub(crate) async fn connect(args: &AccessArgs) -> Result<Client, StartError> {
    let (config, proxy) = access::resolve(args).await?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let client = match proxy {
        None => client_over(&config, tcp),
        Some(proxy) => {
            // As in client-go, the certificate of a proxy with TLS is checked like that of the API server.
            let tcp = config.rustls_https_connector_with_connector(tcp).map_err(Box::new)?;
            let (socks, named) = (proxy.is_socks(), proxy.clone());
            if socks {
                client_over(&config, MapErr::new(proxy.socks(tcp), move |error| named.failure(error)))
            } else {
                client_over(&config, MapErr::new(proxy.tunnel(tcp), move |error| named.failure(error)))
            }
        }
    };
    Ok(client.map_err(Box::new)?)
}

/// Makes a client within [`CALL_DEADLINE`]: the sign-in may run a program that cannot be interrupted.
pub(crate) async fn connect_in_time(args: &AccessArgs) -> Result<Client, StartError> {
    let args = args.clone();
    let connecting = tokio::spawn(async move { connect(&args).await });
    tokio::time::timeout(CALL_DEADLINE, connecting).await.map_err(|_| StartError::Late)??
}

/// Makes a client over a connector.
///
/// The default client of kube holds the body of a request back until the server acknowledges the head, which may take
/// 40 ms (Nagle's algorithm), and it retries calls without a trace. This client does neither. The deadline of a
/// connection includes the proxy and TLS. The silence of a connection is measured while a reply is awaited; a deadline of
/// hyper-timeout for each read would be a timer that expires after each read, and wake the process.
fn client_over<C>(config: &Config, connector: C) -> kube::Result<Client>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    let mut connections = legacy::Client::builder(TokioExecutor::new());
    connections.pool_idle_timeout(SILENCE_DEADLINE).pool_timer(TokioTimer::new());
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .timeout(SILENCE_DEADLINE)
        .layer(ResponseBodyTimeoutLayer::new(SILENCE_DEADLINE))
        .map_err(BoxError::from)
        .service(connections.build(connector));
    Ok(Client::new(service, &config.default_namespace))
}

/// Reads the id of this cluster in owner tags: the uid of its kube-system namespace.
pub(crate) async fn cluster_id(client: &Client) -> Result<ClusterId, StartError> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let system = within_deadline("get namespace kube-system", namespaces.get("kube-system"))
        .await
        .map_err(StartError::NoClusterId)?;
    Ok(system.uid().unwrap_or_default().parse()?)
}
