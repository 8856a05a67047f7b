//! What can go wrong, each with what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

/// Why there is no cluster, or no longer one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The script that knows where the programs stand could not be asked.
    #[error("cannot ask {script} where the Kubernetes programs are: {reason}", script = .script.display())]
    ToolsUnknown {
        /// The script, in the checkout this crate was built from.
        script: PathBuf,
        /// Its own words, or why it could not run.
        reason: String,
    },
    /// Programs are missing where they should be.
    #[error("{directory} has no {missing}: {remedy}", directory = .directory.display(), missing = .missing.join(", "))]
    ToolsMissing {
        /// Where they were looked for.
        directory: PathBuf,
        /// Which ones are missing.
        missing: Vec<&'static str>,
        /// How to get them.
        remedy: &'static str,
    },
    /// The machine lacks what a node stands on.
    #[error("a cluster with a node needs {}", .missing.join("; "))]
    NodeNeeds {
        /// Each thing, with how to get it.
        missing: Vec<String>,
    },
    /// A program that the cluster runs for us has failed.
    #[error("{command} failed: {reason}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said.
        reason: String,
    },
    /// A file, pipe or process could not be had.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, in words that follow "cannot".
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A component ended although nobody had stopped it.
    #[error("{component} ended by itself ({status}). The end of its log ({log}, which only `keep` keeps):\n{log_tail}", log = .log.display())]
    Ended {
        /// Which one.
        component: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log, which is gone with the directory unless [`Options::keep`](crate::Options::keep) is set.
        log: PathBuf,
        /// The last lines it wrote.
        log_tail: String,
    },
    /// A component runs, but was not ready in time.
    #[error("{component} was not ready within {within:?}: {answer}\nThe end of its log ({log}, which only `keep` keeps):\n{log_tail}", log = .log.display())]
    NotReady {
        /// Which one.
        component: String,
        /// [`Options::ready_within`](crate::Options::ready_within).
        within: Duration,
        /// What it answered last.
        answer: String,
        /// Its log, which is gone with the directory unless [`Options::keep`](crate::Options::keep) is set.
        log: PathBuf,
        /// The last lines it wrote.
        log_tail: String,
    },
    /// A component did not end although it was killed.
    #[error("{component} still runs {within:?} after it was killed")]
    NotStopped {
        /// Which one.
        component: String,
        /// How long was waited.
        within: Duration,
    },
    /// Processes were still ending, or the directory could not be removed.
    #[error("the cluster is not all gone after {within:?}: look at {directory}", directory = .directory.display())]
    LeftBehind {
        /// The cluster's directory.
        directory: PathBuf,
        /// How long was waited.
        within: Duration,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("write {}", path.display()))
    }

    /// Another program took the port between our choosing and the component's binding it: another one may work.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log_tail, .. } if log_tail.contains("address already in use"))
    }
}
