//! The calls that only a report makes: what else of App Runner an account has in a region.

use aws_sdk_apprunner::operation::describe_custom_domains::DescribeCustomDomainsOutput;
use aws_sdk_apprunner::operation::describe_service::DescribeServiceOutput;
use aws_sdk_apprunner::operation::describe_vpc_ingress_connection::DescribeVpcIngressConnectionOutput;
use aws_sdk_apprunner::operation::list_auto_scaling_configurations::ListAutoScalingConfigurationsOutput;
use aws_sdk_apprunner::operation::list_connections::ListConnectionsOutput;
use aws_sdk_apprunner::operation::list_observability_configurations::ListObservabilityConfigurationsOutput;
use aws_sdk_apprunner::operation::list_vpc_ingress_connections::ListVpcIngressConnectionsOutput;
use jiff::Timestamp;

use super::client::Call;
use super::session::Session;
use super::{CALL_DEADLINE, wire};
use crate::core::arn::Region;
use crate::core::outcome::{Operation, Page};

/// A described service, as far as it refers to other resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    /// The VPC connector of its outgoing traffic.
    pub(crate) connector: Option<String>,
    pub(crate) auto_scaling: Option<String>,
    /// The connection to the provider of its source.
    pub(crate) source_connection: Option<String>,
    pub(crate) observability: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
}

/// A VPC ingress connection: its list entry, or its description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IngressConnection {
    pub(crate) arn: String,
    pub(crate) name: Option<String>,
    pub(crate) status: Option<String>,
    /// The service that it makes reachable.
    pub(crate) service: Option<String>,
}

/// A resource that services may use, and that is of no use without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// Whether a service uses it, if the list says so.
    pub(crate) used: Option<bool>,
    /// App Runner made it, and no one can delete it.
    pub(crate) built_in: bool,
}

impl Session {
    /// Describes a service and what it refers to. Source: App Runner API, `DescribeService`.
    pub(crate) async fn describe_settings(&self, region: &Region, arn: &str) -> Call<ServiceSettings> {
        let client = self.client(region);
        let sent = client.api.describe_service().service_arn(arn).send();
        let read = |out: DescribeServiceOutput| wire::settings(out.service, arn);
        client.finish(Operation::DescribeService, CALL_DEADLINE, sent, read).await
    }

    /// Lists the custom domains of a service. Source: App Runner API, `DescribeCustomDomains`.
    pub(crate) async fn custom_domains(
        &self,
        region: &Region,
        service: &str,
        token: Option<String>,
    ) -> Call<Page<String>> {
        let client = self.client(region);
        let sent = client.api.describe_custom_domains().service_arn(service).set_next_token(token).send();
        let read = |out: DescribeCustomDomainsOutput| {
            let items = out.custom_domains.iter().map(|domain| wire::shown(&domain.domain_name)).collect();
            Ok(Page { items, next: out.next_token })
        };
        client.finish(Operation::DescribeCustomDomains, CALL_DEADLINE, sent, read).await
    }

    /// Lists VPC ingress connections, without their names and statuses. Source: App Runner API,
    /// `ListVpcIngressConnections`.
    pub(crate) async fn list_ingress_connections(
        &self,
        region: &Region,
        token: Option<String>,
    ) -> Call<Page<IngressConnection>> {
        let client = self.client(region);
        let sent = client.api.list_vpc_ingress_connections().set_next_token(token).send();
        let read = |out: ListVpcIngressConnectionsOutput| {
            let items = out.vpc_ingress_connection_summary_list.into_iter().map(|listed| IngressConnection {
                arn: wire::arn(&listed.vpc_ingress_connection_arn.unwrap_or_default()),
                service: listed.service_arn.as_deref().map(wire::arn),
                ..IngressConnection::default()
            });
            Ok(Page { items: items.collect(), next: out.next_token })
        };
        client.finish(Operation::ListVpcIngressConnections, CALL_DEADLINE, sent, read).await
    }

    /// Describes a VPC ingress connection. Source: App Runner API, `DescribeVpcIngressConnection`.
    pub(crate) async fn describe_ingress_connection(&self, region: &Region, arn: &str) -> Call<IngressConnection> {
        let client = self.client(region);
        let sent = client.api.describe_vpc_ingress_connection().vpc_ingress_connection_arn(arn).send();
        let read = |out: DescribeVpcIngressConnectionOutput| {
            let described = out.vpc_ingress_connection.ok_or("the answer has no VpcIngressConnection")?;
            Ok(IngressConnection {
                arn: arn.to_owned(),
                name: described.vpc_ingress_connection_name.map(|name| wire::shown(&name)),
                status: described.status.map(|status| wire::shown(status.as_str())),
                service: described.service_arn.as_deref().map(wire::arn),
            })
        };
        client.finish(Operation::DescribeVpcIngressConnection, CALL_DEADLINE, sent, read).await
    }

    /// Lists auto scaling configurations. Source: App Runner API, `ListAutoScalingConfigurations`.
    pub(crate) async fn list_auto_scaling(&self, region: &Region, token: Option<String>) -> Call<Page<Configuration>> {
        let client = self.client(region);
        let sent = client.api.list_auto_scaling_configurations().set_next_token(token).send();
        let read = |out: ListAutoScalingConfigurationsOutput| {
            let items = out.auto_scaling_configuration_summary_list.into_iter().map(|listed| {
                let name = wire::shown(&listed.auto_scaling_configuration_name.unwrap_or_default());
                Configuration {
                    arn: wire::arn(&listed.auto_scaling_configuration_arn.unwrap_or_default()),
                    built_in: name == "DefaultConfiguration",
                    name,
                    used: listed.has_associated_service,
                }
            });
            Ok(Page { items: items.collect(), next: out.next_token })
        };
        client.finish(Operation::ListAutoScalingConfigurations, CALL_DEADLINE, sent, read).await
    }

    /// Lists connections to providers of source code. Source: App Runner API, `ListConnections`.
    pub(crate) async fn list_source_connections(
        &self,
        region: &Region,
        token: Option<String>,
    ) -> Call<Page<Configuration>> {
        let client = self.client(region);
        let sent = client.api.list_connections().set_next_token(token).send();
        let read = |out: ListConnectionsOutput| {
            let items = out.connection_summary_list.into_iter().map(|listed| Configuration {
                arn: wire::arn(&listed.connection_arn.unwrap_or_default()),
                name: wire::shown(&listed.connection_name.unwrap_or_default()),
                ..Configuration::default()
            });
            Ok(Page { items: items.collect(), next: out.next_token })
        };
        client.finish(Operation::ListConnections, CALL_DEADLINE, sent, read).await
    }

    /// Lists observability configurations. Source: App Runner API, `ListObservabilityConfigurations`.
    pub(crate) async fn list_observability(&self, region: &Region, token: Option<String>) -> Call<Page<Configuration>> {
        let client = self.client(region);
        let sent = client.api.list_observability_configurations().set_next_token(token).send();
        let read = |out: ListObservabilityConfigurationsOutput| {
            let items = out.observability_configuration_summary_list.into_iter().map(|listed| {
                let name = wire::shown(&listed.observability_configuration_name.unwrap_or_default());
                Configuration {
                    arn: wire::arn(&listed.observability_configuration_arn.unwrap_or_default()),
                    built_in: name == "DefaultConfiguration",
                    name,
                    used: None,
                }
            });
            Ok(Page { items: items.collect(), next: out.next_token })
        };
        client.finish(Operation::ListObservabilityConfigurations, CALL_DEADLINE, sent, read).await
    }
}
