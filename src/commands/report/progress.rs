//! The progress of a report on standard error: a bar on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// How the progress is shown.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines,
    Quiet,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bar(ProgressBar::new(0)),
            (false, false) => Self::Lines,
        }
    }

    /// The number of regions over all accounts.
    pub(super) fn begin(&self, regions: usize) {
        if let Self::Bar(bar) = self {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(u64::try_from(regions).unwrap_or(u64::MAX));
        }
    }

    /// A region was read, or given up.
    pub(super) fn done(&self, account: &str, region: &str, what: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("{account} {region}: {what}"));
                bar.inc(1);
            }
            Self::Lines => eprint(&format!("{account} {region}: {what}")),
            Self::Quiet => {}
        }
    }

    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line. An error of standard error cannot be reported anywhere, and is ignored.
pub(super) fn eprint(line: &str) {
    let _ = writeln!(std::io::stderr(), "apprunner-operator: {line}");
}
