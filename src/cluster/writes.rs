//! The three writes to an object, each guarded by its uid.
//!
//! A 422 says too little: a test of the patch may have failed because the object changed, or a policy or the schema may
//! refuse the write. Which one, the object itself tells: where all that the patch tested still holds, it was refused.

use std::sync::Arc;
use std::time::Instant;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, RemoveOperation, TestOperation};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::own_writes::{Newest, OwnWrites};
use super::{Error, within_deadline};
use crate::api::{FINALIZER, GROUP, Reason, VpcConnector, VpcConnectorStatus};
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{Refusal, Write};

/// The API server, as far as it knows `VpcConnector` objects.
pub struct Objects {
    client: Client,
    own: OwnWrites,
}

impl Objects {
    /// Makes the place objects are written through.
    pub fn new(client: Client) -> Self {
        Self { client, own: OwnWrites::default() }
    }

    /// The newest known version of an object that the watch shows.
    pub fn newest(&self, shown: Arc<VpcConnector>) -> Newest {
        self.own.newest(shown)
    }

    /// Takes note of an object whose DELETED event came.
    pub fn gone(&self, uid: &str) {
        self.own.gone(Some(uid.to_owned()).into());
    }

    /// Takes note of an object in a list that began then; says whether the API server came back from a backup.
    pub fn reconcile_with_list(&self, object: &VpcConnector, list_started: Instant) -> bool {
        self.own.reconcile_with_list(object, list_started)
    }

    /// Puts our finalizer on, and leaves everybody else's.
    pub async fn add_finalizer(&self, object: &VpcConnector) -> Result<(), Error> {
        let read = object.metadata.finalizers.clone().filter(|list| !list.is_empty());
        let add = match read {
            None => add("/metadata/finalizers", json!([FINALIZER])),
            Some(_) => add("/metadata/finalizers/-", json!(FINALIZER)),
        };
        // Without this test the first finalizer of another controller, put on since, would be overwritten.
        let unchanged = test("/metadata/finalizers", json!(read));
        let patched = self.patch(Write::AddFinalizer, object, vec![unchanged, add]).await?;
        let undone = patched.finalizer_index().is_none();
        self.own.wrote(trimmed(patched));
        if undone { Err(undone_by_policy(Write::AddFinalizer)) } else { Ok(()) }
    }

    /// Takes our finalizer off, and with it lets the object go.
    pub async fn remove_finalizer(&self, object: &VpcConnector) -> Result<(), Error> {
        let Some(index) = object.finalizer_index() else { return Ok(()) };
        let place = format!("/metadata/finalizers/{index}");
        let patch = vec![test(&place, json!(FINALIZER)), remove(&place)];
        let left = self.patch(Write::RemoveFinalizer, object, patch).await?;
        if left.finalizer_index().is_none() {
            self.own.released(object.id());
            return Ok(());
        }
        // Somebody may have put it on twice by hand; then there is one less now.
        let undone = times_on(&left) >= times_on(object);
        self.own.wrote(trimmed(left));
        if undone { Err(undone_by_policy(Write::RemoveFinalizer)) } else { Ok(()) }
    }

    /// Writes the whole status; this operator is its only writer.
    pub async fn write_status(&self, object: &VpcConnector, status: &VpcConnectorStatus) -> Result<(), Error> {
        self.patch_status(object, vec![add("/status", json!(status))]).await
    }

    /// Writes the whole status unless the object has changed since it was read.
    pub async fn write_status_of_version(
        &self,
        object: &VpcConnector,
        status: &VpcConnectorStatus,
    ) -> Result<(), Error> {
        let version = test("/metadata/resourceVersion", json!(object.resource_version()));
        self.patch_status(object, vec![version, add("/status", json!(status))]).await
    }

    async fn patch_status(&self, object: &VpcConnector, patch: Vec<PatchOperation>) -> Result<(), Error> {
        let written = self.patch(Write::WriteStatus, object, patch).await?;
        self.own.wrote(trimmed(written));
        Ok(())
    }

    /// Reads an object anew after a write failed that may have found it changed.
    async fn refetch(&self, object: &VpcConnector) -> Result<VpcConnector, Error> {
        let api = self.api(&object.namespace().unwrap_or_default());
        let found = trimmed(within_deadline("get", api.get(&object.name_any())).await?);
        if found.id() != object.id() {
            return Err(Error::Gone);
        }
        self.own.wrote(found.clone());
        Ok(found)
    }

    /// Looks at the object that an owner tag names: does it still name this connector?
    pub async fn get_other_object(&self, namespace: &str, name: &str, arn: &str) -> Result<OtherObjectState, Error> {
        match within_deadline("get", self.api(namespace).get(name)).await {
            Ok(found) if found.spec.arn == arn => Ok(OtherObjectState::Claims),
            Ok(_) | Err(Error::Gone) => Ok(OtherObjectState::Released),
            Err(Error::Refused { code: 403, .. }) => Ok(OtherObjectState::Unreadable),
            Err(error) => Err(error),
        }
    }

    async fn patch(
        &self,
        write: Write,
        object: &VpcConnector,
        operations: Vec<PatchOperation>,
    ) -> Result<VpcConnector, Error> {
        let api = self.api(&object.namespace().unwrap_or_default());
        let name = object.name_any();
        let operations = guarded(object, operations);
        let patch = Patch::Json::<()>(operations.clone());
        let params = PatchParams::default();
        let call = async {
            match write {
                Write::WriteStatus => api.patch_status(&name, &params, &patch).await,
                Write::AddFinalizer | Write::RemoveFinalizer => api.patch(&name, &params, &patch).await,
            }
        };
        match within_deadline(write.in_words(), call).await {
            Err(Error::Changed(message)) => {
                self.refetch(object).await?;
                Err(Error::Changed(message))
            }
            Err(Error::Refused { code, message, .. }) => {
                if code == 422 && !still_fits(&operations, &self.refetch(object).await?, object) {
                    return Err(Error::Changed(message));
                }
                Err(Error::WriteRefused(Refusal { write, code, message }))
            }
            other => other,
        }
    }

    fn api(&self, namespace: &str) -> Api<VpcConnector> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn times_on(object: &VpcConnector) -> usize {
    object.metadata.finalizers.iter().flatten().filter(|finalizer| *finalizer == FINALIZER).count()
}

/// A write that the API server answered with 200 and an object without it.
fn undone_by_policy(write: Write) -> Error {
    let message = "it was accepted and undone at once, as by a mutating admission policy or webhook".to_owned();
    Error::WriteRefused(Refusal { write, code: 200, message })
}

/// Keeps of an object what is acted on: what other tools write into its metadata may be large.
///
/// While a write is refused, that is all of its labels and annotations, which whoever refuses it may go by.
pub(crate) fn trimmed(mut object: VpcConnector) -> VpcConnector {
    object.metadata.managed_fields = None;
    if object.status.as_ref().is_some_and(|status| status.says(Reason::WriteRefused)) {
        return object;
    }
    object.metadata.labels = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.retain(|key, _| key.starts_with(GROUP));
    }
    object
}

/// A name is not an object: nothing is written unless the uid is still the one that was decided on.
fn guarded(object: &VpcConnector, mut operations: Vec<PatchOperation>) -> JsonPatch {
    operations.insert(0, test("/metadata/uid", json!(object.uid())));
    JsonPatch(operations)
}

/// Whether a patch that was made from one version of an object fits another: so far as the object goes, it could have
/// been applied.
fn still_fits(patch: &JsonPatch, found: &VpcConnector, made_from: &VpcConnector) -> bool {
    let mut document = json!(found);
    // To the API server a list that is not there equals null.
    document["metadata"]["finalizers"] = json!(found.metadata.finalizers);
    found.deleting() == made_from.deleting() && json_patch::patch(&mut document, patch).is_ok()
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
    fn a_patch_fits_only_what_it_was_made_from() {
        let new = object(&[]);
        let list = json!(new.metadata.finalizers);
        let first =
            guarded(&new, vec![test("/metadata/finalizers", list), add("/metadata/finalizers", json!([FINALIZER]))]);
        assert!(still_fits(&first, &new, &new));
        assert!(!still_fits(&first, &object(&["other"]), &new), "somebody else was first");
        assert!(!still_fits(&first, &deleted(new.clone()), &new), "what is being deleted takes no finalizer");

        let held = deleted(object(&["other", FINALIZER]));
        let off = vec![test("/metadata/finalizers/1", json!(FINALIZER)), remove("/metadata/finalizers/1")];
        let off = guarded(&held, off);
        assert!(still_fits(&off, &held, &held));
        assert!(!still_fits(&off, &deleted(object(&[FINALIZER])), &held), "it stands elsewhere now");

        let version = vec![test("/metadata/resourceVersion", json!("7")), add("/status", json!({}))];
        let version = guarded(&new, version);
        assert!(still_fits(&version, &new, &new));
        let mut newer = new.clone();
        newer.metadata.resource_version = Some("8".into());
        assert!(!still_fits(&version, &newer, &new));
        let status = guarded(&new, vec![add("/status", json!({}))]);
        assert!(still_fits(&status, &newer, &new), "a status is written whatever else changed");
    }
}
