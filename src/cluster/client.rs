//! Reaches the API server.

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ConfigExt;
use kube::{Api, Client, Config, ResourceExt};
use tower::util::MapErr;
use tower::{BoxError, Service, ServiceBuilder};

use super::proxy::UnusableProxy;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, Error, SILENCE_DEADLINE, access, within_deadline};
use crate::cli::AccessArgs;
use crate::core::ownership::{ClusterId, ClusterIdError};

/// Says why there is no client, or no cluster id.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither a kubeconfig nor a pod's service account was found.
    #[error(
        "no way to reach a cluster: there is no kubeconfig ({looked}), and no service account of a pod ({why}). Run in a pod with a service account, or set KUBECONFIG"
    )]
    NoCluster {
        /// Where a kubeconfig was looked for.
        looked: String,
        /// Why there is no service account.
        why: String,
    },
    /// There is a kubeconfig, and it can't be used.
    #[error("the kubeconfig {files} can't be used: {why}")]
    Kubeconfig {
        /// Where it was read.
        files: String,
        /// What is wrong with it.
        why: String,
    },
    /// A proxy is set that can't be used.
    #[error(transparent)]
    Proxy(#[from] UnusableProxy),
    /// What was found can't be used.
    #[error("the way to the cluster can't be used: {0}")]
    Unusable(#[from] Box<kube::Error>),
    /// Signing in takes too long.
    #[error("no connection to the cluster within the deadline")]
    Late,
    /// Signing in came to an unexpected end.
    #[error("connecting to the cluster: {0}")]
    Broken(#[from] tokio::task::JoinError),
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
pub async fn connect(args: &AccessArgs) -> Result<Client, StartError> {
    let (config, proxy) = access::resolve(args).await?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let client = match proxy {
        None => through(&config, tcp),
        Some(proxy) => {
            // A proxy behind TLS is trusted as the API server is; so client-go does it.
            let tcp = config.rustls_https_connector_with_connector(tcp).map_err(Box::new)?;
            let (socks, named) = (proxy.is_socks(), proxy.clone());
            if socks {
                through(&config, MapErr::new(proxy.socks(tcp)?, move |error| named.failure(error)))
            } else {
                through(&config, MapErr::new(proxy.tunnel(tcp), move |error| named.failure(error)))
            }
        }
    };
    Ok(client.map_err(Box::new)?)
}

/// The same for whoever must not wait: signing in may run a program that nobody can interrupt.
pub async fn connect_in_time(args: &AccessArgs) -> Result<Client, StartError> {
    let args = args.clone();
    let connecting = tokio::spawn(async move { connect(&args).await });
    tokio::time::timeout(CALL_DEADLINE, connecting).await.map_err(|_| StartError::Late)??
}

/// What kube makes by itself holds a request's body back until its head is acknowledged, for which a server may take
/// 40 ms (Nagle's algorithm); nor is anything to be tried twice unseen. The deadline for connecting includes what a proxy
/// takes, and TLS.
fn through<C>(config: &Config, connector: C) -> kube::Result<Client>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
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
