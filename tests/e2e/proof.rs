//! Over all scenarios together, the granted rights are exactly the used rights.
//!
//! The API server's audit log shows the rights that the service accounts have used, the emulator's call log the
//! operations of AWS. The rendered chart and `examples/iam` grant the rights; docs/reference/iam.md names
//! for each right a scenario that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use apprunner_emulator::Call;
use devcluster::Tools;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::accounts::TARGET;
use crate::release::{CHART, RELEASE};
use crate::world::{CHECKOUT, REPORTERS, World, helm, run};

/// The used rights or operations, as the tables name them, and the scenarios that used them.
type Uses = BTreeMap<String, BTreeSet<&'static str>>;

static RIGHTS: Mutex<Uses> = Mutex::new(Uses::new());
/// The operations with the credentials of the operator's own account.
static OPERATIONS: Mutex<Uses> = Mutex::new(Uses::new());
/// The operations with those of a role that the operator has assumed.
static ROLE_OPERATIONS: Mutex<Uses> = Mutex::new(Uses::new());
/// The operations of a report.
static REPORT_OPERATIONS: Mutex<Uses> = Mutex::new(Uses::new());

pub fn scenarios() -> Vec<Trial> {
    vec![
        Trial::test("rights-granted-are-rights-used", || {
            assert_eq!(names(&RIGHTS), granted());
            Ok(())
        }),
        Trial::test("operations-allowed-are-operations-called", || {
            assert_eq!(names(&OPERATIONS), allowed(&["names", "assume"]));
            assert_eq!(names(&ROLE_OPERATIONS), allowed(&["names"]));
            assert_eq!(names(&REPORT_OPERATIONS), allowed(&["report"]));
            Ok(())
        }),
        Trial::test("each-right-names-a-scenario-that-uses-it", || {
            assert_documented("docs/reference/iam.md", "Rights", &RIGHTS);
            assert_documented("docs/reference/iam.md", "The operations", &OPERATIONS);
            Ok(())
        }),
    ]
}

/// Records the rights and operations that a scenario has used.
pub fn note(world: &World) {
    let events = world.audit().into_iter();
    add(&RIGHTS, world.name, events.filter_map(|event| right_used(&event, world.name)));
    let is_reporter = |call: &Call| REPORTERS.iter().any(|(key, _)| call.access_key_id.as_deref() == Some(*key));
    let (reporting, operating): (Vec<_>, Vec<_>) = world.emulator.calls().into_iter().partition(is_reporter);
    let (of_role, own): (Vec<_>, Vec<_>) =
        operating.into_iter().partition(|call| call.account.as_deref() == Some(TARGET));
    for (operations, calls) in [(&OPERATIONS, own), (&ROLE_OPERATIONS, of_role), (&REPORT_OPERATIONS, reporting)] {
        let called = calls.into_iter().filter_map(|call| call.operation);
        // This operation needs no permission.
        add(operations, world.name, called.filter(|operation| operation != "GetCallerIdentity"));
    }
}

fn add(uses: &Mutex<Uses>, scenario: &'static str, done: impl Iterator<Item = String>) {
    let mut uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
    done.for_each(|it| _ = uses.entry(it).or_default().insert(scenario));
}

fn names(uses: &Mutex<Uses>) -> BTreeSet<String> {
    uses.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
}

/// The right that an audit event shows, if the operator's or the hook's service account used one.
fn right_used(event: &Value, scenario: &str) -> Option<String> {
    let who = event["user"]["username"].as_str()?.strip_prefix(&format!("system:serviceaccount:{scenario}:"))?;
    let allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
    let object = &event["objectRef"];
    let resource = object["resource"].as_str().filter(|_| allowed)?;
    let sub = object["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
    Some(right(who, &format!("{resource}{sub}"), event["verb"].as_str()?))
}

fn right(who: &str, resource: &str, verb: &str) -> String {
    let hook = if who == RELEASE { "" } else { " (hook)" };
    format!("`{resource}`{hook}: {verb}")
}

/// The rights that the chart binds to its service accounts in any of its modes.
fn granted() -> BTreeSet<String> {
    let modes = [&[][..], &["--set=rbac.namespaced=true,clusterId=one"]];
    modes.into_iter().map(rendered).flat_map(|objects| bound(&objects)).collect()
}

fn rendered(arguments: &[&str]) -> Vec<Value> {
    let tools = Tools::find().unwrap_or_else(|error| panic!("{error}"));
    let mut helm = Command::new(helm(tools.directory()));
    let manifests = run(helm.current_dir(CHECKOUT).args(["template", RELEASE, CHART]).args(arguments));
    manifests.split("\n---").filter_map(|document| serde_saphyr::from_str(document).ok()).collect()
}

fn bound(objects: &[Value]) -> Vec<String> {
    let mut rights = Vec::new();
    for binding in objects.iter().filter(|object| object["roleRef"].is_object()) {
        let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let who = binding["subjects"][0]["name"].as_str().unwrap();
        let role = objects.iter().find(|it| it["kind"] == *kind && it["metadata"]["name"] == *name).unwrap();
        let pairs = role["rules"].as_array().unwrap().iter().flat_map(pairs);
        rights.extend(pairs.map(|(resource, verb)| right(who, resource, verb)));
    }
    rights
}

fn pairs(rule: &Value) -> Vec<(&str, &str)> {
    let [resources, verbs] = ["resources", "verbs"].map(|key| words(&rule[key]));
    resources.iter().flat_map(|resource| verbs.iter().map(move |verb| (*resource, *verb))).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The operations that these policies allow.
fn allowed(policies: &[&str]) -> BTreeSet<String> {
    let policy = |name| serde_json::from_str::<Value>(&page(&format!("examples/iam/{name}.json"))).unwrap();
    let statements = policies.iter().flat_map(|name| policy(name)["Statement"].as_array().unwrap().clone());
    let operation = |action: &str| action.split_once(':').unwrap().1.to_owned();
    statements
        .flat_map(|statement| words(&statement["Action"]).into_iter().map(operation).collect::<Vec<_>>())
        .collect()
}

/// Compares a table with the recorded uses: `` | `what`: verb, verb | … | scenario, scenario | ``.
fn assert_documented(file: &str, part: &str, uses: &Mutex<Uses>) {
    let uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
    let page = page(file);
    let part = page.split("\n## ").find(|it| it.starts_with(part)).unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")).skip(1);
    for row in rows {
        let (first, last) = (row.split(" | ").next().unwrap(), row.rsplit(" | ").next().unwrap());
        for (used, scenario) in uses_in(first).iter().flat_map(|used| last.split(", ").map(move |it| (used, it))) {
            let seen = uses.get(used).is_some_and(|scenarios| scenarios.contains(scenario));
            assert!(seen, "{file} says that {scenario} uses {used}; these do: {:?}", uses.get(used));
        }
    }
}

/// The rights or the operation of a row: `` `resource` (`name`): verb, verb `` or `` `Operation` ``.
fn uses_in(cell: &str) -> Vec<String> {
    let Some((what, verbs)) = cell.split_once(": ") else { return vec![cell.trim_matches('`').to_owned()] };
    let named = what.split_once(" (`").map_or(what, |(what, _)| what);
    verbs.split(", ").map(|verb| format!("{named}: {verb}")).collect()
}

fn page(file: &str) -> String {
    fs::read_to_string(Path::new(CHECKOUT).join(file)).unwrap()
}
