//! The way to the cluster: a kubeconfig, found as kubectl finds it, or the pod's service account.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::client::StartError;
use super::proxy::Proxy;
use crate::cli::AccessArgs;

/// A kubeconfig, and the files that it was read from.
struct Found {
    files: String,
    content: Kubeconfig,
}

/// Says how to reach the cluster, and through which proxy.
pub(super) async fn resolve(args: &AccessArgs) -> Result<(Config, Option<Proxy>), StartError> {
    let (files, looked) = candidates(args);
    let chosen = args.kubeconfig.is_some() || args.context.is_some();
    let (mut config, proxy_url) = match read(&files)? {
        // As in client-go, an empty kubeconfig does not stand in the way of the pod's service account.
        Some(found) if chosen || !(found.content.contexts.is_empty() && Config::incluster().is_ok()) => {
            named(found, args.context.clone()).await?
        }
        None if chosen => return Err(StartError::Kubeconfig { files: looked, why: "there is no such file".into() }),
        _ => {
            let config = Config::incluster().map_err(|error| StartError::NoCluster { looked, why: no_pod(&error) })?;
            (config, None)
        }
    };
    config.apply_debug_overrides();
    let proxy = Proxy::of(&config.cluster_url, proxy_url.as_deref(), |name| std::env::var(name).ok())?;
    Ok((config, proxy))
}

/// The files that kubectl would read, and the same for people.
fn candidates(args: &AccessArgs) -> (Vec<PathBuf>, String) {
    let of_variable = || {
        let value = std::env::var_os("KUBECONFIG")?;
        let files: Vec<_> = std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect();
        (!files.is_empty()).then_some(files)
    };
    let files = match &args.kubeconfig {
        Some(file) => vec![file.clone()],
        None => of_variable().unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            home.map(|home| home.join(".kube/config")).into_iter().collect()
        }),
    };
    let names = if files.is_empty() { "~/.kube/config".to_owned() } else { listed(files.iter()) };
    (files, names)
}

fn listed<'a>(files: impl Iterator<Item = &'a PathBuf>) -> String {
    files.map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Reads and merges those files that there are. As in client-go, the others don't matter while there is one.
fn read(files: &[PathBuf]) -> Result<Option<Found>, StartError> {
    let there: Vec<_> = files.iter().filter(|file| file.exists()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let mut content = Kubeconfig::default();
    for file in &there {
        let read = Kubeconfig::read_from(absolute(file)).and_then(|next| content.merge(next));
        content =
            read.map_err(|error| StartError::Kubeconfig { files: file.display().to_string(), why: cause(&error) })?;
    }
    Ok(Some(Found { files: listed(there.into_iter()), content }))
}

/// Paths inside of a kubeconfig are relative to its directory, which a bare file name does not tell.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

async fn named(found: Found, context: Option<String>) -> Result<(Config, Option<String>), StartError> {
    let Found { files, content } = found;
    let proxy_url = proxy_url(&content, context.as_deref());
    let options = KubeConfigOptions { context, ..Default::default() };
    let config = Config::from_custom_kubeconfig(content, &options).await;
    Ok((config.map_err(|error| StartError::Kubeconfig { files, why: cause(&error) })?, proxy_url))
}

/// kube mixes it with the variables, so it is read here.
fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let chosen = kubeconfig.contexts.iter().find(|known| known.name == name)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|known| known.name == chosen.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

/// Why there is no service account.
fn no_pod(error: &InClusterError) -> String {
    match error {
        InClusterError::ReadEnvironmentVariable(_) => "KUBERNETES_SERVICE_HOST or its PORT is not set".into(),
        other => other.to_string(),
    }
}

/// What is wrong with a kubeconfig.
fn cause(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::CurrentContextNotSet => "it has no current-context; choose one with --context".into(),
        KubeconfigError::LoadContext(name) => format!("it has no context \"{name}\""),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster \"{name}\", which its context names"),
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        // What follows on the first line quotes the file, which holds keys.
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
