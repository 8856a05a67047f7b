//! Helpers that inspect processes from outside, and wait for conditions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(30);

/// Polls until the condition holds, or fails the test.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {WITHIN:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The command lines that name a cluster's directory: each of its processes has it among its arguments.
pub(crate) fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(directory))
        .collect()
}

/// Fails the test if anything of a cluster is left.
pub(crate) fn assert_gone(directory: &Path) {
    assert_eq!(processes_of(directory), Vec::<String>::new());
    assert!(!directory.exists(), "{} is still there", directory.display());
}

pub(crate) fn gone(directory: &Path) -> bool {
    processes_of(directory).is_empty() && !directory.exists()
}

/// Runs a command that must succeed, and returns its output.
pub(crate) fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An empty directory for temporary files, so a test sees every file that a process makes.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dc-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
