//! One supervised program: it runs no longer than we do.

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::Error;

const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 20;

/// What a shell does as a program's supervisor.
pub(crate) const SUPERVISE: &str = include_str!("supervise.sh");

/// A program and its supervisor.
pub(crate) struct Process {
    name: String,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a supervisor whose output goes to the end of `log`; `share` keeps the log's directory from being swept.
    pub(crate) fn spawn(name: &str, mut supervisor: Command, log: PathBuf, share: Stdio) -> Result<Self, Error> {
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::writing(&log))?;
        supervisor.stdin(Stdio::piped()).stdout(share).stderr(output);
        let mut supervisor = supervisor.spawn().map_err(Error::io(format!("start {name}")))?;
        let lifeline = supervisor.stdin.take();
        Ok(Self { name: name.to_owned(), supervisor, lifeline, log })
    }

    /// Whose it is.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Where it writes to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// How it ended, if it does so in time.
    pub(crate) fn ended_within(&mut self, within: Duration) -> Option<ExitStatus> {
        wait(&mut self.supervisor, within)
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        drop(self.lifeline.take());
        match wait(&mut self.supervisor, STOPPED_WITHIN) {
            Some(_) => Ok(()),
            None => Err(Error::NotStopped { component: self.name(), within: STOPPED_WITHIN }),
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
    let [shell, arguments @ ..] = shell_of(script);
    let mut command = detached(shell);
    command.args(arguments);
    command
}

/// The command line of such a shell; what is appended are the script's arguments.
pub(crate) const fn shell_of(script: &str) -> [&str; 4] {
    ["/bin/sh", "-c", script, "devcluster"]
}

/// A program out of reach of the terminal's signals and of our environment.
pub(crate) fn detached(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env_clear().process_group(0);
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
