//! Tests of the faulty proxy itself, against the real API server.

use std::pin::Pin;
use std::time::Duration;

use apprunner_operator::api::VpcConnector;
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::support::proxy::{Calls, Event, Fault, FaultKind, Gate, Proxy, Request, Side};
use crate::support::{World, eventually};

/// Long enough to show that nothing arrives.
const MOMENT: Duration = Duration::from_millis(300);

/// A world with a proxy, a client behind it and a connector's object, without an operator.
struct Proxied {
    world: World,
    proxy: Proxy,
    api: Api<VpcConnector>,
}

impl Proxied {
    async fn new() -> Self {
        let world = World::new().await;
        let proxy = world.proxy().await;
        let api = Api::namespaced(proxy.client().await, &world.namespace);
        let arn = world.connector("conn-egress");
        world.create("egress", &arn).await;
        Self { world, proxy, api }
    }

    /// Puts a label on the object, through the proxy.
    async fn label(&self, value: &str) -> kube::Result<VpcConnector> {
        label(&self.api, value).await
    }

    /// The object's label, as the API server has it.
    async fn labelled(&self) -> Option<String> {
        self.world.api.get("egress").await.unwrap().labels().get("test").cloned()
    }

    async fn wait_for_label(&self, value: &str) {
        self.world.until("egress", "labelled", |o| o.labels().get("test").is_some_and(|l| l == value)).await;
    }

    /// The last request.
    fn last(&self) -> Request {
        self.proxy.requests().pop().unwrap()
    }

    /// Waits until the proxy has noticed that the last request's client has disconnected.
    async fn until_abandoned(&self) {
        assert!(
            eventually(async || self.last().abandoned.then_some(())).await.is_some(),
            "the client never disconnected"
        );
    }

    /// Watches from now on.
    async fn watch(&self) -> Watching {
        let version = self.world.api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        self.watch_from(&version).await.unwrap()
    }

    async fn watch_from(&self, version: &str) -> kube::Result<Watching> {
        Ok(Watching(self.api.watch(&WatchParams::default(), version).await?.boxed()))
    }

    async fn wait_for_event(&self, what: impl Fn(&Event) -> bool) -> Event {
        let sent = eventually(async || self.proxy.events().into_iter().find(&what)).await;
        sent.unwrap_or_else(|| panic!("the API server never sent it: {:?}", self.proxy.events()))
    }
}

async fn label(api: &Api<VpcConnector>, value: &str) -> kube::Result<VpcConnector> {
    let patch = json!({"metadata": {"labels": {"test": value}}});
    api.patch("egress", &PatchParams::default(), &Patch::Merge(patch)).await
}

struct Watching(Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<VpcConnector>>> + Send>>);

impl Watching {
    /// The next event in one word: its type, and the label of its object or the code of its error.
    async fn next(&mut self) -> String {
        let event = tokio::time::timeout(Duration::from_mins(1), self.0.next()).await.unwrap();
        let label = |o: &VpcConnector| o.labels().get("test").cloned().unwrap_or_default();
        match event {
            None => "end".into(),
            Some(Err(_)) => "broken".into(),
            Some(Ok(WatchEvent::Added(object))) => format!("ADDED {}", label(&object)),
            Some(Ok(WatchEvent::Modified(object))) => format!("MODIFIED {}", label(&object)),
            Some(Ok(WatchEvent::Deleted(object))) => format!("DELETED {}", label(&object)),
            Some(Ok(WatchEvent::Error(status))) => format!("ERROR {}", status.code),
            Some(Ok(WatchEvent::Bookmark(_))) => "BOOKMARK".into(),
        }
    }

    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(MOMENT, self.0.next()).await.is_err()
    }
}

/// Returns whether a call is still pending after [`MOMENT`].
async fn hangs<T>(call: impl Future<Output = T>) -> bool {
    tokio::time::timeout(MOMENT, call).await.is_err()
}

fn code<T>(result: kube::Result<T>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => 0,
    }
}

#[tokio::test]
async fn requests_are_forwarded_and_recorded() {
    let proxied = Proxied::new().await;
    assert_eq!(proxied.api.get("egress").await.unwrap().name_any(), "egress");
    assert_eq!(proxied.api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let mut watching = proxied.watch().await;
    proxied.label("new").await.unwrap();
    assert_eq!(watching.next().await, "MODIFIED new");
    let status = Patch::Merge(json!({"status": {"revision": 7}}));
    proxied.api.patch_status("egress", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(code(proxied.api.get("missing").await), 404);
    assert_eq!(code(proxied.api.delete("egress", &DeleteParams::default()).await), 403, "operators may not");

    let all = proxied.proxy.requests();
    assert!(all.iter().enumerate().all(|(at, request)| request.number == at && request.resource == "vpcconnectors"));
    assert!(all.windows(2).all(|two| two[0].at <= two[1].at));
    assert!(all.iter().all(|request| request.namespace == proxied.world.namespace && request.fault.is_none()));
    let seen: Vec<_> = all.iter().map(|r| (&*r.verb, &*r.name, &*r.subresource, r.status.unwrap())).collect();
    let expected = [
        ("get", "egress", "", 200),
        ("list", "", "", 200),
        ("watch", "", "", 200),
        ("patch", "egress", "", 200),
        ("patch", "egress", "status", 200),
        ("get", "missing", "", 404),
        ("delete", "egress", "", 403),
    ];
    assert_eq!(seen, expected);
    assert_eq!(all[3].body["metadata"]["labels"]["test"], "new");
}

#[tokio::test]
async fn refused_request_has_no_effect_and_looks_like_the_api_servers() {
    let proxied = Proxied::new().await;
    for refused in [401, 403, 409, 410, 422, 500, 503, 504] {
        proxied.proxy.fault(Fault::new(FaultKind::status(refused)).on(Calls::verb("patch")));
        let Err(kube::Error::Api(status)) = proxied.label("never").await else { panic!("not refused") };
        assert_eq!((status.code, status.reason.is_empty()), (refused, false));
        assert_eq!((proxied.last().status, proxied.last().effect), (Some(refused), None));
    }
    proxied.proxy.fault(Fault::new(FaultKind::throttled(3)));
    let Err(kube::Error::Api(status)) = proxied.label("never").await else { panic!("not refused") };
    assert_eq!((status.code, status.details.clone().unwrap().retry_after_seconds), (429, 3));
    proxied.proxy.fault(Fault::new(FaultKind::throttled(3)));
    let answer = proxied.proxy.client().await.send(request("/version")).await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "3");
    assert_eq!(proxied.labelled().await, None);

    proxied.proxy.fault(Fault::new(FaultKind::RefusedAfterEffect { code: 504 }));
    assert_eq!(code(proxied.label("written").await), 504);
    assert_eq!((proxied.last().status, proxied.last().effect), (Some(504), Some(200)));
    assert_eq!(proxied.labelled().await.unwrap(), "written");
}

fn request(path: &str) -> hyper::Request<kube::client::Body> {
    hyper::Request::get(path).body(kube::client::Body::empty()).unwrap()
}

#[tokio::test]
async fn faults_are_matched_skipped_counted_and_cleared() {
    let proxied = Proxied::new().await;
    let calls = Calls::verb("get").resource("vpcconnectors").subresource("").name("egress");
    proxied.proxy.fault(Fault::new(FaultKind::status(500)).on(calls.clone()).skip(1).times(2));
    let last = proxied.proxy.fault(Fault::new(FaultKind::status(503)).on(calls.clone()).skip(1).forever());
    let codes = async |count| {
        let mut codes = Vec::new();
        for _ in 0..count {
            codes.push(code(proxied.api.get("egress").await));
        }
        codes
    };
    assert_eq!(codes(5).await, [200, 500, 500, 503, 503]);
    assert_eq!(code(proxied.api.get("missing").await), 404, "another name");
    proxied.proxy.clear_fault(last);
    assert_eq!(codes(1).await, [200]);
    assert_eq!(proxied.proxy.requests_matching(&calls).len(), 6);
}

#[tokio::test]
async fn connection_closes_before_or_after_the_effect() {
    let proxied = Proxied::new().await;
    proxied.proxy.fault(Fault::new(FaultKind::ClosedBeforeEffect));
    assert_eq!(code(proxied.label("never").await), 0);
    assert_eq!((proxied.last().status, proxied.last().effect), (None, None));
    assert_eq!(proxied.labelled().await, None);

    proxied.proxy.fault(Fault::new(FaultKind::ClosedAfterEffect));
    assert_eq!(code(proxied.label("written").await), 0);
    assert_eq!((proxied.last().status, proxied.last().effect), (None, Some(200)));
    assert_eq!(proxied.labelled().await.unwrap(), "written");
}

#[tokio::test]
async fn delay_is_before_or_after_the_effect() {
    let proxied = Proxied::new().await;
    proxied.proxy.fault(Fault::new(FaultKind::LateAnswer { ms: 60_000 }));
    assert!(hangs(proxied.label("at-once")).await);
    proxied.wait_for_label("at-once").await;

    proxied.proxy.fault(Fault::new(FaultKind::Delay { ms: 1_000 }));
    assert!(hangs(proxied.label("later")).await, "its client has disconnected");
    assert_eq!(proxied.labelled().await.unwrap(), "at-once");
    proxied.wait_for_label("later").await;
}

#[tokio::test]
async fn black_hole_swallows_the_request_or_the_answer() {
    let proxied = Proxied::new().await;
    proxied.proxy.fault(Fault::new(FaultKind::BlackHoleBeforeEffect));
    assert!(hangs(proxied.label("never")).await);
    proxied.until_abandoned().await;
    proxied.proxy.clear_faults();
    proxied.proxy.fault(Fault::new(FaultKind::BlackHoleBeforeEffect));
    let api = proxied.api.clone();
    let patient = tokio::spawn(async move { label(&api, "patient").await });
    let swallowed = async || (proxied.proxy.requests().len() == 2).then_some(());
    assert!(eventually(swallowed).await.is_some());
    assert_eq!(proxied.labelled().await, None);
    proxied.proxy.clear_faults();
    patient.await.unwrap().unwrap();

    proxied.proxy.fault(Fault::new(FaultKind::BlackHoleAfterEffect));
    assert!(hangs(proxied.label("written")).await);
    proxied.wait_for_label("written").await;
    assert_eq!(proxied.last().status, None);
}

#[tokio::test]
async fn gate_stops_a_request_before_its_effect() {
    let proxied = Proxied::new().await;
    // A dropped gate stops no request; the other gate is for the second patch.
    drop(proxied.proxy.hold(Side::BeforeEffect, Calls::any(), 0));
    let gate = proxied.proxy.hold(Side::BeforeEffect, Calls::verb("patch"), 1);
    proxied.label("first").await.unwrap();
    assert!(!gate.is_reached());

    let held = start(&proxied, "second", &gate).await;
    assert_eq!(proxied.labelled().await.unwrap(), "first");
    gate.release();
    held.await.unwrap().unwrap();
    assert_eq!(proxied.labelled().await.unwrap(), "second");

    let gate = proxied.proxy.hold(Side::BeforeEffect, Calls::verb("patch"), 0);
    let held = start(&proxied, "third", &gate).await;
    drop(gate);
    assert!(hangs(held).await);
    assert_eq!(proxied.labelled().await.unwrap(), "second");

    let gate = proxied.proxy.hold(Side::BeforeEffect, Calls::verb("patch"), 0);
    let held = start(&proxied, "fourth", &gate).await;
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    gate.release();
    proxied.wait_for_label("fourth").await;
}

#[tokio::test]
async fn gate_stops_an_answer_after_the_effect() {
    let proxied = Proxied::new().await;
    let gate = proxied.proxy.hold(Side::AfterEffect, Calls::verb("patch"), 0);
    let held = start(&proxied, "written", &gate).await;
    assert_eq!(proxied.labelled().await.unwrap(), "written", "the effect takes place before the gate");
    gate.release();
    held.await.unwrap().unwrap();

    let gate = proxied.proxy.hold(Side::AfterEffect, Calls::verb("patch"), 0);
    let held = start(&proxied, "again", &gate).await;
    drop(gate);
    assert!(hangs(held).await);
    assert_eq!(proxied.labelled().await.unwrap(), "again");
}

/// Sends a patch that the gate stops.
async fn start(
    proxied: &Proxied,
    value: &'static str,
    gate: &Gate,
) -> tokio::task::JoinHandle<kube::Result<VpcConnector>> {
    let api = proxied.api.clone();
    let sent = tokio::spawn(async move { label(&api, value).await });
    assert_eq!(gate.reached().await.body["metadata"]["labels"]["test"], value);
    sent
}

#[tokio::test]
async fn watch_is_cut_ended_or_expired() {
    let proxied = Proxied::new().await;
    let raw = format!(
        "/apis/apprunner-operator.dev/v1alpha1/namespaces/{}/vpcconnectors?watch=true",
        proxied.world.namespace
    );
    let client = proxied.proxy.client().await;
    let cut = client.send(request(&raw)).await.unwrap().into_body();
    assert_eq!(proxied.proxy.open_watches(), 1);
    proxied.proxy.cut_watches();
    assert!(cut.collect().await.is_err());

    let ended = client.send(request(&raw)).await.unwrap().into_body();
    proxied.proxy.end_watches();
    assert!(ended.collect().await.is_ok());

    let mut watching = proxied.watch().await;
    proxied.proxy.expire_watches();
    assert_eq!(watching.next().await, "ERROR 410");
    assert_eq!(watching.next().await, "end");

    proxied.proxy.fault(Fault::new(FaultKind::status(410)).on(Calls::verb("watch")));
    assert_eq!(code(proxied.watch_from("1").await.map(drop)), 410);
    drop(watching);
    assert!(eventually(async || (proxied.proxy.open_watches() == 0).then_some(())).await.is_some());
}

#[tokio::test]
async fn delayed_events_stay_in_order_and_arrive_when_the_delay_ends() {
    let proxied = Proxied::new().await;
    let mut watching = proxied.watch().await;
    proxied.proxy.show_events_late(Duration::from_secs(1));
    let started = std::time::Instant::now();
    proxied.label("a").await.unwrap();
    proxied.label("b").await.unwrap();
    assert_eq!(watching.next().await, "MODIFIED a");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(watching.next().await, "MODIFIED b");

    proxied.proxy.show_events_late(Duration::from_hours(1));
    proxied.label("c").await.unwrap();
    assert!(watching.is_silent().await);
    proxied.proxy.show_events_late(Duration::ZERO);
    assert_eq!(watching.next().await, "MODIFIED c");
}

#[tokio::test]
async fn events_are_dropped_and_replayed() {
    let proxied = Proxied::new().await;
    let mut watching = proxied.watch().await;
    let uid = proxied.world.api.get("egress").await.unwrap().metadata.uid.unwrap();
    proxied.label("a").await.unwrap();
    assert_eq!(watching.next().await, "MODIFIED a");
    proxied.proxy.drop_events(1, |event| event.kind == "DELETED" && event.name == "egress");
    proxied.world.delete("egress").await;
    proxied.wait_for_event(|event| event.dropped && event.uid == uid).await;
    assert!(watching.is_silent().await);

    assert_eq!(proxied.proxy.replay(&uid), 2);
    assert_eq!(watching.next().await, "MODIFIED a");
    assert_eq!(watching.next().await, "DELETED a");
}

#[tokio::test]
async fn silenced_watch_delivers_all_events_afterwards() {
    let proxied = Proxied::new().await;
    let mut old = proxied.watch().await;
    proxied.proxy.silence_watches();
    let mut new = proxied.watch().await;
    proxied.label("a").await.unwrap();
    assert!(old.is_silent().await && new.is_silent().await);
    proxied.proxy.unsilence_watches();
    assert_eq!(old.next().await, "MODIFIED a");
    assert_eq!(new.next().await, "MODIFIED a");
}

#[tokio::test]
async fn connections_are_refused_until_they_are_allowed() {
    let proxied = Proxied::new().await;
    let mut watching = proxied.watch().await;
    proxied.proxy.refuse().await;
    assert_eq!(watching.next().await, "end");
    assert_eq!(code(proxied.label("never").await), 0);
    assert!(std::net::TcpStream::connect(proxied.proxy.url().trim_start_matches("http://")).is_err());
    proxied.proxy.allow().await;
    proxied.label("now").await.unwrap();

    proxied.proxy.refuse_for(Duration::from_millis(200)).await;
    assert_eq!(code(proxied.label("never").await), 0);
    assert!(eventually(async || proxied.label("then").await.ok()).await.is_some());
}

#[tokio::test]
async fn dark_proxy_accepts_requests_and_answers_none() {
    let proxied = Proxied::new().await;
    let mut watching = proxied.watch().await;
    proxied.proxy.stop_answering();
    proxied.world.merge("egress", json!({"metadata": {"labels": {"test": "a"}}})).await;
    assert!(watching.is_silent().await);
    assert!(hangs(proxied.label("never")).await);
    proxied.until_abandoned().await;
    let api = proxied.api.clone();
    let patient = tokio::spawn(async move { label(&api, "patient").await });
    assert!(eventually(async || (proxied.proxy.requests().len() == 3).then_some(())).await.is_some());
    assert_eq!(proxied.labelled().await.unwrap(), "a");

    proxied.proxy.resume_answering();
    patient.await.unwrap().unwrap();
    assert_eq!(watching.next().await, "MODIFIED a");
    assert_eq!(watching.next().await, "MODIFIED patient");
}

#[tokio::test]
async fn dropping_the_proxy_ends_every_connection() {
    let Proxied { world: _world, proxy, api } = Proxied::new().await;
    let gate = proxy.hold(Side::BeforeEffect, Calls::any(), 0);
    let held = tokio::spawn(async move { label(&api, "never").await });
    gate.reached().await;
    drop(proxy);
    assert_eq!(code(held.await.unwrap()), 0);
}
