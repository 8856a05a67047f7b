//! Objects as the operator leaves them after a claim, made without an operator.

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::{
    ConnectorStatus, DeletionPolicy, FINALIZER, OWNER_TAG, Reason, VpcConnector, VpcConnectorSpec, VpcConnectorStatus,
    condition,
};
use aws_sdk_apprunner::types::VpcConnector as Connector;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::bed::Bed;
use crate::{NAMESPACE, REGION, Result};

/// Requests of this program at the same time.
pub(crate) const AT_ONCE: usize = 32;

/// Creates ACTIVE connectors with the owner tag of this cluster, and their claimed objects.
pub(crate) async fn create(bed: &Bed, objects: usize) -> Result {
    let creating = stream::iter(0..objects).map(|n| create_one(bed, n));
    creating.buffer_unordered(AT_ONCE).try_collect().await
}

async fn create_one(bed: &Bed, n: usize) -> Result {
    let name = format!("egress-{n}");
    let owner = format!("{}/{NAMESPACE}/{name}", bed.cluster_id);
    let arn = bed.aws.create_connector_with_tags(DEFAULT_ACCOUNT, REGION, &name, &[(OWNER_TAG, &owner)]);
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    let mut object = object(&name, &arn);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let created = api.create(&PostParams::default(), &object).await?;
    let connector = Connector::builder()
        .vpc_connector_name(&name)
        .vpc_connector_revision(1)
        .subnets(format!("subnet-{n:017x}"))
        .security_groups(format!("sg-{n:017x}"))
        .build();
    let message = "the connector is ACTIVE and owned by this object";
    let status = VpcConnectorStatus {
        status: Some(ConnectorStatus::from("ACTIVE")),
        conditions: vec![ready("True", Reason::Available, message, created.metadata.generation)],
        ..status(&connector, &arn)
    };
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(&name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// An object that names a connector.
pub(crate) fn object(name: &str, arn: &str) -> VpcConnector {
    let spec = VpcConnectorSpec { arn: arn.to_owned(), deletion_policy: Some(DeletionPolicy::Delete) };
    VpcConnector::new(name, spec)
}

/// The status that describes a connector.
pub(crate) fn status(connector: &Connector, arn: &str) -> VpcConnectorStatus {
    VpcConnectorStatus {
        observed_generation: Some(1),
        arn: Some(arn.into()),
        name: connector.vpc_connector_name().map(Into::into),
        revision: Some(connector.vpc_connector_revision()),
        subnets: connector.subnets().to_vec(),
        security_groups: connector.security_groups().to_vec(),
        created_at: Some(connector.created_at().map_or_else(now, |at| whole_seconds(at.secs()))),
        ..VpcConnectorStatus::default()
    }
}

/// The Ready condition.
pub(crate) fn ready(status: &str, reason: Reason, message: &str, generation: Option<i64>) -> Condition {
    Condition {
        type_: condition::READY.to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        last_transition_time: now(),
        observed_generation: generation,
    }
}

fn now() -> Time {
    whole_seconds(jiff::Timestamp::now().as_second())
}

pub(crate) fn whole_seconds(since_1970: i64) -> Time {
    Time(jiff::Timestamp::from_second(since_1970).unwrap_or_default())
}
