//! Requirements of a node. Missing ones are reported before anything is started, each with an instruction to get it.

use std::{env, fs, path::Path};

use crate::Error;

const PROGRAMS: [&str; 5] = ["unshare", "nsenter", "ip", "runc", "dnsmasq"];

pub(crate) fn check() -> Result<(), Error> {
    let missing: Vec<_> = [root(), overlay(), namespaces(), programs()].into_iter().flatten().collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::NodeNeeds { missing }) }
}

fn root() -> Option<String> {
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| "root, for mounts and networks of its own: run it with sudo".to_owned())
}

fn overlay() -> Option<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_known = known.lines().any(|line| line.ends_with("\toverlay"));
    (!is_known).then(|| "overlayfs, which this kernel has not loaded: modprobe overlay".to_owned())
}

fn namespaces() -> Option<String> {
    let missing: Vec<_> =
        ["mnt", "net", "pid"].into_iter().filter(|kind| !Path::new("/proc/self/ns").join(kind).exists()).collect();
    let kinds = missing.join(", ");
    (!missing.is_empty()).then(|| format!("namespaces ({kinds}), which this kernel was built without: use another one"))
}

fn programs() -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing = |program: &&str| !env::split_paths(&path).any(|directory| directory.join(program).is_file());
    let missing = PROGRAMS.into_iter().filter(is_missing).collect::<Vec<_>>().join(", ");
    (!missing.is_empty()).then(|| format!("{missing} on the PATH: hack/e2e/packages install"))
}
