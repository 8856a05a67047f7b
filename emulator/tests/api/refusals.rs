//! The emulator as nobody can connect to it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use apprunner_emulator::{Fault, FaultKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::helpers::{Bench, Raw, eventually};

/// Tells whether connections are refused, and not merely cut.
async fn refuses(bench: &Bench) -> bool {
    match TcpStream::connect(bench.emulator.address()).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            true
        }
    }
}

#[tokio::test]
async fn nobody_connects_until_it_is_allowed() {
    let bench = Bench::start().await;
    let mut idle = TcpStream::connect(bench.emulator.address()).await.unwrap();
    let arn = bench.connector("shop");
    assert_eq!(bench.describe(&arn).await, "ACTIVE");
    for _ in 0..3 {
        bench.emulator.refuse_connections_until_allowed().await;
        assert!(refuses(&bench).await);
        let error = bench.client.list_vpc_connectors().send().await.unwrap_err();
        assert!(error.as_service_error().is_none(), "the SDK's kept connection is gone too: {error:?}");
        bench.emulator.allow_connections().await;
        assert!(!refuses(&bench).await);
        assert_eq!(bench.describe(&arn).await, "ACTIVE", "what there was is still there");
    }
    let ended = idle.read(&mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_ends_by_itself() {
    let bench = Bench::start().await;
    let started = Instant::now();
    bench.emulator.refuse_connections(Duration::from_millis(300)).await;
    assert!(refuses(&bench).await);
    eventually("it ends", async || !refuses(&bench).await).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn calls_under_way_are_cut() {
    let bench = Bench::start().await;
    let arn = bench.connector("shop");
    bench.emulator.add_fault(Fault::new(FaultKind::Delay { ms: 60_000 }));
    let (answer, ()) = tokio::join!(bench.client.describe_vpc_connector().vpc_connector_arn(arn).send(), async {
        eventually("the call arrives", async || bench.emulator.calls().len() == 1).await;
        bench.emulator.refuse_connections_until_allowed().await;
    });
    assert!(answer.is_err());
    let call = bench.emulator.calls().remove(0);
    assert!(call.answered_at.is_some() && call.status.is_none());
}

#[tokio::test]
async fn a_call_can_bring_it_about() {
    let bench = Bench::start().await;
    let arn = bench.connector("shop");
    bench.emulator.add_fault(Fault::new(FaultKind::ConnectionRefused { ms: 60_000 }).arn(&arn));
    assert_eq!(bench.delete(&arn).await, "no code");
    assert!(refuses(&bench).await);
    let call = bench.emulator.calls().remove(0);
    assert_eq!((call.status, call.fault), (None, Some(FaultKind::ConnectionRefused { ms: 60_000 })));
    bench.emulator.reset();
    eventually("a reset ends it", async || !refuses(&bench).await).await;
}

#[tokio::test]
async fn the_control_api_gets_its_answer_first() {
    let bench = Bench::start().await;
    let ask = async |body: &str| Raw::new("POST", "/_emulator/refuse", body).send(&bench.emulator).await.status;
    assert_eq!(ask("{}").await, 400);
    assert_eq!(ask(r#"{"ms":200}"#).await, 204);
    assert!(refuses(&bench).await);
    eventually("it ends", async || !refuses(&bench).await).await;
}

#[tokio::test]
async fn the_port_stays_the_emulators() {
    let bench = Bench::start().await;
    bench.emulator.refuse_connections_until_allowed().await;
    let taken: Vec<u16> =
        (0..50).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()).collect();
    assert!(!taken.contains(&bench.emulator.address().port()));
    bench.emulator.allow_connections().await;
    assert!(!refuses(&bench).await);
}
