//! Asks the cluster which objects there are, and what they stand for.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt};

use crate::api::VpcConnector;
use crate::cli::AccessArgs;
use crate::cluster::{Error, client, within_deadline};

/// A `VpcConnector` object, as far as a report needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The connector it is to manage.
    pub arn: Option<String>,
    /// The connector it has claimed.
    pub claimed: Option<String>,
}

/// Lists the objects of all namespaces, or says why that can't be done.
pub async fn read(access: &AccessArgs) -> Result<Vec<Object>, String> {
    let client = client::connect_in_time(access).await.map_err(|error| error.to_string())?;
    // Without a type, so that an object that does not parse is an object as well.
    let kind = ApiResource::erase::<VpcConnector>(&());
    let api = Api::<DynamicObject>::all_with(client, &kind);
    match within_deadline("list VpcConnector objects of all namespaces", api.list(&ListParams::default())).await {
        Ok(listed) => Ok(listed.items.iter().map(object).collect()),
        Err(Error::Gone | Error::NotServed { .. }) => {
            Err("it does not know VpcConnector objects: the CustomResourceDefinition is missing".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn object(listed: &DynamicObject) -> Object {
    let text = |place: &str| listed.data.pointer(place).and_then(|value| value.as_str()).map(str::to_owned);
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
    fn an_object_that_does_not_parse_is_an_object_as_well() {
        let listed = serde_json::json!({
            "metadata": {"name": "egress", "namespace": "shop"},
            "spec": {"arn": "arn:1", "deletionPolicy": {"nobody": "knows"}},
            "status": {"arn": 7, "conditions": "none"},
        });
        let expected =
            Object { namespace: "shop".into(), name: "egress".into(), arn: Some("arn:1".into()), claimed: None };
        assert_eq!(object(&serde_json::from_value(listed).unwrap()), expected);
    }
}
