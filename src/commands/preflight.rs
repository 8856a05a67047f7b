//! `apprunner-operator preflight uninstall`: checks that no object needs the operator. [`ready`] checks that it works.
//!
//! Only a running operator removes our finalizer. If the operator is uninstalled too early, its objects can never be deleted,
//! nor can their namespaces, nor the CRD. Helm runs this check before an uninstall, and users may run it as well. The check
//! fails if it cannot find out whether objects remain.

pub mod ready;

use std::fmt::Write as _;
use std::io::Write as _;

use kube::api::DynamicObject;
use kube::{Client, Resource, ResourceExt};

use crate::api::{FINALIZER, VpcConnector};
use crate::cli::UninstallArgs;
use crate::cluster::client::{self, StartError};
use crate::cluster::{Error, within_deadline};
use crate::commands::listing::for_each_object;

/// Objects that the output names at most.
const MAX_SHOWN: usize = 50;

/// Why the operator must not be uninstalled.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// The result could not be printed.
    #[error("printing the result: {0}")]
    Print(std::io::Error),
    /// Objects with our finalizer remain.
    #[error("{0} would be stuck without the operator: nothing is uninstalled")]
    Needed(String),
    /// The client for the cluster could not be set up.
    #[error("the check could not find out if VpcConnector objects remain, so nothing is uninstalled: {0}")]
    NoCluster(#[from] StartError),
    /// The objects could not be listed.
    #[error(
        "the check could not find out if VpcConnector objects remain, so nothing is uninstalled: {0}. Correct this and try \
         again; to uninstall without this check: helm uninstall --no-hooks"
    )]
    Unknown(String),
}

/// An object that has our finalizer.
#[derive(Debug, PartialEq, Eq)]
struct FinalizedObject {
    namespace: String,
    name: String,
    reason: String,
    deleting: bool,
}

/// Lists the objects that have our finalizer, and fails if there are any.
pub fn uninstall(args: &UninstallArgs) -> Result<(), PreflightError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(PreflightError::Process)?;
    let finalized = runtime.block_on(find_finalized(args));
    // The process does not wait for an API server that never answered.
    runtime.shutdown_background();
    let finalized = finalized?;
    std::io::stdout().write_all(render(&finalized, args).as_bytes()).map_err(PreflightError::Print)?;
    match finalized.len() {
        0 => Ok(()),
        1 => Err(PreflightError::Needed("1 object".into())),
        number => Err(PreflightError::Needed(format!("{number} objects"))),
    }
}

async fn find_finalized(args: &UninstallArgs) -> Result<Vec<FinalizedObject>, PreflightError> {
    let client = client::connect_in_time(&args.access).await?;
    find_in(&client, &args.watch.namespaces).await.map_err(PreflightError::Unknown)
}

/// The objects in these namespaces, or in all namespaces without one.
async fn find_in(client: &Client, namespaces: &[String]) -> Result<Vec<FinalizedObject>, String> {
    let mut finalized = Vec::new();
    let all = namespaces.is_empty().then_some(None);
    for namespace in all.into_iter().chain(namespaces.iter().map(|namespace| Some(namespace.as_str()))) {
        match for_each_object(client, namespace, |listed| finalized.extend(from(listed))).await {
            Err(Error::Gone | Error::NotServed { .. }) => assert_group_absent(client).await?,
            listed => listed.map_err(|error| error.to_string())?,
        }
    }
    Ok(finalized)
}

/// Proves that there are no objects, because the API server does not have their group.
///
/// A list that is not found is no proof, because a proxy in between may have answered. A list of all API groups without this
/// group is a proof.
async fn assert_group_absent(client: &Client) -> Result<(), String> {
    let group = VpcConnector::group(&());
    let groups =
        within_deadline("list API groups", client.list_api_groups()).await.map_err(|error| error.to_string())?;
    if groups.groups.iter().any(|known| known.name == group) {
        return Err(format!("the API server knows the group {group} and finds no VpcConnector objects in it"));
    }
    Ok(())
}

fn from(listed: &DynamicObject) -> Option<FinalizedObject> {
    listed.finalizers().iter().any(|finalizer| finalizer == FINALIZER).then(|| FinalizedObject {
        namespace: listed.namespace().unwrap_or_default(),
        name: listed.name_any(),
        reason: reason(listed).unwrap_or("-").to_owned(),
        deleting: listed.metadata.deletion_timestamp.is_some(),
    })
}

/// The reason of the Ready condition, if it is alphanumeric. Other clients can write any text there.
fn reason(listed: &DynamicObject) -> Option<&str> {
    let conditions = listed.data.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    ready["reason"].as_str().filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn render(finalized: &[FinalizedObject], args: &UninstallArgs) -> String {
    if finalized.is_empty() {
        return "The operator holds no VpcConnector object: it can be uninstalled.\n".into();
    }
    let mut text = String::from("Without the operator, these VpcConnector objects can't be deleted:\n\n");
    let width = |heading: &str, field: fn(&FinalizedObject) -> &str| {
        finalized.iter().take(MAX_SHOWN).map(|object| field(object).len()).max().unwrap_or_default().max(heading.len())
    };
    let (namespace, name) = (width("NAMESPACE", |object| &object.namespace), width("NAME", |object| &object.name));
    let mut row = |one: &str, two: &str, three: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {one:namespace$}   {two:name$}   {three}");
    };
    row("NAMESPACE", "NAME", "REASON");
    for FinalizedObject { namespace, name, reason, deleting } in finalized.iter().take(MAX_SHOWN) {
        row(namespace, name, &if *deleting { format!("{reason}, being deleted") } else { reason.clone() });
    }
    if finalized.len() > MAX_SHOWN {
        let _ = writeln!(text, "    and {} more", finalized.len() - MAX_SHOWN);
    }
    text + REMEDIES + &restore(args)
}

/// Text that restores the release, which Helm leaves half uninstalled.
///
/// The command names the revision, because `helm rollback` without a revision restores the one before the current one, which
/// has other values or does not exist.
fn restore(args: &UninstallArgs) -> String {
    let intro = "Helm leaves a refused release in state `uninstalling`. To restore it with the values it has:\n";
    match (&args.release, &args.release_namespace, args.release_revision) {
        (Some(release), Some(namespace), Some(revision)) => format!(
            "{intro}    helm rollback {release} {revision} --namespace {namespace}\n\nIf Helm no longer has that revision, \
             use the last one of: helm history {release} --namespace {namespace}\n\n"
        ),
        _ => format!(
            "{intro}    helm rollback RELEASE REVISION --namespace NAMESPACE\n\nREVISION is the last one of: helm history \
             RELEASE --namespace NAMESPACE\n\n"
        ),
    }
}

const REMEDIES: &str = "
Remedies, while the operator runs:

- Delete the objects, and with them their connectors in AWS; the command waits until the objects are deleted:
    kubectl delete vpcc --all --namespace NAMESPACE
- Release the objects, and leave their connectors in AWS:
    kubectl patch vpcc NAME --namespace NAMESPACE --type=merge -p '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'
    kubectl delete vpcc NAME --namespace NAMESPACE
- Keep the objects for an operator that you install after this one: helm uninstall --no-hooks, or preflight.enabled=false.

";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn finalized(namespace: &str, name: &str) -> FinalizedObject {
        FinalizedObject { namespace: namespace.into(), name: name.into(), reason: "InUse".into(), deleting: true }
    }

    #[test]
    fn an_object_with_our_finalizer_counts_even_if_it_does_not_parse() {
        let listed = |finalizers: &[&str]| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "egress", "namespace": "shop", "finalizers": finalizers},
                "spec": 7,
                "status": {"conditions": [{"type": "Ready", "reason": "two words"}]},
            }))
            .unwrap()
        };
        let expected = FinalizedObject { reason: "-".into(), deleting: false, ..finalized("shop", "egress") };
        assert_eq!(from(&listed(&["another/finalizer", FINALIZER])), Some(expected));
        assert_eq!(from(&listed(&["another/finalizer"])), None);
    }

    #[test]
    fn the_output_names_at_most_50_objects_and_the_remedies() {
        let many: Vec<_> = (0..70).map(|n| finalized("shop", &format!("egress-{n}"))).collect();
        let bare = UninstallArgs::default();
        let text = render(&many, &bare);
        assert!(
            text.contains("    NAMESPACE   NAME        REASON\n    shop        egress-0    InUse, being deleted\n"),
            "{text}"
        );
        assert!(text.contains("    and 20 more\n") && text.contains("Retain"), "{text}");
        assert!(text.contains("    helm rollback RELEASE REVISION --namespace NAMESPACE\n"), "{text}");
        let release = UninstallArgs {
            release: Some("vpcc".into()),
            release_namespace: Some("jobs".into()),
            release_revision: Some(7),
            ..bare
        };
        let text = render(&many, &release);
        assert!(text.contains("    helm rollback vpcc 7 --namespace jobs\n") && !text.contains("REVISION"), "{text}");
        assert!(render(&[], &release).contains("it can be uninstalled"));
    }
}
