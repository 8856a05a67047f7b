//! Tags through the SDK.

use aws_sdk_apprunner::operation::tag_resource::TagResourceError;
use aws_sdk_apprunner::types::Tag;

use crate::helpers::TestBed;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

async fn add(bed: &TestBed, arn: &str, tags: Vec<Tag>) -> Result<(), TagResourceError> {
    let sent = bed.client.tag_resource().resource_arn(arn).set_tags(Some(tags)).send().await;
    sent.map(|_| ()).map_err(aws_sdk_apprunner::error::SdkError::into_service_error)
}

#[tokio::test]
async fn tags_are_added_changed_listed_and_removed() {
    let bed = TestBed::start().await;
    let connector = bed.connector("shop");
    for arn in [&connector, &bed.service("web1", &connector)] {
        add(&bed, arn, vec![tag("a", "1"), tag("b", "2")]).await.unwrap();
        add(&bed, arn, vec![tag("b", "3"), tag("c", "")]).await.unwrap();
        bed.client.untag_resource().resource_arn(arn).tag_keys("a").tag_keys("unknown").send().await.unwrap();
        let listed = bed.client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
        assert_eq!(listed.tags(), [tag("b", "3"), tag("c", "")]);
        assert_eq!(bed.emulator.tags(arn).unwrap().len(), 2);
    }
}

#[tokio::test]
async fn tags_outside_the_limits_are_rejected() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    add(&bed, &arn, vec![tag(&"k".repeat(128), &"v".repeat(256))]).await.unwrap();
    for wrong in [
        vec![tag("aws:mine", "")],
        vec![tag("", "")],
        vec![tag(&"k".repeat(129), "")],
        vec![tag("k", &"v".repeat(257))],
        vec![tag("k", "1"), tag("k", "2")],
        (0..50).map(|number| tag(&number.to_string(), "")).collect(),
    ] {
        let error = add(&bed, &arn, wrong).await.unwrap_err();
        assert!(matches!(error, TagResourceError::InvalidRequestException(_)), "{error:?}");
    }
    assert_eq!(bed.emulator.tags(&arn).unwrap().len(), 1);
    add(&bed, &arn, (0..49).map(|number| tag(&number.to_string(), "")).collect()).await.unwrap();
}

#[tokio::test]
async fn tag_errors_have_the_types_of_the_sdk() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    let error = add(&bed, &arn.replace("shop", "shed"), vec![tag("a", "")]).await.unwrap_err();
    assert!(matches!(error, TagResourceError::ResourceNotFoundException(_)));
    bed.delete(&arn).await;
    let error = add(&bed, &arn, vec![tag("a", "")]).await.unwrap_err();
    assert!(matches!(error, TagResourceError::InvalidStateException(_)));
    let error = bed.client.untag_resource().resource_arn(&arn).tag_keys("a").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_state_exception());
    assert!(bed.client.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags().is_empty());
}
