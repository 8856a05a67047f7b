//! A model checker: it visits every world that the operator can get into, up to a number of steps, and checks each.
//!
//! It runs `decide`, `apply`, `start_reconcile` and the status functions of the operator itself, on real objects and states.
//! The code around them is imitated: the loop in `operator.rs`, the writes and the read-your-writes cache in `cluster.rs`,
//! the watch in `world.rs`, the time in `time.rs`, and AWS in `cloud.rs`. A test removes one guard after the other, and shows that a
//! property then fails. `docs/contributing/reliability.md` describes the model.
//!
//! The search is ours, and not that of stateright: its `eventually` properties hold for acyclic graphs only, and operators
//! that reconcile again and again are a cycle. Without those properties, stateright would replace `search.rs` alone.

mod actions;
mod cloud;
mod cluster;
mod digest;
mod fairness;
mod guards;
mod operator;
mod search;
mod time;
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actions::Action;
use guards::Guard;
use search::{Found, search};
use time::TICK;
use world::{Api, Aws, Budget, Credentials, DeleteAgain, Life, OBJECTS, Operator, Tag, World};

use crate::api::DeletionPolicy;
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

/// The guards of a list without one of them.
fn without<T: Copy>(rows: &[T], list: &str, removed: Option<Guard>) -> Vec<T> {
    let names = names(list);
    assert_eq!(rows.len(), names.len());
    let gone = |name: &'static str| match removed {
        Some(Guard::Account) => name == "other_account",
        Some(guard) => guard == Guard::Row(name),
        None => false,
    };
    rows.iter().zip(names).filter(|(_, name)| !gone(name)).map(|(row, _)| *row).collect()
}

impl Model {
    fn new(operators: usize, removed: Option<Guard>) -> Self {
        let rules = super::evidence::unclaimed().rules;
        let rules = Arc::new(Rules { intervals: intervals(), ..(*rules).clone() });
        let rows = without(&GUARDS, "const GUARDS: [Guard; 10] = [", removed);
        let arn_rows = without(&ARN_GUARDS, "const ARN_GUARDS: [ArnGuard; 9] = [", removed);
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
        claim_described: TICK * 2,
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

/// One search: the operators, the first world, and the limits.
#[derive(Clone, Copy)]
struct Scenario {
    operators: usize,
    first: First,
    /// Actions that have happened before the search begins.
    begun: &'static [Action],
    faults: u8,
    depth: usize,
    delete_again: DeleteAgain,
    /// The objects have a deletion policy in their spec.
    policy: bool,
}

/// The first world of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// An object that no operator has seen.
    New,
    /// An object that has claimed its connector.
    Claimed,
}

/// A depth that no search reaches: it ends when every world was visited.
const COMPLETE: usize = usize::MAX;

fn scenario(operators: usize, first: First, faults: u8, depth: usize) -> Scenario {
    Scenario { operators, first, begun: &[], faults, depth, delete_again: DeleteAgain::NotFound, policy: true }
}

impl Scenario {
    fn refusing_inactive(self) -> Self {
        Self { delete_again: DeleteAgain::Invalid, ..self }
    }

    /// The default of the deletion policy applies, and may change.
    fn without_policy(self) -> Self {
        Self { policy: false, ..self }
    }

    fn run(self, removed: Option<Guard>) -> Found {
        let (model, began) = (Model::new(self.operators, removed), Instant::now());
        let found = search(&model, self.first_world(), self.depth);
        let Self { operators, first, faults, .. } = self;
        let Found { states, steps, depth, complete, .. } = found;
        let part = if complete { "all" } else { "those of this depth" };
        println!(
            "{operators} operator(s), {first:?}, {faults} fault(s), without {removed:?}: {states} states ({part}), {steps} \
             steps, depth {depth}, {:.1?}",
            began.elapsed()
        );
        found
    }

    #[track_caller]
    fn keeps_the_properties(self) {
        let found = self.run(None);
        if let Some(counterexample) = found.counterexample {
            panic!("{counterexample}");
        }
        assert!(self.depth != COMPLETE || found.complete);
    }

    fn first_world(self) -> World {
        let model = Model::new(self.operators, None);
        let mut world = start(Budget::of(self.faults), self.policy.then_some(DeletionPolicy::Delete));
        world.aws.delete_again = self.delete_again;
        if self.first == First::Claimed {
            fairness::settle(&model, &mut world).unwrap();
        }
        for action in self.begun {
            let next = actions::after(&model, &world, *action).unwrap();
            world = next.unwrap_or_else(|| panic!("not possible here: {action}"));
        }
        world
    }
}

/// A world with one new object, and an ACTIVE connector without a tag.
fn start(left: Budget, policy: Option<DeletionPolicy>) -> World {
    let known = Credentials { known: true, right: true };
    let aws = Aws {
        life: Life::Active,
        tag: Tag::None,
        in_use: false,
        slow: false,
        delete_again: DeleteAgain::NotFound,
        foreign_for: 0,
        other_object: true,
    };
    let mut world = World {
        api: Api {
            history: VecDeque::from([None]),
            version: 0,
            created: 0,
            claimed: [false; OBJECTS],
            refuses: false,
            policy,
            retains: false,
        },
        aws,
        operators: [Operator::started(known).into(), Operator::started(known).into()],
        left,
    };
    world.create();
    world
}

#[test]
fn one_operator_keeps_the_properties_with_any_one_fault() {
    scenario(1, First::New, 1, COMPLETE).keeps_the_properties();
}

#[test]
fn one_operator_keeps_the_properties_with_several_faults() {
    scenario(1, First::Claimed, 2, 7).keeps_the_properties();
    scenario(1, First::Claimed, 3, 4).keeps_the_properties();
    scenario(1, First::Claimed, 2, 7).refusing_inactive().keeps_the_properties();
}

#[test]
fn two_operators_without_a_lease_keep_the_properties() {
    scenario(2, First::New, 0, 12).keeps_the_properties();
    scenario(2, First::Claimed, 1, 6).keeps_the_properties();
}

#[test]
fn an_object_keeps_the_default_policy_that_it_was_adopted_with() {
    scenario(1, First::New, 1, 10).without_policy().keeps_the_properties();
    scenario(2, First::New, 1, 6).without_policy().keeps_the_properties();
}

#[test]
#[ignore = "takes minutes and gigabytes; make prove runs it"]
fn deep_one_operator_keeps_the_properties() {
    scenario(1, First::New, 2, COMPLETE).keeps_the_properties();
    scenario(1, First::Claimed, 3, 13).keeps_the_properties();
    scenario(1, First::New, 2, COMPLETE).refusing_inactive().keeps_the_properties();
    scenario(1, First::New, 1, COMPLETE).without_policy().keeps_the_properties();
}

#[test]
#[ignore = "takes minutes and gigabytes; make prove runs it"]
fn deep_two_operators_without_a_lease_keep_the_properties() {
    scenario(2, First::New, 0, COMPLETE).keeps_the_properties();
    scenario(2, First::Claimed, 1, 15).keeps_the_properties();
    scenario(2, First::Claimed, 2, 9).keeps_the_properties();
    scenario(2, First::New, 2, 8).without_policy().keeps_the_properties();
}
