//! The machine seen from outside of a cluster: its processes, their namespaces, its cgroups, its settings.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every process of the machine.
fn processes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("cmdline").exists() && path.join("ns").exists()).collect()
}

/// Returns whether a process has these words in its command line.
pub(crate) fn runs(words: &str) -> bool {
    state(words).is_some()
}

/// State of the process that has these words in its command line: `T` if it is frozen.
pub(crate) fn state(words: &str) -> Option<String> {
    let command_line = |path: &Path| fs::read(path.join("cmdline")).unwrap_or_default();
    let line = |path: &Path| String::from_utf8_lossy(&command_line(path)).replace('\0', " ");
    processes().into_iter().find(|path| line(path).contains(words)).and_then(|path| field(&path, 0))
}

/// The namespaces of a process, without those that this process shares.
fn namespaces(process: &Path) -> BTreeSet<PathBuf> {
    let of = |process: &Path| -> BTreeSet<PathBuf> {
        ["mnt", "net", "pid"].iter().filter_map(|kind| fs::read_link(process.join("ns").join(kind)).ok()).collect()
    };
    of(process).difference(&of(Path::new("/proc/self"))).cloned().collect()
}

/// The cgroups of that name, in every hierarchy.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).chain([root.to_owned()]);
    hierarchies.map(|path| path.join(name)).filter(|path| path.exists()).collect()
}

/// Start time of a process; no other process with the same id has the same one.
fn started(process: &Path) -> Option<String> {
    field(process, 19)
}

/// A field of the process's `/proc/…/stat` after its name, counted from 0.
fn field(process: &Path, number: usize) -> Option<String> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name may contain spaces, and ends with the last bracket.
    stat.rsplit_once(')')?.1.split_whitespace().nth(number).map(str::to_owned)
}

/// Everything that a cluster with a node has on the machine outside of its directory.
#[derive(Debug)]
pub(crate) struct Traces {
    group: String,
    processes: Vec<(PathBuf, Option<String>)>,
}

impl Traces {
    /// Collects the traces of a running cluster: processes that share a namespace with its first process, and its
    /// containers.
    pub(crate) fn of(directory: &Path) -> Self {
        let group = directory.file_name().unwrap().to_string_lossy().into_owned();
        let first = fs::read_to_string(directory.join("node.pid")).unwrap();
        let own = namespaces(&Path::new("/proc").join(first.trim()));
        let in_group = |path: &Path| fs::read_to_string(path.join("cgroup")).is_ok_and(|it| it.contains(&group));
        let (containers, others): (Vec<_>, Vec<_>) = processes().into_iter().partition(|path| in_group(path));
        assert!(containers.len() >= 2, "a pod has at least two containers, its own and the pause: {containers:?}");
        let programs = others.into_iter().filter(|process| !namespaces(process).is_disjoint(&own));
        let processes = containers.into_iter().chain(programs).map(|process| (process.clone(), started(&process)));
        let traces = Self { processes: processes.collect(), group };
        assert!(!traces.cgroups().is_empty());
        traces
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        cgroups(&self.group)
    }

    /// The processes that still run. Comparing namespaces would not work: the kernel reuses their numbers at once.
    fn processes(&self) -> Vec<&PathBuf> {
        let runs = |process: &Path, start: &Option<String>| start.is_some() && started(process) == *start;
        self.processes.iter().filter(|(process, start)| runs(process, start)).map(|(process, _)| process).collect()
    }

    /// Returns whether no trace is left.
    pub(crate) fn are_gone(&self) -> bool {
        self.cgroups().is_empty() && self.processes().is_empty()
    }

    /// Fails the test if any trace is left.
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        assert_eq!(self.processes(), Vec::<&PathBuf>::new());
    }
}

/// The parts of the machine itself that a node could change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    settings: Vec<String>,
    mounts: String,
    interfaces: BTreeSet<PathBuf>,
    directories: Vec<bool>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let settings = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];
        let settings = settings.map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap());
        let directories = ["/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/run/netns", "/run/containerd"];
        Self {
            settings: settings.to_vec(),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            interfaces: fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().path()).collect(),
            directories: directories.iter().map(|path| Path::new(path).exists()).collect(),
        }
    }
}
