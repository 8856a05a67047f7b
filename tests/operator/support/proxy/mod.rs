//! A faulty network between the operator and the API server.
//!
//! The hardest failures for a client of a real API server happen in the network: answers that are lost after the write
//! took place, watches that fall silent or deliver old events, connections that are neither refused nor answered. An
//! API server cannot be told to produce them, so each test may put this proxy in front of it. The proxy speaks plain
//! HTTP to the operator, and forwards everything as an operator user of its own, so rights and audit log are real.
//!
//! [`Fault`]s and [`Gate`]s affect single requests, chosen by [`Calls`]; the other switches affect all requests.
//! Dropping the [`Proxy`] ends everything.

mod answer;
mod faults;
mod request;
mod serve;
mod watches;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use devcluster::DevCluster;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use faults::{Fault, FaultId, FaultKind, Gate, Side};
pub use request::{Calls, Request};
pub use watches::Event;

use faults::{Action, Faults, Hold};
use watches::Watches;

use super::DEADLINE;
use super::World;
use super::cluster::operator_user_on;
use super::operator::Operator;

impl World {
    /// Starts a proxy in front of this world's API server.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start(&self.cluster).await
    }

    /// Starts an operator for this namespace, which reaches the API server through the proxy.
    pub fn operator_through(&self, proxy: &Proxy) -> Operator {
        Operator::start_as(proxy.operator_user(), &self.settings)
    }
}

/// A running proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    user: String,
    kubeconfig: PathBuf,
    kubeconfigs: AtomicUsize,
}

/// State that all connections share.
struct Shared {
    upstream: Client,
    port: u16,
    life: CancellationToken,
    listening: Mutex<Option<Listening>>,
    switches: watch::Sender<Switches>,
    requests: Mutex<Vec<Request>>,
    faults: Mutex<Faults>,
    watches: Mutex<Watches>,
}

struct Listening {
    stop: CancellationToken,
    stopped: JoinHandle<()>,
}

/// Settings for all requests or all watches.
#[derive(Clone, Copy, Default)]
struct Switches {
    answers_nothing: bool,
    silent: bool,
    late_by: Duration,
}

impl Proxy {
    pub async fn start(cluster: &DevCluster) -> Self {
        let (user, kubeconfig) = operator_user_on(cluster);
        let upstream = client_of(&kubeconfig).await;
        let listener = free_port().await;
        let shared = Arc::new(Shared {
            upstream,
            port: listener.local_addr().unwrap().port(),
            life: CancellationToken::new(),
            listening: Mutex::default(),
            switches: watch::Sender::default(),
            requests: Mutex::default(),
            faults: Mutex::default(),
            watches: Mutex::default(),
        });
        shared.listen(listener);
        Self { shared, user, kubeconfig, kubeconfigs: AtomicUsize::new(0) }
    }

    /// The user under which the proxy forwards requests, and a kubeconfig for this proxy; each caller gets a file of
    /// its own.
    pub fn operator_user(&self) -> (String, PathBuf) {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.kubeconfig.with_extension(format!("{number}.proxy.kubeconfig"));
        let name = "proxy";
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": name, "cluster": { "server": self.url() } }],
            "users": [{ "name": name, "user": {} }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
            "current-context": name,
        });
        std::fs::write(&path, config.to_string()).unwrap();
        (self.user.clone(), path)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shared.port)
    }

    /// A client that reaches the API server through this proxy, and retries nothing.
    pub async fn client(&self) -> Client {
        client_of(&self.operator_user().1).await
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    pub fn requests_matching(&self, calls: &Calls) -> Vec<Request> {
        self.requests().into_iter().filter(|request| calls.matches(request)).collect()
    }

    pub fn fault(&self, fault: Fault) -> FaultId {
        lock(&self.shared.faults).add(fault)
    }

    /// Ends a fault; requests that wait in it continue.
    pub fn clear_fault(&self, id: FaultId) {
        lock(&self.shared.faults).clear(id);
    }

    /// Ends all faults; gates are not affected.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear_all();
    }

    /// Stops the next of these requests, after `skip` others.
    pub fn hold(&self, side: Side, calls: Calls, skip: u32) -> Gate {
        let (hold, gate) = Hold::new(side);
        lock(&self.shared.faults).hold(hold, calls, skip);
        gate
    }

    /// Closes the port and every connection.
    pub async fn refuse(&self) {
        self.shared.refuse().await;
    }

    /// Opens the port again.
    pub async fn allow(&self) {
        self.shared.allow().await;
    }

    /// Closes the port and every connection, and opens it again after this time.
    pub async fn refuse_for(&self, time: Duration) {
        self.shared.refuse().await;
        let shared = self.shared.clone();
        let later = async move {
            tokio::time::sleep(time).await;
            shared.allow().await;
        };
        tokio::spawn(self.shared.life.clone().run_until_cancelled_owned(later));
    }

    /// Accepts connections and requests, but answers nothing; watches fall silent too.
    ///
    /// A request whose client disconnects meanwhile ([`Request::abandoned`]) never takes effect.
    pub fn stop_answering(&self) {
        self.switch(|now| now.answers_nothing = true);
    }

    pub fn resume_answering(&self) {
        self.switch(|now| now.answers_nothing = false);
    }

    /// Stops all events of open and new watches, including the end of the watch, until [`Self::unsilence_watches`].
    pub fn silence_watches(&self) {
        self.switch(|now| now.silent = true);
    }

    /// Delivers all events that were held back, in order.
    pub fn unsilence_watches(&self) {
        self.switch(|now| now.silent = false);
    }

    /// Delays each event by this time; zero delivers the waiting events at once.
    pub fn show_events_late(&self, by: Duration) {
        self.switch(|now| now.late_by = by);
    }

    /// Ends the connections of all open watches in the middle of their streams.
    pub fn cut_watches(&self) {
        self.shared.watches().cut();
    }

    /// Stops all open watches for good, including their end, as on a connection that died unnoticed. New watches work.
    pub fn strand_watches(&self) {
        self.shared.watches().strand();
    }

    /// Ends all open watches as the API server does when their time is up.
    pub fn end_watches(&self) {
        self.shared.watches().end();
    }

    /// Sends the event of an expired resource version to all open watches, and ends them.
    pub fn expire_watches(&self) {
        self.shared.watches().expire();
    }

    /// Drops the next events that match.
    pub fn drop_events(&self, count: u32, condition: impl Fn(&Event) -> bool + Send + 'static) {
        self.shared.watches().drop_events(count, Box::new(condition));
    }

    /// Delivers all events of an object once more, oldest first, to every open watch of its resource; returns their
    /// number.
    pub fn replay(&self, uid: &str) -> usize {
        self.shared.watches().replay(uid)
    }

    /// Every event that the API server has sent to a watch, also those not delivered yet.
    pub fn events(&self) -> Vec<Event> {
        self.shared.watches().events()
    }

    /// Number of open watches.
    pub fn open_watches(&self) -> usize {
        self.shared.watches().open()
    }

    fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.shared.switches.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.life.cancel();
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: TcpListener) {
        let stop = self.life.child_token();
        let stopped = tokio::spawn(serve::accept(listener, self.clone(), stop.clone()));
        *lock(&self.listening) = Some(Listening { stop, stopped });
    }

    async fn refuse(&self) {
        let listening = lock(&self.listening).take();
        if let Some(Listening { stop, stopped }) = listening {
            stop.cancel();
            stopped.await.unwrap();
        }
    }

    async fn allow(self: &Arc<Self>) {
        if lock(&self.listening).is_none() {
            self.listen(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
        }
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        lock(&self.watches)
    }

    /// Records a request, and the fault or gate that it gets.
    fn received(&self, mut request: Request) -> (Request, Option<Action>) {
        let mut requests = lock(&self.requests);
        request.number = requests.len();
        let action = lock(&self.faults).take(&request);
        request.fault = action.as_ref().map(Action::describe);
        requests.push(request.clone());
        (request, action)
    }

    fn update(&self, number: usize, change: impl FnOnce(&mut Request)) {
        change(&mut lock(&self.requests)[number]);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap()
}

async fn client_of(kubeconfig: &std::path::Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config.read_timeout = None;
    Client::try_from(config).unwrap()
}

/// A free port below the range that the system uses for outgoing connections; another program could take a port of that
/// range while this proxy refuses connections.
async fn free_port() -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", rand::random_range(10_000..20_000))).await {
            return listener;
        }
    }
}
