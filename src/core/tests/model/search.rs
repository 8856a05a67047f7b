//! A breadth-first search through the worlds, and the shortest way to a violation.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use super::Model;
use super::actions::{self, Action};
use super::digest::{Digest, digest};
use super::fairness::Fairness;
use super::world::{Violation, World};

/// The result of a search.
#[derive(Default)]
pub(super) struct Found {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    /// Every world that can be reached was visited.
    pub complete: bool,
    pub counterexample: Option<Counterexample>,
}

/// The shortest way to a violation.
pub(super) struct Counterexample {
    pub actions: Vec<Action>,
    pub violation: Violation,
}

/// Visits every world that can be reached in this many steps.
pub(super) fn search(model: &Model, first: World, depth: usize) -> Found {
    let mut search = Search { model, visited: HashMap::new(), fairness: Fairness::default(), found: Found::default() };
    search.found.counterexample = search.run(first, depth).err();
    search.found.states = search.visited.len();
    search.found
}

struct Search<'a> {
    model: &'a Model,
    /// The visited worlds, each with the one before it and the action in between. The first world has none.
    visited: HashMap<Digest, Option<(Digest, Action)>>,
    fairness: Fairness,
    found: Found,
}

/// The worlds of one depth.
type Layer = Vec<(Digest, World)>;

impl Search<'_> {
    fn run(&mut self, first: World, depth: usize) -> Result<(), Counterexample> {
        let mut layer = Layer::new();
        self.visit(None, first, &mut layer)?;
        while self.found.depth < depth && !layer.is_empty() {
            let mut next = Layer::new();
            for (at, world) in layer {
                for action in actions::ALL.iter().copied() {
                    let after = actions::after(self.model, &world, action)
                        .map_err(|violation| self.counterexample(Some((at, action)), violation))?;
                    if let Some(after) = after {
                        self.found.steps += 1;
                        self.visit(Some((at, action)), after, &mut next)?;
                    }
                }
            }
            layer = next;
            self.found.depth += 1;
        }
        self.found.complete = layer.is_empty();
        Ok(())
    }

    fn visit(&mut self, by: Option<(Digest, Action)>, world: World, layer: &mut Layer) -> Result<(), Counterexample> {
        let key = digest(&world);
        let Entry::Vacant(new) = self.visited.entry(key) else { return Ok(()) };
        new.insert(by);
        self.fairness.check(self.model, &world).map_err(|violation| self.counterexample(by, violation))?;
        layer.push((key, world));
        Ok(())
    }

    fn counterexample(&self, mut by: Option<(Digest, Action)>, violation: Violation) -> Counterexample {
        let mut actions = Vec::new();
        while let Some((before, action)) = by {
            actions.push(action);
            by = self.visited.get(&before).copied().flatten();
        }
        actions.reverse();
        Counterexample { actions, violation }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, action) in self.actions.iter().enumerate() {
            writeln!(f, "{:>3}. {action}", number + 1)?;
        }
        write!(f, "     {}", self.violation.0)
    }
}
