//! The policy of `examples/deletion-protection.yaml`: the API server refuses to delete protected objects, and lets only
//! the operator remove the finalizer.
//!
//! A policy applies to the whole cluster, so this test has a cluster of its own.

mod finalizer;
mod values;

use std::sync::Arc;

use apprunner_operator::api::{self, VpcConnector};
use devcluster::DevCluster;
use futures::future::{join, join5};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, PropagationPolicy};
use kube::{Api, CustomResourceExt, Resource};
use serde_json::json;

use crate::support::cluster::{install_crd, operator_user_named, private, run};
use crate::support::operator::Operator;
use crate::support::{World, eventually, message};

const POLICY: &str = include_str!("../../examples/deletion-protection.yaml");
/// The operator that the chart installs; the policy names it.
const OPERATOR: &str = "system:serviceaccount:apprunner-system:apprunner-operator";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_server_refuses_to_delete_protected_objects_and_names_the_remedy() {
    let cluster = tokio::task::spawn_blocking(private).await.unwrap();
    install_crd(&cluster);
    let world = World::on_cluster(cluster.clone()).await;
    let stored = values::Stored::before_the_policy(&cluster).await;
    the_policy_type_checks(&world).await;
    until_the_policy_is_in_force(&world).await;

    join(values::true_and_false_are_accepted_in_any_case(&cluster), values::unknown_values_are_refused(&cluster)).await;
    Box::pin(finalizer::is_not_removed_by_an_operator_of_another_name(&cluster)).await;
    stored.are_protected_can_be_changed_and_are_released(&cluster).await;
    join5(
        an_object(&cluster),
        a_namespace(&cluster),
        a_garbage_collection(&cluster),
        Box::pin(finalizer::is_removed_only_by_the_operator(&cluster)),
        Box::pin(finalizer::is_removed_by_hand_only_with_the_annotation(&cluster)),
    )
    .await;
    the_crd(&cluster, &Api::all(world.client.clone())).await;
}

/// The absence of warnings proves something only once the type checker knows our kind and so finds a mistake.
async fn the_policy_type_checks(world: &World) {
    let mistaken = POLICY.replace("oldObject.metadata.?annotations", "oldObject.metadata.?anotations");
    let found = async || warnings_about(world, &mistaken).await.contains("Kind=VpcConnector").then_some(());
    assert!(eventually(found).await.is_some(), "the type check finds no mistake");
    assert_eq!(warnings_about(world, POLICY).await, "");
}

/// Installs a policy anew, and returns the warnings of its type check.
async fn warnings_about(world: &World, manifest: &str) -> String {
    let file = world.cluster.directory().join("policy.yaml");
    std::fs::write(&file, manifest).unwrap();
    run(world.cluster.kubectl().args(["replace", "--force", "-f"]).arg(&file));
    let policies = Api::<ValidatingAdmissionPolicy>::all(world.client.clone());
    let checked = eventually(async || {
        let policy = policies.get("apprunner-operator-deletion-protection").await.unwrap();
        policy.status.and_then(|status| status.type_checking)
    });
    let Some(checked) = checked.await else { panic!("the policy is never checked") };
    let warnings = checked.expression_warnings.unwrap_or_default().into_iter();
    warnings.map(|found| found.warning).collect()
}

/// The policy with the mistake would refuse the CRD as well, but no object.
async fn until_the_policy_is_in_force(world: &World) {
    let annotations = Some([(api::PROTECTED.to_owned(), "true".to_owned())].into());
    world.create_with("probe", &world.connector("probe"), |object| object.metadata.annotations = annotations).await;
    let dry = DeleteParams::default().dry_run();
    let refused = async || world.api.delete("probe", &dry).await.is_err().then_some(());
    assert!(eventually(refused).await.is_some(), "the policy never came into force");
}

/// An operator under the name that the policy knows.
fn operator(world: &World) -> Operator {
    Operator::start_as(operator_user_named(OPERATOR, &world.cluster), &world.settings)
}

/// A claimed and protected object.
async fn protected(cluster: &Arc<DevCluster>) -> (World, Operator, String) {
    let world = World::on_cluster(cluster.clone()).await;
    let operator = operator(&world);
    let arn = world.claimed("egress").await;
    world.annotate("egress", api::PROTECTED, Some("true")).await;
    (world, operator, arn)
}

/// Message of the API server for a deletion that it must refuse.
fn refusal<T>(answer: kube::Result<T>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{status:?}");
            status.message.clone()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Runs the command that a refusal prints.
fn run_printed_command(cluster: &DevCluster, refusal: &str) {
    let (_, command) = refusal.rsplit_once("kubectl ").unwrap();
    run(cluster.kubectl().args(command.split_whitespace()));
}

async fn an_object(cluster: &Arc<DevCluster>) {
    let (world, _operator, arn) = protected(cluster).await;
    world.claimed("unprotected").await;
    let mut refusals = Vec::new();
    for params in [
        DeleteParams::default(),
        DeleteParams::default().dry_run(),
        DeleteParams::default().grace_period(0),
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() },
    ] {
        refusals.push(refusal(world.api.delete("egress", &params).await));
    }
    refusals.push(refusal(world.api.delete_collection(&DeleteParams::default(), &ListParams::default()).await));
    let name = format!("VpcConnector {}/egress is protected", world.namespace);
    assert!(refusals.iter().all(|refusal| refusal.contains(&name)), "{refusals:?}");
    let object = world.api.get("egress").await.unwrap();
    assert!(!object.deleting() && !world.inactive(&arn));
    // Objects without protection are deleted as usual.
    world.delete("unprotected").await;
    world.until_deleted("unprotected").await;

    run_printed_command(cluster, &refusals[0]);
    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

async fn a_namespace(cluster: &Arc<DevCluster>) {
    let (world, _operator, arn) = protected(cluster).await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let label = ["label", "namespace", &world.namespace, "apprunner-operator.dev/protected=true"];
    run(cluster.kubectl().args(label));
    let text = refusal(namespaces.delete(&world.namespace, &DeleteParams::default()).await);
    assert!(text.contains(&format!("namespace {} is protected", world.namespace)), "{text}");
    run_printed_command(cluster, &text);
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();

    // Now the object in the namespace blocks the deletion, and the namespace's conditions show its message.
    let text = eventually(async || {
        let namespace = namespaces.get(&world.namespace).await.unwrap();
        let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
        let failed =
            conditions.into_iter().find(|c| c.type_ == "NamespaceDeletionContentFailure" && c.status == "True");
        failed.and_then(|condition| condition.message)
    });
    let Some(text) = text.await else { panic!("the conditions of the namespace do not name the object") };
    assert!(text.contains(&format!("VpcConnector {}/egress is protected", world.namespace)), "{text}");
    assert!(!world.api.get("egress").await.unwrap().deleting() && !world.inactive(&arn));

    run_printed_command(cluster, &text);
    let gone = async || namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(());
    assert!(eventually(gone).await.is_some(), "the namespace is still there");
    assert!(world.inactive(&arn));
}

async fn a_garbage_collection(cluster: &Arc<DevCluster>) {
    let (world, _operator, arn) = protected(cluster).await;
    let owners = Api::<ConfigMap>::namespaced(world.client.clone(), &world.namespace);
    let metadata = ObjectMeta { name: Some("owner".into()), ..ObjectMeta::default() };
    let owner = ConfigMap { metadata, ..ConfigMap::default() };
    let owner = owners.create(&PostParams::default(), &owner).await.unwrap();
    let reference = owner.owner_ref(&()).unwrap();
    world.merge("egress", json!({"metadata": {"ownerReferences": [reference]}})).await;
    owners.delete("owner", &DeleteParams::default()).await.unwrap();

    let attempt = format!("/namespaces/{}/vpcconnectors/egress", world.namespace);
    let refused = async || {
        let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
        let refused = |line: &str| {
            ["generic-garbage-collector", &attempt, r#""code":403"#].iter().all(|word| line.contains(word))
        };
        log.lines().any(refused).then_some(())
    };
    assert!(eventually(refused).await.is_some(), "it is not garbage collected");
    assert!(!world.api.get("egress").await.unwrap().deleting() && !world.inactive(&arn));

    world.annotate("egress", api::PROTECTED, None).await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
}

/// The API server deletes the objects of a CRD without asking any policy, so only the operator protects them.
async fn the_crd(cluster: &Arc<DevCluster>, crd: &Api<CustomResourceDefinition>) {
    let name = VpcConnector::crd_name();
    let text = refusal(crd.delete(name, &DeleteParams::default()).await);
    assert!(text.contains(&format!("deleting {name} deletes every VpcConnector")), "{text}");
    let all = refusal(crd.delete_collection(&DeleteParams::default(), &ListParams::default()).await);
    assert!(all.contains("deletes every VpcConnector"), "{all}");

    let (world, _operator, arn) = protected(cluster).await;
    run_printed_command(cluster, &text);
    crd.delete(name, &DeleteParams::default()).await.unwrap();
    let held = world.reason("egress", "Protected").await;
    assert!(message(&held).contains(api::PROTECTED) && !world.inactive(&arn));

    world.annotate("egress", api::PROTECTED, None).await;
    let gone = async || crd.get_opt(name).await.unwrap().is_none().then_some(());
    assert!(eventually(gone).await.is_some(), "the CRD is still there");
    assert!(world.inactive(&arn));
}
