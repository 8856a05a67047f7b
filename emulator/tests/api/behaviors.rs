//! Each switch in each of its positions.

use apprunner_emulator::{
    ArnAnswer, ConnectorIds, ConnectorStatus, CreateExistingName, DeleteAgain, DeleteReply, ServiceStatus, StatusCase,
};
use aws_sdk_apprunner::types::Tag;

use crate::helpers::{ACCOUNT, Bench, Caller, OTHER_ACCOUNT, REGION, code, eventually, message, source};

const LONG_MS: u64 = 3_600_000;
const SHORT_MS: u64 = 30;

#[tokio::test]
async fn create_existing_name() {
    let bench = Bench::start().await;
    bench.connector("shop");
    let create = || bench.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let second = create().await.unwrap().vpc_connector.unwrap();
    assert_eq!(second.vpc_connector_revision(), 2);
    assert!(second.vpc_connector_arn().unwrap().contains("/shop/2/"));
    bench.emulator.change_behaviors(|behaviors| behaviors.create_existing_name = CreateExistingName::Refused);
    assert_eq!(code(&create().await.unwrap_err()), "InvalidRequestException");
}

#[tokio::test]
async fn connector_ids() {
    let bench = Bench::with(|behaviors| behaviors.connector_ids = ConnectorIds::Uuid).await;
    let create = bench.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let created = create.await.unwrap().vpc_connector.unwrap();
    for arn in [created.vpc_connector_arn().unwrap(), &bench.connector("jobs")] {
        let parts: Vec<usize> = arn.rsplit('/').next().unwrap().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{arn}");
        bench.service("web1", arn);
        assert_eq!(bench.describe(arn).await, "ACTIVE");
        assert_eq!(bench.delete(arn).await, "InvalidRequestException", "in use");
    }
}

#[tokio::test]
async fn delete_reply_that_is_active_for_some_time() {
    let bench = Bench::with(|behaviors| {
        behaviors.delete_reply = DeleteReply::Eventual;
        behaviors.delete_settles_after_ms = LONG_MS;
    })
    .await;
    let arn = bench.connector("shop");
    assert_eq!(bench.delete(&arn).await, "ACTIVE");
    assert_eq!(bench.describe(&arn).await, "ACTIVE");
    assert_eq!(bench.delete(&arn).await, "ACTIVE");
    assert_eq!(bench.listed().await, ["shop"]);

    bench.emulator.change_behaviors(|behaviors| behaviors.delete_settles_after_ms = SHORT_MS);
    let arn = bench.connector("soon");
    assert_eq!(bench.delete(&arn).await, "ACTIVE");
    eventually("the connector is INACTIVE", async || bench.describe(&arn).await == "INACTIVE").await;
    assert!(bench.emulator.connector(&arn).unwrap().deleted_at.is_some());
}

#[tokio::test]
async fn delete_again() {
    let bench = Bench::start().await;
    let arn = bench.connector("shop");
    bench.delete(&arn).await;
    for (answer, expected) in [
        (DeleteAgain::NotFound, "ResourceNotFoundException"),
        (DeleteAgain::Inactive, "INACTIVE"),
        (DeleteAgain::InvalidRequest, "InvalidRequestException"),
    ] {
        bench.emulator.change_behaviors(|behaviors| behaviors.delete_again = answer);
        assert_eq!(bench.delete(&arn).await, expected);
    }
}

#[tokio::test]
async fn inactive_connectors_are_kept_and_listed_as_told() {
    let bench = Bench::start().await;
    let arn = bench.connector("shop");
    bench.delete(&arn).await;
    assert_eq!(bench.describe(&arn).await, "INACTIVE");
    assert!(bench.listed().await.is_empty());
    bench.emulator.change_behaviors(|behaviors| behaviors.list_inactive_connectors = true);
    assert_eq!(bench.listed().await, ["shop"]);
    bench.emulator.change_behaviors(|behaviors| behaviors.inactive_connector_kept_ms = 0);
    assert_eq!(bench.describe(&arn).await, "ResourceNotFoundException");
    assert_eq!(bench.delete(&arn).await, "ResourceNotFoundException");
    assert!(bench.listed().await.is_empty());
    assert!(bench.emulator.connector(&arn).is_some(), "the test can still see what became of it");
}

#[tokio::test]
async fn holding_statuses() {
    let bench = Bench::start().await;
    for status in [
        ServiceStatus::Running,
        ServiceStatus::Paused,
        ServiceStatus::CreateFailed,
        ServiceStatus::DeleteFailed,
        ServiceStatus::OperationInProgress,
    ] {
        bench.emulator.reset();
        let arn = bench.connector("shop");
        let service = bench.service("web1", &arn);
        assert!(bench.emulator.set_service_status(&service, status));
        assert_eq!(bench.delete(&arn).await, "InvalidRequestException", "{status:?}");
        bench.emulator.change_behaviors(|behaviors| behaviors.holding_statuses.retain(|other| *other != status));
        assert_eq!(bench.delete(&arn).await, "INACTIVE", "{status:?}");
    }
}

#[tokio::test]
async fn in_use_after_the_services_are_gone() {
    let bench = Bench::with(|behaviors| behaviors.in_use_after_release_ms = LONG_MS).await;
    let arn = bench.connector("shop");
    let service = bench.service("web1", &arn);
    bench.client.delete_service().service_arn(&service).send().await.unwrap();
    assert!(bench.client.list_services().send().await.unwrap().service_summary_list().is_empty());
    let error = bench.client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
    assert!(message(&error).contains("is being used by other services. ARN:  arn:"));
    bench.emulator.change_behaviors(|behaviors| behaviors.in_use_after_release_ms = SHORT_MS);
    eventually("App Runner lets go", async || bench.delete(&arn).await == "INACTIVE").await;
}

#[tokio::test]
async fn wrong_arns() {
    let bench = Bench::start().await;
    let id = "vpcconnector/shop/1/00000000000000000000000000000000";
    let malformed = format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/shop/1");
    let other_region = format!("arn:aws:apprunner:us-east-1:{ACCOUNT}:{id}");
    let other_account = format!("arn:aws:apprunner:{REGION}:{OTHER_ACCOUNT}:{id}");
    for (answer, expected) in [
        (ArnAnswer::InvalidRequest, "InvalidRequestException"),
        (ArnAnswer::NotFound, "ResourceNotFoundException"),
        (ArnAnswer::AccessDenied, "AccessDeniedException"),
    ] {
        bench.emulator.change_behaviors(|behaviors| {
            behaviors.malformed_arn = answer;
            behaviors.other_region_arn = answer;
            behaviors.other_account_arn = answer;
        });
        for arn in [&malformed, &other_region, &other_account] {
            assert_eq!(bench.describe(arn).await, expected, "{arn}");
            assert_eq!(bench.delete(arn).await, expected, "{arn}");
        }
    }
}

#[tokio::test]
async fn services_can_take_their_time() {
    let bench = Bench::with(|behaviors| behaviors.service_operation_ms = SHORT_MS).await;
    let request = bench.client.create_service().service_name("web1").source_configuration(source());
    let created = request.send().await.unwrap().service.unwrap();
    assert_eq!(created.status().as_str(), "OPERATION_IN_PROGRESS");
    let arn = created.service_arn();
    let is = async |status: &str| {
        let described = bench.client.describe_service().service_arn(arn).send().await.unwrap();
        described.service().unwrap().status().as_str() == status
    };
    eventually("the service runs", async || is("RUNNING").await).await;
    assert!(bench.emulator.service(arn).unwrap().updated_at > bench.emulator.service(arn).unwrap().created_at);
    bench.client.pause_service().service_arn(arn).send().await.unwrap();
    eventually("the service is paused", async || is("PAUSED").await).await;
    bench.emulator.change_behaviors(|behaviors| behaviors.service_operation_ms = LONG_MS);
    bench.client.delete_service().service_arn(arn).send().await.unwrap();
    assert!(is("OPERATION_IN_PROGRESS").await);
    let error = bench.client.resume_service().service_arn(arn).send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidStateException");
}

#[tokio::test]
async fn a_service_being_deleted_holds_its_connector_until_the_end() {
    let bench = Bench::with(|behaviors| behaviors.service_operation_ms = 2 * SHORT_MS).await;
    let arn = bench.connector("shop");
    let service = bench.service("web1", &arn);
    bench.client.delete_service().service_arn(&service).send().await.unwrap();
    eventually("App Runner lets go", async || bench.delete(&arn).await == "INACTIVE").await;
    let ended = bench.emulator.service(&service).unwrap().deleted_at.unwrap();
    assert!(bench.emulator.connector(&arn).unwrap().deleted_at.unwrap() >= ended);
}

#[tokio::test]
async fn deleted_services_are_kept_and_listed_as_told() {
    let bench = Bench::with(|behaviors| behaviors.list_deleted_services = true).await;
    let service = bench.service("web1", &bench.connector("shop"));
    bench.emulator.delete_service(&service);
    let listed = async || bench.client.list_services().send().await.unwrap().service_summary_list().len();
    let describe = || bench.client.describe_service().service_arn(&service).send();
    assert_eq!(listed().await, 1);
    assert_eq!(describe().await.unwrap().service().unwrap().status().as_str(), "DELETED");
    bench.emulator.change_behaviors(|behaviors| behaviors.deleted_service_kept_ms = 0);
    assert_eq!(listed().await, 0);
    assert!(describe().await.unwrap_err().into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn status_case_at_every_operation() {
    let bench = Bench::with(|behaviors| {
        behaviors.status_case = StatusCase::Lower;
        behaviors.list_inactive_connectors = true;
        behaviors.delete_again = DeleteAgain::Inactive;
    })
    .await;
    let create = bench.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").send();
    let created = create.await.unwrap().vpc_connector.unwrap();
    assert_eq!(created.status().unwrap().as_str(), "active");
    let arn = created.vpc_connector_arn().unwrap();
    assert_eq!(bench.describe(arn).await, "active");
    assert_eq!((bench.delete(arn).await, bench.delete(arn).await), ("inactive".to_owned(), "inactive".to_owned()));
    let listed = bench.client.list_vpc_connectors().send().await.unwrap();
    assert_eq!(listed.vpc_connectors()[0].status().unwrap().as_str(), "inactive");
    assert_eq!(bench.emulator.connector(arn).unwrap().status, ConnectorStatus::Inactive);

    let create = bench.client.create_service().service_name("web1").source_configuration(source()).send();
    let created = create.await.unwrap().service.unwrap();
    assert_eq!(created.status().as_str(), "running");
    let arn = created.service_arn();
    let described = bench.client.describe_service().service_arn(arn).send().await.unwrap();
    assert_eq!(described.service().unwrap().status().as_str(), "running");
    bench.emulator.set_service_status(arn, ServiceStatus::OperationInProgress);
    let listed = bench.client.list_services().send().await.unwrap();
    assert_eq!(listed.service_summary_list()[0].status().unwrap().as_str(), "operation_in_progress");
    assert_eq!(bench.emulator.service(arn).unwrap().status, ServiceStatus::OperationInProgress);
    bench.emulator.change_behaviors(|behaviors| behaviors.status_case = StatusCase::AsDocumented);
    let described = bench.client.describe_service().service_arn(arn).send().await.unwrap();
    assert_eq!(described.service().unwrap().status().as_str(), "OPERATION_IN_PROGRESS");
}

#[tokio::test]
async fn in_use_message() {
    let bench = Bench::with(|behaviors| behaviors.in_use_message = Some("The connector is busy.".to_owned())).await;
    let arn = bench.connector("shop");
    bench.service("web1", &arn);
    let refusal = async || bench.client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
    assert_eq!(message(&refusal().await), "The connector is busy.");
    assert_eq!(code(&refusal().await), "InvalidRequestException");
    bench.emulator.change_behaviors(|behaviors| behaviors.in_use_message = None);
    let awss = format!("Provided VPC connector arn is being used by other services. ARN:  {arn}");
    assert_eq!(message(&refusal().await), awss);
}

#[tokio::test]
async fn tags_visible_after_some_time() {
    let bench = Bench::with(|behaviors| behaviors.tags_visible_after_ms = LONG_MS).await;
    let connector = bench.emulator.create_connector_with_tags(ACCOUNT, REGION, "shop", &[("a", "0")]);
    for arn in [&bench.service("web1", &connector), &connector] {
        let (client, from) = (&bench.client, bench.emulator.tags(arn).unwrap());
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
        assert_eq!(listed().await, from, "nothing of it is seen yet");
        let last = [("b".to_owned(), "2".to_owned())].into();
        assert_eq!(bench.emulator.tags(arn).unwrap(), last, "and all of it has happened");
        bench.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = SHORT_MS);
        eventually("the last write is seen", async || listed().await == last).await;
        bench.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = LONG_MS);
    }
    bench.emulator.set_tags(&connector, &[]);
    bench.emulator.change_behaviors(|behaviors| behaviors.tags_visible_after_ms = 0);
    let listed = bench.client.list_tags_for_resource().resource_arn(&connector).send().await.unwrap();
    assert!(listed.tags().is_empty());
}

#[tokio::test]
async fn requests_per_second() {
    let bench = Bench::with(|behaviors| behaviors.requests_per_second = Some(1)).await;
    let refusal = async || bench.client.list_vpc_connectors().send().await.err().map(|error| code(&error));
    assert_eq!(refusal().await, None);
    eventually("a request too many is refused", async || refusal().await.as_deref() == Some("ThrottlingException"))
        .await;
    let sts = Caller::default().sts(&bench.emulator.url());
    sts.get_caller_identity().send().await.unwrap();
    bench.emulator.change_behaviors(|behaviors| behaviors.requests_per_second = None);
    assert_eq!(refusal().await, None);
}
