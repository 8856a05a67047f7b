//! The operations of App Runner and STS.

mod connectors;
mod context;
pub(crate) mod members;
mod pages;
mod render;
mod services;
mod sts;
mod tags;

use self::context::Scene;
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
    let scene = &mut Scene { operation, caller, region, behaviors, now };
    match operation {
        Operation::CreateVpcConnector => connectors::create(scene, members),
        Operation::DescribeVpcConnector => connectors::describe(scene, members),
        Operation::ListVpcConnectors => connectors::list(scene, members),
        Operation::DeleteVpcConnector => connectors::delete(scene, members),
        Operation::CreateService => services::create(scene, members),
        Operation::DescribeService => services::describe(scene, members),
        Operation::ListServices => services::list(scene, members),
        Operation::PauseService => services::pause(scene, members),
        Operation::ResumeService => services::resume(scene, members),
        Operation::UpdateService => services::update(scene, members),
        Operation::DeleteService => services::delete(scene, members),
        Operation::TagResource => tags::tag(scene, members),
        Operation::UntagResource => tags::untag(scene, members),
        Operation::ListTagsForResource => tags::list(scene, members),
        Operation::GetCallerIdentity => Ok(sts::caller_identity(caller)),
    }
}
