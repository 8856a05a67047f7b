//! Allowed values of the annotations and the label, and the treatment of other values.

use std::sync::Arc;

use apprunner_operator::api::{self, VpcConnector, VpcConnectorSpec};
use devcluster::DevCluster;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{operator, refusal, run_printed_command};
use crate::support::World;
use crate::support::operator::Operator;

/// Objects that had these values before the policy was installed.
pub(super) struct Stored {
    world: World,
    _operator: Operator,
    arn: String,
}

impl Stored {
    pub(super) async fn before_the_policy(cluster: &Arc<DevCluster>) -> Self {
        let world = World::on_cluster(cluster.clone()).await;
        let operator = operator(&world);
        let arn = world.claimed("egress").await;
        world.annotate("egress", api::PROTECTED, Some("yes")).await;
        world.claimed("paused").await;
        world.annotate("paused", api::PAUSED, Some("on")).await;
        Self { world, _operator: operator, arn }
    }

    pub(super) async fn are_protected_can_be_changed_and_are_released(&self, cluster: &DevCluster) {
        let Self { world, arn, .. } = self;
        let text = refusal(world.api.delete("egress", &DeleteParams::default()).await);
        assert!(text.contains(&format!(r#"VpcConnector {}/egress is protected ("yes")"#, world.namespace)), "{text}");
        world.annotate("egress", "example.org/owner", Some("shop")).await;
        world.policy("egress", "Retain").await;
        world.policy("egress", "Delete").await;
        run_printed_command(cluster, &text);
        world.delete("egress").await;
        world.until_deleted("egress").await;
        assert!(world.inactive(arn));
        // The finalizer is removed while the annotation keeps its unknown value.
        world.policy("paused", "Retain").await;
        world.delete("paused").await;
        world.until_deleted("paused").await;
    }
}

pub(super) async fn unknown_values_are_refused(cluster: &Arc<DevCluster>) {
    let world = World::on_cluster(cluster.clone()).await;
    let arn = world.connector("conn");
    let with = |name: &str, value: &str| {
        let mut object = VpcConnector::new("egress", VpcConnectorSpec { arn: arn.clone(), ..Default::default() });
        object.metadata.annotations = Some([(name.to_owned(), value.to_owned())].into());
        object
    };
    let annotate = async |name: &str, value: &str| {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {name: value}}}));
        world.api.patch("egress", &PatchParams::default(), &patch).await
    };
    world.create("egress", &arn).await;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for name in [api::PAUSED, api::PROTECTED] {
        for value in ["yes", "1", "no", "true "] {
            let mut created = with(name, value);
            created.metadata.name = Some("another".into());
            for text in [invalid(world.api.create(&dry, &created).await), invalid(annotate(name, value).await)] {
                let words = format!(r#"the annotation {name} must be "true", "false" or absent, and not "{value}""#);
                assert!(text.contains(&words), "{text}");
            }
        }
        for value in ["true", "True", "FALSE", "false", ""] {
            annotate(name, value).await.unwrap();
        }
    }
}

/// Message of the API server for a value that it must refuse.
fn invalid<T>(answer: kube::Result<T>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{status:?}");
            status.message.clone()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

pub(super) async fn true_and_false_are_accepted_in_any_case(cluster: &Arc<DevCluster>) {
    let world = World::on_cluster(cluster.clone()).await;
    world.create("egress", &world.connector("conn")).await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let dry = DeleteParams::default().dry_run();
    for (value, protects) in
        [("true", true), ("True", true), ("TRUE", true), ("false", false), ("False", false), ("", false)]
    {
        world.annotate("egress", api::PROTECTED, Some(value)).await;
        assert_eq!(world.api.delete("egress", &dry).await.is_err(), protects, "{value}");
    }
    // The label of a namespace is not validated.
    for (value, protects) in [("True", true), ("yes", true), ("1", true), ("no", true), ("False", false), ("", false)] {
        let label = json!({"metadata": {"labels": {api::PROTECTED: value}}});
        namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
        assert_eq!(namespaces.delete(&world.namespace, &dry).await.is_err(), protects, "{value}");
    }
}
