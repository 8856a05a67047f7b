//! The IAM policies and RBAC rules in `examples/` allow exactly what the operator calls, and the documentation shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::api::OWNER_TAG;
use crate::commands::report::combine::CALLS;
use crate::core::outcome::Operation;

const RIGHTS: &str = include_str!("../../../docs/reference/iam.md");
const MULTI_ACCOUNT: &str = include_str!("../../../docs/install/multi-account.md");

/// The policies that must allow a call. A new call does not compile without an arm here.
fn policies(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::DeleteVpcConnector | Operation::DescribeVpcConnector => &["delete", "ownership", "names"],
        Operation::ListTagsForResource => &["ownership", "names", "report"],
        Operation::TagResource | Operation::UntagResource => &["ownership", "names"],
        Operation::ListServices | Operation::DescribeService => &["names", "report"],
        Operation::ListVpcConnectors
        | Operation::ListVpcIngressConnections
        | Operation::DescribeVpcIngressConnection
        | Operation::DescribeCustomDomains
        | Operation::ListAutoScalingConfigurations
        | Operation::ListConnections
        | Operation::ListObservabilityConfigurations => &["report"],
        Operation::AssumeRole => &["assume"],
        // These calls need no permission.
        Operation::GetCallerIdentity | Operation::ResolveCredentials => &[],
    }
}

/// The JSON files of `examples/iam`, by name.
fn files() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/iam");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: &Path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path))).collect()
}

/// The permission policies, without the trust policies.
fn permission_policies() -> BTreeMap<String, Value> {
    files().into_iter().filter(|(name, _)| !name.starts_with("trust-")).collect()
}

fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().unwrap()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let all = statements(policy).iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    all.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_policy_allows_exactly_the_called_actions() {
    let operations = all!(Operation:
        DeleteVpcConnector, DescribeVpcConnector, ListTagsForResource, TagResource, UntagResource, ListVpcConnectors,
        ListServices, DescribeService, ListVpcIngressConnections, DescribeVpcIngressConnection, DescribeCustomDomains,
        ListAutoScalingConfigurations, ListConnections, ListObservabilityConfigurations, GetCallerIdentity, AssumeRole, ResolveCredentials
    );
    let mut needed = BTreeMap::<String, BTreeSet<String>>::new();
    for operation in operations {
        for policy in policies(operation) {
            needed.entry((*policy).to_owned()).or_default().insert(operation.iam_action());
        }
    }
    let allowed: BTreeMap<_, _> =
        permission_policies().iter().map(|(name, policy)| (name.clone(), actions(policy))).collect();
    assert_eq!(allowed, needed);
}

#[test]
fn the_report_needs_exactly_its_policy() {
    let called: BTreeSet<_> = CALLS.map(Operation::iam_action).into();
    assert_eq!(actions(&files()["report"]), called);
}

#[test]
fn deletes_and_tag_writes_are_not_allowed_for_all_resources() {
    for (name, policy) in permission_policies() {
        for statement in statements(&policy) {
            let acts = statement["Action"].as_array().unwrap().iter().any(|action| {
                let word = action.as_str().unwrap();
                word.contains("Delete") || word.ends_with(":TagResource") || word.ends_with(":UntagResource")
            });
            assert!(!acts || statement["Resource"] != "*", "{name}: {statement:#}");
        }
    }
}

#[test]
fn the_role_may_write_only_our_tag_and_describe_only_its_own_services() {
    let only_ours = serde_json::json!({"ForAllValues:StringEquals": {"aws:TagKeys": [OWNER_TAG]}});
    for (name, policy) in permission_policies() {
        for statement in statements(&policy) {
            let acts = strings(&statement["Action"]);
            if acts.iter().any(|action| action.ends_with(":TagResource") || action.ends_with(":UntagResource")) {
                assert_eq!(acts, ["apprunner:TagResource", "apprunner:UntagResource"], "{name}");
                assert_eq!(statement["Condition"], only_ours, "{name}");
            }
            if acts.iter().any(|action| action.ends_with(":DescribeService")) {
                assert_eq!(statement["Resource"], "arn:aws:apprunner:*:111122223333:service/*/*", "{name}");
            }
        }
    }
}

#[test]
fn the_pages_show_these_policies() {
    let files = permission_policies();
    let blocks = [RIGHTS, MULTI_ACCOUNT].into_iter().flat_map(blocks);
    let shown: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    for block in shown.iter().filter(|block| block["Statement"][0]["Principal"].is_null()) {
        let whole = files.values().any(|policy| policy == block);
        assert!(whole || files.values().any(|policy| statements(policy).contains(block)), "of no file: {block:#}");
    }
    for (name, policy) in &files {
        let each = |statement| shown.iter().any(|block| block == policy || statement_of(block, statement));
        assert!(statements(policy).iter().all(each), "no page shows {name}.json");
    }
}

fn statement_of(block: &Value, statement: &Value) -> bool {
    block == statement || block["Statement"].as_array().is_some_and(|all| all.contains(statement))
}

/// The JSON blocks of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_policy_is_documented_and_trusts_only_the_operator() {
    let service_account = ("apprunner-system", "apprunner-operator");
    for (name, policy) in files() {
        let link = format!("[{name}.json](../../examples/iam/{name}.json)");
        assert!(RIGHTS.contains(&link), "docs/reference/iam.md lacks {name}.json");
        let condition = &statements(&policy)[0]["Condition"]["StringEquals"];
        match name.as_str() {
            "trust-irsa" => {
                let only = condition.as_object().unwrap().iter().find(|(key, _)| key.ends_with(":sub")).unwrap().1;
                assert_eq!(*only, format!("system:serviceaccount:{}:{}", service_account.0, service_account.1));
            }
            "trust-pod-identity" => {
                assert_eq!(condition["aws:RequestTag/kubernetes-namespace"], service_account.0);
                assert_eq!(condition["aws:RequestTag/kubernetes-service-account"], service_account.1);
            }
            "trust-account" => {
                let principal = &statements(&policy)[0]["Principal"]["AWS"];
                assert_eq!(*principal, "arn:aws:iam::111122223333:role/apprunner-operator");
                assert_eq!(condition["sts:ExternalId"], "prod-eu-1");
            }
            _ => {}
        }
    }
    for file in ["rbac.yaml", "leader-election.yaml"] {
        let subject = subjects(file).pop().unwrap();
        assert_eq!(
            (subject["namespace"].as_str(), subject["name"].as_str()),
            (Some(service_account.0), Some(service_account.1))
        );
    }
}

#[test]
fn the_table_of_rights_is_complete_and_exact() {
    let mut given = BTreeSet::new();
    for rule in ["rbac.yaml", "leader-election.yaml"].into_iter().flat_map(rules) {
        let words = |key: &str| strings(&rule[key]);
        let names = words("resourceNames").first().map(|name| format!(" (`{name}`)")).unwrap_or_default();
        for resource in words("resources") {
            given.extend(words("verbs").iter().map(|verb| format!("`{resource}`{names}: {verb}")));
        }
    }
    let part = RIGHTS.split("\n## ").find(|part| part.starts_with("Rights")).unwrap();
    // The rights of the chart's hook are in none of these files.
    let rows = part
        .lines()
        .filter(|line| !line.contains("(hook)"))
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next()?.split_once(": "));
    let named = rows.flat_map(|(what, verbs)| verbs.split(", ").map(move |verb| format!("`{what}: {verb}")));
    assert_eq!(named.collect::<BTreeSet<_>>(), given);
}

/// The stack of `docs/install/eks.md` gives the role what `names.json` gives, and trusts the same service account.
#[test]
fn the_stack_for_eks_has_the_policies_of_the_files() {
    let stack = documents("eks-stack.yaml").remove(0);
    let role = &stack["Resources"]["Role"]["Properties"];
    let policy = resolved(&role["Policies"][0]["PolicyDocument"]);
    assert_eq!(policy, files()["names"]);
    let (trust, file) =
        (&role["AssumeRolePolicyDocument"]["Statement"][0], &files()["trust-pod-identity"]["Statement"][0]);
    for member in ["Effect", "Principal", "Action"] {
        assert_eq!(trust[member], file[member], "{member}");
    }
    for (key, value) in file["Condition"]["StringEquals"].as_object().unwrap() {
        assert_eq!(trust["Condition"]["StringEquals"][key], *value, "{key}");
    }
    let association = &stack["Resources"]["Association"]["Properties"];
    assert_eq!(
        (association["Namespace"].as_str(), association["ServiceAccount"].as_str()),
        (Some("apprunner-system"), Some("apprunner-operator"))
    );
}

/// A part of the stack with the account of the examples in place of `Fn::Sub`.
fn resolved(part: &Value) -> Value {
    match part {
        Value::Object(members) => match members.get("Fn::Sub") {
            Some(text) => text.as_str().unwrap().replace("${AWS::AccountId}", "111122223333").into(),
            None => members.iter().map(|(name, value)| (name.clone(), resolved(value))).collect(),
        },
        Value::Array(items) => items.iter().map(resolved).collect(),
        other => other.clone(),
    }
}

fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn rules(file: &str) -> Vec<Value> {
    documents(file).iter().flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default()).collect()
}

fn subjects(file: &str) -> Vec<Value> {
    documents(file).iter().flat_map(|document| document["subjects"].as_array().cloned().unwrap_or_default()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}
