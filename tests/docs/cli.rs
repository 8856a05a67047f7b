//! The reference of the command line, from clap.

use std::fmt::Write;

use apprunner_operator::cli::Cli;
use clap::{Arg, Command, CommandFactory};

use crate::text::cell;

pub(crate) fn render() -> String {
    let program = Cli::command();
    let mut page = String::new();
    commands(&program, program.get_name(), &mut page);
    page.trim_end().to_owned() + "\n"
}

/// Renders the commands below one, in their order.
fn commands(of: &Command, path: &str, page: &mut String) {
    let shown: Vec<_> = of.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !shown.is_empty() {
        page.push_str("| command | |\n|---|---|\n");
        for command in &shown {
            let name = format!("{path} {}", command.get_name());
            let (anchor, about) = (name.replace(' ', "-"), about(command));
            writeln!(page, "| [`{name}`](#{anchor}) | {} |", cell(&about)).unwrap();
        }
        page.push('\n');
    }
    for command in shown {
        let name = format!("{path} {}", command.get_name());
        writeln!(page, "## {name}\n\n{}\n", about(command)).unwrap();
        flags(command, page);
        commands(command, &name, page);
    }
}

fn about(command: &Command) -> String {
    let text = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let text = text.trim_end_matches('.');
    format!("{text}.")
}

fn flags(command: &Command, page: &mut String) {
    let shown: Vec<_> = command.get_arguments().filter(|flag| !flag.is_hide_set()).collect();
    if shown.is_empty() {
        return;
    }
    page.push_str("| flag | variable | default | |\n|---|---|---|---|\n");
    for flag in shown {
        let variable = flag.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
        writeln!(page, "| {} | {variable} | {} | {} |", name(flag), default(flag), cell(&help)).unwrap();
    }
    page.push('\n');
}

/// The spellings of a flag, or the name of an argument, with the name of its value.
fn name(flag: &Arg) -> String {
    let takes_value = flag.get_action().takes_values();
    let value = flag.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
    let Some(long) = flag.get_long() else { return format!("`{value}`") };
    let mut spellings: Vec<_> = flag.get_short().map(|short| format!("-{short}")).into_iter().collect();
    spellings.push(format!("--{long}"));
    spellings.extend(flag.get_visible_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")));
    let value = if takes_value { format!(" {}", cell(&value)) } else { String::new() };
    let last = spellings.len() - 1;
    let spelt = spellings.iter().enumerate().map(|(at, it)| format!("`{it}{}`", if at == last { &value } else { "" }));
    spelt.collect::<Vec<_>>().join(", ")
}

fn default(flag: &Arg) -> String {
    if !flag.get_action().takes_values() {
        return String::new();
    }
    let values: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if values.is_empty() { String::new() } else { format!("`{}`", cell(&values.join(","))) }
}
