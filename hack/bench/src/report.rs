//! The results as tables.

use std::fmt::Write;

use crate::bed::Program;
use crate::deletion::Run;
use crate::results::Results;
use crate::stats::Spread;

/// A number of one run.
type Number = fn(&Run) -> f64;

/// The deletions of one number of objects at one latency.
struct Group<'a> {
    objects: usize,
    runs: Vec<&'a Run>,
}

/// All tables, as Markdown.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = format!("Measured: {}, {} bytes\n", results.operator.version, results.operator.bytes);
    for latency in latencies(results) {
        let groups = groups(results, latency);
        let _ = writeln!(text, "\n### AWS answers after {latency} ms\n");
        text += &compared("Wall time, ms", &groups, |run| run.wall_ms);
        text += &compared("CPU time for each object, ms", &groups, |run| run.cpu_ms / objects(run));
        text += &compared("CPU time for each object until at rest, ms", &groups, |run| run.settled_cpu_ms / objects(run));
        text += &compared("AWS calls for each object", &groups, |run| sum(run.aws.values()) / objects(run));
        text += &compared("API requests for each object", &groups, |run| sum(run.requests.values()) / objects(run));
    }
    text
}

pub(crate) fn latencies(results: &Results) -> Vec<u64> {
    let mut all: Vec<u64> = results.deletions.iter().map(|run| run.latency_ms).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn groups(results: &Results, latency: u64) -> Vec<Group<'_>> {
    let at: Vec<_> = results.deletions.iter().filter(|run| run.latency_ms == latency).collect();
    let mut sizes: Vec<_> = at.iter().map(|run| run.objects).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of = |size| at.iter().copied().filter(|run| run.objects == size).collect();
    sizes.into_iter().map(|objects| Group { objects, runs: of(objects) }).collect()
}

impl Group<'_> {
    fn spread(&self, program: Program, number: Number) -> Option<Spread> {
        Spread::of(self.runs.iter().filter(|run| run.program == program).map(|run| number(run)))
    }

    /// The operator's median, divided by that of another program.
    fn ratio(&self, to: Program, number: Number) -> Option<f64> {
        let [ours, theirs] = [Program::Operator, to].map(|program| self.spread(program, number));
        Some(ours?.median / theirs?.median)
    }
}

fn compared(title: &str, groups: &[Group<'_>], number: Number) -> String {
    let mut text = format!("| {title} | operator | floor | ratio | Go floor | ratio |\n|---:|---|---|---:|---|---:|\n");
    for group in groups {
        let spread = |program| group.spread(program, number).map_or_else(|| "-".to_owned(), show);
        let ratio = |to| group.ratio(to, number).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (floor, go) = (Program::Floor, Program::GoFloor);
        let cells = [spread(Program::Operator), spread(floor), ratio(floor), spread(go), ratio(go)];
        let _ = writeln!(text, "| {} | {} |", group.objects, cells.join(" | "));
    }
    text + "\n"
}

fn show(spread: Spread) -> String {
    let digits = if spread.median < 20.0 { 2 } else { 0 };
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn sum<'a>(counts: impl Iterator<Item = &'a usize>) -> f64 {
    counts.sum::<usize>() as f64
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn objects(run: &Run) -> f64 {
    run.objects as f64
}
