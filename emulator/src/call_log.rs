//! The log of all calls, for tests that check the requests of a client.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FaultKind;

/// One request to App Runner or STS and its answer; it contains no secret, token or signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Number in the order of arrival, from 1; a reset does not restart it.
    pub seq: u64,
    /// Operation as the request names it, also an unknown one.
    pub operation: Option<String>,
    /// ARN that the request names.
    pub arn: Option<String>,
    /// Account of the caller; absent if the emulator did not authenticate the caller.
    pub account: Option<String>,
    /// Region in the request's signature.
    pub region: Option<String>,
    /// Access key id in the request's signature, also an unknown one.
    pub access_key_id: Option<String>,
    /// Time at which the emulator had received the whole request.
    pub received_at: Timestamp,
    /// Time of the answer or of the connection's end; absent while the call is in flight.
    pub answered_at: Option<Timestamp>,
    /// Milliseconds from `received_at` to `answered_at`.
    pub duration_ms: Option<u64>,
    /// HTTP status; absent while the call is in flight, and if the connection closed without an answer.
    pub status: Option<u16>,
    /// Error code of the answer.
    pub error: Option<String>,
    /// Fault that the emulator injected.
    pub fault: Option<FaultKind>,
}

/// Selects calls; an absent member matches every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Name of the operation.
    pub operation: Option<String>,
    /// ARN that the request names.
    pub arn: Option<String>,
    /// Account of the caller, 12 digits.
    pub account: Option<String>,
    /// Region in the request's signature.
    pub region: Option<String>,
    /// Selects only calls with a `seq` above this one.
    pub after: Option<u64>,
}

impl CallFilter {
    fn matches(&self, call: &Call) -> bool {
        fn same(wanted: Option<&String>, found: Option<&String>) -> bool {
            wanted.is_none() || wanted == found
        }
        same(self.operation.as_ref(), call.operation.as_ref())
            && same(self.arn.as_ref(), call.arn.as_ref())
            && same(self.account.as_ref(), call.account.as_ref())
            && same(self.region.as_ref(), call.region.as_ref())
            && self.after.is_none_or(|after| call.seq > after)
    }
}

/// The end of a call.
pub(crate) struct Completion {
    pub(crate) at: Timestamp,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
}

/// All calls since the start or the last clearing, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    last_seq: u64,
    calls: Vec<Call>,
}

impl CallLog {
    /// Logs a call on its arrival, so that the log also shows calls in flight; returns its `seq`.
    pub(crate) fn begin(&mut self, operation: Option<String>, arn: Option<String>, received_at: Timestamp) -> u64 {
        self.last_seq += 1;
        self.calls.push(Call {
            seq: self.last_seq,
            operation,
            arn,
            account: None,
            region: None,
            access_key_id: None,
            received_at,
            answered_at: None,
            duration_ms: None,
            status: None,
            error: None,
            fault: None,
        });
        self.last_seq
    }

    /// Changes a call; does nothing if the call was cleared in the meantime.
    pub(crate) fn update(&mut self, seq: u64, change: impl FnOnce(&mut Call)) {
        if let Ok(position) = self.calls.binary_search_by_key(&seq, |call| call.seq)
            && let Some(call) = self.calls.get_mut(position)
        {
            change(call);
        }
    }

    pub(crate) fn complete(&mut self, seq: u64, completion: Completion) {
        self.update(seq, |call| {
            let took = completion.at.duration_since(call.received_at);
            call.duration_ms = Some(u64::try_from(took.as_millis()).unwrap_or(0));
            call.answered_at = Some(completion.at);
            call.status = completion.status;
            call.error = completion.error;
        });
    }

    /// Ends a call whose connection is closed; does nothing if the call has ended.
    pub(crate) fn abort(&mut self, seq: u64, at: Timestamp) {
        let mut in_flight = false;
        self.update(seq, |call| in_flight = call.answered_at.is_none());
        if in_flight {
            self.complete(seq, Completion { at, status: None, error: None });
        }
    }

    pub(crate) fn filtered(&self, filter: &CallFilter) -> Vec<Call> {
        self.calls.iter().filter(|call| filter.matches(call)).cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
    }
}
