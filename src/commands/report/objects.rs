//! Lists the `VpcConnector` objects of the cluster.

use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::cli::AccessArgs;
use crate::cluster::{Error, client};
use crate::commands::listing::for_each_object;

/// A `VpcConnector` object, as far as a report needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) name: String,
    /// `spec.arn`: the connector that the object names.
    pub(super) arn: Option<String>,
    /// `status.arn`: the connector that the object has claimed.
    pub(super) claimed: Option<String>,
}

/// Lists the objects of all namespaces; the error says why they cannot be listed.
pub(super) async fn list(access: &AccessArgs) -> Result<Vec<Object>, String> {
    let client = client::connect_in_time(access).await.map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    match for_each_object(&client, None, |listed| objects.push(object(listed))).await {
        Ok(()) => Ok(objects),
        Err(Error::Gone | Error::NotServed { .. }) => {
            Err("it does not know VpcConnector objects: the CustomResourceDefinition is missing".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn object(listed: &DynamicObject) -> Object {
    let text = |pointer: &str| listed.data.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    Object {
        namespace: listed.namespace().unwrap_or_default(),
        name: listed.name_any(),
        arn: text("/spec/arn"),
        claimed: text("/status/arn"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_does_not_parse_is_listed() {
        let listed = serde_json::json!({
            "metadata": {"name": "egress", "namespace": "shop"},
            "spec": {"arn": "arn:1", "deletionPolicy": {"unknown": "policy"}},
            "status": {"arn": 7, "conditions": "none"},
        });
        let expected =
            Object { namespace: "shop".into(), name: "egress".into(), arn: Some("arn:1".into()), claimed: None };
        assert_eq!(object(&serde_json::from_value(listed).unwrap()), expected);
    }
}
