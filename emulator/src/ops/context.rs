//! The context of one request.

use jiff::Timestamp;

use super::params::Params;
use crate::api_error::ApiError;
use crate::auth::Caller;
use crate::model::arn::{self, Arn, Kind};
use crate::model::region::Region;
use crate::{ArnAnswer, Behaviors, Operation};

/// What an operation sees: who calls, what the caller has in the region, and how AWS behaves today.
pub(crate) struct RequestContext<'a> {
    pub(crate) operation: Operation,
    pub(crate) caller: &'a Caller,
    pub(crate) region: &'a mut Region,
    pub(crate) behaviors: &'a Behaviors,
    pub(crate) now: Timestamp,
}

impl RequestContext<'_> {
    /// Reads a required ARN that names one of these kinds, in the caller's account and region.
    pub(crate) fn arn<'m>(&self, params: &'m Params, name: &str, kinds: &[Kind]) -> Result<&'m str, ApiError> {
        let text = params.required_text(name, 1..=arn::MAX_LENGTH)?;
        let what = kinds.first().map_or("Resource", |kind| kind.what());
        let answer = match Arn::parse(text).filter(|arn| kinds.contains(&arn.kind)) {
            None => self.behaviors.malformed_arn,
            Some(arn) if arn.account != self.caller.account => self.behaviors.other_account_arn,
            Some(arn) if arn.region != self.caller.region => self.behaviors.other_region_arn,
            Some(_) => return Ok(text),
        };
        Err(match answer {
            ArnAnswer::InvalidRequest => {
                params.wrong(name, &format!("must be the ARN of a {what} in this region: {text}"))
            }
            ArnAnswer::NotFound => ApiError::not_found(what, text),
            ArnAnswer::AccessDenied => self.caller.denied(self.operation, Some(text)),
        })
    }
}
