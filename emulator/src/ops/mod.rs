//! The operations of App Runner and STS.

mod connectors;
mod context;
pub(crate) mod members;
mod pages;
mod render;
mod services;
mod sts;
mod tags;

use self::context::RequestContext;
use self::members::Members;
use crate::Operation;
use crate::api_error::ApiResult;
use crate::auth::Caller;
use crate::model::clock::now;
use crate::state::World;

/// Lets an operation take effect.
pub(crate) fn perform(world: &mut World, caller: &Caller, operation: Operation, members: &Members) -> ApiResult {
    let now = now();
    let (region, behaviors) = world.region(&caller.account_region(), now);
    let context = &mut RequestContext { operation, caller, region, behaviors, now };
    match operation {
        Operation::CreateVpcConnector => connectors::create(context, members),
        Operation::DescribeVpcConnector => connectors::describe(context, members),
        Operation::ListVpcConnectors => connectors::list(context, members),
        Operation::DeleteVpcConnector => connectors::delete(context, members),
        Operation::CreateService => services::create(context, members),
        Operation::DescribeService => services::describe(context, members),
        Operation::ListServices => services::list(context, members),
        Operation::PauseService => services::pause(context, members),
        Operation::ResumeService => services::resume(context, members),
        Operation::UpdateService => services::update(context, members),
        Operation::DeleteService => services::delete(context, members),
        Operation::TagResource => tags::tag(context, members),
        Operation::UntagResource => tags::untag(context, members),
        Operation::ListTagsForResource => tags::list(context, members),
        Operation::GetCallerIdentity => Ok(sts::caller_identity(caller)),
    }
}
