//! The operator as its users install it: in a pod, on a real node, with Helm.
//!
//! Each theme has a file. A [`scenario`](world::scenario) has a namespace of its name, which enforces the strictest Pod
//! Security, and an App Runner that pods find by name. The scenarios share one cluster and run one after the other,
//! because a chart also installs cluster-scoped objects. The last tests compare the rights that the scenarios have used
//! with the granted rights.
#![allow(unreachable_pub, reason = "the helpers are used only by the tests of this crate")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod accounts;
mod crashes;
mod deletion;
mod documented;
mod ground;
mod leaders;
mod leaving;
mod monitoring;
mod namespaces;
mod pods;
mod proof;
mod release;
mod uninstall;
mod upgrade;
mod world;
mod yaml;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let scenarios = [
        ground::scenarios(),
        deletion::scenarios(),
        accounts::scenarios(),
        leaving::scenarios(),
        crashes::scenarios(),
        leaders::scenarios(),
        upgrade::scenarios(),
        namespaces::scenarios(),
        yaml::scenarios(),
        monitoring::scenarios(),
        uninstall::scenarios(),
        documented::scenarios(),
        proof::scenarios(),
    ];
    let conclusion = libtest_mimic::run(&arguments, scenarios.into_iter().flatten().collect());
    world::end();
    conclusion.exit_code()
}
