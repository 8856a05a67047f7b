//! An object as the API server sends it, decoded once, without the metadata that the operator does not read.
//!
//! kube's `DeserializeGuard` decodes an object into a tree and the tree into the type, and so does every type with an
//! `ObjectMeta` for the managed fields of its metadata. They are most of a small object, and are dropped here unread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::{GROUP, Reason, VpcConnector, VpcConnectorSpec, VpcConnectorStatus};

/// An object, or the reason why it does not parse.
#[derive(Clone, Debug)]
pub(crate) struct Received(pub(crate) Result<Arc<VpcConnector>, Arc<Unparsable>>);

/// An object that does not parse.
#[derive(Clone, Debug)]
pub(crate) struct Unparsable {
    /// Its metadata.
    pub(crate) metadata: ObjectMeta,
    /// The reason.
    pub(crate) error: String,
}

/// The members of an object that the operator reads.
#[derive(Deserialize)]
struct Members {
    metadata: Metadata,
    spec: VpcConnectorSpec,
    status: Option<VpcConnectorStatus>,
}

/// An object whose other members may have any form.
#[derive(Deserialize)]
struct MetadataOnly {
    metadata: Metadata,
}

/// The metadata that the operator reads.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Received {
    /// The object, if it parses.
    pub(crate) fn object(&self) -> Option<&Arc<VpcConnector>> {
        self.0.as_ref().ok()
    }
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str::<Members>(text.get()) {
            Ok(members) => Ok(Self(Ok(Arc::new(members.into())))),
            Err(error) => {
                let MetadataOnly { metadata } = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
                Ok(Self(Err(Arc::new(Unparsable { metadata: metadata.into(), error: error.to_string() }))))
            }
        }
    }
}

impl From<Members> for VpcConnector {
    /// Keeps our annotations only, because other tools may write large values there. While a write is refused, all labels and
    /// annotations stay: the policy or webhook that refuses the write may depend on them, so a change of them must cause a
    /// new attempt.
    fn from(Members { mut metadata, spec, mut status }: Members) -> Self {
        if !status.as_ref().is_some_and(|status| status.says(Reason::WriteRefused)) {
            metadata.labels = None;
            if let Some(annotations) = &mut metadata.annotations {
                annotations.retain(|key, _| key.starts_with(GROUP));
            }
        }
        metadata.annotations.take_if(|annotations| annotations.is_empty());
        metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
        status.iter_mut().for_each(release_unused_memory);
        Self { metadata: metadata.into(), spec, status }
    }
}

/// Every list was decoded into room for four entries, and most have one.
fn release_unused_memory(status: &mut VpcConnectorStatus) {
    status.conditions.shrink_to_fit();
    status.subnets.shrink_to_fit();
    status.security_groups.shrink_to_fit();
    status.blocked_by.shrink_to_fit();
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deletion_timestamp: metadata.deletion_timestamp,
            finalizers: metadata.finalizers,
            labels: metadata.labels,
            annotations: metadata.annotations,
            ..Self::default()
        }
    }
}

impl Resource for Received {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        VpcConnector::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        VpcConnector::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        VpcConnector::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        VpcConnector::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => &object.metadata,
            Err(unparsable) => &unparsable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => &mut Arc::make_mut(object).metadata,
            Err(unparsable) => &mut Arc::make_mut(unparsable).metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn received(object: &Value) -> Received {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn object(reason: &str) -> Value {
        let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "m",
                           "lastTransitionTime": "2026-11-26T08:00:00Z"});
        json!({
            "apiVersion": "apprunner-operator.dev/v1alpha1",
            "kind": "VpcConnector",
            "metadata": {
                "name": "egress",
                "namespace": "shop",
                "uid": "u1",
                "resourceVersion": "7",
                "generation": 2,
                "creationTimestamp": "2026-11-26T08:00:00Z",
                "deletionTimestamp": "2026-11-26T09:00:00Z",
                "finalizers": ["apprunner-operator.dev/finalizer"],
                "labels": {"team": "shop"},
                "annotations": {"apprunner-operator.dev/paused": "true", "example.org/large": "…"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"arn": "arn:1", "deletionPolicy": "Retain"},
            "status": {"arn": "arn:1", "conditions": [ready]},
        })
    }

    #[test]
    fn every_member_that_the_operator_reads_is_kept_and_no_other() {
        let mut expected: VpcConnector = serde_json::from_value(object("Available")).unwrap();
        expected.metadata.creation_timestamp = None;
        expected.metadata.managed_fields = None;
        expected.metadata.labels = None;
        expected.metadata.annotations.as_mut().unwrap().remove("example.org/large");
        assert_eq!(*received(&object("Available")).object().unwrap().as_ref(), expected);
    }

    #[test]
    fn labels_and_annotations_are_kept_while_a_write_is_refused() {
        let received = received(&object("WriteRefused"));
        assert_eq!(received.meta().annotations.as_ref().unwrap().len(), 2);
        assert_eq!(received.meta().labels.as_ref().unwrap()["team"], "shop");
    }

    #[test]
    fn object_that_does_not_parse_has_its_metadata_and_the_reason() {
        let mut object = object("Available");
        object["spec"]["arn"] = json!({"not": "a string"});
        let received = received(&object);
        let error = received.0.as_ref().unwrap_err().error.clone();
        assert!(error.contains("expected a string"), "{error}");
        assert_eq!((received.meta().name.as_deref(), received.meta().uid.as_deref()), (Some("egress"), Some("u1")));
    }

    #[test]
    fn a_watch_event_and_a_list_are_decoded() {
        let event = format!(r#"{{"type":"ADDED","object":{}}}"#, object("Available"));
        let event: kube::core::WatchEvent<Received> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, kube::core::WatchEvent::Added(Received(Ok(_)))));
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [object("Available")]});
        let list: kube::core::ObjectList<Received> = serde_json::from_str(&list.to_string()).unwrap();
        assert!(list.items[0].object().is_some());
    }
}
