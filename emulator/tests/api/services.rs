//! Services through the SDK, as far as connectors depend on them.

use aws_sdk_apprunner::operation::create_service::CreateServiceError;
use aws_sdk_apprunner::operation::describe_service::DescribeServiceError;
use aws_sdk_apprunner::operation::list_services::ListServicesError;
use aws_sdk_apprunner::operation::pause_service::PauseServiceError;
use aws_sdk_apprunner::operation::resume_service::ResumeServiceError;
use aws_sdk_apprunner::operation::update_service::UpdateServiceError;
use aws_sdk_apprunner::types::{
    EgressConfiguration, EgressType, InstanceConfiguration, NetworkConfiguration, Service, ServiceStatus,
};

use crate::helpers::{ACCOUNT, OTHER_ACCOUNT, REGION, TestBed, source};

fn egress_through(connector: Option<&str>) -> NetworkConfiguration {
    let egress = EgressConfiguration::builder().set_vpc_connector_arn(connector.map(str::to_owned));
    let kind = if connector.is_some() { EgressType::Vpc } else { EgressType::Default };
    NetworkConfiguration::builder().egress_configuration(egress.egress_type(kind).build()).build()
}

fn connector_of(service: &Service) -> Option<&str> {
    service.network_configuration()?.egress_configuration()?.vpc_connector_arn()
}

#[tokio::test]
async fn a_service_is_created_paused_resumed_updated_and_deleted() {
    let bed = TestBed::start().await;
    let connector = bed.connector("shop");
    let request = bed.client.create_service().service_name("web1").source_configuration(source());
    let created = request.network_configuration(egress_through(Some(&connector))).send().await.unwrap();
    // Source: API model, UUID.
    let parts: Vec<usize> = created.operation_id().split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{}", created.operation_id());
    let created = created.service.unwrap();
    let arn = created.service_arn();
    assert_eq!(arn, format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:service/web1/{}", created.service_id()));
    assert_eq!((created.status(), connector_of(&created)), (&ServiceStatus::Running, Some(connector.as_str())));
    assert_eq!(created.source_configuration(), Some(&source()));
    assert_eq!(created.instance_configuration().unwrap().cpu(), Some("1024"));
    assert_eq!(created.auto_scaling_configuration_summary().unwrap().auto_scaling_configuration_revision(), 1);
    let described = bed.client.describe_service().service_arn(arn).send().await.unwrap().service.unwrap();
    assert_eq!(described, created);

    let paused = bed.client.pause_service().service_arn(arn).send().await.unwrap();
    assert_eq!(paused.service().unwrap().status(), &ServiceStatus::Paused);
    let resumed = bed.client.resume_service().service_arn(arn).send().await.unwrap();
    assert_eq!(resumed.service().unwrap().status(), &ServiceStatus::Running);
    let update = bed.client.update_service().service_arn(arn).network_configuration(egress_through(None));
    assert_eq!(connector_of(update.send().await.unwrap().service().unwrap()), None);
    assert_eq!(bed.delete(&connector).await, "INACTIVE");
    let deleted = bed.client.delete_service().service_arn(arn).send().await.unwrap().service.unwrap();
    assert_eq!(deleted.status(), &ServiceStatus::Deleted);
    assert!(deleted.deleted_at().is_some());
}

#[tokio::test]
async fn list_services_returns_pages_of_at_most_20_summaries() {
    let bed = TestBed::start().await;
    let connector = bed.connector("shop");
    for number in 0..23 {
        bed.service(&format!("web{number}"), &connector);
    }
    let all = bed.client.list_services().send().await.unwrap();
    assert_eq!((all.service_summary_list().len(), all.next_token()), (23, None));
    let first = bed.client.list_services().max_results(20).send().await.unwrap();
    assert_eq!(first.service_summary_list().len(), 20);
    let second = bed.client.list_services().max_results(20).set_next_token(first.next_token).send().await.unwrap();
    assert_eq!((second.service_summary_list().len(), second.next_token()), (3, None));
    let last = second.service_summary_list().last().unwrap();
    assert_eq!((last.service_name(), last.status()), (Some("web22"), Some(&ServiceStatus::Running)));
    let empty = bed.client.list_services().max_results(20).next_token("").send().await.unwrap();
    assert_eq!(empty.service_summary_list().len(), 20, "an empty token is that of the first page");
    let error = bed.client.list_services().max_results(21).send().await.unwrap_err().into_service_error();
    assert!(matches!(error, ListServicesError::InvalidRequestException(_)));
}

#[tokio::test]
async fn a_page_token_of_another_list_is_rejected() {
    let bed = TestBed::start().await;
    let connector = bed.connector("shop");
    bed.service("web1", &connector);
    bed.service("web2", &connector);
    let token = bed.client.list_services().max_results(1).send().await.unwrap().next_token;
    let error = bed.client.list_vpc_connectors().set_next_token(token).send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn service_errors_have_the_types_of_the_sdk() {
    let bed = TestBed::start().await;
    let connector = bed.connector("shop");
    let arn = bed.service("web1", &connector);
    let client = &bed.client;
    let error = client.resume_service().service_arn(&arn).send().await.unwrap_err().into_service_error();
    assert!(matches!(error, ResumeServiceError::InvalidStateException(_)));
    client.pause_service().service_arn(&arn).send().await.unwrap();
    let error = client.pause_service().service_arn(&arn).send().await.unwrap_err().into_service_error();
    assert!(matches!(error, PauseServiceError::InvalidStateException(_)));
    let error = client.update_service().service_arn(&arn).send().await.unwrap_err().into_service_error();
    assert!(matches!(error, UpdateServiceError::InvalidStateException(_)));
    client.delete_service().service_arn(&arn).send().await.unwrap();
    let error = client.delete_service().service_arn(&arn).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_state_exception());
    let error = client.describe_service().service_arn(arn.replace("web1", "web2")).send().await.unwrap_err();
    assert!(matches!(error.into_service_error(), DescribeServiceError::ResourceNotFoundException(_)));
    let error = client.describe_service().service_arn(&connector).send().await.unwrap_err().into_service_error();
    assert!(matches!(error, DescribeServiceError::InvalidRequestException(_)));
}

#[tokio::test]
async fn create_and_update_reject_invalid_services() {
    let bed = TestBed::start().await;
    let gone = bed.connector("gone");
    bed.delete(&gone).await;
    let abroad = bed.emulator.create_connector(ACCOUNT, "us-east-1", "shop");
    let foreign = bed.emulator.create_connector(OTHER_ACCOUNT, REGION, "shop");
    let taken = bed.service("taken", &bed.connector("shop"));
    let new = |name: &str| bed.client.create_service().service_name(name).source_configuration(source());
    let vpc = EgressConfiguration::builder().egress_type(EgressType::Vpc).build();
    let wrong = EgressConfiguration::builder().egress_type(EgressType::from("LAN")).build();
    let network = |egress| NetworkConfiguration::builder().egress_configuration(egress).build();
    for request in [
        new("no"),
        new("taken"),
        bed.client.create_service().service_name("good"),
        new("good").network_configuration(egress_through(Some(&gone))),
        new("good").network_configuration(egress_through(Some("nonsense"))),
        new("good").network_configuration(egress_through(Some(&abroad))),
        new("good").network_configuration(egress_through(Some(&foreign))),
        new("good").network_configuration(network(vpc)),
        new("good").network_configuration(network(wrong)),
    ] {
        let error = request.send().await.unwrap_err().into_service_error();
        assert!(matches!(error, CreateServiceError::InvalidRequestException(_)), "{error:?}");
    }
    for connector in [&gone, &abroad, &foreign] {
        let update =
            bed.client.update_service().service_arn(&taken).network_configuration(egress_through(Some(connector)));
        let error = update.send().await.unwrap_err().into_service_error();
        assert!(matches!(error, UpdateServiceError::InvalidRequestException(_)), "{error:?}");
    }
    let services: usize = bed.emulator.state().iter().map(|region| region.services.len()).sum();
    assert_eq!(services, 1);
}

#[tokio::test]
async fn an_update_changes_only_the_instance_members_that_it_names() {
    let bed = TestBed::start().await;
    let arn = bed.service("web1", &bed.connector("shop"));
    let update = async |instance: InstanceConfiguration| {
        let sent = bed.client.update_service().service_arn(&arn).instance_configuration(instance).send().await;
        let shown = sent.unwrap().service.unwrap().instance_configuration.unwrap();
        (shown.cpu.unwrap(), shown.memory.unwrap())
    };
    let instance = InstanceConfiguration::builder;
    assert_eq!(update(instance().cpu("2048").memory("4096").build()).await, ("2048".into(), "4096".into()));
    assert_eq!(update(instance().memory("6144").build()).await, ("2048".into(), "6144".into()));
}
