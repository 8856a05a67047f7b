//! The results as tables.

use std::fmt::Write;

use crate::bed::Program;
use crate::deletion::Run;
use crate::memory::Restart;
use crate::process::Memory;
use crate::results::Results;
use crate::start::Starts;
use crate::stats::Spread;

/// A number of one run.
pub(crate) type Number = fn(&Run) -> f64;

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
        text +=
            &compared("CPU time for each object until at rest, ms", &groups, |run| run.settled_cpu_ms / objects(run));
        text += &compared("AWS calls for each object", &groups, |run| sum(run.aws.values()) / objects(run));
        text += &compared("API requests for each object", &groups, |run| sum(run.requests.values()) / objects(run));
        text += &growth(&groups);
    }
    text += &results.starts.as_ref().map_or_else(String::new, starts);
    text += &memory(results);
    text += &results.restart.as_ref().map_or_else(String::new, restart);
    text += &in_use(results);
    text
}

fn latencies(results: &Results) -> Vec<u64> {
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

    /// The operator's number divided by that of another program in the same round: a slow minute of the machine is in
    /// both.
    fn ratio(&self, to: Program, number: Number) -> Option<Spread> {
        let of = |program| self.runs.iter().filter(move |run| run.program == program).map(|run| number(run));
        Spread::of(of(Program::Operator).zip(of(to)).map(|(ours, theirs)| ours / theirs))
    }
}

fn compared(title: &str, groups: &[Group<'_>], number: Number) -> String {
    let mut text = format!("| {title} | operator | floor | ratio | Go floor | ratio |\n|---:|---|---|---|---|---|\n");
    for group in groups {
        let spread = |program| group.spread(program, number).map_or_else(|| "-".to_owned(), show);
        let ratio = |to| group.ratio(to, number).map_or_else(|| "-".to_owned(), show);
        let (floor, go) = (Program::Floor, Program::GoFloor);
        let cells = [spread(Program::Operator), spread(floor), ratio(floor), spread(go), ratio(go)];
        let _ = writeln!(text, "| {} | {} |", group.objects, cells.join(" | "));
    }
    text + "\n"
}

fn show(spread: Spread) -> String {
    let digits = if spread.median < 20.0 { 2 } else { 0 };
    let Spread { median, min, max } = spread;
    if min >= max {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

/// CPU time for each object at 5,000 objects, divided by that at 500.
fn growth(groups: &[Group<'_>]) -> String {
    let at = |objects: usize| {
        let group = groups.iter().find(|group| group.objects == objects)?;
        group.spread(Program::Operator, |run| run.settled_cpu_ms / self::objects(run))
    };
    let Some((many, few)) = at(5000).zip(at(500)) else { return String::new() };
    format!("CPU time for each object at 5,000 objects, divided by that at 500: {:.2}\n", many.median / few.median)
}

fn starts(starts: &Starts) -> String {
    let mut text = "\n### Start\n\n| from the start of the process, ms | |\n|---|---|\n".to_owned();
    for (what, took) in [
        ("ready", &starts.ready),
        ("first claim, connector tagged already", &starts.tagged),
        ("first claim, with 0.3 to 0.8 s between two reads of the tag", &starts.untagged),
    ] {
        let spread = Spread::of(took.iter().copied()).map_or_else(String::new, show);
        let _ = writeln!(text, "| {what} | {spread} |");
    }
    text
}

fn memory(results: &Results) -> String {
    let mut text = String::new();
    if let Some(idle) = results.idle {
        let _ = writeln!(text, "\n### Memory\n\nWithout objects: {}\n", megabytes(idle));
        text += "| objects | all claimed after | at the last claim | peak | 10 s later | after a new start |\n";
        text += "|---:|---|---|---|---|---|\n";
    }
    let (accounts, one) = (results.accounts.iter(), results.footprints.iter());
    for (row, of) in accounts.map(|row| (row, " of 10 accounts")).chain(one.map(|row| (row, ""))) {
        let [adopted, settled, restarted] = [row.adopted, row.settled, row.restarted].map(megabytes);
        let (objects, took, peak) = (row.objects, row.adoption_s, row.settled.peak);
        let _ = writeln!(text, "| {objects}{of} | {took:.1} s | {adopted} | {peak:.1} MB | {settled} | {restarted} |");
    }
    if let Some(ten) = results.ten_claims_s {
        let _ = writeln!(text, "\nTen objects with the default rate limit are claimed {ten:.1} s after the start.");
    }
    text
}

fn megabytes(memory: Memory) -> String {
    format!("{:.1} MB ({:.1} MB)", memory.resident, memory.program)
}

fn restart(restart: &Restart) -> String {
    let Restart { objects, ready_ms, aws, requests, cpu_ms, memory } = restart;
    let mut text = format!("\n### Start with {objects} claimed objects, default flags, first two minutes\n\n");
    let _ = writeln!(text, "Ready after {ready_ms:.0} ms; CPU time {cpu_ms:.0} ms; memory {}\n", megabytes(*memory));
    text += "| call or request | number |\n|---|---:|\n";
    for (what, number) in aws.iter().chain(requests) {
        let _ = writeln!(text, "| {what} | {number} |");
    }
    text
}

fn in_use(results: &Results) -> String {
    let Some(Spread { median, min, max }) = Spread::of(results.in_use.iter().copied()) else { return String::new() };
    let connectors = results.in_use.len();
    format!(
        "\nFrom the moment App Runner would delete a connector to the object gone, over {connectors} connectors: \
         median {median:.1} s ({min:.1} s to {max:.1} s)\n"
    )
}

/// The operator's number divided by that of a floor, by the number of objects.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One line for each floor and latency.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn ratios(results: &Results, number: Number) -> Vec<Line> {
    let mut lines = Vec::new();
    for (to, name) in [(Program::Floor, "floor"), (Program::GoFloor, "Go floor")] {
        for latency in latencies(results) {
            let groups = groups(results, latency);
            let points =
                groups.iter().filter_map(|group| Some((group.objects as f64, group.ratio(to, number)?.median)));
            lines.push(Line { name: format!("the {name}, AWS answers after {latency} ms"), points: points.collect() });
        }
    }
    lines
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn sum<'a>(counts: impl Iterator<Item = &'a usize>) -> f64 {
    counts.sum::<usize>() as f64
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn objects(run: &Run) -> f64 {
    run.objects as f64
}
