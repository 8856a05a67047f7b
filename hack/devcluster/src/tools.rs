//! Location of the Kubernetes programs.
//!
//! Only `hack/tools.sh` knows the location, because it builds the programs; this module asks the script. Nothing is
//! built and nothing is skipped here: a test that finds no cluster fails, and its message names the command that helps.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Component, Error};

const NEEDED: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
const NEEDED_BY_A_NODE: [&str; 9] = [
    "kube-scheduler",
    "kubelet",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "bridge",
    "host-local",
    "loopback",
    "pause",
];

/// A directory in which all Kubernetes programs are present.
#[derive(Clone, Debug)]
pub struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Finds the programs where `hack/tools.sh` builds them, or in `KUBEBUILDER_ASSETS`.
    pub fn find() -> Result<Self, Error> {
        let remedy = if env::var_os("KUBEBUILDER_ASSETS").is_some_and(|value| !value.is_empty()) {
            "KUBEBUILDER_ASSETS points there; correct it, or unset it and run `make tools`"
        } else {
            "run `make tools`, which builds what is missing"
        };
        Self { directory: ask_script()? }.check(&NEEDED, remedy)
    }

    /// Uses the programs of the given directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        Self { directory: directory.into() }.check(&NEEDED, "name a directory that has them")
    }

    /// Checks that the programs of a node are present too.
    pub(crate) fn with_node(self) -> Result<Self, Error> {
        self.check(&NEEDED_BY_A_NODE, "run `hack/tools.sh build node`, which builds what is missing")
    }

    fn check(self, needed: &[&'static str], remedy: &'static str) -> Result<Self, Error> {
        let is_missing = |name: &&str| !is_executable(&self.directory.join(name));
        let missing: Vec<_> = needed.iter().copied().filter(is_missing).collect();
        if missing.is_empty() {
            Ok(self)
        } else {
            Err(Error::ToolsMissing { directory: self.directory, missing, remedy })
        }
    }

    /// The programs' directory; `helm` may be there as well.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of a component's program; dnsmasq is the distribution's.
    pub(crate) fn of(&self, component: Component) -> PathBuf {
        match component {
            Component::Dns => component.program().into(),
            _ => self.directory.join(component.program()),
        }
    }

    /// The kubectl of the cluster's own version; [`DevCluster::kubectl`](crate::DevCluster::kubectl) also points it at
    /// the cluster.
    pub fn kubectl(&self) -> PathBuf {
        self.directory.join("kubectl")
    }
}

fn ask_script() -> Result<PathBuf, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools.sh");
    let output = Command::new(&script).arg("path").output();
    let unknown = |reason: String| Error::ToolsUnknown { script: script.clone(), reason };
    let output = output.map_err(|error| unknown(error.to_string()))?;
    if !output.status.success() {
        return Err(unknown(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n')))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
