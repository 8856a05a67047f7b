//! Changes of objects by users. A change may meet an object that is gone, exists already or has changed since.

use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, VpcConnectorSpec};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::run::{Run, name};
use crate::steps::{Change, Target, Wipe};
use crate::support::{ACCOUNT, REGION};

impl Run {
    pub async fn change_object(&mut self, number: usize, change: Change) {
        let name = name(number);
        match change {
            Change::Create { target, retain } => self.create(&name, target, retain).await,
            Change::Delete => ignore(self.objects.delete(&name, &DeleteParams::default()).await),
            Change::SetPolicy { retain } => {
                let policy = if retain { "Retain" } else { "Delete" };
                self.merge(&name, json!({"spec": {"deletionPolicy": policy}})).await;
            }
            Change::Pause(on) => self.annotate(&name, api::PAUSED, on.then_some("true")).await,
            Change::Protect(on) => self.annotate(&name, api::PROTECTED, on.then_some("true")).await,
            Change::Request => {
                self.acts.nudges += 1;
                let value = self.acts.nudges.to_string();
                self.annotate(&name, api::RECONCILE_REQUESTED_AT, Some(&value)).await;
            }
            Change::EditStatus(wipe) => self.edit_status(&name, wipe).await,
            Change::RemoveFinalizer => self.remove_finalizer(&name).await,
        }
    }

    async fn create(&mut self, name: &str, target: Target, retain: bool) {
        let arn = match target {
            Target::Connector(number) => self.connector(number),
            Target::Missing(number) => {
                format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/missing/1/{number:032}")
            }
            Target::OtherAccount(number) => self.connector_of_other_account(number),
        };
        let deletion_policy = if retain { DeletionPolicy::Retain } else { DeletionPolicy::Delete };
        let object = VpcConnector::new(name, VpcConnectorSpec { arn, deletion_policy: Some(deletion_policy) });
        ignore(self.objects.create(&PostParams::default(), &object).await);
    }

    async fn annotate(&self, name: &str, key: &str, value: Option<&str>) {
        self.merge(name, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    async fn merge(&self, name: &str, patch: Value) {
        ignore(self.objects.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await);
    }

    async fn edit_status(&mut self, name: &str, wipe: Wipe) {
        let patch = match wipe {
            Wipe::Everything => json!([{"op": "replace", "path": "/status", "value": {}}]),
            Wipe::Conditions => json!([{"op": "remove", "path": "/status/conditions"}]),
            Wipe::Claim => json!([{"op": "remove", "path": "/status/arn"}]),
            Wipe::ClaimOf(number) => {
                json!([{"op": "add", "path": "/status/arn", "value": self.connector(number)}])
            }
        };
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let edited = self.objects.patch_status(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await;
        if let Ok(edited) = &edited {
            self.acts.statuses_edited.extend(edited.resource_version());
        }
        ignore(edited);
    }

    async fn remove_finalizer(&mut self, name: &str) {
        let Ok(Some(found)) = self.objects.get_opt(name).await else { return };
        let uid = found.uid().unwrap();
        self.acts.finalizers_removed.insert(uid.clone());
        // With the uid the patch fails if another object has the name by now.
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "finalizers": null}}));
        let removed = self.objects.patch(name, &PatchParams::default(), &patch).await;
        if removed.as_ref().is_ok_and(|object| object.metadata.deletion_timestamp.is_some()) {
            self.acts.released_by_hand.insert(uid);
        }
        ignore(removed);
    }
}

fn ignore<T>(result: kube::Result<T>) {
    match result {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
        Err(error) => panic!("the API server refuses a step: {error}"),
    }
}
