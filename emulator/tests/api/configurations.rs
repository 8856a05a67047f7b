//! Auto scaling and observability configurations through the SDK.

use aws_sdk_apprunner::Client;
use aws_sdk_apprunner::types::{
    AutoScalingConfiguration, AutoScalingConfigurationStatus, ObservabilityConfigurationStatus,
    ServiceObservabilityConfiguration, Tag, TraceConfiguration, TracingVendor,
};

use crate::helpers::{ACCOUNT, REGION, TestBed, code, source};

async fn created(client: &Client, name: &str) -> AutoScalingConfiguration {
    let new = client.create_auto_scaling_configuration().auto_scaling_configuration_name(name);
    new.send().await.unwrap().auto_scaling_configuration.unwrap()
}

/// Returns name, revision and default flag of each listed auto scaling configuration.
async fn listed(client: &Client, latest_only: bool) -> Vec<(String, i32, bool)> {
    let reply = client.list_auto_scaling_configurations().latest_only(latest_only).send().await.unwrap();
    let list = reply.auto_scaling_configuration_summary_list.into_iter();
    list.map(|one| {
        let name = one.auto_scaling_configuration_name.unwrap();
        (name, one.auto_scaling_configuration_revision, one.is_default.unwrap())
    })
    .collect()
}

fn partial(arn: &str, parts: usize) -> String {
    arn.split('/').take(parts).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_region_has_a_default_auto_scaling_configuration() {
    let bed = TestBed::start().await;
    assert_eq!(listed(&bed.client, true).await, [("DefaultConfiguration".to_owned(), 1, true)]);
    assert!(bed.emulator.state().is_empty(), "the region has no resource of the account");
    let new = bed.client.create_service().service_name("web1").source_configuration(source());
    let service = new.send().await.unwrap().service.unwrap();
    let default = service.auto_scaling_configuration_summary().unwrap();
    assert_eq!(default.auto_scaling_configuration_name(), Some("DefaultConfiguration"));
    assert_eq!((default.is_default(), default.has_associated_service()), (Some(true), Some(true)));
    let arn = default.auto_scaling_configuration_arn().unwrap();
    let delete = bed.client.delete_auto_scaling_configuration().auto_scaling_configuration_arn(arn);
    assert!(delete.send().await.unwrap_err().into_service_error().is_invalid_request_exception());
    let view = bed.emulator.state().remove(0);
    assert_eq!(view.auto_scaling_configurations[0].arn, arn);
    assert_eq!(view.services[0].auto_scaling_configuration.as_deref(), Some(arn));
}

#[tokio::test]
async fn an_auto_scaling_configuration_has_revisions() {
    let bed = TestBed::start().await;
    let first = created(&bed.client, "busy").await;
    let arn = first.auto_scaling_configuration_arn().unwrap();
    assert!(
        arn.starts_with(&format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:autoscalingconfiguration/busy/1/")),
        "{arn}"
    );
    assert_eq!(
        (first.latest(), first.is_default(), first.has_associated_service()),
        (Some(true), Some(false), Some(false))
    );
    let sizes = (first.max_concurrency(), first.min_size(), first.max_size());
    assert_eq!(sizes, (Some(100), Some(1), Some(25)));
    let new = bed.client.create_auto_scaling_configuration().auto_scaling_configuration_name("busy");
    let new = new.max_concurrency(200).min_size(2).max_size(3).send().await.unwrap();
    let second = new.auto_scaling_configuration.unwrap();
    let sizes = (second.max_concurrency(), second.min_size(), second.max_size());
    assert_eq!((second.auto_scaling_configuration_revision(), sizes), (Some(2), (Some(200), Some(2), Some(3))));
    let names = |revisions: &[i32]| {
        let default = ("DefaultConfiguration".to_owned(), 1, true);
        let own = revisions.iter().map(|revision| ("busy".to_owned(), *revision, false));
        [default].into_iter().chain(own).collect::<Vec<_>>()
    };
    assert_eq!(listed(&bed.client, true).await, names(&[2]));
    assert_eq!(listed(&bed.client, false).await, names(&[1, 2]));
    let only = bed.client.list_auto_scaling_configurations().auto_scaling_configuration_name("busy").send().await;
    assert_eq!(only.unwrap().auto_scaling_configuration_summary_list().len(), 1);

    let delete = |arn: &str| bed.client.delete_auto_scaling_configuration().auto_scaling_configuration_arn(arn);
    let deleted = delete(&partial(arn, 2)).send().await.unwrap().auto_scaling_configuration.unwrap();
    assert_eq!(deleted.auto_scaling_configuration_revision(), Some(2), "the latest revision");
    assert_eq!(deleted.status(), Some(&AutoScalingConfigurationStatus::Inactive));
    assert!(deleted.deleted_at().is_some());
    delete(&partial(arn, 3)).send().await.unwrap();
    assert!(delete(arn).send().await.unwrap_err().into_service_error().is_resource_not_found_exception());
    assert_eq!(listed(&bed.client, false).await, names(&[]));
}

#[tokio::test]
async fn all_revisions_of_a_name_are_deleted_at_once() {
    let bed = TestBed::start().await;
    let arn = created(&bed.client, "busy").await.auto_scaling_configuration_arn.unwrap();
    created(&bed.client, "busy").await;
    created(&bed.client, "busy2").await;
    let delete = |arn: &str| {
        let request = bed.client.delete_auto_scaling_configuration().auto_scaling_configuration_arn(arn);
        request.delete_all_revisions(true)
    };
    assert_eq!(code(&delete(&arn).send().await.unwrap_err()), "InvalidRequestException");
    let service = bed.client.create_service().service_name("web1").source_configuration(source());
    let service = service.auto_scaling_configuration_arn(&arn).send().await.unwrap().service.unwrap();
    assert_eq!(code(&delete(&partial(&arn, 2)).send().await.unwrap_err()), "InvalidRequestException");
    assert_eq!(listed(&bed.client, false).await.len(), 4);
    bed.client.delete_service().service_arn(service.service_arn()).send().await.unwrap();
    delete(&partial(&arn, 2)).send().await.unwrap();
    let left: Vec<String> = listed(&bed.client, false).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(left, ["DefaultConfiguration", "busy2"]);
}

#[tokio::test]
async fn services_are_listed_by_their_auto_scaling_configuration() {
    let bed = TestBed::start().await;
    let arn = bed.emulator.create_auto_scaling_configuration(ACCOUNT, REGION, "busy");
    let mut services = Vec::new();
    for name in ["web1", "web2", "web3"] {
        let new = bed.client.create_service().service_name(name).source_configuration(source());
        let new = new.auto_scaling_configuration_arn(partial(&arn, 2)).send().await.unwrap().service.unwrap();
        let used = new.auto_scaling_configuration_summary().unwrap();
        assert_eq!(used.auto_scaling_configuration_arn(), Some(arn.as_str()), "the full ARN");
        services.push(new.service_arn().to_owned());
    }
    let list =
        |arn: &str| bed.client.list_services_for_auto_scaling_configuration().auto_scaling_configuration_arn(arn);
    assert_eq!(list(&arn).send().await.unwrap().service_arn_list(), services);
    let first = list(&arn).max_results(2).send().await.unwrap();
    let second = list(&arn).max_results(2).set_next_token(first.next_token.clone()).send().await.unwrap();
    assert_eq!([first.service_arn_list(), second.service_arn_list()].concat(), services);
    let update = bed.client.update_service().service_arn(&services[0]);
    update.auto_scaling_configuration_arn(partial(&arn, 1) + "/DefaultConfiguration").send().await.unwrap();
    bed.client.delete_service().service_arn(&services[1]).send().await.unwrap();
    assert_eq!(list(&arn).send().await.unwrap().service_arn_list(), [services[2].clone()]);
    let missing = list(&arn.replace("busy", "calm")).send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception());
}

#[tokio::test]
async fn an_observability_configuration_is_created_used_listed_and_deleted() {
    let bed = TestBed::start().await;
    let trace = TraceConfiguration::builder().vendor(TracingVendor::Awsxray).build().unwrap();
    let create = || bed.client.create_observability_configuration().observability_configuration_name("traces");
    let made = create().trace_configuration(trace.clone()).send().await.unwrap().observability_configuration.unwrap();
    let arn = made.observability_configuration_arn().unwrap();
    assert!(arn.contains(":observabilityconfiguration/traces/1/"), "{arn}");
    assert_eq!((made.trace_configuration(), made.latest()), (Some(&trace), true));
    assert_eq!(made.status(), Some(&ObservabilityConfigurationStatus::Active));
    create().send().await.unwrap();
    let list = || bed.client.list_observability_configurations();
    let latest = list().send().await.unwrap().observability_configuration_summary_list;
    assert_eq!((latest.len(), latest[0].observability_configuration_revision()), (1, 2));
    let page = list().latest_only(false).max_results(1).send().await.unwrap();
    assert!(page.next_token().is_some());

    let given = ServiceObservabilityConfiguration::builder().observability_enabled(true);
    let given = given.observability_configuration_arn(partial(arn, 3)).build();
    let new = bed.client.create_service().service_name("web1").source_configuration(source());
    let service = new.observability_configuration(given).send().await.unwrap().service.unwrap();
    let used = service.observability_configuration().unwrap();
    assert_eq!(used.observability_configuration_arn(), Some(arn));
    let view = bed.emulator.service(service.service_arn()).unwrap();
    assert_eq!(view.observability_configuration.as_deref(), Some(arn));
    let delete = || bed.client.delete_observability_configuration().observability_configuration_arn(arn).send();
    assert!(delete().await.unwrap_err().into_service_error().is_invalid_request_exception());
    bed.client.delete_service().service_arn(service.service_arn()).send().await.unwrap();
    let deleted = delete().await.unwrap().observability_configuration.unwrap();
    assert_eq!((deleted.status(), deleted.latest()), (Some(&ObservabilityConfigurationStatus::Inactive), false));
}

#[tokio::test]
async fn services_reject_configurations_that_do_not_exist() {
    let bed = TestBed::start().await;
    let gone = bed.emulator.create_auto_scaling_configuration(ACCOUNT, REGION, "gone");
    bed.client.delete_auto_scaling_configuration().auto_scaling_configuration_arn(&gone).send().await.unwrap();
    let traces = bed.emulator.create_observability_configuration(ACCOUNT, REGION, "traces");
    let abroad = bed.emulator.create_auto_scaling_configuration(ACCOUNT, "us-east-1", "busy");
    let new = || bed.client.create_service().service_name("web1").source_configuration(source());
    for arn in [&gone, &traces, &abroad, "nonsense"] {
        let error = new().auto_scaling_configuration_arn(arn).send().await.unwrap_err();
        assert_eq!(code(&error), "InvalidRequestException", "{arn}");
    }
    let given = ServiceObservabilityConfiguration::builder().observability_enabled(true);
    let given = given.observability_configuration_arn(&gone).build();
    let error = new().observability_configuration(given).send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidRequestException");
    assert!(bed.emulator.state().iter().all(|region| region.services.is_empty()));
}

#[tokio::test]
async fn create_rejects_invalid_configurations() {
    let bed = TestBed::start().await;
    let new = |name: &str| bed.client.create_auto_scaling_configuration().auto_scaling_configuration_name(name);
    for request in [
        new("no"),
        new("no.dot"),
        new(&"a".repeat(33)),
        new("good").max_concurrency(201),
        new("good").min_size(0),
        new("good").min_size(3).max_size(2),
        new("good").tags(Tag::builder().key("aws:x").build()),
    ] {
        let error = request.send().await.unwrap_err();
        assert!(error.into_service_error().is_invalid_request_exception());
    }
    let wrong = TraceConfiguration::builder().vendor(TracingVendor::from("OTHER")).build().unwrap();
    let new = bed.client.create_observability_configuration().observability_configuration_name("traces");
    let error = new.trace_configuration(wrong).send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn configurations_have_tags() {
    let bed = TestBed::start().await;
    let tag = Tag::builder().key("team").value("web").build();
    let new = bed.client.create_auto_scaling_configuration().auto_scaling_configuration_name("busy");
    let made = new.tags(tag.clone()).send().await.unwrap().auto_scaling_configuration.unwrap();
    let arn = made.auto_scaling_configuration_arn().unwrap();
    let tags = bed.client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tags.tags(), [tag]);
    let traces = bed.emulator.create_observability_configuration(ACCOUNT, REGION, "traces");
    let add = bed.client.tag_resource().resource_arn(&traces).tags(Tag::builder().key("a").value("b").build());
    add.send().await.unwrap();
    assert_eq!(bed.emulator.tags(&traces).unwrap()["a"], "b");
}
