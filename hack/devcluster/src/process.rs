//! One supervised program, which runs no longer than this process.

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Error;

const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LOG_TAIL_LINES: usize = 20;

/// Script of a program's supervisor.
pub(crate) const SUPERVISE: &str = include_str!("supervise.sh");

/// A program and its supervisor.
pub(crate) struct Process {
    name: String,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a supervisor whose output is appended to `log`; `share` keeps the log's directory from being removed.
    pub(crate) fn spawn(name: &str, mut supervisor: Command, log: PathBuf, share: Stdio) -> Result<Self, Error> {
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::writing(&log))?;
        supervisor.stdin(Stdio::piped()).stdout(share).stderr(output);
        let mut supervisor = supervisor.spawn().map_err(Error::io(format!("start {name}")))?;
        let lifeline = supervisor.stdin.take();
        Ok(Self { name: name.to_owned(), supervisor, lifeline, log })
    }

    /// Name of the program.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Path of the log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Exit status, if the program has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// Exit status, if the program ends within the given time.
    pub(crate) fn ended_within(&mut self, within: Duration) -> Option<ExitStatus> {
        wait(&mut self.supervisor, within)
    }

    /// Kills the program and waits until it has ended.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        drop(self.lifeline.take());
        match wait(&mut self.supervisor, STOPPED_WITHIN) {
            Some(_) => Ok(()),
            None => Err(Error::NotStopped { component: self.name(), within: STOPPED_WITHIN }),
        }
    }

    /// Repeats `check` until it succeeds, the program has ended, or `within` has passed.
    pub(crate) fn wait_until(&mut self, within: Duration, check: impl Fn() -> Result<(), String>) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        loop {
            let Err(answer) = check() else {
                return Ok(());
            };
            if let Some(status) = self.ended() {
                let (log, log_tail) = self.log_tail();
                return Err(Error::Ended { component: self.name(), status, log, log_tail });
            }
            if Instant::now() >= deadline {
                let (log, log_tail) = self.log_tail();
                return Err(Error::NotReady { component: self.name(), within, answer, log, log_tail });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Path of the log, and its last lines.
    pub(crate) fn log_tail(&self) -> (PathBuf, String) {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        (self.log.clone(), lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A program that did not end keeps the directory from being removed, and that is reported.
        let _ = self.stop();
    }
}

/// A shell that runs `script`; the terminal's signals and our environment do not reach it.
pub(crate) fn shell(script: &str) -> Command {
    let [shell, arguments @ ..] = shell_of(script);
    let mut command = detached(shell);
    command.args(arguments);
    command
}

/// The command line of such a shell; the caller appends the script's arguments.
pub(crate) const fn shell_of(script: &str) -> [&str; 4] {
    ["/bin/sh", "-c", script, "devcluster"]
}

/// A program that the terminal's signals and our environment do not reach.
pub(crate) fn detached(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env_clear().process_group(0);
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Waits for the end of a child process, for a limited time.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}
