//! Errors of this crate; each message says what to do.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

/// Reasons for which a cluster could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `hack/tools.sh`, which knows where the programs are, could not be run.
    #[error("cannot ask {script} where the Kubernetes programs are: {reason}", script = .script.display())]
    ToolsUnknown {
        /// The script, in the checkout this crate was built from.
        script: PathBuf,
        /// The script's own error message, or the reason why it could not run.
        reason: String,
    },
    /// Programs are missing from the directory.
    #[error("{directory} has no {missing}: {remedy}", directory = .directory.display(), missing = .missing.join(", "))]
    ToolsMissing {
        /// The directory that was searched.
        directory: PathBuf,
        /// Names of the missing programs.
        missing: Vec<&'static str>,
        /// Instruction to get them.
        remedy: &'static str,
    },
    /// The machine lacks something that a node needs.
    #[error("a cluster with a node needs {}", .missing.join("; "))]
    NodeNeeds {
        /// Each missing thing, with an instruction to get it.
        missing: Vec<String>,
    },
    /// A program that the cluster ran has failed.
    #[error("{command} failed: {reason}")]
    Failed {
        /// Description of the command.
        command: String,
        /// The program's error output.
        reason: String,
    },
    /// The system refused an operation on a file, pipe or process.
    #[error("cannot {action}: {source}")]
    Io {
        /// The attempted action, in words that follow "cannot".
        action: String,
        /// The system's error.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A component ended although nothing had stopped it.
    #[error("{component} ended by itself ({status}). The end of its log ({log}, which only `keep` keeps):\n{log_tail}", log = .log.display())]
    Ended {
        /// The component's name.
        component: String,
        /// Exit status.
        status: ExitStatus,
        /// Path of the log, which is removed with the directory unless [`Options::keep`](crate::Options::keep) is set.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// A component runs, but was not ready in time.
    #[error("{component} was not ready within {within:?}: {answer}\nThe end of its log ({log}, which only `keep` keeps):\n{log_tail}", log = .log.display())]
    NotReady {
        /// The component's name.
        component: String,
        /// [`Options::ready_within`](crate::Options::ready_within).
        within: Duration,
        /// The last answer of the component.
        answer: String,
        /// Path of the log, which is removed with the directory unless [`Options::keep`](crate::Options::keep) is set.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// A component did not end although it was killed.
    #[error("{component} still runs {within:?} after it was killed")]
    NotStopped {
        /// The component's name.
        component: String,
        /// Time that was waited.
        within: Duration,
    },
    /// Processes were still ending, or the directory could not be removed.
    #[error("the cluster is not all gone after {within:?}: look at {directory}", directory = .directory.display())]
    LeftBehind {
        /// The cluster's directory.
        directory: PathBuf,
        /// Time that was waited.
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

    /// Another program took the port before the component bound it; a start with another port may succeed.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log_tail, .. } if log_tail.contains("address already in use"))
    }
}
