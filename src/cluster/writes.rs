//! The three writes to an object, each with a test of its uid.
//!
//! A 422 has two causes: a test of the patch failed because the object changed, or a policy or the schema refuses the
//! write. So this module reads the object again: if all tests of the patch still hold for it, the write was refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::own_writes::{Latest, OwnWrites};
use super::received::Received;
use super::{Error, within_deadline};
use crate::api::{DEFAULT_DELETION_POLICY, DeletionPolicy, FINALIZER, Uid, VpcConnector, VpcConnectorStatus};
use crate::core::effect::Proof;
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{Refusal, WriteKind};
use crate::core::text;

/// Reads and writes `VpcConnector` objects.
pub(crate) struct VpcConnectorClient {
    client: Client,
    own: OwnWrites,
}

impl VpcConnectorClient {
    /// A client with an empty read-your-writes cache.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, own: OwnWrites::default() }
    }

    /// Returns the latest known version of an object that the watch shows.
    pub(crate) fn latest(&self, shown: Arc<VpcConnector>) -> Latest {
        self.own.latest(shown)
    }

    /// Notes a version that the watch shows.
    pub(crate) fn shown(&self, object: &Arc<VpcConnector>) {
        self.own.shown(object);
    }

    /// Stores that an object no longer exists. The watch may show its events again, and they must not be acted on.
    pub(crate) fn deleted(&self, uid: Uid) {
        self.own.store_released(uid);
    }

    /// Compares our version with an object in a list. Returns whether the API server was restored from a backup.
    pub(crate) fn reconcile_with_list(&self, object: &VpcConnector, list_started: Instant) -> bool {
        self.own.reconcile_with_list(object, list_started)
    }

    /// Adds our finalizer, and keeps those of other controllers.
    pub(crate) async fn add_finalizer(&self, object: &VpcConnector) -> Result<(), Error> {
        let read = object.metadata.finalizers.clone().filter(|list| !list.is_empty());
        let add = match read {
            None => add("/metadata/finalizers", json!([FINALIZER])),
            Some(_) => add("/metadata/finalizers/-", json!(FINALIZER)),
        };
        // Without this test the write would overwrite the first finalizer of another controller that was added since.
        let unchanged = test("/metadata/finalizers", json!(read));
        let patched = self.patch(WriteKind::AddFinalizer, object, vec![unchanged, add]).await?;
        let undone = patched.finalizer_index().is_none();
        self.own.store_version(patched);
        if undone { Err(undone_by_policy(WriteKind::AddFinalizer)) } else { Ok(()) }
    }

    /// Removes our finalizer, which releases the object. With the proof Retain, the policy must still be Retain.
    pub(crate) async fn remove_finalizer(&self, object: &VpcConnector, proof: &Proof) -> Result<(), Error> {
        let Some(index) = object.finalizer_index() else { return Ok(()) };
        let entry = format!("/metadata/finalizers/{index}");
        let retained = *proof == Proof::Retained;
        let policy = retained.then(|| same_policy(object));
        let operations = policy.into_iter().chain([test(&entry, json!(FINALIZER)), remove(&entry)]).collect();
        let patched = self.patch(WriteKind::RemoveFinalizer, object, operations).await?;
        if patched.finalizer_index().is_none() {
            self.own.store_released(object.id());
            return Ok(());
        }
        // A user may have added our finalizer twice by hand; then the object has one less now.
        let undone = finalizer_count(&patched) >= finalizer_count(object);
        self.own.store_version(patched);
        if undone { Err(undone_by_policy(WriteKind::RemoveFinalizer)) } else { Ok(()) }
    }

    /// Writes the whole status, unless App Runner's status of the connector in it has changed since it was read: another
    /// operator may have recorded a receipt, or the watch may not show ours, and AWS forgets a deleted connector.
    pub(crate) async fn write_status(&self, object: &VpcConnector, status: &VpcConnectorStatus) -> Result<(), Error> {
        let policy = same_policy_recorded(object);
        let tests = [same_connector_status(object)].into_iter().chain(policy);
        let patch = tests.chain([add("/status", json!(status))]).collect();
        let written = self.patch(WriteKind::WriteStatus, object, patch).await?;
        self.own.store_version(written);
        Ok(())
    }

    /// Reads an object again after a failed write, because the object may have changed.
    async fn refetch(&self, object: &VpcConnector) -> Result<Arc<VpcConnector>, Error> {
        let api = self.api(&object.namespace().unwrap_or_default());
        let found = readable("get", within_deadline("get", api.get(&object.name_any())).await?)?;
        if found.id() != object.id() {
            return Err(Error::Gone);
        }
        self.own.store_version(found.clone());
        Ok(found)
    }

    /// Reads the other object that an owner tag names, and returns whether it still names this connector.
    pub(crate) async fn get_other_object(
        &self,
        namespace: &str,
        name: &str,
        arn: &str,
    ) -> Result<OtherObjectState, Error> {
        let found = within_deadline("get", self.api(namespace).get(name)).await;
        match found.and_then(|found| readable("get", found)) {
            Ok(found) if found.spec.arn == arn => Ok(OtherObjectState::Claims),
            Ok(_) | Err(Error::Gone) => Ok(OtherObjectState::Released),
            Err(Error::Refused { code: 403, .. }) => Ok(OtherObjectState::Unreadable),
            Err(error) => Err(error),
        }
    }

    /// Reads the default of the deletion policy that a namespace sets, or why it is not known.
    pub(crate) async fn get_default_policy(
        &self,
        namespace: &str,
    ) -> Result<Result<Option<DeletionPolicy>, String>, Error> {
        let api = Api::<Namespace>::all(self.client.clone());
        match within_deadline("get namespace", api.get_metadata(namespace)).await {
            Ok(found) => Ok(default_policy(found.annotations(), namespace)),
            Err(Error::Refused { code: 403, message, .. }) => Ok(Err(format!(
                "reading namespace {namespace}: {message}. Set it, or allow the operator to get namespaces"
            ))),
            Err(error) => Err(error),
        }
    }

    async fn patch(
        &self,
        write: WriteKind,
        object: &VpcConnector,
        operations: Vec<PatchOperation>,
    ) -> Result<Arc<VpcConnector>, Error> {
        let api = self.api(&object.namespace().unwrap_or_default());
        let name = object.name_any();
        let patch = with_uid_test(object, operations);
        let params = PatchParams::default();
        let call = async {
            match write {
                WriteKind::WriteStatus => api.patch_status(&name, &params, &patch).await,
                WriteKind::AddFinalizer | WriteKind::RemoveFinalizer => api.patch(&name, &params, &patch).await,
            }
        };
        match within_deadline(write.in_words(), call).await {
            Err(Error::Changed(message)) => {
                self.refetch(object).await?;
                Err(Error::Changed(message))
            }
            Err(Error::Refused { code, message, .. }) => {
                if code == 422 && !still_fits(&patch, self.refetch(object).await?.as_ref(), object) {
                    return Err(Error::Changed(message));
                }
                Err(Error::WriteRefused(Refusal::new(write, code, &message)))
            }
            other => other.and_then(|written| readable(write.in_words(), written)),
        }
    }

    fn api(&self, namespace: &str) -> Api<Received> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// The default of the deletion policy in the annotations of a namespace.
fn default_policy(annotations: &BTreeMap<String, String>, namespace: &str) -> Result<Option<DeletionPolicy>, String> {
    let Some(word) = annotations.get(DEFAULT_DELETION_POLICY) else { return Ok(None) };
    DeletionPolicy::from_str(word, true).map(Some).map_err(|_| {
        let word = text::excerpt(word);
        format!("namespace {namespace} has the annotation {DEFAULT_DELETION_POLICY}: '{word}', and it may be Delete or Retain")
    })
}

fn finalizer_count(object: &VpcConnector) -> usize {
    object.metadata.finalizers.iter().flatten().filter(|finalizer| *finalizer == FINALIZER).count()
}

/// The refusal of a write that the API server answered with 200 and an object without the change.
fn undone_by_policy(write: WriteKind) -> Error {
    let message = "it was accepted and undone at once, as by a mutating admission policy or webhook";
    Error::WriteRefused(Refusal::new(write, 200, message))
}

/// The object of an answer; one that does not parse is as good as none.
fn readable(verb: &'static str, received: Received) -> Result<Arc<VpcConnector>, Error> {
    received.0.map_err(|unparsable| Error::NoAnswer { verb, message: unparsable.error.clone() })
}

/// Adds a test of the uid: the object of this name may have been replaced since the decision.
fn with_uid_test(object: &VpcConnector, mut operations: Vec<PatchOperation>) -> Patch<()> {
    operations.insert(0, test("/metadata/uid", json!(object.uid())));
    Patch::Json(JsonPatch(operations))
}

/// Returns whether all tests of a patch that was made from one version of an object hold for another version.
fn still_fits(patch: &Patch<()>, found: &VpcConnector, made_from: &VpcConnector) -> bool {
    let Patch::Json(patch) = patch else { return true };
    let mut document = json!(found);
    // The API server takes a missing list or word for null.
    document["metadata"]["finalizers"] = json!(found.metadata.finalizers);
    match &found.status {
        Some(status) => {
            document["status"]["status"] = json!(status.status);
            document["status"]["deletionPolicy"] = json!(status.deletion_policy);
        }
        None => document["status"] = Value::Null,
    }
    found.deleting() == made_from.deleting() && json_patch::patch(&mut document, patch).is_ok()
}

/// The test that the status still has the default policy that was read, or still has none: an operator with another default
/// may have recorded it, and a recorded default never changes.
fn same_policy_recorded(object: &VpcConnector) -> Option<PatchOperation> {
    let status = object.status.as_ref().filter(|_| object.spec.deletion_policy.is_none())?;
    Some(test("/status/deletionPolicy", json!(status.deletion_policy)))
}

/// The test that the deletion policy is the one that was read. An absent one cannot be tested for, but a policy that is set
/// since then is another generation of the object.
fn same_policy(object: &VpcConnector) -> PatchOperation {
    match &object.spec.deletion_policy {
        Some(policy) => test("/spec/deletionPolicy", json!(policy)),
        None => test("/metadata/generation", json!(object.metadata.generation)),
    }
}

/// The test that the status still has the connector's status that was read, or still is absent.
fn same_connector_status(object: &VpcConnector) -> PatchOperation {
    match &object.status {
        Some(status) => test("/status/status", json!(status.status)),
        None => test("/status", Value::Null),
    }
}

fn test(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: pointer(path), value })
}

fn add(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}

fn remove(path: &str) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(path) })
}

fn pointer(path: &str) -> PointerBuf {
    PointerBuf::from_tokens(path.split('/').skip(1))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn object(finalizers: &[&str]) -> VpcConnector {
        let mut object = VpcConnector::default();
        object.metadata.uid = Some("u1".into());
        object.metadata.resource_version = Some("7".into());
        let finalizers: Vec<_> = finalizers.iter().map(|&finalizer| finalizer.to_owned()).collect();
        object.metadata.finalizers = (!finalizers.is_empty()).then_some(finalizers);
        object
    }

    fn deleted(mut object: VpcConnector) -> VpcConnector {
        object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        object
    }

    #[test]
    fn patch_fits_only_the_version_that_it_was_made_from() {
        let new = object(&[]);
        let list = json!(new.metadata.finalizers);
        let first = with_uid_test(
            &new,
            vec![test("/metadata/finalizers", list), add("/metadata/finalizers", json!([FINALIZER]))],
        );
        assert!(still_fits(&first, &new, &new));
        assert!(!still_fits(&first, &object(&["other"]), &new), "another controller was first");
        assert!(!still_fits(&first, &deleted(new.clone()), &new), "an object that is being deleted takes no finalizer");

        let deleting = deleted(object(&["other", FINALIZER]));
        let removal = vec![test("/metadata/finalizers/1", json!(FINALIZER)), remove("/metadata/finalizers/1")];
        let removal = with_uid_test(&deleting, removal);
        assert!(still_fits(&removal, &deleting, &deleting));
        assert!(
            !still_fits(&removal, &deleted(object(&[FINALIZER])), &deleting),
            "the finalizer has another index now"
        );
    }

    #[test]
    fn status_is_written_after_other_changes_but_not_over_a_receipt() {
        let with_status = |word: Option<&str>| {
            let status = VpcConnectorStatus { status: word.map(Into::into), ..VpcConnectorStatus::default() };
            let mut object = object(&[]);
            object.status = Some(status);
            object
        };
        for read in [object(&[]), with_status(None), with_status(Some("ACTIVE"))] {
            let status = with_uid_test(&read, vec![same_connector_status(&read), add("/status", json!({}))]);
            let mut newer = read.clone();
            newer.metadata.resource_version = Some("8".into());
            assert!(still_fits(&status, &newer, &read), "other changes since it was read do not matter");
            assert!(!still_fits(&status, &with_status(Some("INACTIVE")), &read), "it would replace a receipt");
        }
    }
}
