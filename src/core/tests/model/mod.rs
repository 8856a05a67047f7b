//! A model checker: it runs `decide`, `apply` and the status functions of the operator in every order of events, up to a
//! number of steps, and checks what must hold in each.

mod actions;
mod cloud;
mod cluster;
mod digest;
mod fairness;
mod guards;
mod operator;
mod search;
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guards::Guard;
use search::search;
use world::{Api, Aws, Budget, Credentials, Life, OBJECTS, Operator, TICK, Tag, World};

use crate::core::decide::{ARN_GUARDS, ArnGuard, Decision, GUARDS, Guard as Row, decide_by};
use crate::core::evidence::{Evidence, Rules};
use crate::core::intervals::{Backoff, Intervals, Stepped};

/// The program that is checked, and its settings.
struct Model {
    rules: Arc<Rules>,
    operators: usize,
    rows: Vec<Row>,
    arn_rows: Vec<ArnGuard>,
    without: Option<Guard>,
}

const DECIDE: &str = include_str!("../../decide.rs");

/// The names of the guards in one of the lists of `decide`.
fn names(list: &str) -> Vec<&'static str> {
    let section = DECIDE.split_once(list).unwrap().1.split_once("];").unwrap().0;
    section.lines().filter_map(|line| Some(line.split_once(", ")?.0.trim())).collect()
}

fn without<T: Copy>(rows: &[T], list: &str, removed: Option<Guard>) -> Vec<T> {
    let names = names(list);
    assert_eq!(rows.len(), names.len());
    let kept = |name: &&'static str| {
        removed != Some(Guard::Row(name)) && !(removed == Some(Guard::Account) && *name == "other_account")
    };
    rows.iter().zip(&names).filter(|(_, name)| kept(name)).map(|(row, _)| *row).collect()
}

impl Model {
    fn new(operators: usize, removed: Option<Guard>) -> Self {
        let rules = super::evidence::unclaimed().rules;
        let rules = Arc::new(Rules { intervals: intervals(), ..(*rules).clone() });
        let rows = without(&GUARDS, "const GUARDS: [Guard; 9] = [", removed);
        let arn_rows = without(&ARN_GUARDS, "const ARN_GUARDS: [ArnGuard; 8] = [", removed);
        Self { rules, operators, rows, arn_rows, without: removed }
    }

    fn decide(&self, evidence: &Evidence) -> Decision {
        decide_by(evidence, &self.rows, &self.arn_rows)
    }
}

/// The intervals as multiples of a tick, without growth.
fn intervals() -> Intervals {
    let tick = Backoff { initial: TICK, max: TICK };
    let step = Stepped { first: TICK, then: TICK };
    let never = Duration::from_hours(10_000);
    Intervals {
        retry: tick,
        invalid: tick,
        access: tick,
        accepted: tick,
        delete_again: TICK * 2,
        in_use: tick,
        in_use_but_unreferenced: step,
        in_use_but_unreadable: step,
        user_action: TICK,
        ownership: TICK,
        tag_settle: tick,
        tag_not_shown: tick,
        tag_rewrite: TICK * 2,
        tag_restore: TICK * 2,
        owner_check: TICK * 3 / 2,
        resync: TICK,
        status_refresh: Duration::ZERO,
        stall_after: never,
        ..Intervals::default()
    }
}

/// A world with one new object, and an ACTIVE connector without a tag.
fn start(left: Budget) -> World {
    let known = Credentials { known: true, right: true };
    let aws =
        Aws { life: Life::Active, tag: Tag::None, in_use: false, slow: false, foreign_for: 0, other_object: true };
    let mut world = World {
        api: Api { history: VecDeque::from([None]), version: 0, created: 0, claimed: [false; OBJECTS], refuses: false },
        aws,
        operators: [Operator::started(known), Operator::started(known)],
        left,
    };
    world.create();
    world
}

/// A world with an object that has claimed its connector.
fn claimed(model: &Model, left: Budget) -> World {
    let mut world = start(left);
    fairness::settle(model, &mut world).unwrap();
    world
}

#[test]
fn explore() {
    let var = |name: &str, default: u8| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let left = Budget {
        faults: var("FAULTS", 1),
        crashes: var("CRASHES", 1),
        lost: var("LOST", 1),
        stalls: var("STALLS", 1),
        credentials: var("CREDENTIALS", 1),
        tool: var("TOOL", 1),
        services: var("SERVICES", 1),
        slow: var("SLOW", 1),
        changes: var("CHANGES", 1),
        policies: var("POLICIES", 0),
    };
    let operators = var("OPERATORS", 1).into();
    let began = Instant::now();
    for depth in [usize::from(var("DEPTH", 10))] {
        let model = Model::new(operators, None);
        let begin = if var("CLAIMED", 0) == 1 { claimed(&model, left) } else { start(left) };
        let found = search(&model, &begin, depth);
        println!(
            "depth {depth}: {} states, {} steps, complete {}, {:?}",
            found.states,
            found.steps,
            found.complete,
            began.elapsed()
        );
        if let Some(counterexample) = found.violation {
            panic!("{counterexample}");
        }
        if found.complete {
            break;
        }
    }
}
