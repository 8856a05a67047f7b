//! The context of one request, shared by all operations.

use jiff::Timestamp;

use super::params::Params;
use crate::api_error::ApiError;
use crate::auth::Caller;
use crate::model::arn::{self, Arn, Kind};
use crate::model::region::Region;
use crate::{ArnAnswer, Behaviors, Operation};

/// The caller of an operation, the caller's resources in the region, the behaviors, and the time.
pub(super) struct RequestContext<'a> {
    pub(super) operation: Operation,
    pub(super) caller: &'a Caller,
    pub(super) region: &'a mut Region,
    pub(super) behaviors: &'a Behaviors,
    pub(super) now: Timestamp,
}

impl RequestContext<'_> {
    /// Reads a required ARN of one of these kinds, in the caller's account and region.
    pub(super) fn arn<'m>(&self, params: &'m Params, name: &str, kinds: &[Kind]) -> Result<&'m str, ApiError> {
        let text = params.required_text(name, 1..=arn::MAX_LENGTH)?;
        let label = kinds.first().map_or("Resource", |kind| kind.label());
        let answer = match Arn::parse(text).filter(|arn| kinds.contains(&arn.kind)) {
            None => self.behaviors.malformed_arn,
            Some(arn) if arn.account != self.caller.account => self.behaviors.other_account_arn,
            Some(arn) if arn.region != self.caller.region => self.behaviors.other_region_arn,
            Some(_) => return Ok(text),
        };
        Err(match answer {
            ArnAnswer::InvalidRequest => {
                params.invalid(name, &format!("must be the ARN of a {label} in this region: {text}"))
            }
            ArnAnswer::NotFound => ApiError::not_found(label, text),
            ArnAnswer::AccessDenied => self.caller.denied(self.operation, Some(text)),
        })
    }
}
