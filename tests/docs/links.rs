//! Every relative link of every page leads to a file, and its anchor to a heading of that file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::text::{file, path, tracked};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages: Vec<_> = tracked().into_iter().filter(|name| is(name, "md")).collect();
    assert!(pages.len() > 30, "{}", pages.len());
    let mut anchors = BTreeMap::new();
    let mut broken = Vec::new();
    for page in pages {
        for link in links(&prose(&file(&page))) {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if target.is_empty() { page.clone() } else { beside(&page, target) };
            let known = path(&target).exists()
                && (anchor.is_empty() || !is(&target, "md") || {
                    let of_target = anchors.entry(target.clone()).or_insert_with(|| headings(&file(&target)));
                    of_target.contains(anchor)
                });
            if !known {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "links lead nowhere:\n{}", broken.join("\n"));
}

/// Comments, messages and examples name pages by their path from the root.
#[test]
fn no_file_names_a_page_that_does_not_exist() {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c));
    let mut broken = Vec::new();
    let files = tracked().into_iter().filter(|name| !name.starts_with("fuzz/corpus") && name != "CHANGELOG.md");
    for name in files.filter(|name| !is(name, "md")) {
        let Ok(text) = String::from_utf8(std::fs::read(path(&name)).unwrap()) else { continue };
        for (at, _) in text.match_indices("docs/") {
            let page = text[at..].split(ends).next().unwrap().trim_end_matches('.');
            let starts = text[..at].chars().next_back().is_none_or(ends);
            if starts && ["md", "svg", "json"].iter().any(|end| is(page, end)) && !path(page).exists() {
                broken.push(format!("{name}: {page}"));
            }
        }
    }
    assert!(broken.is_empty(), "files name pages that do not exist:\n{}", broken.join("\n"));
}

fn is(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == extension)
}

/// A page without its code blocks.
fn prose(page: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fenced && !fence {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The relative targets of links and pictures.
fn links(prose: &str) -> Vec<String> {
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let of_html = ["src=\"", "href=\"", "srcset=\""];
    let html = of_html.iter().flat_map(|mark| prose.split(mark).skip(1).filter_map(|rest| rest.split('"').next()));
    inline
        .chain(html)
        .filter(|link| !link.contains("://") && !link.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect()
}

/// A path that a page names, from the root.
fn beside(page: &str, target: &str) -> String {
    let mut joined = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(target).components() {
        match part {
            Component::ParentDir => _ = joined.pop(),
            Component::Normal(name) => joined.push(name),
            _ => {}
        }
    }
    joined.to_str().unwrap().to_owned()
}

/// The anchors that GitHub makes of a page's headings.
fn headings(page: &str) -> BTreeSet<String> {
    let (mut anchors, mut repeated) = (BTreeSet::new(), BTreeMap::new());
    for heading in prose(page).lines().filter(|line| line.starts_with('#')) {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        // Of a link in a heading, only its text counts.
        let text: String = text
            .split("](")
            .enumerate()
            .map(|(at, it)| if at == 0 { it } else { it.split_once(')').map_or("", |(_, rest)| rest) })
            .collect();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = repeated.entry(anchor.clone()).or_insert(0_u32);
        anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    anchors
}
