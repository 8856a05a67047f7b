//! A breadth-first search through the worlds, and the shortest way to a violation.

use std::collections::HashMap;
use std::fmt;

use super::Model;
use super::actions::{self, Action};
use super::digest::{Digest, digest};
use super::fairness::Fairness;
use super::world::{Violation, World};

/// The result of a search.
pub(super) struct Found {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    /// Every world that can be reached was visited.
    pub complete: bool,
    pub violation: Option<Counterexample>,
}

/// The shortest way to a violation.
pub(super) struct Counterexample {
    pub actions: Vec<Action>,
    pub violation: Violation,
}

/// A visited world: the one before it, and the action in between. The first world has none.
type Visited = HashMap<Digest, Option<(Digest, Action)>>;

/// Visits every world that can be reached in this many steps.
pub(super) fn search(model: &Model, start: &World, depth: usize) -> Found {
    let mut visited = Visited::new();
    let mut fairness = Fairness::default();
    let first = digest(start);
    visited.insert(first, None);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut layer = vec![(first, start.clone())];
    let mut found = Found { states: 1, steps: 0, depth: 0, complete: false, violation: None };
    while found.depth < depth && !layer.is_empty() {
        let mut next_layer = Vec::new();
        for (at, world) in layer {
            if let Err(violation) = fairness.check(model, &world) {
                let actions = way_to(&visited, at);
                if std::env::var("KEEP").is_ok() {
                    let k: String = violation.0.chars().take(90).collect();
                    let n = seen.entry(k).or_insert(0);
                    *n += 1;
                    if *n == 1 {
                        println!("{}", Counterexample { actions, violation });
                    }
                } else {
                    found.violation = Some(Counterexample { actions, violation });
                    return found;
                }
            }
            for action in actions::ALL.iter().copied() {
                match actions::after(model, &world, action) {
                    Ok(None) => {}
                    Ok(Some(next)) => {
                        found.steps += 1;
                        let key = digest(&next);
                        if let std::collections::hash_map::Entry::Vacant(entry) = visited.entry(key) {
                            entry.insert(Some((at, action)));
                            next_layer.push((key, next));
                        }
                    }
                    Err(violation) => {
                        let mut actions = way_to(&visited, at);
                        actions.push(action);
                        if std::env::var("KEEP").is_ok() {
                            let k: String = violation.0.chars().take(70).collect();
                            let n = seen.entry(k).or_insert(0);
                            *n += 1;
                            if *n == 1 {
                                println!("{}", Counterexample { actions, violation });
                            }
                            continue;
                        }
                        found.violation = Some(Counterexample { actions, violation });
                        return found;
                    }
                }
            }
        }
        layer = next_layer;
        found.depth += 1;
        found.states = visited.len();
        if std::env::var("LAYERS").is_ok() {
            println!("  {} {} {}", found.depth, found.states, found.steps);
        }
    }
    found.complete = layer.is_empty();
    if !seen.is_empty() {
        println!("{seen:#?}");
    }
    found
}

fn way_to(visited: &Visited, mut at: Digest) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(Some((before, action))) = visited.get(&at) {
        actions.push(*action);
        at = *before;
    }
    actions.reverse();
    actions
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, action) in self.actions.iter().enumerate() {
            writeln!(f, "{:>3}. {action}", number + 1)?;
        }
        write!(f, "     {}", self.violation.0)
    }
}
