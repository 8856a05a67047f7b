//! The calls to App Runner, each sent once and each ending in an outcome.

use std::time::{Duration, Instant};

use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::operation::RequestId;
use aws_sdk_apprunner::operation::delete_vpc_connector::DeleteVpcConnectorOutput;
use aws_sdk_apprunner::operation::describe_service::DescribeServiceOutput;
use aws_sdk_apprunner::operation::describe_vpc_connector::DescribeVpcConnectorOutput;
use aws_sdk_apprunner::operation::list_services::ListServicesOutput;
use aws_sdk_apprunner::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_apprunner::operation::list_vpc_connectors::ListVpcConnectorsOutput;
use aws_sdk_apprunner::types::Tag;

use super::session::Session;
use super::whole::Whole;
use super::{CALL_DEADLINE, UNTAG_DEADLINE, wire};
use crate::api::OWNER_TAG;
use crate::core::arn::{ConnectorArn, Region};
use crate::core::outcome::{Class, Failure, Operation, Outcome, Page, Reply};
use crate::core::ownership::OwnerTag;

/// A page of services has no more than this. Source: App Runner API, `ListServices`.
const SERVICES_A_PAGE: i32 = 20;
/// A page of connectors has no more than this. Source: App Runner API, `ListVpcConnectors`.
const CONNECTORS_A_PAGE: i32 = 100;

/// One call to App Runner, and what came of it.
pub struct Call {
    /// What was called.
    pub operation: Operation,
    /// The id AWS support asks for, where there was an answer.
    pub request_id: Option<String>,
    /// When it was sent.
    pub sent: Instant,
    /// Time until the answer, or until the deadline.
    pub took: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

impl Session {
    /// Deletes the connector. Source: App Runner API, `DeleteVpcConnector`.
    pub async fn delete(&self, arn: &ConnectorArn) -> Call {
        let sent = self.client(arn.region()).delete_vpc_connector().vpc_connector_arn(arn.as_str()).send();
        let reply = |out: DeleteVpcConnectorOutput| Some(Reply::Connector(wire::connector(out.vpc_connector)));
        finish(Operation::DeleteVpcConnector, CALL_DEADLINE, sent, reply).await
    }

    /// Looks the connector up. Source: App Runner API, `DescribeVpcConnector`.
    pub async fn describe(&self, arn: &ConnectorArn) -> Call {
        let sent = self.client(arn.region()).describe_vpc_connector().vpc_connector_arn(arn.as_str()).send();
        let reply = |out: DescribeVpcConnectorOutput| Some(Reply::Connector(wire::connector(out.vpc_connector)));
        finish(Operation::DescribeVpcConnector, CALL_DEADLINE, sent, reply).await
    }

    /// Reads the owner tag. Source: App Runner API, `ListTagsForResource`.
    pub async fn read_owner_tag(&self, arn: &ConnectorArn, deadline: Duration) -> Call {
        let sent = self.client(arn.region()).list_tags_for_resource().resource_arn(arn.as_str()).send();
        let reply = |out: ListTagsForResourceOutput| {
            let ours = out.tags?.into_iter().find(|tag| tag.key() == Some(OWNER_TAG));
            Some(Reply::OwnerTag(ours.map(|tag| wire::tag_value(tag.value))))
        };
        finish(Operation::ListTagsForResource, deadline, sent, reply).await
    }

    /// Writes the owner tag. Source: App Runner API, `TagResource`.
    pub async fn write_owner_tag(&self, arn: &ConnectorArn, owner: &OwnerTag) -> Call {
        let tag = Tag::builder().key(OWNER_TAG).value(owner.to_string()).build();
        let sent = self.client(arn.region()).tag_resource().resource_arn(arn.as_str()).tags(tag).send();
        finish(Operation::TagResource, CALL_DEADLINE, sent, |_| Some(Reply::Written)).await
    }

    /// Lists services, from the beginning or from where a page ended. Source: App Runner API, `ListServices`.
    pub async fn list_services(&self, region: &Region, token: Option<String>) -> Call {
        let list = self.client(region).list_services().max_results(SERVICES_A_PAGE).set_next_token(token);
        let sent = list.customize().interceptor(Whole("ServiceSummaryList")).send();
        let reply = |out: ListServicesOutput| {
            let items = out.service_summary_list.into_iter().filter_map(wire::service).collect();
            Some(Reply::Services(Page { items, next: out.next_token }))
        };
        finish(Operation::ListServices, CALL_DEADLINE, sent, reply).await
    }

    /// Tells which connector a service's outgoing traffic goes through. Source: App Runner API, `DescribeService`.
    pub async fn describe_service(&self, region: &Region, arn: &str) -> Call {
        let sent = self.client(region).describe_service().service_arn(arn).send();
        let reply = |out: DescribeServiceOutput| {
            let asked_for = out.service.filter(|service| service.service_arn == arn)?;
            Some(Reply::Egress(wire::egress(asked_for)))
        };
        finish(Operation::DescribeService, CALL_DEADLINE, sent, reply).await
    }

    /// Lists connectors, from the beginning or from where a page ended. Source: App Runner API, `ListVpcConnectors`.
    pub async fn list_connectors(&self, region: &Region, token: Option<String>) -> Call {
        let list = self.client(region).list_vpc_connectors().max_results(CONNECTORS_A_PAGE).set_next_token(token);
        let sent = list.customize().interceptor(Whole("VpcConnectors")).send();
        let reply = |out: ListVpcConnectorsOutput| {
            let items = out.vpc_connectors.into_iter().map(|connector| wire::connector(Some(connector))).collect();
            Some(Reply::Connectors(Page { items, next: out.next_token }))
        };
        finish(Operation::ListVpcConnectors, CALL_DEADLINE, sent, reply).await
    }

    /// Takes the owner tag off. Source: App Runner API, `UntagResource`.
    pub async fn remove_owner_tag(&self, arn: &ConnectorArn) -> Call {
        let sent = self.client(arn.region()).untag_resource().resource_arn(arn.as_str()).tag_keys(OWNER_TAG).send();
        finish(Operation::UntagResource, UNTAG_DEADLINE, sent, |_| Some(Reply::Written)).await
    }
}

/// Waits for a call no longer than its deadline, and says what it came to.
///
/// `reply` is `None` where a 200 proves nothing: the SDK takes an empty body for an answer without members.
async fn finish<T, E>(
    operation: Operation,
    deadline: Duration,
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    reply: impl FnOnce(T) -> Option<Reply>,
) -> Call
where
    T: RequestId,
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let begun = Instant::now();
    let result = tokio::time::timeout(deadline, sent).await;
    let took = begun.elapsed();
    let (request_id, outcome) = match result {
        Ok(Ok(output)) => {
            let request_id = output.request_id().map(str::to_owned);
            let unproven = || Failure::new(operation, Class::Unproven, "Unproven", "it lacks what was asked for");
            let outcome = reply(output).map_or_else(|| Outcome::Unknown(unproven()), Outcome::Done);
            (request_id, outcome)
        }
        Ok(Err(error)) => (wire::request_id_of(&error), wire::outcome_of(operation, &error)),
        Err(_) => (None, Outcome::Unknown(Failure::new(operation, Class::Unreachable, "Timeout", wire::NO_ANSWER))),
    };
    Call { operation, request_id, sent: begun, took, outcome }
}
