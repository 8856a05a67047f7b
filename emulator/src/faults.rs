//! Which call goes wrong, and how.
//!
//! A fault waits in a queue until a call matches it. What each kind does is told in `play`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Operation;

/// Something that goes wrong with the calls that match.
///
/// Only calls with a valid signature are matched. A call plays at most one fault: the oldest that matches it and has
/// nothing left to skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Operation that it is for; any, when absent.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// ARN that the request must name; any, when absent.
    #[serde(default)]
    pub arn: Option<String>,
    /// Account that must call; any, when absent.
    #[serde(default)]
    pub account: Option<String>,
    /// Region that must be called; any, when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// Access key that must call; any, when absent.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Matching calls that pass before it is played. Default: 0.
    #[serde(default)]
    pub skip: u32,
    /// How often it is played: once when absent in JSON, until it is cleared when null.
    #[serde(default = "once")]
    pub count: Option<u32>,
    /// What goes wrong.
    pub kind: FaultKind,
}

#[expect(clippy::unnecessary_wraps, reason = "serde needs the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

/// What goes wrong with a call; "effect" is what the call would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// Answers `InternalServiceErrorException`; nothing changes.
    InternalErrorBeforeEffect,
    /// Answers `InternalServiceErrorException`; the effect took place.
    InternalErrorAfterEffect,
    /// Closes the connection without one byte of an answer; nothing changes.
    ClosedBeforeEffect,
    /// Closes the connection without one byte of an answer; the effect took place.
    ClosedAfterEffect,
    /// Waits, then goes on normally: the effect comes late, also when the caller is gone by then.
    Delay {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Takes effect at once and answers late.
    LateAnswer {
        /// Milliseconds to wait.
        ms: u64,
    },
    /// Refuses because of too many requests; nothing changes.
    Throttling {
        /// How the refusal is spelt. Default: `ThrottlingException`.
        #[serde(default)]
        code: ThrottlingCode,
        /// Value of the header `x-amz-retry-after` in milliseconds; no header, when absent.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// Refuses as IAM does, naming caller, action and resource; nothing changes.
    AccessDenied,
    /// Answers any error.
    Error {
        /// Error code, for example `ExpiredTokenException`.
        code: String,
        /// HTTP status, 400 to 599.
        status: u16,
        /// The error's message.
        message: String,
        /// Whether the effect takes place. Default: no.
        #[serde(default)]
        after_effect: bool,
    },
    /// Takes effect, then changes the reply if it is a success.
    Rewrite(Rewrite),
}

/// Changes to a successful reply; places are JSON pointers (RFC 6901), as `/VpcConnector/Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// Members that go.
    pub remove: Vec<String>,
    /// Members that get another value; their parents must be there.
    pub set: BTreeMap<String, Value>,
}

impl Rewrite {
    fn pointers(&self) -> impl Iterator<Item = &String> {
        self.remove.iter().chain(self.set.keys())
    }
}

/// How throttling is spelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrottlingCode {
    /// With HTTP status 400.
    #[default]
    ThrottlingException,
    /// With HTTP status 429.
    TooManyRequestsException,
}

impl FaultKind {
    /// Takes the member at this JSON pointer out of a successful reply.
    pub fn without(pointer: &str) -> Self {
        Self::Rewrite(Rewrite { remove: vec![pointer.to_owned()], set: BTreeMap::new() })
    }

    /// Gives the member at this JSON pointer of a successful reply another value.
    pub fn with(pointer: &str, value: impl Into<Value>) -> Self {
        Self::Rewrite(Rewrite { remove: Vec::new(), set: BTreeMap::from([(pointer.to_owned(), value.into())]) })
    }

    /// Answers any error, without an effect.
    pub fn error(code: &str, status: u16, message: &str) -> Self {
        Self::Error { code: code.to_owned(), status, message: message.to_owned(), after_effect: false }
    }

    /// Refuses with `ThrottlingException`, without a hint when to come back.
    pub fn throttling() -> Self {
        Self::Throttling { code: ThrottlingCode::default(), retry_after_ms: None }
    }
}

impl Fault {
    /// Makes a fault that the next call plays, whichever that is.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            operation: None,
            arn: None,
            account: None,
            region: None,
            access_key_id: None,
            skip: 0,
            count: once(),
            kind,
        }
    }

    /// Narrows it to one operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Narrows it to calls that name this ARN.
    #[must_use]
    pub fn arn(mut self, arn: impl Into<String>) -> Self {
        self.arn = Some(arn.into());
        self
    }

    /// Narrows it to calls by this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Narrows it to calls to this region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Narrows it to calls with this access key.
    #[must_use]
    pub fn access_key_id(mut self, id: impl Into<String>) -> Self {
        self.access_key_id = Some(id.into());
        self
    }

    /// Lets this many matching calls pass first.
    #[must_use]
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Plays it this often.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Plays it until it is cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.count = None;
        self
    }

    /// Says what makes the fault unplayable, for a caller whom no type could tell.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match &self.kind {
            FaultKind::Error { status, .. } if !(400..600).contains(status) => Err("status must be 400 to 599"),
            FaultKind::Error { code, .. } if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err("code must be a word")
            }
            FaultKind::Rewrite(rewrite) if !rewrite.pointers().all(|pointer| pointer.starts_with('/')) => {
                Err("a JSON pointer begins with a slash")
            }
            _ => Ok(()),
        }
    }

    fn matches(&self, call: &Matched<'_>) -> bool {
        fn fits(wanted: Option<&String>, found: Option<&str>) -> bool {
            wanted.is_none_or(|wanted| Some(wanted.as_str()) == found)
        }
        self.operation.is_none_or(|operation| operation == call.operation)
            && fits(self.arn.as_ref(), call.arn)
            && fits(self.account.as_ref(), Some(call.account))
            && fits(self.region.as_ref(), Some(call.region))
            && fits(self.access_key_id.as_ref(), Some(call.access_key_id))
    }
}

/// Names a fault in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault in the queue, with what is left of `skip` and `count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedFault {
    /// Its name for clearing it.
    pub id: FaultId,
    /// What is left of it.
    pub fault: Fault,
}

/// What a fault can be narrowed to.
pub(crate) struct Matched<'a> {
    pub(crate) operation: Operation,
    pub(crate) arn: Option<&'a str>,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) access_key_id: &'a str,
}

/// The faults that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue {
    next_id: u64,
    waiting: Vec<QueuedFault>,
}

impl FaultQueue {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        self.next_id += 1;
        let id = FaultId(self.next_id);
        if fault.count != Some(0) {
            self.waiting.push(QueuedFault { id, fault });
        }
        id
    }

    pub(crate) fn all(&self) -> Vec<QueuedFault> {
        self.waiting.clone()
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|queued| queued.id != id);
        self.waiting.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes the fault that this call plays, and counts down the `skip` of those that let it pass.
    pub(crate) fn take(&mut self, call: &Matched<'_>) -> Option<FaultKind> {
        let position = self.waiting.iter_mut().position(|QueuedFault { fault, .. }| {
            if !fault.matches(call) {
                return false;
            }
            let passes = fault.skip > 0;
            fault.skip = fault.skip.saturating_sub(1);
            !passes
        })?;
        let fault = &mut self.waiting.get_mut(position)?.fault;
        let kind = fault.kind.clone();
        fault.count = fault.count.map(|count| count.saturating_sub(1));
        if fault.count == Some(0) {
            self.waiting.remove(position);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, arn: Option<&'static str>) -> Matched<'static> {
        Matched { operation, arn, account: "111122223333", region: "eu-west-1", access_key_id: "AKID" }
    }

    #[test]
    fn plays_the_oldest_match_as_often_as_asked() {
        let mut queue = FaultQueue::default();
        queue.add(Fault::new(FaultKind::AccessDenied).on(Operation::TagResource));
        queue.add(Fault::new(FaultKind::ClosedBeforeEffect).times(2));
        queue.add(Fault::new(FaultKind::ClosedAfterEffect).forever());
        let mut next = || queue.take(&call(Operation::DeleteVpcConnector, None));
        assert_eq!(next(), Some(FaultKind::ClosedBeforeEffect));
        assert_eq!(next(), Some(FaultKind::ClosedBeforeEffect));
        assert_eq!(next(), Some(FaultKind::ClosedAfterEffect));
        assert_eq!(next(), Some(FaultKind::ClosedAfterEffect));
        assert_eq!(queue.take(&call(Operation::TagResource, None)), Some(FaultKind::AccessDenied));
    }

    #[test]
    fn skips_before_it_plays() {
        let mut queue = FaultQueue::default();
        queue.add(Fault::new(FaultKind::AccessDenied).skip(2));
        let played: Vec<bool> = (0..4).map(|_| queue.take(&call(Operation::ListServices, None)).is_some()).collect();
        assert_eq!(played, [false, false, true, false]);
        assert!(queue.all().is_empty());
    }

    #[test]
    fn narrows_by_everything_it_names() {
        let whole = Fault::new(FaultKind::AccessDenied)
            .on(Operation::DescribeService)
            .arn("a")
            .account("111122223333")
            .region("eu-west-1")
            .access_key_id("AKID");
        let hit = call(Operation::DescribeService, Some("a"));
        assert!(whole.matches(&hit));
        assert!(!whole.matches(&call(Operation::DescribeService, None)));
        assert!(!whole.matches(&call(Operation::DescribeService, Some("b"))));
        assert!(!whole.matches(&call(Operation::DeleteService, Some("a"))));
        assert!(!whole.clone().account("444455556666").matches(&hit));
        assert!(!whole.clone().region("eu-west-2").matches(&hit));
        assert!(!whole.access_key_id("AKOTHER").matches(&hit));
    }

    #[test]
    fn reads_the_documented_json() {
        let fault: Fault =
            serde_json::from_str(r#"{"operation":"DeleteVpcConnector","kind":{"delay":{"ms":5}}}"#).unwrap();
        assert_eq!(fault, Fault::new(FaultKind::Delay { ms: 5 }).on(Operation::DeleteVpcConnector));
        let fault: Fault = serde_json::from_str(r#"{"count":null,"kind":"closed_after_effect"}"#).unwrap();
        assert_eq!(fault, Fault::new(FaultKind::ClosedAfterEffect).forever());
        for wrong in [r#"{"kind":"boom"}"#, r#"{"kind":"access_denied","times":2}"#, r#"{"kind":{"delay":{"sec":1}}}"#]
        {
            assert!(serde_json::from_str::<Fault>(wrong).is_err(), "{wrong}");
        }
    }
}
