//! The bodies of the fuzz targets: for every input from outside, the invariants that hold for all of its values.
//!
//! `cargo fuzz` runs them, see `fuzz/`, and so do the tests: over the committed corpus, and over inputs that proptest
//! derives from it. Each body takes any bytes, and panics if an invariant does not hold. Not an API.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a fuzz target reports what it finds by a panic")]

mod accounts;
mod annotations;
mod arn;
mod error_class;
mod object;
mod proxy;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use self::accounts::accounts;
pub use self::annotations::annotations;
pub use self::arn::arn;
pub use self::error_class::error_class;
pub use self::object::object;
pub use self::proxy::proxy;
pub use self::wire::wire;
use crate::api::{DeletionPolicy, VpcConnector};
use crate::core::arn::APP_RUNNER_REGIONS;
use crate::core::attempt::Attempt;
use crate::core::clock::{Moment, Now};
use crate::core::evidence::{Caller, Evidence, Object, Rules};
use crate::core::intervals::Intervals;
use crate::core::state::ObjectState;

/// The connector of the inputs that need one.
const ARN: &str = "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef";
/// The name of the cluster in owner tags.
const CLUSTER: &str = "c1";
/// A Kubernetes Event takes no longer note.
const MAX_NOTE_BYTES: usize = 1024;
/// No message of a condition is longer; the API server takes 32 KiB.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Asserts that a text can be shown: it is one line without control characters, and has a limited length.
fn assert_shown(text: &str, max_bytes: usize) {
    assert!(text.len() <= max_bytes, "{} bytes, and at most {max_bytes} are allowed: {text:.200?}", text.len());
    assert!(!text.contains(char::is_control), "a control character: {text:?}");
}

/// The evidence of an object that this process has not seen before.
fn evidence(object: &VpcConnector) -> Evidence {
    let regions = APP_RUNNER_REGIONS.iter().filter_map(|region| region.parse().ok()).collect();
    let rules = Rules {
        intervals: Intervals::default(),
        accounts: Arc::default(),
        regions,
        default_policy: DeletionPolicy::Delete,
        cluster_id: CLUSTER.parse().ok(),
    };
    let now = Now { moment: Moment::new(Duration::from_hours(100)), wall: Timestamp::constant(1_795_000_000, 0) };
    let mut state = object.status.as_ref().map(ObjectState::from_status).unwrap_or_default();
    let object = Object::read(object, false);
    let attempt: Attempt = state.start_reconcile(&object, now.moment);
    Evidence {
        object,
        caller: Caller::Unknown,
        state,
        attempt,
        blockers: None,
        rules: Arc::new(rules),
        now,
        jitter: 0.5,
    }
}
