//! Reads the cluster: its id in owner tags, and its `VpcConnector` objects.
//!
//! An API server may refuse a single request because it is busy; a report may take its time, so the request is repeated.

use std::time::{Duration, Instant};

use kube::api::DynamicObject;
use kube::{Client, ResourceExt};

use crate::cli::AccessArgs;
use crate::cluster::Error;
use crate::cluster::client::{self, StartError};
use crate::commands::listing::for_each_object;
use crate::core::intervals::Backoff;
use crate::core::ownership::ClusterId;

/// A request that failed this often in a row is not repeated.
const MAX_TRIES: u32 = 4;
/// After this time no request is repeated.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
const AGAIN: Backoff = Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(4) };

/// The objects of a cluster, and its id.
#[derive(Clone, Debug)]
pub(super) struct ClusterState {
    /// The id; an operator may have another one, set by a flag.
    pub(super) id: Result<ClusterId, String>,
    pub(super) objects: Result<Vec<Object>, String>,
}

/// A `VpcConnector` object, as far as a report needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) name: String,
    /// `spec.arn`: the connector that the object names.
    pub(super) arn: Option<String>,
    /// `status.arn`: the connector that the object has claimed.
    pub(super) claimed: Option<String>,
    /// The reason of its Ready condition.
    pub(super) reason: Option<String>,
    pub(super) deletion_policy: Option<String>,
    pub(super) deleting: bool,
}

impl ClusterState {
    pub(super) fn unreadable(why: &str) -> Self {
        Self { id: Err(why.to_owned()), objects: Err(why.to_owned()) }
    }
}

/// Reads the cluster; each part says why it could not be read.
pub(super) async fn read(access: &AccessArgs, cluster_id: Option<&ClusterId>) -> ClusterState {
    let client = match client::connect_in_time(access).await {
        Ok(client) => client,
        Err(error) => {
            let unreadable = ClusterState::unreadable(&error.to_string());
            return ClusterState { id: cluster_id.cloned().ok_or(error.to_string()), ..unreadable };
        }
    };
    let id = match cluster_id {
        Some(id) => Ok(id.clone()),
        None => again(async || client::cluster_id(&client).await, may_pass).await,
    };
    let objects = again(async || list(&client).await, is_no_answer).await;
    ClusterState { id: id.map_err(|error| error.to_string()), objects: objects.map_err(|error| text(&error)) }
}

/// Makes a request, and repeats it while its failure may pass.
async fn again<T, E>(request: impl AsyncFn() -> Result<T, E>, may_pass: impl Fn(&E) -> bool) -> Result<T, E> {
    let started = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        match request().await {
            Err(error) if tries < MAX_TRIES && started.elapsed() < GIVE_UP_AFTER && may_pass(&error) => {
                tokio::time::sleep(AGAIN.jittered(tries, rand::random())).await;
            }
            result => return result,
        }
    }
}

fn is_no_answer(error: &Error) -> bool {
    matches!(error, Error::NoAnswer { .. })
}

fn may_pass(error: &StartError) -> bool {
    matches!(error, StartError::NoClusterId(error) if is_no_answer(error))
}

async fn list(client: &Client) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for_each_object(client, None, |listed| objects.push(object(listed))).await?;
    Ok(objects)
}

fn text(error: &Error) -> String {
    match error {
        Error::Gone | Error::NotServed { .. } => {
            "it does not know VpcConnector objects: the CustomResourceDefinition is missing".to_owned()
        }
        other => other.to_string(),
    }
}

fn object(listed: &DynamicObject) -> Object {
    let text = |pointer: &str| listed.data.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    let conditions = listed.data.pointer("/status/conditions").and_then(|conditions| conditions.as_array());
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    Object {
        namespace: listed.namespace().unwrap_or_default(),
        name: listed.name_any(),
        arn: text("/spec/arn"),
        claimed: text("/status/arn"),
        reason: ready.and_then(|ready| ready["reason"].as_str()).map(str::to_owned),
        deletion_policy: text("/spec/deletionPolicy").or_else(|| text("/status/deletionPolicy")),
        deleting: listed.metadata.deletion_timestamp.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_does_not_parse_is_listed() {
        let listed = serde_json::json!({
            "metadata": {"name": "egress", "namespace": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"arn": "arn:1", "deletionPolicy": {"unknown": "policy"}},
            "status": {"arn": 7, "conditions": "none"},
        });
        let expected = Object {
            namespace: "shop".into(),
            name: "egress".into(),
            arn: Some("arn:1".into()),
            deleting: true,
            ..Object::default()
        };
        assert_eq!(object(&serde_json::from_value(listed).unwrap()), expected);
    }

    #[tokio::test]
    async fn a_request_that_a_busy_server_refuses_is_repeated_and_another_refusal_is_not() {
        let requests = std::sync::atomic::AtomicU32::new(0);
        let number = || requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let busy = async || match number() {
            0 => Err(Error::NoAnswer { verb: "list", message: "too many requests".into() }),
            number => Ok(number),
        };
        assert_eq!(again(busy, is_no_answer).await.unwrap(), 1);
        let forbidden = async || {
            number();
            Err::<(), _>(Error::Refused { verb: "list", code: 403, message: String::new() })
        };
        assert!(again(forbidden, is_no_answer).await.is_err());
        assert_eq!(number(), 3);
    }

    #[test]
    fn the_reason_of_the_ready_condition_is_read() {
        let listed = serde_json::json!({
            "metadata": {"name": "egress", "namespace": "shop"},
            "spec": {"arn": "arn:1", "deletionPolicy": "Retain"},
            "status": {"conditions": [{"type": "Paused", "reason": "Paused"}, {"type": "Ready", "reason": "InUse"}]},
        });
        let read = object(&serde_json::from_value(listed).unwrap());
        assert_eq!((read.reason.as_deref(), read.deletion_policy.as_deref()), (Some("InUse"), Some("Retain")));
    }

    #[test]
    fn the_policy_of_an_object_without_one_is_the_recorded_default() {
        let listed = serde_json::json!({
            "metadata": {"name": "egress", "namespace": "shop"},
            "spec": {"arn": "arn:1"},
            "status": {"deletionPolicy": "Retain"},
        });
        assert_eq!(object(&serde_json::from_value(listed).unwrap()).deletion_policy.as_deref(), Some("Retain"));
    }
}
