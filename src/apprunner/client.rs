//! The calls to App Runner. Each is sent once and ends in an outcome.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_apprunner::Client;
use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::config::timeout::TimeoutConfig;
use aws_sdk_apprunner::config::{Region as SdkRegion, StalledStreamProtectionConfig};
use aws_sdk_apprunner::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::operation::RequestId;
use aws_sdk_apprunner::operation::delete_vpc_connector::DeleteVpcConnectorOutput;
use aws_sdk_apprunner::operation::describe_service::DescribeServiceOutput;
use aws_sdk_apprunner::operation::describe_vpc_connector::DescribeVpcConnectorOutput;
use aws_sdk_apprunner::operation::list_services::ListServicesOutput;
use aws_sdk_apprunner::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_apprunner::operation::list_vpc_connectors::ListVpcConnectorsOutput;
use aws_sdk_apprunner::types::Tag;
use tracing::{debug, info};

use super::exchange::ReplyCheck;
use super::session::Session;
use super::{CALL_DEADLINE, CONNECT_DEADLINE, UNTAG_DEADLINE, wire};
use crate::api::OWNER_TAG;
use crate::core::arn::{AccountId, ConnectorArn, Region};
use crate::core::error_class::ErrorClass;
use crate::core::intervals::millis;
use crate::core::outcome::{Connector, Failure, Operation, Outcome, Page, Service};
use crate::core::ownership::OwnerTag;
use crate::core::text;

/// The largest page of services. Source: App Runner API, `ListServices`.
const SERVICES_PER_PAGE: i32 = 20;
/// The largest page of connectors. Source: App Runner API, `ListVpcConnectors`.
const CONNECTORS_PER_PAGE: i32 = 100;

/// The client of one region, and the check of its replies.
#[derive(Clone)]
pub(super) struct RegionClient {
    pub(super) api: Client,
    check: ReplyCheck,
}

/// One call to AWS, and its outcome.
pub(crate) struct Call<T> {
    pub(crate) operation: Operation,
    /// The request id for AWS Support, if there was an answer.
    pub(crate) request_id: Option<String>,
    /// The time at which the call was sent.
    pub(crate) sent: Instant,
    /// Time until the answer, or until the deadline.
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome<T>,
}

/// The content of a successful reply, or the reason why it proves nothing.
pub(super) type Read<T> = Result<T, String>;

/// The object that a call is made for, if it is made for one, and the ARN that the call names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    /// The ARN of a connector, a service or a role.
    pub(crate) arn: Option<&'a str>,
}

impl<T> Call<T> {
    /// Logs the call in one line. A call that only reads is logged at debug level, which is off by default: there are
    /// many such calls, and the conditions and [`crate::telemetry::incidents`] report a lasting failure.
    pub(super) fn log(&self, account: Option<&AccountId>, region: &Region, subject: Subject<'_>) {
        let Subject { namespace, name, arn } = subject;
        let (operation, outcome, duration_ms) = (self.operation, self.outcome.as_str(), millis(self.took));
        let (account, request_id) = (account.map(AccountId::as_str), self.request_id.as_deref());
        let (code, error) = self.outcome.failure().map(|failure| (&*failure.code, &*failure.message)).unzip();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    namespace, name, arn, account, %region, %operation, outcome, request_id, duration_ms, code, error, "called AWS"
                )
            };
        }
        if operation.is_write() { line!(info) } else { line!(debug) }
    }
}

impl Session {
    /// Deletes the connector. Source: App Runner API, `DeleteVpcConnector`.
    pub(crate) async fn delete(&self, arn: &ConnectorArn) -> Call<Connector> {
        let client = self.client(arn.region());
        let sent = client.api.delete_vpc_connector().vpc_connector_arn(arn.as_str()).send();
        let read = |out: DeleteVpcConnectorOutput| Ok(wire::connector(out.vpc_connector));
        client.finish(Operation::DeleteVpcConnector, CALL_DEADLINE, sent, read).await
    }

    /// Describes the connector. Source: App Runner API, `DescribeVpcConnector`.
    pub(crate) async fn describe(&self, arn: &ConnectorArn) -> Call<Connector> {
        let client = self.client(arn.region());
        let sent = client.api.describe_vpc_connector().vpc_connector_arn(arn.as_str()).send();
        let read = |out: DescribeVpcConnectorOutput| Ok(wire::connector(out.vpc_connector));
        client.finish(Operation::DescribeVpcConnector, CALL_DEADLINE, sent, read).await
    }

    /// Reads the owner tag. Source: App Runner API, `ListTagsForResource`.
    pub(crate) async fn read_owner_tag(&self, arn: &ConnectorArn, deadline: Duration) -> Call<Option<String>> {
        let client = self.client(arn.region());
        let sent = client.api.list_tags_for_resource().resource_arn(arn.as_str()).send();
        let read = |out: ListTagsForResourceOutput| wire::owner_tag(out.tags());
        client.finish(Operation::ListTagsForResource, deadline, sent, read).await
    }

    /// Writes the owner tag. Source: App Runner API, `TagResource`.
    pub(crate) async fn write_owner_tag(&self, arn: &ConnectorArn, owner: &OwnerTag) -> Call<()> {
        let tag = Tag::builder().key(OWNER_TAG).value(owner.to_string()).build();
        let client = self.client(arn.region());
        let sent = client.api.tag_resource().resource_arn(arn.as_str()).tags(tag).send();
        client.finish(Operation::TagResource, CALL_DEADLINE, sent, |_| Ok(())).await
    }

    /// Lists services, from the start or from the token of the previous page. Source: App Runner API, `ListServices`.
    pub(crate) async fn list_services(&self, region: &Region, token: Option<String>) -> Call<Page<Service>> {
        let client = self.client(region);
        let sent = client.api.list_services().max_results(SERVICES_PER_PAGE).set_next_token(token).send();
        let read = |out: ListServicesOutput| {
            let items = out.service_summary_list.into_iter().map(wire::service).collect();
            Ok(Page { items, next: out.next_token })
        };
        client.finish(Operation::ListServices, CALL_DEADLINE, sent, read).await
    }

    /// Describes a service, and returns the connector of its outgoing traffic. Source: App Runner API,
    /// `DescribeService`.
    pub(crate) async fn describe_service(&self, region: &Region, arn: &str) -> Call<Option<String>> {
        let client = self.client(region);
        let sent = client.api.describe_service().service_arn(arn).send();
        let read = |out: DescribeServiceOutput| wire::egress(out.service, arn);
        client.finish(Operation::DescribeService, CALL_DEADLINE, sent, read).await
    }

    /// Lists connectors, from the start or from the token of the previous page. Source: App Runner API,
    /// `ListVpcConnectors`.
    pub(crate) async fn list_connectors(&self, region: &Region, token: Option<String>) -> Call<Page<Connector>> {
        let client = self.client(region);
        let sent = client.api.list_vpc_connectors().max_results(CONNECTORS_PER_PAGE).set_next_token(token).send();
        let read = |out: ListVpcConnectorsOutput| {
            let items = out.vpc_connectors.into_iter().map(|connector| wire::connector(Some(connector))).collect();
            Ok(Page { items, next: out.next_token })
        };
        client.finish(Operation::ListVpcConnectors, CALL_DEADLINE, sent, read).await
    }

    /// Removes the owner tag. Source: App Runner API, `UntagResource`.
    pub(crate) async fn remove_owner_tag(&self, arn: &ConnectorArn) -> Call<()> {
        let client = self.client(arn.region());
        let sent = client.api.untag_resource().resource_arn(arn.as_str()).tag_keys(OWNER_TAG).send();
        client.finish(Operation::UntagResource, UNTAG_DEADLINE, sent, |_| Ok(())).await
    }
}

impl RegionClient {
    /// A client whose only deadlines are those of its calls.
    pub(super) fn new(config: &SdkConfig, region: &Region) -> Self {
        let check = ReplyCheck::default();
        let config = aws_sdk_apprunner::config::Builder::from(config)
            .region(SdkRegion::new(region.as_str().to_owned()))
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_DEADLINE).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(check.clone());
        Self { api: Client::from_conf(config.build()), check }
    }

    /// Sends a request and waits for its reply until the deadline.
    pub(super) async fn finish<Output, E, T>(
        &self,
        operation: Operation,
        deadline: Duration,
        request: impl Future<Output = Result<Output, SdkError<E, HttpResponse>>>,
        read: impl FnOnce(Output) -> Read<T>,
    ) -> Call<T>
    where
        Output: RequestId,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let unknown = |failure| Outcome::Unknown(failure);
        let sent = Instant::now();
        let result = tokio::time::timeout(deadline, request).await;
        let took = sent.elapsed();
        let (request_id, outcome) = match result {
            Ok(Ok(output)) => {
                let request_id = output.request_id().map(text::code);
                let outcome = read(output).map_err(|why| Failure::unproven(operation, &why));
                (request_id, outcome.map_or_else(unknown, Outcome::Done))
            }
            Ok(Err(error)) => (wire::request_id_of(&error), wire::outcome_of(self.check.exchange(operation), &error)),
            Err(_) => (None, unknown(Failure::new(operation, ErrorClass::Unreachable, "Timeout", wire::NO_ANSWER))),
        };
        Call { operation, request_id, sent, took, outcome }
    }
}
