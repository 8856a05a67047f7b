//! A fault and the calls that it matches.

use serde::{Deserialize, Serialize};

use super::kind::FaultKind;
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
        self.kind.check()
    }

    pub(super) fn matches(&self, call: &Matched<'_>) -> bool {
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

/// What a fault can be narrowed to.
pub(crate) struct Matched<'a> {
    pub(crate) operation: Operation,
    pub(crate) arn: Option<&'a str>,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) access_key_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, arn: Option<&'static str>) -> Matched<'static> {
        Matched { operation, arn, account: "111122223333", region: "eu-west-1", access_key_id: "AKID" }
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
