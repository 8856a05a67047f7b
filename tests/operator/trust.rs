//! A company's certificate authority between the operator and AWS.

use std::path::Path;

use apprunner_operator::api::VpcConnector;

use crate::support::servers::{Authority, Server};
use crate::support::{World, message};

/// AWS behind TLS, with a certificate that an authority has issued.
async fn behind_tls(world: &mut World, authority: &Authority) -> Server {
    let address = world.emulator.url().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let server = Server::tls(authority, &["127.0.0.1"], address).await;
    world.settings.endpoint = format!("https://{}", server.address);
    server
}

fn stalled(object: &VpcConnector) -> bool {
    object.status.as_ref().is_some_and(|status| status.condition("Stalled").is_some())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn any_of_the_three_settings_names_the_certificate_bundle() {
    let mut world = World::new().await;
    let authority = Authority::new("company");
    let _front = behind_tls(&mut world, &authority).await;
    let (bundle, other) =
        (authority.file(&world.namespace), Authority::new("other").file(&format!("{}-2", world.namespace)));
    let config = bundle.with_extension("config");
    std::fs::write(&config, format!("[default]\nca_bundle = {}\n", text(&bundle))).unwrap();
    let machine = ("SSL_CERT_FILE".to_owned(), text(&other));
    for (name, settings) in [
        ("variable", vec![("AWS_CA_BUNDLE".to_owned(), text(&bundle)), machine.clone()]),
        ("profile", vec![("AWS_CONFIG_FILE".to_owned(), text(&config)), machine]),
        ("machine", vec![("SSL_CERT_FILE".to_owned(), text(&bundle))]),
    ] {
        world.settings.environment = settings;
        let _operator = world.operator();
        world.claimed(name).await;
    }
}

#[tokio::test]
async fn unknown_certificate_authority_stalls_and_names_the_variable_to_set() {
    let mut world = World::new().await;
    let authority = Authority::new("company");
    let _front = behind_tls(&mut world, &authority).await;
    let other = Authority::new("other").file(&world.namespace);
    world.settings.environment = vec![("SSL_CERT_FILE".into(), text(&other))];
    world.create("egress", &world.connector("shop")).await;
    let operator = world.operator();
    let held = world.until("egress", "stalled", stalled).await;
    let status = held.status.as_ref().unwrap();
    assert_eq!(status.ready_reason(), Some("UntrustedCertificate"));
    let shown = message(&held);
    assert!(shown.starts_with("GetCallerIdentity was not sent: cannot connect to 127.0.0.1:"), "{shown}");
    assert!(shown.contains("AWS_CA_BUNDLE or SSL_CERT_FILE"), "{shown}");
    assert_eq!(world.emulator.calls(), []);
    let warned = operator
        .lines()
        .into_iter()
        .filter(|line| line["trouble"] == "UntrustedCertificate" && line["level"] == "WARN")
        .count();
    assert_eq!(warned, 1, "logged once: {}", operator.log());
    drop(operator);
    // The setting that a user then adds.
    world.settings.environment.push(("AWS_CA_BUNDLE".into(), text(&authority.file(&world.namespace))));
    let _operator = world.operator();
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn missing_certificate_bundle_stalls_and_is_named() {
    let mut world = World::new().await;
    world.settings.environment = vec![("AWS_CA_BUNDLE".into(), "/nowhere/ca.pem".into())];
    world.create("egress", &world.connector("shop")).await;
    let _operator = world.operator();
    let held = world.until("egress", "stalled", stalled).await;
    assert_eq!(held.status.as_ref().unwrap().ready_reason(), Some("UntrustedCertificate"));
    let expected = "AWS_CA_BUNDLE names /nowhere/ca.pem, which cannot be used: there is no such file";
    assert_eq!(message(&held), expected);
    assert_eq!(world.emulator.calls(), []);
}
