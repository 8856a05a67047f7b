//! The log: text on a terminal, JSON elsewhere. Each line of a reconcile carries its span: namespace, name and ARN.

use std::ffi::OsStr;
use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// The format of the log.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

/// Starts logging to standard error.
pub(crate) fn start(format: LogFormat, directives: &str) -> Result<(), String> {
    // kube's span of a reconcile repeats ours. The AWS SDK warns at each attempt to find credentials, and the operator logs
    // the result once.
    let directives = format!("kube_runtime=warn,aws_config=error,aws_runtime=error,{directives}");
    let targets: Targets = directives.parse().map_err(|error| format!("--log '{directives}': {error}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let colors = terminal && !refused(std::env::var_os("NO_COLOR").as_deref());
    let started = if format == LogFormat::Json || (format == LogFormat::Auto && !terminal) {
        let lines = lines.json().flatten_event(true).with_span_list(false);
        registry().with(lines).with(targets).try_init()
    } else {
        registry().with(lines.with_ansi(colors)).with(targets).try_init()
    };
    started.map_err(|error| format!("starting the log: {error}"))
}

/// Any value of the variable `NO_COLOR` refuses colors, but the empty one. Source: no-color.org.
fn refused(no_color: Option<&OsStr>) -> bool {
    no_color.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_refuses_colors_unless_it_is_empty() {
        assert!(refused(Some(OsStr::new("1"))));
        assert!(!refused(Some(OsStr::new(""))) && !refused(None));
    }
}
