//! The operations of App Runner and STS.

mod configurations;
mod connections;
mod connectors;
mod context;
mod custom_domains;
mod ingress_connections;
mod pages;
pub(crate) mod params;
mod render;
mod service_json;
mod service_settings;
mod services;
mod sts;
mod tags;

use self::context::RequestContext;
use self::params::Params;
use crate::Operation;
use crate::api_error::ApiResult;
use crate::auth::Caller;
use crate::model::arn::Kind;
use crate::model::clock::now;
use crate::state::EmulatorState;

/// Performs an operation.
pub(crate) fn perform(state: &mut EmulatorState, caller: &Caller, operation: Operation, params: &Params) -> ApiResult {
    let now = now();
    let (region, behaviors) = state.region(&caller.account_region(), now);
    let context = &mut RequestContext { operation, caller, region, behaviors, now };
    match operation {
        Operation::CreateVpcConnector => connectors::create(context, params),
        Operation::DescribeVpcConnector => connectors::describe(context, params),
        Operation::ListVpcConnectors => connectors::list(context, params),
        Operation::DeleteVpcConnector => connectors::delete(context, params),
        Operation::CreateService => services::create(context, params),
        Operation::DescribeService => services::describe(context, params),
        Operation::ListServices => services::list(context, params),
        Operation::PauseService => services::pause(context, params),
        Operation::ResumeService => services::resume(context, params),
        Operation::UpdateService => services::update(context, params),
        Operation::DeleteService => services::delete(context, params),
        Operation::CreateVpcIngressConnection => ingress_connections::create(context, params),
        Operation::DescribeVpcIngressConnection => ingress_connections::describe(context, params),
        Operation::ListVpcIngressConnections => ingress_connections::list(context, params),
        Operation::DeleteVpcIngressConnection => ingress_connections::delete(context, params),
        Operation::AssociateCustomDomain => custom_domains::associate(context, params),
        Operation::DescribeCustomDomains => custom_domains::describe(context, params),
        Operation::DisassociateCustomDomain => custom_domains::disassociate(context, params),
        Operation::CreateAutoScalingConfiguration => configurations::create(context, params, Kind::AutoScaling),
        Operation::ListAutoScalingConfigurations => configurations::list(context, params, Kind::AutoScaling),
        Operation::DeleteAutoScalingConfiguration => configurations::delete(context, params, Kind::AutoScaling),
        Operation::ListServicesForAutoScalingConfiguration => configurations::list_services(context, params),
        Operation::CreateObservabilityConfiguration => configurations::create(context, params, Kind::Observability),
        Operation::ListObservabilityConfigurations => configurations::list(context, params, Kind::Observability),
        Operation::DeleteObservabilityConfiguration => configurations::delete(context, params, Kind::Observability),
        Operation::CreateConnection => connections::create(context, params),
        Operation::ListConnections => connections::list(context, params),
        Operation::DeleteConnection => connections::delete(context, params),
        Operation::TagResource => tags::tag(context, params),
        Operation::UntagResource => tags::untag(context, params),
        Operation::ListTagsForResource => tags::list(context, params),
        Operation::AssumeRole => sts::assume_role(&mut state.roles, &state.behaviors, caller, params, now),
        Operation::GetCallerIdentity => Ok(sts::caller_identity(caller)),
    }
}
