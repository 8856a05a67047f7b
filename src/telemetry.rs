//! The log: text for people on a terminal, JSON for machines elsewhere.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How to write the log.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Starts logging to standard error.
pub fn start(format: LogFormat, directives: &str) -> Result<(), String> {
    // kube's span of each reconcile would stand in front of every line, and tells nothing that the line does not. The AWS
    // SDK warns at every attempt to find credentials; what came of it is in our own lines, once.
    let directives = format!("kube_runtime=warn,aws_config=error,aws_runtime=error,{directives}");
    let filter = EnvFilter::try_new(&directives).map_err(|error| format!("--log '{directives}': {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let started = if format == LogFormat::Json || (format == LogFormat::Auto && !terminal) {
        builder.json().flatten_event(true).with_span_list(false).with_current_span(false).try_init()
    } else {
        builder.with_ansi(terminal).try_init()
    };
    started.map_err(|error| format!("starting the log: {error}"))
}
