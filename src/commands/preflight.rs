//! Whether the operator may go: `apprunner-operator preflight uninstall`.
//!
//! An object that our finalizer holds is let go by a running operator only. Uninstalled too early, its objects can never
//! be deleted, nor can their namespaces, nor the CRD. So Helm asks here first, and so may anybody else. What could not
//! be found out is never taken for a yes.

use std::fmt::Write as _;
use std::io::Write as _;

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::{FINALIZER, VpcConnector};
use crate::cli::UninstallArgs;
use crate::cluster::client::{self, StartError};
use crate::cluster::{Error, within_deadline};

/// Objects are read in pages of this many: the process may be allowed very little memory.
const PAGE: u32 = 500;
/// Nobody reads more of them than this.
const SHOWN: usize = 50;

/// Says why the operator has to stay.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// What holds objects could not be printed.
    #[error("printing the result: {0}")]
    Print(std::io::Error),
    /// Somebody still needs it.
    #[error("{0} would be stuck without the operator: nothing is uninstalled")]
    Needed(String),
    /// There is no way to the cluster, so nobody was asked.
    #[error("the check could not find out if VpcConnector objects remain, so nothing is uninstalled: {0}")]
    NoCluster(#[from] StartError),
    /// It is not known whether somebody does.
    #[error(
        "the check could not find out if VpcConnector objects remain, so nothing is uninstalled: {0}. Correct this and try \
         again; to uninstall without this check: helm uninstall --no-hooks"
    )]
    Unknown(String),
}

/// An object that our finalizer holds.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    namespace: String,
    name: String,
    reason: String,
    deleting: bool,
}

/// Looks for objects that our finalizer holds, and fails while there are any.
pub fn uninstall(args: &UninstallArgs) -> Result<(), PreflightError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(PreflightError::Process)?;
    let held = runtime.block_on(look(args));
    // A cluster that never answered is not waited for.
    runtime.shutdown_background();
    let held = held?;
    std::io::stdout().write_all(told(&held, args).as_bytes()).map_err(PreflightError::Print)?;
    match held.len() {
        0 => Ok(()),
        1 => Err(PreflightError::Needed("1 object".into())),
        number => Err(PreflightError::Needed(format!("{number} objects"))),
    }
}

async fn look(args: &UninstallArgs) -> Result<Vec<Held>, PreflightError> {
    let client = client::connect_in_time(&args.access).await?;
    held_in(client, &args.namespaces).await.map_err(PreflightError::Unknown)
}

/// Those in these namespaces, or in all where none is named.
async fn held_in(client: Client, namespaces: &[String]) -> Result<Vec<Held>, String> {
    let mut held = Vec::new();
    // Without a type, so that an object that does not parse counts as well.
    let kind = ApiResource::erase::<VpcConnector>(&());
    if namespaces.is_empty() {
        collect(&client, &Api::all_with(client.clone(), &kind), &mut held).await?;
    }
    for namespace in namespaces {
        collect(&client, &Api::namespaced_with(client.clone(), namespace, &kind), &mut held).await?;
    }
    Ok(held)
}

async fn collect(client: &Client, api: &Api<DynamicObject>, held: &mut Vec<Held>) -> Result<(), String> {
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match within_deadline("list VpcConnector objects", api.list(&params)).await {
            Err(Error::Gone | Error::NotServed { .. }) => return without_crd(client).await,
            page => page.map_err(|error| error.to_string())?,
        };
        held.extend(page.items.iter().filter_map(of));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// Where there is no CRD there is no object. That the list is not found does not prove it: whatever stands between may
/// have said so. That the API server tells all its groups, and not this one, does.
async fn without_crd(client: &Client) -> Result<(), String> {
    let group = VpcConnector::group(&());
    let groups =
        within_deadline("list API groups", client.list_api_groups()).await.map_err(|error| error.to_string())?;
    if groups.groups.iter().any(|known| known.name == group) {
        return Err(format!("the API server knows the group {group} and finds no VpcConnector objects in it"));
    }
    Ok(())
}

fn of(listed: &DynamicObject) -> Option<Held> {
    listed.finalizers().iter().any(|finalizer| finalizer == FINALIZER).then(|| Held {
        namespace: listed.namespace().unwrap_or_default(),
        name: listed.name_any(),
        reason: reason(listed).unwrap_or("-").to_owned(),
        deleting: listed.metadata.deletion_timestamp.is_some(),
    })
}

/// The reason of its Ready condition, if that is a word: anybody's text may stand there.
fn reason(listed: &DynamicObject) -> Option<&str> {
    let conditions = listed.data.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    ready["reason"].as_str().filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn told(held: &[Held], args: &UninstallArgs) -> String {
    if held.is_empty() {
        return "The operator holds no VpcConnector object: it can be uninstalled.\n".into();
    }
    let mut text = String::from("Without the operator, these VpcConnector objects can't be deleted:\n\n");
    let wide = |heading: &str, part: fn(&Held) -> &str| {
        held.iter().take(SHOWN).map(|held| part(held).len()).max().unwrap_or_default().max(heading.len())
    };
    let (namespace, name) = (wide("NAMESPACE", |held| &held.namespace), wide("NAME", |held| &held.name));
    let mut row = |one: &str, two: &str, three: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {one:namespace$}   {two:name$}   {three}");
    };
    row("NAMESPACE", "NAME", "REASON");
    for Held { namespace, name, reason, deleting } in held.iter().take(SHOWN) {
        row(namespace, name, &if *deleting { format!("{reason}, being deleted") } else { reason.clone() });
    }
    if held.len() > SHOWN {
        let _ = writeln!(text, "    and {} more", held.len() - SHOWN);
    }
    text + WAYS_OUT + &restore(args)
}

/// How to restore the release that Helm leaves half uninstalled.
///
/// The command names the revision: without a number Helm goes back to the revision before the current one, which has
/// other values, or does not exist.
fn restore(args: &UninstallArgs) -> String {
    let told = "Helm leaves a refused release in state `uninstalling`. To restore it with the values it has:\n";
    match (&args.release, &args.release_namespace, args.release_revision) {
        (Some(release), Some(namespace), Some(revision)) => format!(
            "{told}    helm rollback {release} {revision} --namespace {namespace}\n\nIf Helm no longer has that revision, \
             use the last one of: helm history {release} --namespace {namespace}\n\n"
        ),
        _ => format!(
            "{told}    helm rollback RELEASE REVISION --namespace NAMESPACE\n\nREVISION is the last one of: helm history \
             RELEASE --namespace NAMESPACE\n\n"
        ),
    }
}

const WAYS_OUT: &str = "
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

    fn held(namespace: &str, name: &str) -> Held {
        Held { namespace: namespace.into(), name: name.into(), reason: "InUse".into(), deleting: true }
    }

    #[test]
    fn what_our_finalizer_holds_counts_also_when_it_does_not_parse() {
        let listed = |finalizers: &[&str]| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "egress", "namespace": "shop", "finalizers": finalizers},
                "spec": 7,
                "status": {"conditions": [{"type": "Ready", "reason": "two words"}]},
            }))
            .unwrap()
        };
        let expected = Held { reason: "-".into(), deleting: false, ..held("shop", "egress") };
        assert_eq!(of(&listed(&["another/finalizer", FINALIZER])), Some(expected));
        assert_eq!(of(&listed(&["another/finalizer"])), None);
    }

    #[test]
    fn what_is_told_fits_a_screen_and_says_what_to_do() {
        let many: Vec<_> = (0..70).map(|n| held("shop", &format!("egress-{n}"))).collect();
        let bare = UninstallArgs::default();
        let text = told(&many, &bare);
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
        let text = told(&many, &release);
        assert!(text.contains("    helm rollback vpcc 7 --namespace jobs\n") && !text.contains("REVISION"), "{text}");
        assert!(told(&[], &release).contains("it can be uninstalled"));
    }
}
