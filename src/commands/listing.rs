//! A paged listing of the objects, for the commands that only read.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};

use crate::api::VpcConnector;
use crate::cluster::{Error, within_deadline};

/// Objects per page. Pages bound the memory of the command, whose container may have a low limit.
const PAGE: u32 = 500;

/// Lists the objects of a namespace, or of all namespaces without one, and calls `visit` for each.
///
/// The objects are untyped, so that `visit` also receives an object that does not parse.
pub(super) async fn for_each_object(
    client: &Client,
    namespace: Option<&str>,
    mut visit: impl FnMut(&DynamicObject),
) -> Result<(), Error> {
    let kind = ApiResource::erase::<VpcConnector>(&());
    let (verb, api): (_, Api<DynamicObject>) = match namespace {
        Some(namespace) => ("list VpcConnector objects", Api::namespaced_with(client.clone(), namespace, &kind)),
        None => ("list VpcConnector objects of all namespaces", Api::all_with(client.clone(), &kind)),
    };
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = within_deadline(verb, api.list(&params)).await?;
        page.items.iter().for_each(&mut visit);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}
