//! Custom domains through the SDK.

use apprunner_emulator::CustomDomainStatus;
use aws_sdk_apprunner::types::{CertificateValidationRecordStatus, CustomDomain};

use crate::helpers::{ACCOUNT, OTHER_ACCOUNT, REGION, TestBed, code};

async fn described(bed: &TestBed, service: &str) -> Vec<CustomDomain> {
    bed.client.describe_custom_domains().service_arn(service).send().await.unwrap().custom_domains
}

fn service(bed: &TestBed, name: &str) -> String {
    bed.emulator.create_service(ACCOUNT, REGION, name, None)
}

#[tokio::test]
async fn a_domain_is_associated_described_and_disassociated() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    let ingress = bed.emulator.create_ingress_connection(&service, "shop").unwrap();
    let associate = bed.client.associate_custom_domain().service_arn(&service).domain_name("shop.example.org");
    let made = associate.send().await.unwrap();
    let domain = made.custom_domain().unwrap();
    // AWS sends lower case, against the API model.
    assert_eq!((domain.domain_name(), domain.status().as_str()), ("shop.example.org", "creating"));
    assert!(domain.enable_www_subdomain() && domain.certificate_validation_records().is_empty());
    assert_eq!(made.vpc_dns_targets()[0].vpc_ingress_connection_arn(), Some(ingress.as_str()));

    let shown = described(&bed, &service).await.remove(0);
    assert_eq!(shown.status().as_str(), "pending_certificate_dns_validation");
    let records = shown.certificate_validation_records();
    assert!(records[1].name().unwrap().ends_with(".www.shop.example.org."), "{records:?}");
    assert_eq!(records[1].status(), Some(&CertificateValidationRecordStatus::PendingValidation));
    assert!(bed.emulator.set_custom_domain_status(&service, "shop.example.org", CustomDomainStatus::Active));
    let shown = described(&bed, &service).await.remove(0);
    assert_eq!(shown.status().as_str(), "active");
    assert_eq!(shown.certificate_validation_records()[0].status(), Some(&CertificateValidationRecordStatus::Success));

    let disassociate = || bed.client.disassociate_custom_domain().service_arn(&service).domain_name("shop.example.org");
    let gone = disassociate().send().await.unwrap().custom_domain.unwrap();
    assert_eq!(gone.status().as_str(), "deleting");
    assert_eq!(described(&bed, &service).await, []);
    let error = disassociate().send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

#[tokio::test]
async fn domains_are_described_in_pages() {
    let bed = TestBed::start().await;
    let service = service(&bed, "web1");
    for name in ["a.org", "b.org", "c.org"] {
        assert!(bed.emulator.add_custom_domain(&service, name));
    }
    let page = || bed.client.describe_custom_domains().service_arn(&service).max_results(2);
    let first = page().send().await.unwrap();
    let second = page().set_next_token(first.next_token.clone()).send().await.unwrap();
    assert_eq!((first.custom_domains().len(), second.custom_domains().len(), second.next_token()), (2, 1, None));
    assert_eq!(code(&page().max_results(6).send().await.unwrap_err()), "InvalidRequestException");
    let view = bed.emulator.service(&service).unwrap();
    assert_eq!(view.custom_domains[0].status, CustomDomainStatus::Active);
}

#[tokio::test]
async fn a_deleted_service_releases_its_domains() {
    let bed = TestBed::start().await;
    let (first, second) = (service(&bed, "web1"), service(&bed, "web2"));
    bed.emulator.add_custom_domain(&first, "shop.example.org");
    let associate = || {
        let request = bed.client.associate_custom_domain().service_arn(&second).domain_name("shop.example.org");
        request.enable_www_subdomain(false).send()
    };
    assert!(associate().await.unwrap_err().into_service_error().is_invalid_request_exception());
    bed.client.delete_service().service_arn(&first).send().await.unwrap();
    associate().await.unwrap();
    assert_eq!(described(&bed, &first).await, []);
    assert_eq!(described(&bed, &second).await[0].certificate_validation_records().len(), 1);
}

#[tokio::test]
async fn associate_rejects_invalid_domains_and_services() {
    let bed = TestBed::start().await;
    let (good, paused) = (service(&bed, "web1"), service(&bed, "web2"));
    bed.client.pause_service().service_arn(&paused).send().await.unwrap();
    let foreign = bed.emulator.create_service(OTHER_ACCOUNT, REGION, "web1", None);
    for (arn, name, expected) in [
        (good.as_str(), "under_score.org", "InvalidRequestException"),
        (&good, "", "InvalidRequestException"),
        (&good, &"a".repeat(256), "InvalidRequestException"),
        (&foreign, "a.org", "InvalidRequestException"),
        (&paused, "a.org", "InvalidStateException"),
    ] {
        let error = bed.client.associate_custom_domain().service_arn(arn).domain_name(name).send().await.unwrap_err();
        assert_eq!(code(&error), expected, "{name}");
    }
    let error = bed.client.describe_custom_domains().service_arn(&foreign).send().await.unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());
    assert!(!bed.emulator.add_custom_domain("none", "a.org"));
}
