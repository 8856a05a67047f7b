//! The report as aligned text and as Markdown: for each account a table of each kind of resource, and notes.

use super::ascii;
use super::model::{AccountReport, Report};
use super::notes;
use super::rows::{Section, credentials, sections};

/// Spaces between two columns.
const GAP: usize = 3;

/// Renders the report for a terminal; `wide` has more columns.
pub(super) fn render(report: &Report, wide: bool) -> String {
    let table = |section: &Section| format!("{}\n", aligned(section));
    let mut text: String = report.accounts.iter().map(|account| of_account(account, wide, "", &table)).collect();
    text.extend(closing(report).map(|line| format!("{line}\n")));
    text
}

/// Renders the report as Markdown.
pub(super) fn markdown(report: &Report) -> String {
    let table = |section: &Section| format!("## {}\n\n{}\n", section.title, piped(section));
    let mut text: String = report.accounts.iter().map(|account| of_account(account, true, "# ", &table)).collect();
    text.extend(closing(report).map(|line| format!("{line}\n\n")));
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn of_account(account: &AccountReport, wide: bool, heading: &str, table: &dyn Fn(&Section) -> String) -> String {
    let name = account.account.as_deref().unwrap_or("unknown");
    let mut text = format!("{heading}Account {name} ({})\n\n", ascii(&credentials(&account.credentials)));
    text.extend(sections(account, wide).iter().map(table));
    let notes = notes::of_account(account);
    let between = if heading.is_empty() { "\n" } else { "\n\n" };
    text.extend(notes.iter().map(|note| format!("{note}{between}")));
    if heading.is_empty() {
        text.push('\n');
    }
    text
}

fn closing(report: &Report) -> impl Iterator<Item = String> {
    notes::of_cluster(&report.cluster).into_iter().chain([notes::summary(report)])
}

/// Aligns the columns; an item after the first of a cell gets a line of its own.
fn aligned(section: &Section) -> String {
    let headings = section.headings.iter().map(|heading| vec![(*heading).to_owned()]).collect();
    let rows: Vec<&Vec<Vec<String>>> = std::iter::once(&headings).chain(&section.rows).collect();
    let width = |column: usize| rows.iter().flat_map(|row| &row[column]).map(String::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..section.headings.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let lines = row.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines {
            let cells = row.iter().zip(&widths);
            let cells =
                cells.map(|(cell, width)| format!("{:<1$}", cell.get(line).map_or("", String::as_str), width + GAP));
            text.push_str(cells.collect::<String>().trim_end());
            text.push('\n');
        }
    }
    text
}

fn piped(section: &Section) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped =
        |cell: &Vec<String>| cell.iter().map(|item| item.replace('|', "\\|")).collect::<Vec<_>>().join("<br>");
    let headings = section.headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rule = section.headings.iter().map(|_| "---".to_owned()).collect();
    let rows = section.rows.iter().map(|row| line(row.iter().map(escaped).collect()));
    [line(headings), line(rule)].into_iter().chain(rows).collect()
}
