//! Tests of the pure core: `decide` case by case, its laws, and the pages that have to agree with it.

#![allow(clippy::needless_pass_by_value, reason = "builders read better without ampersands")]

/// All variants of an enum. A call that lacks a variant does not compile.
macro_rules! all {
    ($enum:ident: $($variant:ident),+ $(; but $other:pat)?) => {{
        let _complete = |each: $enum| match each { $($enum::$variant => (),)+ $($other => (),)? };
        [$($enum::$variant),+]
    }};
}

mod access;
mod answers;
mod blockers;
mod documented;
mod evidence;
mod flags;
mod gitops;
mod in_use;
mod laws;
mod lease;
mod model;
mod over_time;
mod purity;
mod refusals;
mod rows;
mod runbook;
mod stale;
mod status;
mod table;
mod wiped;
