//! Waits for the state of objects.

use std::collections::HashSet;

use apprunner_operator::api::{Reason, VpcConnector};
use futures::TryStreamExt;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};

use crate::{PATIENCE, Result};

/// Waits until one object is in a state.
pub(crate) async fn reached(api: &Api<VpcConnector>, name: &str, is: impl Fn(Option<&VpcConnector>) -> bool) -> Result {
    match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, is)).await {
        Ok(reached) => Ok(reached.map(|_| ())?),
        Err(_) => Err(format!("{name} is not where it should be after {PATIENCE:?}").into()),
    }
}

/// Waits until this number of objects is Available.
pub(crate) async fn all_available(api: Api<VpcConnector>, objects: usize) -> Result {
    let watching = async {
        let (mut claimed, mut events) =
            (HashSet::new(), std::pin::pin!(watcher::watcher(api, watcher::Config::default())));
        while claimed.len() < objects {
            match events.try_next().await? {
                Some(Event::Apply(object) | Event::InitApply(object)) if available(Some(&object)) => {
                    claimed.insert(object.name_any());
                }
                Some(_) => {}
                None => return Err("the watch ended".into()),
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, watching).await.map_err(|_| "not all objects are Available")?
}

pub(crate) fn available(object: Option<&VpcConnector>) -> bool {
    object.and_then(|object| object.status.as_ref()).is_some_and(|status| status.says(Reason::Available))
}
