//! A fault and the calls that it matches.

use serde::{Deserialize, Serialize};

use super::kind::FaultKind;
use crate::Operation;

/// A fault, and the calls that it is for.
///
/// Only calls with a valid signature match. The emulator injects at most one fault into a call: the oldest that matches
/// and has no calls left to skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Operation of the call; any, if absent.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// ARN that the request names; any, if absent.
    #[serde(default)]
    pub arn: Option<String>,
    /// Account of the caller; any, if absent.
    #[serde(default)]
    pub account: Option<String>,
    /// Region of the call; any, if absent.
    #[serde(default)]
    pub region: Option<String>,
    /// Access key id of the caller; any, if absent.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Number of matching calls that pass before the fault is injected. Default: 0.
    #[serde(default)]
    pub skip: u32,
    /// Number of calls that the fault is injected into: 1 if absent in JSON; until it is cleared if null.
    #[serde(default = "once")]
    pub count: Option<u32>,
    /// Kind of fault.
    pub kind: FaultKind,
}

#[expect(clippy::unnecessary_wraps, reason = "serde needs the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

impl Fault {
    /// Makes a fault for the next call of any kind.
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

    /// Limits the fault to one operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Limits the fault to calls that name this ARN.
    #[must_use]
    pub fn arn(mut self, arn: impl Into<String>) -> Self {
        self.arn = Some(arn.into());
        self
    }

    /// Limits the fault to calls by this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Limits the fault to calls to this region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Limits the fault to calls with this access key id.
    #[must_use]
    pub fn access_key_id(mut self, id: impl Into<String>) -> Self {
        self.access_key_id = Some(id.into());
        self
    }

    /// Lets this number of matching calls pass first.
    #[must_use]
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Injects the fault into this number of calls.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Injects the fault into every matching call until it is cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.count = None;
        self
    }

    /// Returns the reason why the fault cannot be injected; the control API accepts values that the types do not
    /// exclude.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.kind.check()
    }

    pub(super) fn matches(&self, call: &CallAttributes<'_>) -> bool {
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

/// The attributes of a call that a fault can be limited to.
pub(crate) struct CallAttributes<'a> {
    pub(crate) operation: Operation,
    pub(crate) arn: Option<&'a str>,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) access_key_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, arn: Option<&'static str>) -> CallAttributes<'static> {
        CallAttributes { operation, arn, account: "111122223333", region: "eu-west-1", access_key_id: "AKID" }
    }

    #[test]
    fn matches_only_calls_with_every_attribute_that_it_names() {
        let fault = Fault::new(FaultKind::AccessDenied)
            .on(Operation::DescribeService)
            .arn("a")
            .account("111122223333")
            .region("eu-west-1")
            .access_key_id("AKID");
        let hit = call(Operation::DescribeService, Some("a"));
        assert!(fault.matches(&hit));
        assert!(!fault.matches(&call(Operation::DescribeService, None)));
        assert!(!fault.matches(&call(Operation::DescribeService, Some("b"))));
        assert!(!fault.matches(&call(Operation::DeleteService, Some("a"))));
        assert!(!fault.clone().account("444455556666").matches(&hit));
        assert!(!fault.clone().region("eu-west-2").matches(&hit));
        assert!(!fault.access_key_id("AKOTHER").matches(&hit));
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
