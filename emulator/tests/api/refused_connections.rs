//! Refused connections.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use apprunner_emulator::{Fault, FaultKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::helpers::{RawRequest, TestBed, eventually};

/// Returns true if the operating system refuses a connection to the emulator.
async fn refuses_connections(bed: &TestBed) -> bool {
    match TcpStream::connect(bed.emulator.address()).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            true
        }
    }
}

#[tokio::test]
async fn connections_are_refused_until_they_are_allowed() {
    let bed = TestBed::start().await;
    let mut idle = TcpStream::connect(bed.emulator.address()).await.unwrap();
    let arn = bed.connector("shop");
    assert_eq!(bed.describe(&arn).await, "ACTIVE");
    for _ in 0..3 {
        bed.emulator.refuse_connections_until_allowed().await;
        assert!(refuses_connections(&bed).await);
        let error = bed.client.list_vpc_connectors().send().await.unwrap_err();
        assert!(error.as_service_error().is_none(), "the SDK's idle connection is closed too: {error:?}");
        bed.emulator.allow_connections().await;
        assert!(!refuses_connections(&bed).await);
        assert_eq!(bed.describe(&arn).await, "ACTIVE", "the connector still exists");
    }
    let ended = idle.read(&mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_ends_after_its_period() {
    let bed = TestBed::start().await;
    let started = Instant::now();
    bed.emulator.refuse_connections(Duration::from_millis(300)).await;
    assert!(refuses_connections(&bed).await);
    eventually("the refusal ends", async || !refuses_connections(&bed).await).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn calls_in_flight_end_without_an_answer() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    bed.emulator.add_fault(Fault::new(FaultKind::Delay { ms: 60_000 }));
    let (answer, ()) = tokio::join!(bed.client.describe_vpc_connector().vpc_connector_arn(arn).send(), async {
        eventually("the call arrives", async || bed.emulator.calls().len() == 1).await;
        bed.emulator.refuse_connections_until_allowed().await;
    });
    assert!(answer.is_err());
    let call = bed.emulator.calls().remove(0);
    assert!(call.answered_at.is_some() && call.status.is_none());
}

#[tokio::test]
async fn a_fault_refuses_connections_until_a_reset() {
    let bed = TestBed::start().await;
    let arn = bed.connector("shop");
    bed.emulator.add_fault(Fault::new(FaultKind::ConnectionRefused { ms: 60_000 }).arn(&arn));
    assert_eq!(bed.delete(&arn).await, "no code");
    assert!(refuses_connections(&bed).await);
    let call = bed.emulator.calls().remove(0);
    assert_eq!((call.status, call.fault), (None, Some(FaultKind::ConnectionRefused { ms: 60_000 })));
    bed.emulator.reset();
    eventually("a reset ends the refusal", async || !refuses_connections(&bed).await).await;
}

#[tokio::test]
async fn the_control_api_answers_before_connections_are_refused() {
    let bed = TestBed::start().await;
    let ask = async |body: &str| RawRequest::new("POST", "/_emulator/refuse", body).send(&bed.emulator).await.status;
    assert_eq!(ask("{}").await, 400);
    assert_eq!(ask(r#"{"ms":200}"#).await, 204);
    assert!(refuses_connections(&bed).await);
    eventually("the refusal ends", async || !refuses_connections(&bed).await).await;
}

#[tokio::test]
async fn no_other_process_gets_the_port_during_a_refusal() {
    let bed = TestBed::start().await;
    bed.emulator.refuse_connections_until_allowed().await;
    let taken: Vec<u16> =
        (0..50).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()).collect();
    assert!(!taken.contains(&bed.emulator.address().port()));
    bed.emulator.allow_connections().await;
    assert!(!refuses_connections(&bed).await);
}
