//! Connectors through the SDK.

use aws_sdk_apprunner::operation::create_vpc_connector::{CreateVpcConnectorError, CreateVpcConnectorOutput};
use aws_sdk_apprunner::operation::delete_vpc_connector::DeleteVpcConnectorError;
use aws_sdk_apprunner::operation::describe_vpc_connector::DescribeVpcConnectorError;
use aws_sdk_apprunner::operation::list_vpc_connectors::ListVpcConnectorsError;
use aws_sdk_apprunner::types::{Tag, VpcConnectorStatus};

use crate::helpers::{ACCOUNT, Caller, OTHER_KEY, REGION, TestBed, message};

type Created = Result<CreateVpcConnectorOutput, CreateVpcConnectorError>;

async fn create(bed: &TestBed, name: &str, groups: &[&str]) -> Created {
    let request = bed.client.create_vpc_connector().vpc_connector_name(name).subnets("subnet-1").subnets("subnet-2");
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let sent = request.set_security_groups(Some(groups)).send().await;
    sent.map_err(aws_sdk_apprunner::error::SdkError::into_service_error)
}

#[tokio::test]
async fn a_connector_is_created_described_and_deleted() {
    let bed = TestBed::start().await;
    let tag = Tag::builder().key("team").value("web").build();
    let request = bed.client.create_vpc_connector().vpc_connector_name("shop").subnets("subnet-1").tags(tag);
    let created = request.send().await.unwrap().vpc_connector.unwrap();
    let arn = created.vpc_connector_arn().unwrap();
    assert!(arn.starts_with(&format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/shop/1/")), "{arn}");
    assert_eq!((created.vpc_connector_name(), created.vpc_connector_revision()), (Some("shop"), 1));
    assert_eq!((created.subnets(), created.security_groups().len()), (&["subnet-1".to_owned()][..], 1));
    assert!(created.created_at().unwrap().secs() > 1_600_000_000);
    assert_eq!(bed.emulator.tags(arn).unwrap()["team"], "web");

    let described = bed.client.describe_vpc_connector().vpc_connector_arn(arn).send().await.unwrap();
    assert_eq!(described.vpc_connector(), Some(&created));

    let deleted = bed.client.delete_vpc_connector().vpc_connector_arn(arn).send().await.unwrap();
    let deleted = deleted.vpc_connector.unwrap();
    assert_eq!(deleted.status(), Some(&VpcConnectorStatus::Inactive));
    assert!(deleted.deleted_at().unwrap() >= created.created_at().unwrap());
    assert!(bed.listed().await.is_empty());
}

#[tokio::test]
async fn connector_errors_have_the_types_of_the_sdk() {
    let bed = TestBed::with(|behaviors| behaviors.connector_quota = 1).await;
    assert!(matches!(create(&bed, "no", &[]).await, Err(CreateVpcConnectorError::InvalidRequestException(_))));
    assert!(create(&bed, "shop", &[]).await.is_ok());
    assert!(matches!(create(&bed, "more", &[]).await, Err(CreateVpcConnectorError::ServiceQuotaExceededException(_))));

    let unknown = format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/shop/1/00000000000000000000000000000000");
    let error = bed.client.describe_vpc_connector().vpc_connector_arn(&unknown).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    assert!(matches!(error.into_service_error(), DescribeVpcConnectorError::ResourceNotFoundException(_)));
    let error = bed.client.delete_vpc_connector().vpc_connector_arn(&unknown).send().await.unwrap_err();
    assert!(matches!(error.into_service_error(), DeleteVpcConnectorError::ResourceNotFoundException(_)));
    let error = bed.client.delete_vpc_connector().vpc_connector_arn("shop").send().await.unwrap_err();
    assert!(message(&error).contains("'VpcConnectorArn'"));
    assert!(matches!(error.into_service_error(), DeleteVpcConnectorError::InvalidRequestException(_)));
}

#[tokio::test]
async fn security_groups_of_another_connector_are_rejected_in_the_words_of_aws() {
    let bed = TestBed::start().await;
    let first = create(&bed, "first", &["sg-1", "sg-2"]).await.unwrap();
    let arn = first.vpc_connector().unwrap().vpc_connector_arn().unwrap();
    let error = create(&bed, "second", &["sg-2", "sg-1"]).await.unwrap_err();
    assert_eq!(
        error.meta().message().unwrap(),
        format!(
            "The security groups combination provided in the request already exists on existing vpc connector. \
             Existing VPC connector arn: {arn}, Security Groups: [sg-2, sg-1]"
        )
    );
    assert!(create(&bed, "third", &["sg-1"]).await.is_ok());
    bed.delete(arn).await;
    assert!(create(&bed, "second", &["sg-2", "sg-1"]).await.is_ok());
}

#[tokio::test]
async fn deleting_a_connector_in_use_is_rejected_in_the_words_of_aws() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    let service = bed.service("web1", &arn);
    let error = bed.client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
    assert_eq!(message(&error), format!("Provided VPC connector arn is being used by other services. ARN:  {arn}"));
    assert!(matches!(error.into_service_error(), DeleteVpcConnectorError::InvalidRequestException(_)));
    assert!(bed.emulator.connector(&arn).unwrap().in_use);
    assert!(bed.emulator.delete_service(&service));
    assert_eq!(bed.delete(&arn).await, "INACTIVE");
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_connectors_while_the_list_changes() {
    let bed = TestBed::start().await;
    let arns: Vec<String> = (0..5).map(|number| bed.connector(&format!("conn{number}"))).collect();
    let page = |token: Option<String>| bed.client.list_vpc_connectors().max_results(2).set_next_token(token).send();
    let names = |reply: &aws_sdk_apprunner::operation::list_vpc_connectors::ListVpcConnectorsOutput| {
        reply.vpc_connectors().iter().map(|one| one.vpc_connector_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = page(None).await.unwrap();
    assert_eq!(names(&first), ["conn0", "conn1"]);
    bed.delete(&arns[0]).await;
    bed.delete(&arns[2]).await;
    bed.connector("late");
    let second = page(first.next_token.clone()).await.unwrap();
    assert_eq!(names(&second), ["conn3", "conn4"]);
    let third = page(second.next_token).await.unwrap();
    assert_eq!((names(&third), third.next_token()), (vec!["late".to_owned()], None));
    assert_eq!(names(&page(first.next_token).await.unwrap()), ["conn3", "conn4"], "a token can be used again");
    assert_eq!(bed.listed().await.len(), 4);
}

#[tokio::test]
async fn invalid_page_sizes_and_tokens_are_rejected() {
    let bed = TestBed::start().await;
    let list = || bed.client.list_vpc_connectors();
    for request in [list().max_results(0), list().max_results(101), list().next_token("made-up"), list().next_token("")]
    {
        let error = request.send().await.unwrap_err().into_service_error();
        assert!(matches!(error, ListVpcConnectorsError::InvalidRequestException(_)), "{error:?}");
    }
}

#[tokio::test]
async fn accounts_and_regions_share_nothing() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    let other = Caller { id: OTHER_KEY, ..Caller::default() };
    let elsewhere = Caller { region: "us-east-1", ..Caller::default() };
    for caller in [other, elsewhere] {
        let client = bed.client_of(&caller);
        assert!(client.list_vpc_connectors().send().await.unwrap().vpc_connectors().is_empty());
        let error = client.delete_vpc_connector().vpc_connector_arn(&arn).send().await.unwrap_err();
        assert!(error.into_service_error().is_resource_not_found_exception());
    }
    assert_eq!(bed.describe(&arn).await, "ACTIVE");
}

#[tokio::test]
async fn connectors_can_be_deleted_and_forgotten_without_a_request() {
    let bed = TestBed::start().await;
    let (one, two) = (bed.connector("one1"), bed.connector("two2"));
    bed.service("web1", &one);
    assert!(bed.emulator.delete_connector(&one));
    assert!(bed.emulator.forget_connector(&two));
    assert_eq!(bed.describe(&one).await, "INACTIVE");
    assert_eq!(bed.describe(&two).await, "ResourceNotFoundException");
    assert!(!bed.emulator.forget_connector(&two));
}
