//! One supervised program: it runs no longer than we do.

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{Component, Error};

const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 20;

/// A component and its supervisor.
pub(crate) struct Process {
    component: Component,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to the end of `log`; `share` keeps the log's directory from being swept.
    pub(crate) fn spawn(
        component: Component,
        program: &Path,
        arguments: &[String],
        log: PathBuf,
        share: Stdio,
    ) -> Result<Self, Error> {
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::writing(&log))?;
        let mut supervisor = shell(include_str!("supervise.sh"))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(share)
            .stderr(output)
            .spawn()
            .map_err(Error::io(format!("start {component}")))?;
        let lifeline = supervisor.stdin.take();
        Ok(Self { component, supervisor, lifeline, log })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        drop(self.lifeline.take());
        match wait(&mut self.supervisor, STOPPED_WITHIN) {
            Some(_) => Ok(()),
            None => Err(Error::NotStopped { component: self.component, within: STOPPED_WITHIN }),
        }
    }

    /// Its log, and the last lines of it.
    pub(crate) fn log_tail(&self) -> (PathBuf, String) {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        (self.log.clone(), lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What did not end keeps the directory from being removed, and that is reported.
        let _ = self.stop();
    }
}

/// A shell that runs `script` out of reach of the terminal's signals and of our environment.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "devcluster"]).current_dir("/").env_clear().process_group(0);
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Waits for a child's end, but not for ever.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}
