//! An admission policy that refuses the operator's writes for a while, and nobody else's.

use kube::Client;

use crate::steps::Refused;
use crate::support::{World, policy};

const NOT_THE_OPERATOR: &str = "!request.userInfo.username.startsWith('operator-')";

pub struct Policy {
    client: Client,
    namespace: String,
    in_force: bool,
}

impl Policy {
    pub fn new(world: &World) -> Self {
        Self { client: world.client.clone(), namespace: world.namespace.clone(), in_force: false }
    }

    /// Creates the policy. The API server may apply it only some steps later.
    pub async fn refuse(&mut self, refused: Refused) {
        if std::mem::replace(&mut self.in_force, true) {
            return;
        }
        let resources: &[&str] = match refused {
            Refused::Objects => &["vpcconnectors"],
            Refused::Statuses => &["vpcconnectors/status"],
            Refused::Both => &["vpcconnectors", "vpcconnectors/status"],
        };
        let message = "the operator may not write here now";
        policy::create(&self.client, &self.namespace, (&["UPDATE"], resources), (NOT_THE_OPERATOR, message)).await;
    }

    pub async fn allow(&mut self) {
        if !std::mem::replace(&mut self.in_force, false) {
            return;
        }
        policy::delete(&self.client, &self.namespace).await;
    }
}
