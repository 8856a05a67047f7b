//! The table, row by row; the laws it keeps; what this folder may not touch; and that the runbook knows every word of it.

#![allow(clippy::needless_pass_by_value, reason = "builders read better without ampersands")]

/// The variants of an enum, all of them: one that is missing here does not compile.
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
