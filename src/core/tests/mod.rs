//! Tests of the core: the decision table row by row, its laws, the purity of the folder, and the completeness of the runbook.

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
mod evidence;
mod flags;
mod gitops;
mod in_use;
mod laws;
mod lease;
mod purity;
mod refusals;
mod rows;
mod runbook;
mod status;
mod wiped;
