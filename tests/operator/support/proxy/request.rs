//! A request's verb and target, parsed from method, path and query as the API server parses them.

use std::sync::Arc;
use std::time::Instant;

use hyper::http::Method;
use hyper::http::request::Parts;
use serde_json::Value;

/// One request, as the proxy received it, with its result so far.
#[derive(Clone, Debug)]
pub struct Request {
    /// Position in the order of arrival, from 0.
    pub number: usize,
    /// The verb as RBAC and the audit log name it: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The request's body; null if it is empty or no JSON.
    pub body: Value,
    pub at: Instant,
    /// HTTP status by which the API server answered the proxy.
    pub effect: Option<u16>,
    /// HTTP status by which the proxy answered the client.
    pub status: Option<u16>,
    /// The fault or gate that the request got.
    pub fault: Option<String>,
    /// True if the client disconnected before it had an answer.
    pub abandoned: bool,
}

impl Request {
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Self {
        let place = ParsedPath::read(parts.uri.path());
        let watch = parts.uri.query().unwrap_or_default().split('&').any(|p| matches!(p, "watch=true" | "watch=1"));
        Self {
            number: 0,
            verb: verb(&parts.method, watch, &place.name).to_owned(),
            resource: place.resource,
            subresource: place.subresource,
            namespace: place.namespace,
            name: place.name,
            body: serde_json::from_slice(body).unwrap_or_default(),
            at: Instant::now(),
            effect: None,
            status: None,
            fault: None,
            abandoned: false,
        }
    }
}

fn verb(method: &Method, watch: bool, name: &str) -> &'static str {
    match (method.as_str(), name.is_empty()) {
        ("GET", _) if watch => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "other",
    }
}

#[derive(Default)]
struct ParsedPath {
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
}

impl ParsedPath {
    fn read(path: &str) -> Self {
        let words: Vec<_> = path.split('/').skip(1).collect();
        let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = words.as_slice() else { return Self::default() };
        // The path of a namespace looks like the path of an object in it, except for these two subresources.
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => (*namespace, rest),
            rest => ("", rest),
        };
        let word = |at: usize| (*rest.get(at).unwrap_or(&"")).to_owned();
        Self { namespace: namespace.to_owned(), resource: word(0), name: word(1), subresource: word(2) }
    }
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Selects requests; every request until it is narrowed.
#[derive(Clone, Default)]
pub struct Calls {
    conditions: Vec<Condition>,
}

impl Calls {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this verb.
    pub fn verb(verb: &'static str) -> Self {
        Self::any().when(move |request| request.verb == verb)
    }

    /// Patches of a connector's status.
    pub fn status_patch() -> Self {
        Self::verb("patch").resource("vpcconnectors").subresource("status")
    }

    /// Patches that add a finalizer.
    pub fn finalizer_added() -> Self {
        Self::verb("patch").resource("vpcconnectors").subresource("").when(|request| has_operation(request, "add"))
    }

    /// Patches that remove a finalizer.
    pub fn finalizer_removed() -> Self {
        Self::verb("patch").resource("vpcconnectors").subresource("").when(|request| has_operation(request, "remove"))
    }

    pub fn resource(self, resource: &'static str) -> Self {
        self.when(move |request| request.resource == resource)
    }

    /// Narrows the selection to a subresource; the empty one is the object itself.
    pub fn subresource(self, subresource: &'static str) -> Self {
        self.when(move |request| request.subresource == subresource)
    }

    pub fn name(self, name: &str) -> Self {
        let name = name.to_owned();
        self.when(move |request| request.name == name)
    }

    /// Narrows the selection by any condition.
    pub fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    pub fn matches(&self, request: &Request) -> bool {
        self.conditions.iter().all(|condition| condition(request))
    }
}

fn has_operation(request: &Request, operation: &str) -> bool {
    let operations = request.body.as_array().into_iter().flatten();
    operations.into_iter().any(|step| {
        step["op"] == operation && step["path"].as_str().is_some_and(|p| p.starts_with("/metadata/finalizers"))
    })
}

#[test]
fn request_paths_are_parsed_as_the_api_server_does() {
    let read = |path: &str| {
        let place = ParsedPath::read(path);
        [place.namespace, place.resource, place.name, place.subresource].join(",")
    };
    assert_eq!(read("/apis/g.dev/v1/namespaces/a/vpcconnectors/b/status"), "a,vpcconnectors,b,status");
    assert_eq!(read("/apis/g.dev/v1/vpcconnectors"), ",vpcconnectors,,");
    assert_eq!(read("/api/v1/namespaces/kube-system"), ",namespaces,kube-system,");
    assert_eq!(read("/api/v1/namespaces/a/finalize"), ",namespaces,a,finalize");
    assert_eq!(read("/api/v1/namespaces/a/pods"), "a,pods,,");
    assert_eq!(read("/version"), ",,,");
}
