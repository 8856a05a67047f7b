//! The calls that arrived, kept so that a test can say what was asked and how often.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FaultKind;

/// One request to App Runner or STS, with its answer; never a secret, a token or a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Place in the order of arrival, from 1; goes on counting after a reset.
    pub seq: u64,
    /// Operation as the request named it, also one that does not exist.
    pub operation: Option<String>,
    /// ARN that the request named.
    pub arn: Option<String>,
    /// The caller's account; absent when the caller could not be authenticated.
    pub account: Option<String>,
    /// Region that the request was signed for.
    pub region: Option<String>,
    /// Access key id that the request claimed.
    pub access_key_id: Option<String>,
    /// When the whole request had arrived.
    pub received_at: Timestamp,
    /// When it was answered or its connection closed; absent while it is under way.
    pub answered_at: Option<Timestamp>,
    /// Milliseconds between the two.
    pub duration_ms: Option<u64>,
    /// HTTP status; absent while under way and when the connection was closed without an answer.
    pub status: Option<u16>,
    /// Error code of the answer.
    pub error: Option<String>,
    /// Fault that was played.
    pub fault: Option<FaultKind>,
}

/// Which calls to show; what is absent fits every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Operation by name.
    pub operation: Option<String>,
    /// ARN that the request named.
    pub arn: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Only calls with a higher `seq`.
    pub after: Option<u64>,
}

impl CallFilter {
    fn fits(&self, call: &Call) -> bool {
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

/// How a call ended.
pub(crate) struct Answered {
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
    /// Writes a call down as it arrives, so that one under way can be seen; gives its `seq`.
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

    /// Changes a call; one that was cleared meanwhile is left alone.
    pub(crate) fn amend(&mut self, seq: u64, change: impl FnOnce(&mut Call)) {
        if let Ok(position) = self.calls.binary_search_by_key(&seq, |call| call.seq)
            && let Some(call) = self.calls.get_mut(position)
        {
            change(call);
        }
    }

    pub(crate) fn end(&mut self, seq: u64, answered: Answered) {
        self.amend(seq, |call| {
            let took = answered.at.duration_since(call.received_at);
            call.duration_ms = Some(u64::try_from(took.as_millis()).unwrap_or(0));
            call.answered_at = Some(answered.at);
            call.status = answered.status;
            call.error = answered.error;
        });
    }

    /// Ends a call whose connection is no more, unless it has ended.
    pub(crate) fn break_off(&mut self, seq: u64, at: Timestamp) {
        let mut under_way = false;
        self.amend(seq, |call| under_way = call.answered_at.is_none());
        if under_way {
            self.end(seq, Answered { at, status: None, error: None });
        }
    }

    pub(crate) fn filtered(&self, filter: &CallFilter) -> Vec<Call> {
        self.calls.iter().filter(|call| filter.fits(call)).cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
    }
}
