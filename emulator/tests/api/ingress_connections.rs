//! VPC ingress connections through the SDK.

use apprunner_emulator::IngressConnectionStatus;
use aws_sdk_apprunner::Client;
use aws_sdk_apprunner::operation::create_vpc_ingress_connection::CreateVpcIngressConnectionError;
use aws_sdk_apprunner::operation::create_vpc_ingress_connection::builders::CreateVpcIngressConnectionFluentBuilder;
use aws_sdk_apprunner::operation::delete_service::DeleteServiceError;
use aws_sdk_apprunner::types::{
    IngressVpcConfiguration, ListVpcIngressConnectionsFilter, Tag, VpcIngressConnection, VpcIngressConnectionStatus,
};

use crate::helpers::{ACCOUNT, OTHER_ACCOUNT, REGION, TestBed, code, message};

fn vpc(endpoint: &str) -> IngressVpcConfiguration {
    IngressVpcConfiguration::builder().vpc_id("vpc-1").vpc_endpoint_id(endpoint).build()
}

fn request(client: &Client, service: &str, name: &str) -> CreateVpcIngressConnectionFluentBuilder {
    let new = client.create_vpc_ingress_connection().service_arn(service).vpc_ingress_connection_name(name);
    new.ingress_vpc_configuration(vpc("vpce-1"))
}

async fn created(client: &Client, service: &str, name: &str) -> VpcIngressConnection {
    request(client, service, name).send().await.unwrap().vpc_ingress_connection.unwrap()
}

async fn described(client: &Client, arn: &str) -> VpcIngressConnection {
    let reply = client.describe_vpc_ingress_connection().vpc_ingress_connection_arn(arn).send().await;
    reply.unwrap().vpc_ingress_connection.unwrap()
}

/// A service without a connector.
fn service(bed: &TestBed, name: &str) -> String {
    bed.emulator.create_service(ACCOUNT, REGION, name, None)
}

#[tokio::test]
async fn an_ingress_connection_is_created_described_and_deleted() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    let made = created(&bed.client, &service, "shop").await;
    let arn = made.vpc_ingress_connection_arn().unwrap();
    assert!(arn.starts_with(&format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcingressconnection/shop/")), "{arn}");
    assert_eq!((made.vpc_ingress_connection_name(), made.service_arn()), (Some("shop"), Some(service.as_str())));
    assert_eq!((made.status(), made.account_id()), (Some(&VpcIngressConnectionStatus::Available), Some(ACCOUNT)));
    assert_eq!(made.ingress_vpc_configuration(), Some(&vpc("vpce-1")));
    assert!(made.domain_name().unwrap().contains(REGION) && made.created_at().is_some());
    assert_eq!(described(&bed.client, arn).await, made);

    let reply = bed.client.delete_vpc_ingress_connection().vpc_ingress_connection_arn(arn).send().await.unwrap();
    let deleted = reply.vpc_ingress_connection.unwrap();
    assert_eq!(deleted.status(), Some(&VpcIngressConnectionStatus::Deleted));
    assert!(deleted.deleted_at().is_some());
    assert_eq!(described(&bed.client, arn).await, deleted);
    let again = bed.client.delete_vpc_ingress_connection().vpc_ingress_connection_arn(arn).send().await.unwrap_err();
    assert!(again.into_service_error().is_resource_not_found_exception());
    assert_ne!(created(&bed.client, &service, "shop").await.vpc_ingress_connection_arn(), Some(arn));
}

#[tokio::test]
async fn a_service_with_an_ingress_connection_cannot_be_deleted() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    let arn = bed.emulator.create_ingress_connection(&service, "shop").unwrap();
    let error = bed.client.delete_service().service_arn(&service).send().await.unwrap_err();
    let words = format!(
        "You cannot delete a Service while it has VpcIngressConnections with a status of AVAILABLE. Service Arn: \
         {service} VpcIngressConnection Arn: {arn}"
    );
    assert_eq!(message(&error), words);
    assert!(matches!(error.into_service_error(), DeleteServiceError::InvalidStateException(_)));
    bed.emulator.set_ingress_connection_status(&arn, IngressConnectionStatus::FailedDeletion);
    let error = bed.client.delete_service().service_arn(&service).send().await.unwrap_err();
    assert!(message(&error).contains("a status of FAILED_DELETION"), "{}", message(&error));
    bed.client.delete_vpc_ingress_connection().vpc_ingress_connection_arn(&arn).send().await.unwrap();
    bed.client.delete_service().service_arn(&service).send().await.unwrap();
}

#[tokio::test]
async fn operations_on_ingress_connections_take_the_configured_time() {
    let bed = TestBed::with(|behaviors| behaviors.ingress_connection_operation_ms = 60_000).await;
    let service = service(&bed, "web1");
    let made = created(&bed.client, &service, "shop").await;
    let arn = made.vpc_ingress_connection_arn().unwrap();
    assert_eq!(made.status(), Some(&VpcIngressConnectionStatus::PendingCreation));
    let delete = || bed.client.delete_vpc_ingress_connection().vpc_ingress_connection_arn(arn).send();
    assert!(delete().await.unwrap_err().into_service_error().is_invalid_state_exception());
    assert!(bed.emulator.set_ingress_connection_status(arn, IngressConnectionStatus::FailedCreation));
    let deleted = delete().await.unwrap().vpc_ingress_connection.unwrap();
    assert_eq!((deleted.status(), deleted.deleted_at()), (Some(&VpcIngressConnectionStatus::PendingDeletion), None));
    bed.emulator.change_behaviors(|behaviors| behaviors.ingress_connection_operation_ms = 0);
    let view = bed.emulator.ingress_connection(arn).unwrap();
    assert_eq!(view.status, IngressConnectionStatus::PendingDeletion, "a later change does not end the operation");
    bed.emulator.set_ingress_connection_status(arn, IngressConnectionStatus::Deleted);
    assert!(bed.emulator.ingress_connection(arn).unwrap().deleted_at.is_some());
    assert!(!bed.emulator.set_ingress_connection_status("none", IngressConnectionStatus::Deleted));
}

#[tokio::test]
async fn ingress_connections_are_listed_by_service_and_endpoint_in_pages() {
    let bed = TestBed::start().await;
    let (one, two) = (service(&bed, "web1"), service(&bed, "web2"));
    for (service, name, endpoint) in [(&one, "shop1", "vpce-1"), (&two, "shop2", "vpce-1"), (&two, "shop3", "vpce-2")] {
        let new = request(&bed.client, service, name).ingress_vpc_configuration(vpc(endpoint));
        new.send().await.unwrap();
    }
    let gone = bed.emulator.create_ingress_connection(&one, "gone").unwrap();
    bed.emulator.set_ingress_connection_status(&gone, IngressConnectionStatus::Deleted);
    let services = async |service: Option<&str>, endpoint: Option<&str>| {
        let filter = ListVpcIngressConnectionsFilter::builder()
            .set_service_arn(service.map(str::to_owned))
            .set_vpc_endpoint_id(endpoint.map(str::to_owned));
        let reply = bed.client.list_vpc_ingress_connections().filter(filter.build()).send().await.unwrap();
        let list = reply.vpc_ingress_connection_summary_list.into_iter();
        list.map(|summary| summary.service_arn.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(services(None, None).await, [&*one, &two, &two]);
    assert_eq!(services(Some(&two), None).await, [&*two, &two]);
    assert_eq!(services(None, Some("vpce-1")).await, [&*one, &two]);
    assert_eq!(services(Some(&one), Some("vpce-2")).await, [""; 0]);

    let list = || bed.client.list_vpc_ingress_connections();
    let first = list().max_results(2).send().await.unwrap();
    let second = list().max_results(2).set_next_token(first.next_token.clone()).send().await.unwrap();
    let lengths = [first, second].map(|page| page.vpc_ingress_connection_summary_list.len());
    assert_eq!(lengths, [2, 1]);
    assert_eq!(code(&list().max_results(101).send().await.unwrap_err()), "InvalidRequestException");
    let wrong = ListVpcIngressConnectionsFilter::builder().service_arn("nonsense").build();
    assert_eq!(code(&list().filter(wrong).send().await.unwrap_err()), "InvalidRequestException");
}

#[tokio::test]
async fn create_rejects_invalid_ingress_connections() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    created(&bed.client, &service, "taken").await;
    let foreign = bed.emulator.create_service(OTHER_ACCOUNT, REGION, "web1", None);
    let gone = bed.emulator.create_service(ACCOUNT, REGION, "gone", None);
    bed.emulator.delete_service(&gone);
    let new = |name: &str| request(&bed.client, &service, name);
    for request in [
        new("no"),
        new("taken"),
        new("shop").set_ingress_vpc_configuration(None),
        new("shop").ingress_vpc_configuration(IngressVpcConfiguration::builder().vpc_id("vpc-1").build()),
        new("shop").service_arn(&foreign),
        new("shop").service_arn(&gone),
        new("shop").service_arn("nonsense"),
    ] {
        let error = request.send().await.unwrap_err().into_service_error();
        assert!(matches!(error, CreateVpcIngressConnectionError::InvalidRequestException(_)), "{error:?}");
    }
    bed.client.pause_service().service_arn(&service).send().await.unwrap();
    let error = new("shop").send().await.unwrap_err().into_service_error();
    assert!(matches!(error, CreateVpcIngressConnectionError::InvalidStateException(_)), "{error:?}");
}

#[tokio::test]
async fn ingress_connections_have_tags() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    let tag = |value: &str| Tag::builder().key("team").value(value).build();
    let made = request(&bed.client, &service, "shop").tags(tag("web")).send().await.unwrap();
    let arn = made.vpc_ingress_connection.unwrap().vpc_ingress_connection_arn.unwrap();
    let tags = async || bed.client.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags().await, [tag("web")]);
    bed.client.tag_resource().resource_arn(&arn).tags(tag("ops")).send().await.unwrap();
    assert_eq!(tags().await, [tag("ops")]);
    assert_eq!(bed.emulator.tags(&arn).unwrap()["team"], "ops");
    bed.emulator.set_ingress_connection_status(&arn, IngressConnectionStatus::Deleted);
    let error = bed.client.untag_resource().resource_arn(&arn).tag_keys("team").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_state_exception());
}
