//! The configuration of the access to the cluster: a kubeconfig, found as kubectl finds it, or the service account of
//! the pod.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::client::StartError;
use super::proxy::Proxy;
use crate::cli::AccessArgs;

/// A kubeconfig, and the files that it was read from.
struct LoadedKubeconfig {
    files: String,
    content: Kubeconfig,
}

/// Returns the configuration of the client, and the proxy.
pub(super) async fn resolve(args: &AccessArgs) -> Result<(Config, Option<Proxy>), StartError> {
    let (files, looked) = candidates(args);
    let chosen = args.kubeconfig.is_some() || args.context.is_some();
    let (mut config, proxy_url) = match read(&files)? {
        // As in client-go, the service account of the pod is used if the kubeconfig is empty.
        Some(loaded) if chosen || !(loaded.content.contexts.is_empty() && Config::incluster().is_ok()) => {
            with_context(loaded, args.context.clone()).await?
        }
        None if chosen => return Err(StartError::Kubeconfig { files: looked, why: "there is no such file".into() }),
        _ => {
            let config = Config::incluster()
                .map_err(|error| StartError::NoCluster { looked, why: no_service_account(&error) })?;
            (config, None)
        }
    };
    config.apply_debug_overrides();
    let proxy = Proxy::for_server(&config.cluster_url, proxy_url.as_deref(), |name| std::env::var(name).ok())?;
    Ok((config, proxy))
}

/// The files that kubectl would read, and their names for a message.
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

/// Reads and merges the files that exist. As in client-go, missing files are ignored if at least one exists.
fn read(files: &[PathBuf]) -> Result<Option<LoadedKubeconfig>, StartError> {
    let existing: Vec<_> = files.iter().filter(|file| file.exists()).collect();
    if existing.is_empty() {
        return Ok(None);
    }
    let mut content = Kubeconfig::default();
    for file in &existing {
        let read = Kubeconfig::read_from(absolute(file)).and_then(|next| content.merge(next));
        content =
            read.map_err(|error| StartError::Kubeconfig { files: file.display().to_string(), why: cause(&error) })?;
    }
    Ok(Some(LoadedKubeconfig { files: listed(existing.into_iter()), content }))
}

/// The absolute path of a kubeconfig: paths in it are relative to its directory, and a bare file name has none.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

async fn with_context(
    loaded: LoadedKubeconfig,
    context: Option<String>,
) -> Result<(Config, Option<String>), StartError> {
    let LoadedKubeconfig { files, content } = loaded;
    let proxy_url = proxy_url(&content, context.as_deref());
    let options = KubeConfigOptions { context, ..Default::default() };
    let config = Config::from_custom_kubeconfig(content, &options).await;
    Ok((config.map_err(|error| StartError::Kubeconfig { files, why: cause(&error) })?, proxy_url))
}

/// The proxy-url of the selected cluster. kube mixes it with the proxy variables, so this function reads it itself.
fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let chosen = kubeconfig.contexts.iter().find(|known| known.name == name)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|known| known.name == chosen.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

/// Text for a missing service account.
fn no_service_account(error: &InClusterError) -> String {
    match error {
        InClusterError::ReadEnvironmentVariable(_) => "KUBERNETES_SERVICE_HOST or its PORT is not set".into(),
        other => other.to_string(),
    }
}

/// Text for a defect of a kubeconfig.
fn cause(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::CurrentContextNotSet => "it has no current-context; choose one with --context".into(),
        KubeconfigError::LoadContext(name) => format!("it has no context \"{name}\""),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster \"{name}\", which its context names"),
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        // The lines after the first quote the file, which contains keys.
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
