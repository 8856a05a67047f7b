//! Connections to providers of source code through the SDK.

use apprunner_emulator::ConnectionStatus as EmulatedStatus;
use aws_sdk_apprunner::types::{
    AuthenticationConfiguration, CodeRepository, ConnectionStatus, ProviderType, SourceCodeVersion,
    SourceCodeVersionType, SourceConfiguration, Tag,
};

use crate::helpers::{ACCOUNT, REGION, TestBed, code};

/// A source in a repository that needs the connection.
fn source_through(connection: &str) -> SourceConfiguration {
    let version = SourceCodeVersion::builder().r#type(SourceCodeVersionType::Branch).value("main").build().unwrap();
    let repository = CodeRepository::builder().repository_url("https://example.org/web").source_code_version(version);
    let authentication = AuthenticationConfiguration::builder().connection_arn(connection).build();
    let source = SourceConfiguration::builder().code_repository(repository.build().unwrap());
    source.authentication_configuration(authentication).build()
}

#[tokio::test]
async fn a_connection_is_created_used_listed_and_deleted() {
    let bed = TestBed::start().await;
    let tag = Tag::builder().key("team").value("web").build();
    let create = || bed.client.create_connection().connection_name("code").provider_type(ProviderType::Github);
    let made = create().tags(tag.clone()).send().await.unwrap().connection.unwrap();
    let arn = made.connection_arn().unwrap();
    assert!(arn.starts_with(&format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:connection/code/")), "{arn}");
    assert_eq!(made.status(), Some(&ConnectionStatus::PendingHandshake));
    assert!(create().send().await.unwrap_err().into_service_error().is_invalid_request_exception());
    assert_eq!(bed.client.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags(), [tag]);

    assert!(bed.emulator.set_connection_status(arn, EmulatedStatus::Available));
    let new = bed.client.create_service().service_name("web1").source_configuration(source_through(arn));
    let service = new.send().await.unwrap().service.unwrap();
    assert_eq!(service.source_configuration(), Some(&source_through(arn)));
    assert_eq!(bed.emulator.service(service.service_arn()).unwrap().connection.as_deref(), Some(arn));
    let list = bed.client.list_connections().connection_name("code").send().await.unwrap();
    let shown = &list.connection_summary_list()[0];
    assert_eq!((shown.connection_arn(), shown.status()), (Some(arn), Some(&ConnectionStatus::Available)));

    let delete = || bed.client.delete_connection().connection_arn(arn).send();
    assert!(delete().await.unwrap_err().into_service_error().is_invalid_request_exception());
    bed.client.delete_service().service_arn(service.service_arn()).send().await.unwrap();
    assert_eq!(delete().await.unwrap().connection.unwrap().status(), Some(&ConnectionStatus::Deleted));
    assert!(delete().await.unwrap_err().into_service_error().is_resource_not_found_exception());
    assert!(bed.client.list_connections().send().await.unwrap().connection_summary_list().is_empty());
}

#[tokio::test]
async fn connections_are_listed_in_pages() {
    let bed = TestBed::start().await;
    for name in ["one1", "two2", "three"] {
        bed.emulator.create_connection(ACCOUNT, REGION, name);
    }
    let list = || bed.client.list_connections().max_results(2);
    let first = list().send().await.unwrap();
    let second = list().set_next_token(first.next_token.clone()).send().await.unwrap();
    assert_eq!((first.connection_summary_list().len(), second.connection_summary_list().len()), (2, 1));
    let view = bed.emulator.state().remove(0).connections;
    assert_eq!((view.len(), view[0].status), (3, EmulatedStatus::Available));
}

#[tokio::test]
async fn invalid_connections_are_rejected() {
    let bed = TestBed::start().await;
    for (name, provider) in [("no", "GITHUB"), ("no.dot", "GITHUB"), ("good", "SVN")] {
        let new = bed.client.create_connection().connection_name(name).provider_type(ProviderType::from(provider));
        assert_eq!(code(&new.send().await.unwrap_err()), "InvalidRequestException", "{name} {provider}");
    }
    let none = format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:connection/none/0");
    let new = bed.client.create_service().service_name("web1").source_configuration(source_through(&none));
    assert_eq!(code(&new.send().await.unwrap_err()), "InvalidRequestException");
}
