//! A picture of a terminal, from its text.
//!
//! The picture has a background of its own, so it is readable on a white and on a dark page. Every line has the width that
//! its characters need in any monospaced font, so columns stay columns.

use std::fmt::Write;

const CHARACTER: f64 = 7.8;
const LINE: f64 = 18.0;
const MARGIN: f64 = 16.0;

pub(crate) fn terminal(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = (f64::from(u32::try_from(columns).unwrap()) * CHARACTER + 2.0 * MARGIN).ceil();
    let height = f64::from(u32::try_from(lines.len()).unwrap()) * LINE + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b1f24\" stroke=\"#57606a\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"13\" fill=\"#d0d7de\" xml:space=\"preserve\">\n"
    );
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let y = MARGIN + LINE * (f64::from(u32::try_from(at).unwrap()) + 0.75);
        let indent = line.chars().take_while(|c| *c == ' ').count();
        let [before, length] = [indent, line.trim().chars().count()].map(|n| f64::from(u32::try_from(n).unwrap()));
        let (x, length) = (MARGIN + before * CHARACTER, length * CHARACTER);
        let style = if line.starts_with("$ ") { " fill=\"#7ee787\"" } else { "" };
        let text = line.trim().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\"{style}>{text}</text>").unwrap();
    }
    svg + "</g>\n</svg>\n"
}
