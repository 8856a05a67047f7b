//! Number of requests and calls, counted in the API server's audit log and the emulator's call log.

use std::collections::BTreeMap;

use apprunner_emulator::Operation;
use futures::future::join_all;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::support::cluster::requests_of;
use crate::support::operator::Operator;
use crate::support::{World, eventually};

const OBJECTS: usize = 200;

/// Requests of one user about our objects, by verb and subresource.
fn asked(operator: &Operator) -> BTreeMap<(String, String), usize> {
    let mut counted = BTreeMap::new();
    for request in requests_of(&operator.user).into_iter().filter(|r| r.resource == "vpcconnectors") {
        // Lists and watches have no name; a read of a single object has one.
        let verb = if request.name.is_empty() { format!("{} all", request.verb) } else { request.verb };
        *counted.entry((verb, request.subresource)).or_default() += 1;
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_deletions_cost_two_calls_one_status_and_one_finalizer_each() {
    let world = World::new().await;
    // No resync takes place during the test, even on a slow machine.
    let operator = world.operator_with(&["--resync=24h"]);
    let arns: Vec<String> = (0..OBJECTS).map(|n| world.connector(&format!("conn-{n}"))).collect();
    let create = async |(n, arn): (usize, &String)| world.create(&format!("egress-{n}"), arn).await;
    join_all(arns.iter().enumerate().map(create)).await;
    let ready = eventually(async || (world.available().await == OBJECTS).then_some(()));
    assert!(ready.await.is_some(), "not all were claimed");
    let before = asked(&operator);
    world.emulator.clear_calls();

    world.delete_all().await;
    let gone =
        eventually(async || world.api.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(()));
    assert!(gone.await.is_some(), "not all objects are deleted");

    let after = asked(&operator);
    let cost = |verb: &str, subresource: &str| {
        let key = (verb.to_owned(), subresource.to_owned());
        after.get(&key).copied().unwrap_or_default() - before.get(&key).copied().unwrap_or_default()
    };
    assert_eq!(world.deletes(), OBJECTS);
    assert_eq!(cost("patch", "status"), OBJECTS, "status patches");
    assert_eq!(cost("patch", ""), OBJECTS, "finalizer patches");
    assert_eq!(after.get(&("get".to_owned(), String::new())), None, "no object is read on its own");
    let written: Vec<_> = after.keys().map(|(verb, _)| verb.as_str()).collect();
    assert!(written.iter().all(|verb| ["patch", "list all", "watch all"].contains(verb)), "{after:?}");
    assert_eq!(world.calls(Operation::ListTagsForResource).len(), OBJECTS, "the owner tag is read before each");
    assert_eq!(world.emulator.calls().len(), 2 * OBJECTS, "and that is all");
    assert!(arns.iter().all(|arn| world.inactive(arn)));
    let events = Api::<Event>::namespaced(world.client.clone(), &world.namespace);
    let all_published = async || {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let deleted = events.iter().filter(|event| event.reason.as_deref() == Some("Deleted"));
        (deleted.count() == OBJECTS).then_some(())
    };
    assert!(eventually(all_published).await.is_some(), "an object has no Deleted Event");
}
