//! Handling of one request in the proxy.

use std::sync::Arc;

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::answer::{Answer, AnswerBody, refusal, whole};
use super::faults::{Action, FaultKind, Hold, Side, pause};
use super::request::Request;

/// Closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

/// Accepts connections until it is cancelled, which ends the connections too.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, listening: CancellationToken) {
    while let Some(accepted) = listening.run_until_cancelled(listener.accept()).await {
        let (stream, _) = accepted.unwrap();
        stream.set_nodelay(true).unwrap();
        let shared = shared.clone();
        let service = service_fn(move |request| answer(shared.clone(), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(listening.clone().run_until_cancelled_owned(connection));
    }
}

/// Handles one request of a connection; hyper drops this future when the client disconnects.
async fn answer(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<Answer, Closed> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let (request, action) = shared.received(Request::read(&parts, &body));
    let number = request.number;
    let mut client = Client { shared: shared.clone(), number, gone: CancellationToken::new(), waits: true };
    let in_flight = InFlight { shared: shared.clone(), parts, body, request, gone: client.gone.clone() };
    // The request runs in a task of its own, so it continues when its client has disconnected.
    let task = tokio::spawn(shared.life.clone().run_until_cancelled_owned(in_flight.run(action)));
    let answer = task.await.ok().flatten().flatten();
    client.waits = false;
    let answer = answer.ok_or(Closed)?;
    shared.update(number, |request| request.status = Some(answer.status().as_u16()));
    Ok(answer)
}

/// A client that waits for its answer; dropping this value records that it no longer does.
struct Client {
    shared: Arc<Shared>,
    number: usize,
    gone: CancellationToken,
    waits: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.gone.cancel();
        if self.waits {
            self.shared.update(self.number, |request| request.abandoned = true);
        }
    }
}

/// A request in flight.
struct InFlight {
    shared: Arc<Shared>,
    parts: Parts,
    body: Bytes,
    request: Request,
    gone: CancellationToken,
}

/// Decision about a request at one side of its effect.
enum Next {
    Continue,
    Stop(Option<Answer>),
}

impl InFlight {
    /// Returns the answer, or `None` if the connection is to be closed.
    async fn run(self, action: Option<Action>) -> Option<Answer> {
        self.until_answering().await?;
        let before = match &action {
            None => Next::Continue,
            Some(Action::Fault(kind, cleared)) => self.before(*kind, cleared).await,
            Some(Action::Hold(hold)) => self.wait_at_gate(hold, Side::BeforeEffect).await,
        };
        if let Next::Stop(answer) = before {
            return answer;
        }
        let answer = self.forward().await?;
        let after = match &action {
            None => Next::Continue,
            Some(Action::Fault(kind, cleared)) => self.after(*kind, cleared).await,
            Some(Action::Hold(hold)) => self.wait_at_gate(hold, Side::AfterEffect).await,
        };
        self.until_answering().await?;
        match after {
            Next::Continue => Some(answer),
            Next::Stop(instead) => instead,
        }
    }

    async fn before(&self, kind: FaultKind, cleared: &CancellationToken) -> Next {
        match kind {
            FaultKind::Refused { code, retry_after } => return Next::Stop(Some(refusal(code, retry_after))),
            FaultKind::ClosedBeforeEffect => return Next::Stop(None),
            FaultKind::Delay { ms } => pause(ms, cleared).await,
            FaultKind::BlackHoleBeforeEffect => return self.wait_in_black_hole(cleared).await,
            _ => {}
        }
        Next::Continue
    }

    async fn after(&self, kind: FaultKind, cleared: &CancellationToken) -> Next {
        match kind {
            FaultKind::RefusedAfterEffect { code } => return Next::Stop(Some(refusal(code, None))),
            FaultKind::ClosedAfterEffect => return Next::Stop(None),
            FaultKind::LateAnswer { ms } => pause(ms, cleared).await,
            FaultKind::BlackHoleAfterEffect => return self.wait_in_black_hole(cleared).await,
            _ => {}
        }
        Next::Continue
    }

    async fn wait_at_gate(&self, hold: &Hold, side: Side) -> Next {
        if hold.side != side || hold.decided(&self.request).await {
            return Next::Continue;
        }
        self.gone.cancelled().await;
        Next::Stop(None)
    }

    /// Waits until the fault is cleared or the client has disconnected.
    async fn wait_in_black_hole(&self, cleared: &CancellationToken) -> Next {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Next::Stop(None),
            () = cleared.cancelled() => Next::Continue,
        }
    }

    /// Waits while the proxy answers nothing; a request whose client disconnects meanwhile ends.
    async fn until_answering(&self) -> Option<()> {
        let mut switches = self.shared.switches.subscribe();
        tokio::select! {
            biased;
            answering = switches.wait_for(|now| !now.answers_nothing) => answering.ok().map(|_| ()),
            () = self.gone.cancelled() => None,
        }
    }

    async fn forward(&self) -> Option<Answer> {
        let mut request = hyper::Request::new(Body::from(self.body.to_vec()));
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.path_and_query()?.as_str().parse().ok()?;
        *request.headers_mut() = self.parts.headers.clone();
        for header in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING] {
            request.headers_mut().remove(header);
        }
        let response = self.shared.upstream.send(request).await.ok()?;
        self.shared.update(self.request.number, |request| request.effect = Some(response.status().as_u16()));
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove(CONNECTION);
        let body = if self.request.verb == "watch" && parts.status.is_success() {
            self.watched(body)
        } else {
            whole(body.collect().await.ok()?.to_bytes())
        };
        Some(Answer::from_parts(parts, body))
    }

    fn watched(&self, body: Body) -> AnswerBody {
        let switches = self.shared.switches.subscribe();
        let (events, body_out) = self.shared.watches().begin(&self.request.resource, switches);
        let forwarding = events.run(body, self.shared.clone());
        tokio::spawn(self.shared.life.clone().run_until_cancelled_owned(forwarding));
        StreamBody::new(body_out).boxed()
    }
}
