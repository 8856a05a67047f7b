//! From an operation's name to what it does.

use jiff::Timestamp;

use crate::auth::Caller;
use crate::members::Members;
use crate::model::arn::{self, Arn, Kind};
use crate::model::clock::now;
use crate::state::{Region, World};
use crate::wire::{ApiError, Outcome};
use crate::{ArnAnswer, Behaviors, Operation, connectors, service_calls, sts, tags};

/// What an operation sees: who calls, what the caller has in the region, and how AWS behaves today.
pub(crate) struct Scene<'a> {
    pub(crate) operation: Operation,
    pub(crate) caller: &'a Caller,
    pub(crate) region: &'a mut Region,
    pub(crate) behaviors: &'a Behaviors,
    pub(crate) now: Timestamp,
}

/// Lets an operation take effect.
pub(crate) fn perform(world: &mut World, caller: &Caller, operation: Operation, members: &Members) -> Outcome {
    let now = now();
    let (region, behaviors) = world.region(&caller.account_region(), now);
    let scene = &mut Scene { operation, caller, region, behaviors, now };
    match operation {
        Operation::CreateVpcConnector => connectors::create(scene, members),
        Operation::DescribeVpcConnector => connectors::describe(scene, members),
        Operation::ListVpcConnectors => connectors::list(scene, members),
        Operation::DeleteVpcConnector => connectors::delete(scene, members),
        Operation::CreateService => service_calls::create(scene, members),
        Operation::DescribeService => service_calls::describe(scene, members),
        Operation::ListServices => service_calls::list(scene, members),
        Operation::PauseService => service_calls::pause(scene, members),
        Operation::ResumeService => service_calls::resume(scene, members),
        Operation::UpdateService => service_calls::update(scene, members),
        Operation::DeleteService => service_calls::delete(scene, members),
        Operation::TagResource => tags::tag(scene, members),
        Operation::UntagResource => tags::untag(scene, members),
        Operation::ListTagsForResource => tags::list(scene, members),
        Operation::GetCallerIdentity => Ok(sts::caller_identity(caller)),
    }
}

impl Scene<'_> {
    /// Reads a required ARN that names one of these kinds, in the caller's account and region.
    pub(crate) fn arn<'m>(&self, members: &'m Members, name: &str, kinds: &[Kind]) -> Result<&'m str, ApiError> {
        let text = members.required_text(name, 1..=arn::MAX_LENGTH)?;
        let what = kinds.first().map_or("Resource", |kind| kind.what());
        let answer = match Arn::parse(text).filter(|arn| kinds.contains(&arn.kind)) {
            None => self.behaviors.malformed_arn,
            Some(arn) if arn.account != self.caller.account => self.behaviors.other_account_arn,
            Some(arn) if arn.region != self.caller.region => self.behaviors.other_region_arn,
            Some(_) => return Ok(text),
        };
        Err(match answer {
            ArnAnswer::InvalidRequest => {
                members.wrong(name, &format!("must be the ARN of a {what} in this region: {text}"))
            }
            ArnAnswer::NotFound => ApiError::not_found(what, text),
            ArnAnswer::AccessDenied => self.caller.denied(self.operation, Some(text)),
        })
    }
}
