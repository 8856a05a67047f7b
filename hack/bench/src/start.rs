//! Time from the start of the operator's process to its first claim.

use apprunner_emulator::DEFAULT_ACCOUNT;
use apprunner_operator::api::{OWNER_TAG, VpcConnector};
use kube::Api;
use kube::api::PostParams;
use serde::{Deserialize, Serialize};

use crate::bed::{Bed, Program};
use crate::results::Results;
use crate::wait::{available, reached};
use crate::{NAMESPACE, REGION, Result, claimed};

const STARTS: usize = 10;

/// Milliseconds since the start of the process, one for each start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Starts {
    /// `/readyz` succeeds.
    pub(crate) ready: Vec<f64>,
    /// An object is claimed whose connector has the object's owner tag already.
    pub(crate) tagged: Vec<f64>,
    /// An object is claimed whose connector has no owner tag: the claim waits until the tag can be read back.
    pub(crate) untagged: Vec<f64>,
}

pub(crate) async fn measure(results: &mut Results) -> Result {
    let bed = Bed::start().await?;
    let mut starts = Starts::default();
    for n in 0..STARTS {
        for tagged in [true, false] {
            let (ready, claimed) = start(&bed, &format!("egress-{n}-{tagged}"), tagged).await?;
            starts.ready.push(ready);
            if tagged { &mut starts.tagged } else { &mut starts.untagged }.push(claimed);
        }
    }
    results.starts = Some(starts);
    results.save()
}

async fn start(bed: &Bed, name: &str, tagged: bool) -> Result<(f64, f64)> {
    let owner = format!("{}/{NAMESPACE}/{name}", bed.cluster_id);
    let tags: &[(&str, &str)] = if tagged { &[(OWNER_TAG, &owner)] } else { &[] };
    let arn = bed.aws.create_connector_with_tags(DEFAULT_ACCOUNT, REGION, name, tags);
    let api = Api::<VpcConnector>::namespaced(bed.client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &claimed::object(name, &arn)).await?;
    let mut operator = bed.run(Program::Operator, &[])?;
    let started = operator.started;
    let claimed = async {
        reached(&api, name, available).await?;
        Ok(started.elapsed())
    };
    let (ready, claimed) = futures::try_join!(operator.ready(), claimed)?;
    Ok((ready.as_secs_f64() * 1e3, claimed.as_secs_f64() * 1e3))
}
