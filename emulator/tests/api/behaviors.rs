//! Every behavior with each of its values.

use apprunner_emulator::{
    ArnAnswer, ConnectorIds, ConnectorStatus, CreateExistingName, DeleteAgain, DeleteReply, ServiceStatus, StatusCase,
};
use aws_sdk_apprunner::types::Tag;

use crate::helpers::{ACCOUNT, Caller, OTHER_ACCOUNT, REGION, TestBed, code, eventually, message, source};

const LONG_MS: u64 = 3_600_000;
const SHORT_MS: u64 = 30;

#[tokio::test]
async fn an_existing_name_makes_a_revision_or_is_rejected() {
    let bed = TestBed::start().await;
    bed.connector("shop");
    let create = || bed.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let second = create().await.unwrap().vpc_connector.unwrap();
    assert_eq!(second.vpc_connector_revision(), 2);
    assert!(second.vpc_connector_arn().unwrap().contains("/shop/2/"));
    bed.emulator.change_behaviors(|behaviors| behaviors.create_existing_name = CreateExistingName::Refused);
    assert_eq!(code(&create().await.unwrap_err()), "InvalidRequestException");
}

#[tokio::test]
async fn connector_ids_can_be_uuids() {
    let bed = TestBed::with(|behaviors| behaviors.connector_ids = ConnectorIds::Uuid).await;
    let create = bed.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let created = create.await.unwrap().vpc_connector.unwrap();
    for arn in [created.vpc_connector_arn().unwrap(), &bed.connector("jobs")] {
        let parts: Vec<usize> = arn.rsplit('/').next().unwrap().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{arn}");
        bed.service("web1", arn);
        assert_eq!(bed.describe(arn).await, "ACTIVE");
        assert_eq!(bed.delete(arn).await, "InvalidRequestException", "in use");
    }
}

#[tokio::test]
async fn an_eventual_deletion_shows_active_until_it_settles() {
    let bed = TestBed::with(|behaviors| {
        behaviors.delete_reply = DeleteReply::Eventual;
        behaviors.delete_settles_after_ms = LONG_MS;
    })
    .await;
    let arn = bed.connector("shop");
    assert_eq!(bed.delete(&arn).await, "ACTIVE");
    assert_eq!(bed.describe(&arn).await, "ACTIVE");
    assert_eq!(bed.delete(&arn).await, "ACTIVE");
    assert_eq!(bed.listed().await, ["shop"]);

    bed.emulator.change_behaviors(|behaviors| behaviors.delete_settles_after_ms = SHORT_MS);
    let arn = bed.connector("soon");
    assert_eq!(bed.delete(&arn).await, "ACTIVE");
    eventually("the connector is INACTIVE", async || bed.describe(&arn).await == "INACTIVE").await;
    assert!(bed.emulator.connector(&arn).unwrap().deleted_at.is_some());
}

#[tokio::test]
async fn delete_again_gives_the_configured_answer() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    bed.delete(&arn).await;
    for (answer, expected) in [
        (DeleteAgain::NotFound, "ResourceNotFoundException"),
        (DeleteAgain::Inactive, "INACTIVE"),
        (DeleteAgain::InvalidRequest, "InvalidRequestException"),
    ] {
        bed.emulator.change_behaviors(|behaviors| behaviors.delete_again = answer);
        assert_eq!(bed.delete(&arn).await, expected);
    }
}

#[tokio::test]
async fn inactive_connectors_are_described_and_listed_as_configured() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    bed.delete(&arn).await;
    assert_eq!(bed.describe(&arn).await, "INACTIVE");
    assert!(bed.listed().await.is_empty());
    bed.emulator.change_behaviors(|behaviors| behaviors.list_inactive_connectors = true);
    assert_eq!(bed.listed().await, ["shop"]);
    bed.emulator.change_behaviors(|behaviors| behaviors.inactive_connector_kept_ms = 0);
    assert_eq!(bed.describe(&arn).await, "ResourceNotFoundException");
    assert_eq!(bed.delete(&arn).await, "ResourceNotFoundException");
    assert!(bed.listed().await.is_empty());
    assert!(bed.emulator.connector(&arn).is_some(), "the handle still returns it");
}

#[tokio::test]
async fn a_connector_is_in_use_only_in_the_holding_statuses() {
    let bed = TestBed::start().await;
    for status in [
        ServiceStatus::Running,
        ServiceStatus::Paused,
        ServiceStatus::CreateFailed,
        ServiceStatus::DeleteFailed,
        ServiceStatus::OperationInProgress,
    ] {
        bed.emulator.reset();
        let arn = bed.connector("shop");
        let service = bed.service("web1", &arn);
        assert!(bed.emulator.set_service_status(&service, status));
        assert_eq!(bed.delete(&arn).await, "InvalidRequestException", "{status:?}");
        bed.emulator.change_behaviors(|behaviors| behaviors.holding_statuses.retain(|other| *other != status));
        assert_eq!(bed.delete(&arn).await, "INACTIVE", "{status:?}");
    }
}

#[tokio::test]
async fn a_connector_stays_in_use_for_the_configured_time() {
    let bed = TestBed::with(|behaviors| behaviors.in_use_after_release_ms = LONG_MS).await;
    let arn = bed.connector("shop");
    let service = bed.service("web1", &arn);
    bed.client.delete_service().service_arn(&service).send().await.unwrap();
    assert!(bed.client.list_services().send().await.unwrap().service_summary_list().is_empty());
    let error = bed.client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
    assert!(message(&error).contains("is being used by other services. ARN:  arn:"));
    bed.emulator.change_behaviors(|behaviors| behaviors.in_use_after_release_ms = SHORT_MS);
    eventually("the connector can be deleted", async || bed.delete(&arn).await == "INACTIVE").await;
}

#[tokio::test]
async fn wrong_arns_get_the_configured_answer() {
    let bed = TestBed::start().await;
    let id = "vpcconnector/shop/1/00000000000000000000000000000000";
    let malformed = format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/shop/1");
    let other_region = format!("arn:aws:apprunner:us-east-1:{ACCOUNT}:{id}");
    let other_account = format!("arn:aws:apprunner:{REGION}:{OTHER_ACCOUNT}:{id}");
    for (answer, expected) in [
        (ArnAnswer::InvalidRequest, "InvalidRequestException"),
        (ArnAnswer::NotFound, "ResourceNotFoundException"),
        (ArnAnswer::AccessDenied, "AccessDeniedException"),
    ] {
        bed.emulator.change_behaviors(|behaviors| {
            behaviors.malformed_arn = answer;
            behaviors.other_region_arn = answer;
            behaviors.other_account_arn = answer;
        });
        for arn in [&malformed, &other_region, &other_account] {
            assert_eq!(bed.describe(arn).await, expected, "{arn}");
            assert_eq!(bed.delete(arn).await, expected, "{arn}");
        }
    }
}

#[tokio::test]
async fn service_operations_take_the_configured_time() {
    let bed = TestBed::with(|behaviors| behaviors.service_operation_ms = SHORT_MS).await;
    let request = bed.client.create_service().service_name("web1").source_configuration(source());
    let created = request.send().await.unwrap().service.unwrap();
    assert_eq!(created.status().as_str(), "OPERATION_IN_PROGRESS");
    let arn = created.service_arn();
    let is = async |status: &str| {
        let described = bed.client.describe_service().service_arn(arn).send().await.unwrap();
        described.service().unwrap().status().as_str() == status
    };
    eventually("the service runs", async || is("RUNNING").await).await;
    assert!(bed.emulator.service(arn).unwrap().updated_at > bed.emulator.service(arn).unwrap().created_at);
    bed.client.pause_service().service_arn(arn).send().await.unwrap();
    eventually("the service is paused", async || is("PAUSED").await).await;
    bed.emulator.change_behaviors(|behaviors| behaviors.service_operation_ms = LONG_MS);
    bed.client.delete_service().service_arn(arn).send().await.unwrap();
    assert!(is("OPERATION_IN_PROGRESS").await);
    let error = bed.client.resume_service().service_arn(arn).send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidStateException");
}

#[tokio::test]
async fn a_service_blocks_its_connector_until_its_deletion_ends() {
    let bed = TestBed::with(|behaviors| behaviors.service_operation_ms = 2 * SHORT_MS).await;
    let arn = bed.connector("shop");
    let service = bed.service("web1", &arn);
    bed.client.delete_service().service_arn(&service).send().await.unwrap();
    eventually("the connector can be deleted", async || bed.delete(&arn).await == "INACTIVE").await;
    let ended = bed.emulator.service(&service).unwrap().deleted_at.unwrap();
    assert!(bed.emulator.connector(&arn).unwrap().deleted_at.unwrap() >= ended);
}

#[tokio::test]
async fn deleted_services_are_described_and_listed_as_configured() {
    let bed = TestBed::with(|behaviors| behaviors.list_deleted_services = true).await;
    let service = bed.service("web1", &bed.connector("shop"));
    bed.emulator.delete_service(&service);
    let listed = async || bed.client.list_services().send().await.unwrap().service_summary_list().len();
    let describe = || bed.client.describe_service().service_arn(&service).send();
    assert_eq!(listed().await, 1);
    assert_eq!(describe().await.unwrap().service().unwrap().status().as_str(), "DELETED");
    bed.emulator.change_behaviors(|behaviors| behaviors.deleted_service_kept_ms = 0);
    assert_eq!(listed().await, 0);
    assert!(describe().await.unwrap_err().into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn status_case_applies_to_every_operation() {
    let bed = TestBed::with(|behaviors| {
        behaviors.status_case = StatusCase::Lower;
        behaviors.list_inactive_connectors = true;
        behaviors.delete_again = DeleteAgain::Inactive;
    })
    .await;
    let create = bed.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let created = create.await.unwrap().vpc_connector.unwrap();
    assert_eq!(created.status().unwrap().as_str(), "active");
    let arn = created.vpc_connector_arn().unwrap();
    assert_eq!(bed.describe(arn).await, "active");
    assert_eq!((bed.delete(arn).await, bed.delete(arn).await), ("inactive".to_owned(), "inactive".to_owned()));
    let listed = bed.client.list_vpc_connectors().send().await.unwrap();
    assert_eq!(listed.vpc_connectors()[0].status().unwrap().as_str(), "inactive");
    assert_eq!(bed.emulator.connector(arn).unwrap().status, ConnectorStatus::Inactive);

    let create = bed.client.create_service().service_name("web1").source_configuration(source()).send();
    let created = create.await.unwrap().service.unwrap();
    assert_eq!(created.status().as_str(), "running");
    let arn = created.service_arn();
    let described = bed.client.describe_service().service_arn(arn).send().await.unwrap();
    assert_eq!(described.service().unwrap().status().as_str(), "running");
    bed.emulator.set_service_status(arn, ServiceStatus::OperationInProgress);
    let listed = bed.client.list_services().send().await.unwrap();
    assert_eq!(listed.service_summary_list()[0].status().unwrap().as_str(), "operation_in_progress");
    assert_eq!(bed.emulator.service(arn).unwrap().status, ServiceStatus::OperationInProgress);
    bed.emulator.change_behaviors(|behaviors| behaviors.status_case = StatusCase::AsDocumented);
    let described = bed.client.describe_service().service_arn(arn).send().await.unwrap();
    assert_eq!(described.service().unwrap().status().as_str(), "OPERATION_IN_PROGRESS");
}

#[tokio::test]
async fn status_case_applies_to_the_resources_around_services() {
    let bed = TestBed::with(|behaviors| behaviors.status_case = StatusCase::Lower).await;
    let service = bed.emulator.create_service(ACCOUNT, REGION, "web1", None);
    let ingress = bed.emulator.create_ingress_connection(&service, "shop").unwrap();
    let shown = bed.client.describe_vpc_ingress_connection().vpc_ingress_connection_arn(ingress).send().await.unwrap();
    assert_eq!(shown.vpc_ingress_connection().unwrap().status().unwrap().as_str(), "available");
    let scaling = bed.client.list_auto_scaling_configurations().send().await.unwrap();
    let status = scaling.auto_scaling_configuration_summary_list()[0].status();
    assert_eq!(status.unwrap().as_str(), "active");
    bed.emulator.create_connection(ACCOUNT, REGION, "code");
    let connections = bed.client.list_connections().send().await.unwrap();
    assert_eq!(connections.connection_summary_list()[0].status().unwrap().as_str(), "available");
}

#[tokio::test]
async fn in_use_message_replaces_the_message_of_aws() {
    let bed = TestBed::with(|behaviors| behaviors.in_use_message = Some("The connector is busy.".to_owned())).await;
    let arn = bed.connector("shop");
    bed.service("web1", &arn);
    let refusal = async || bed.client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
    assert_eq!(message(&refusal().await), "The connector is busy.");
    assert_eq!(code(&refusal().await), "InvalidRequestException");
    bed.emulator.change_behaviors(|behaviors| behaviors.in_use_message = None);
    let awss = format!("Provided VPC connector arn is being used by other services. ARN:  {arn}");
    assert_eq!(message(&refusal().await), awss);
}

#[tokio::test]
async fn tag_changes_are_visible_after_the_configured_time() {
    let bed = TestBed::with(|behaviors| behaviors.tags_visible_after_ms = LONG_MS).await;
    let connector = bed.emulator.create_connector_with_tags(ACCOUNT, REGION, "shop", &[("a", "0")]);
    for arn in [&bed.service("web1", &connector), &connector] {
        let (client, from) = (&bed.client, bed.emulator.tags(arn).unwrap());
        let tag = async |value: &str| {
            let tag = Tag::builder().key("b").value(value).build();
            client.tag_resource().resource_arn(arn).tags(tag).send().await.unwrap();
        };
        let listed = async || {
            let listed = client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
            let pair = |tag: &Tag| (tag.key().unwrap().to_owned(), tag.value().unwrap().to_owned());
            listed.tags().iter().map(pair).collect::<std::collections::BTreeMap<_, _>>()
        };
        tag("1").await;
        tag("2").await;
        client.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
        assert_eq!(listed().await, from, "the list shows none of the changes yet");
        let last = [("b".to_owned(), "2".to_owned())].into();
        assert_eq!(bed.emulator.tags(arn).unwrap(), last, "the changes have taken place");
        bed.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = SHORT_MS);
        eventually("the list shows the last write", async || listed().await == last).await;
        bed.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = LONG_MS);
    }
    bed.emulator.set_tags(&connector, &[]);
    bed.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = 0);
    let listed = bed.client.list_tags_for_resource().resource_arn(&connector).send().await.unwrap();
    assert!(listed.tags().is_empty());
}

#[tokio::test]
async fn requests_above_the_rate_limit_are_throttled() {
    let bed = TestBed::with(|behaviors| behaviors.requests_per_second = Some(1)).await;
    let refusal = async || bed.client.list_vpc_connectors().send().await.err().map(|error| code(&error));
    assert_eq!(refusal().await, None);
    eventually("a request above the limit is throttled", async || {
        refusal().await.as_deref() == Some("ThrottlingException")
    })
    .await;
    let sts = Caller::default().sts(&bed.emulator.url());
    sts.get_caller_identity().send().await.unwrap();
    bed.emulator.change_behaviors(|behaviors| behaviors.requests_per_second = None);
    assert_eq!(refusal().await, None);
}
