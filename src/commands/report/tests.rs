//! Tests of the pure parts: inventory, table and manifests.

use std::collections::HashSet;

use proptest::prelude::*;

use super::inventory::{ConnectorReport, Inventory, State};
use super::manifests::{self, names};
use super::objects::Object;
use super::scan::{Partial, RegionScan, ServiceUse};
use super::table;
use crate::api::DeletionPolicy;
use crate::core::arn::ConnectorArn;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Connector, Failure, Operation, Service};

const REGION: &str = "eu-west-1";

fn arn(region: &str, name: &str, revision: u32, id: u128) -> String {
    format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/{name}/{revision}/{id:032x}")
}

fn listed(name: &str, id: u128, status: &str) -> Connector {
    Connector {
        arn: Some(arn(REGION, name, 1, id)),
        name: Some(name.into()),
        revision: Some(1),
        status: Some(status.into()),
        ..Connector::default()
    }
}

fn active(name: &str) -> Connector {
    listed(name, 1, "ACTIVE")
}

fn used(service: &str, connector: &Connector) -> ServiceUse {
    let service = Service { name: service.into(), status: "RUNNING".into(), ..Service::default() };
    ServiceUse { service, connector: connector.arn.clone().unwrap() }
}

fn part<T>(items: Vec<T>) -> Partial<T> {
    Partial { items, failure: None }
}

fn scan(region: &str, connectors: Vec<Connector>, uses: Vec<ServiceUse>) -> RegionScan {
    RegionScan { region: region.parse().unwrap(), connectors: part(connectors), uses: part(uses) }
}

fn inventory(scans: Vec<RegionScan>, objects: &Result<Vec<Object>, String>) -> Inventory {
    Inventory::new(&"111122223333".parse().unwrap(), scans, objects)
}

fn failure(operation: Operation, class: ErrorClass) -> Failure {
    Failure::new(operation, class, "SomeCode", "some words")
}

fn object(name: &str, named: Option<&Connector>, claimed: Option<&Connector>) -> Object {
    let arn_of = |connector: Option<&Connector>| connector.and_then(|connector| connector.arn.clone());
    Object { namespace: "shop".into(), name: name.into(), arn: arn_of(named), claimed: arn_of(claimed) }
}

/// Report of the only connector, with the uses and the failure of its service scan.
fn report_of(connector: Connector, uses: Vec<ServiceUse>, failure: Option<Failure>) -> ConnectorReport {
    let uses = Partial { items: uses, failure };
    let scan = RegionScan { region: REGION.parse().unwrap(), connectors: part(vec![connector]), uses };
    inventory(vec![scan], &Ok(Vec::new())).regions.remove(0).connectors.remove(0)
}

#[test]
fn an_active_connector_without_blockers_is_deletable() {
    let denied = || Some(failure(Operation::DescribeService, ErrorClass::AccessDenied));
    let one = active("shop");
    let other = listed("other", 2, "ACTIVE");
    assert_eq!(report_of(one.clone(), vec![used("web", &other)], None).deletable, Some(true));
    assert_eq!(report_of(one.clone(), vec![used("web", &one)], None).deletable, Some(false));
    assert_eq!(
        report_of(one.clone(), vec![used("web", &one)], denied()).deletable,
        Some(false),
        "one known blocker suffices"
    );
    assert_eq!(report_of(one.clone(), Vec::new(), denied()).deletable, None);
    assert_eq!(report_of(listed("shop", 1, "INACTIVE"), Vec::new(), None).deletable, Some(false));
    assert_eq!(report_of(listed("shop", 1, "inactive"), Vec::new(), None).deletable, Some(false));
    let lower = report_of(listed("shop", 1, "active"), Vec::new(), None);
    assert_eq!((lower.deletable, lower.status.as_str(), lower.is_active()), (Some(true), "active", true));
    assert_eq!(report_of(listed("shop", 1, "DELETING"), Vec::new(), None).deletable, None);
    assert_eq!(report_of(Connector { arn: None, ..one.clone() }, Vec::new(), None).deletable, None);
    assert_eq!(report_of(Connector { status: None, ..one }, Vec::new(), None).deletable, None);
}

#[test]
fn blockers_are_sorted_by_name() {
    let one = active("shop");
    let report = report_of(one.clone(), vec![used("web", &one), used("api", &one)], None);
    let names: Vec<_> = report.blocked_by.iter().map(|blocker| blocker.name.as_str()).collect();
    assert_eq!(names, ["api", "web"]);
}

#[test]
fn objects_that_claimed_the_connector_are_listed_before_those_that_only_name_it() {
    let (one, other) = (active("shop"), listed("other", 2, "ACTIVE"));
    let objects = Ok(vec![
        object("asks", Some(&one), None),
        object("elsewhere", Some(&other), Some(&other)),
        object("owns", Some(&one), Some(&one)),
        object("nothing", None, None),
    ]);
    let report = inventory(vec![scan(REGION, vec![one], Vec::new())], &objects).regions.remove(0).connectors.remove(0);
    let managers = report.managed_by.unwrap();
    let managers: Vec<_> = managers.iter().map(|manager| (manager.name.as_str(), manager.claimed)).collect();
    assert_eq!(managers, [("owns", true), ("asks", false)]);
}

#[test]
fn without_a_cluster_the_managers_are_unknown() {
    let scans = || vec![scan(REGION, vec![active("shop")], Vec::new())];
    let unknown = inventory(scans(), &Err("it is away".into()));
    assert_eq!(unknown.regions[0].connectors[0].managed_by, None);
    assert_eq!((unknown.cluster.read, unknown.cluster.problem.as_deref()), (false, Some("it is away")));
    assert_eq!(inventory(scans(), &Ok(Vec::new())).regions[0].connectors[0].managed_by, Some(Vec::new()));
}

#[test]
fn regions_and_connectors_are_sorted_and_unique() {
    let second = Connector { revision: Some(2), arn: Some(arn(REGION, "shop", 2, 9)), ..active("shop") };
    let connectors = vec![second, active("shop"), active("api1"), active("shop")];
    let scans = vec![scan("us-east-1", Vec::new(), Vec::new()), scan(REGION, connectors, Vec::new())];
    let inventory = inventory(scans, &Ok(Vec::new()));
    let regions: Vec<_> = inventory.regions.iter().map(|region| region.region.as_str()).collect();
    assert_eq!(regions, [REGION, "us-east-1"]);
    let connectors: Vec<_> =
        inventory.regions[0].connectors.iter().map(|report| (report.name.as_str(), report.revision.unwrap())).collect();
    assert_eq!(connectors, [("api1", 1), ("shop", 1), ("shop", 2)]);
}

#[test]
fn only_active_connectors_count_toward_the_quota() {
    let connectors = vec![active("shop"), listed("old1", 2, "INACTIVE")];
    let inventory = inventory(vec![scan(REGION, connectors, Vec::new())], &Ok(Vec::new()));
    let quota = inventory.regions[0].quota.unwrap();
    assert_eq!((quota.used, quota.aws_default), (1, 10));
}

#[test]
fn state_of_a_region_follows_from_the_failed_calls() {
    let region = |connectors: Vec<Connector>, listing: Option<ErrorClass>, services: Option<ErrorClass>| {
        let mut scan = scan(REGION, connectors, Vec::new());
        scan.connectors.failure = listing.map(|class| failure(Operation::ListVpcConnectors, class));
        scan.uses.failure = services.map(|class| failure(Operation::ListServices, class));
        let region = inventory(vec![scan], &Ok(Vec::new())).regions.remove(0);
        (region.state, region.problems.len(), region.quota.is_some())
    };
    let some = || vec![active("shop")];
    assert_eq!(region(some(), None, None), (State::Read, 0, true));
    assert_eq!(region(Vec::new(), None, None), (State::Read, 0, true));
    assert_eq!(region(some(), None, Some(ErrorClass::AccessDenied)), (State::PartlyRead, 1, true));
    assert_eq!(region(some(), Some(ErrorClass::Unreachable), None), (State::PartlyRead, 1, false));
    assert_eq!(region(Vec::new(), Some(ErrorClass::AccessDenied), None), (State::NotRead, 1, false));
    assert_eq!(region(Vec::new(), Some(ErrorClass::SubscriptionRequired), None), (State::NotSubscribed, 0, false));
}

#[test]
fn a_missing_iam_action_is_printed_once_for_all_regions() {
    let denied = |region: &str| {
        let mut scan = scan(region, Vec::new(), Vec::new());
        scan.connectors.failure = Some(failure(Operation::ListVpcConnectors, ErrorClass::AccessDenied));
        scan
    };
    let words = inventory(vec![denied("us-east-1"), denied(REGION)], &Ok(Vec::new())).problems_text();
    assert_eq!(
        words,
        "not all could be read: in eu-west-1, us-east-1: IAM does not allow apprunner:ListVpcConnectors: SomeCode: some words. A report needs \
         apprunner:ListVpcConnectors, apprunner:ListServices and apprunner:DescribeService"
    );
    assert_eq!(inventory(vec![scan(REGION, Vec::new(), Vec::new())], &Ok(Vec::new())).problems_text(), "");
}

#[test]
fn a_table_has_a_row_for_each_connector_and_a_line_for_each_service() {
    let one = active("shop");
    let connectors = vec![one.clone(), active("free-one"), listed("old1", 3, "INACTIVE")];
    let uses = vec![used("web", &one), used("b\x1b[2Jatch", &one)];
    let objects = Ok(vec![object("egress", Some(&one), Some(&one))]);
    let mut unread = scan("us-east-1", Vec::new(), Vec::new());
    unread.connectors.failure = Some(failure(Operation::ListVpcConnectors, ErrorClass::Unreachable));
    let scans = vec![scan(REGION, connectors, uses), scan("us-west-2", Vec::new(), Vec::new()), unread];
    let expected = "\
Account 111122223333

REGION      CONNECTOR   REVISION   STATUS     DELETABLE   MANAGED BY    HELD BY
eu-west-1   free-one    1          ACTIVE     yes         -             -
eu-west-1   old1        1          INACTIVE   deleted     -             -
eu-west-1   shop        1          ACTIVE     no          shop/egress   b?[2Jatch (RUNNING)
                                                                        web (RUNNING)

Quota used (10 is AWS's default; yours may be higher): eu-west-1 2 of 10
No connectors: us-west-2
Not read: us-east-1 (ListVpcConnectors SomeCode)
";
    assert_eq!(table::render(&inventory(scans, &objects)), expected);
}

fn render(connectors: Vec<Connector>, objects: &[Object], namespace: Option<&str>) -> String {
    let inventory = inventory(vec![scan(REGION, connectors, Vec::new())], &Ok(objects.to_owned()));
    manifests::render(&inventory, objects, namespace, &DeletionPolicy::Retain).unwrap()
}

#[test]
fn a_manifest_has_only_the_required_fields() {
    let expected = "\
# Shop_1 in eu-west-1: held by no service
apiVersion: apprunner-operator.dev/v1alpha1
kind: VpcConnector
metadata:
  name: shop-1
  namespace: shop
spec:
  arn: arn:aws:apprunner:eu-west-1:111122223333:vpcconnector/Shop_1/1/00000000000000000000000000000001
  deletionPolicy: Retain
";
    assert_eq!(render(vec![active("Shop_1")], &[], Some("shop")), expected);
    let without = expected.replace("  namespace: shop\n", "");
    assert_eq!(render(vec![active("Shop_1")], &[], None), without);
}

#[test]
fn manifests_are_for_active_connectors_that_no_object_names() {
    let (one, other) = (active("shop"), listed("other", 2, "ACTIVE"));
    let inactive = listed("old1", 3, "INACTIVE");
    let printed = render(vec![one.clone(), other, inactive], &[object("egress", Some(&one), None)], None);
    assert_eq!(printed.matches("kind:").count(), 1);
    assert!(printed.contains("name: other"), "{printed}");
}

#[test]
fn a_manifest_does_not_reuse_the_name_of_an_existing_object() {
    let one = active("shop");
    let elsewhere = Object { namespace: "elsewhere".into(), name: "shop".into(), ..Object::default() };
    let here = Object { namespace: "here".into(), ..elsewhere.clone() };
    let name = |object: &Object, namespace| {
        let printed = render(vec![one.clone()], std::slice::from_ref(object), namespace);
        printed.lines().find_map(|line| line.strip_prefix("  name: ").map(str::to_owned)).unwrap()
    };
    assert_eq!(name(&elsewhere, Some("here")), "shop");
    assert_eq!(name(&here, Some("here")), "shop-eu-west-1");
    assert_eq!(name(&elsewhere, None), "shop-eu-west-1", "it may be applied anywhere");
}

fn named(arns: &[String]) -> Vec<String> {
    let arns: Vec<ConnectorArn> = arns.iter().map(|arn| arn.parse().unwrap()).collect();
    names(&arns.iter().collect::<Vec<_>>(), &HashSet::new())
}

#[test]
fn connectors_with_the_same_name_get_distinguishing_suffixes() {
    let regions = [arn("eu-west-1", "shop", 1, 1), arn("us-east-1", "Shop", 1, 2)];
    assert_eq!(named(&regions), ["shop-eu-west-1", "shop-us-east-1"]);
    let revisions = [arn(REGION, "shop", 1, 1), arn(REGION, "shop", 2, 2)];
    assert_eq!(named(&revisions), ["shop-r1", "shop-r2"]);
    let ids = [arn(REGION, "sh-p", 1, 0xa << 124), arn(REGION, "sh_p", 1, 0xb << 124)];
    assert_eq!(named(&ids), ["sh-p-a0000000", "sh-p-b0000000"]);
    let alike = [0xa, 0xb].map(|id| arn(REGION, "shop", 1, id));
    assert_eq!(named(&alike), ["shop-6cf819cde9652efd", "shop-6cf816cde96529e4"], "a digest of the whole ARN");
    let short =
        ["A-", "-", "B-c"].map(|id| format!("arn:aws:apprunner:{REGION}:111122223333:vpcconnector/shop/1/{id}"));
    assert_eq!(named(&short), ["shop-a", "shop", "shop-b-c"]);
    let cut = ["a", "b"].map(|region| arn(&format!("{region}-regionwithanabsurdlylongname-1"), &"n".repeat(40), 1, 1));
    let long = named(&cut);
    assert!(long.iter().all(|name| name.len() == 63 && name.starts_with("nnn")), "{long:?}");
    assert_eq!(named(&[arn(REGION, "shop__", 1, 1)]), ["shop"]);
}

fn any_arns() -> impl Strategy<Value = Vec<String>> {
    let id = prop_oneof!["[0-9a-f]{32}", "[aA-]{1,3}", "[A-Za-z0-9-]{1,64}"];
    let region =
        prop_oneof![Just("eu-west-1"), Just("us-east-1"), Just("n-regionwithanabsurdlylongnamethatgoesonandonandon-1")];
    let name = prop_oneof!["[aA][-_][bB][-_]", "shop(-eu-west-1)?(-r1)?", "[A-Za-z0-9][A-Za-z0-9_-]{3,39}"];
    let arns = prop::collection::hash_map(id, (region, name, 1..3_u32), 1..12);
    arns.prop_map(|arns| {
        let whole = |(id, (region, name, revision)): (String, (&str, String, u32))| {
            format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/{name}/{revision}/{id}")
        };
        arns.into_iter().map(whole).collect()
    })
}

proptest! {
    #[test]
    fn names_are_valid_and_unique(arns in any_arns(), taken in prop::collection::hash_set("shop|a-b|a-b-eu-west-1", 0..3)) {
        let arns: Vec<ConnectorArn> = arns.iter().map(|arn| arn.parse().unwrap()).collect();
        let taken: HashSet<&str> = taken.iter().map(String::as_str).collect();
        let names = names(&arns.iter().collect::<Vec<_>>(), &taken);
        let mut seen = taken.clone();
        for name in &names {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            prop_assert!(plain && !name.starts_with('-') && !name.ends_with('-'), "{name}");
            prop_assert!((1..=63).contains(&name.len()), "{name}");
            prop_assert!(seen.insert(name), "{name} twice in {names:?}");
        }
    }
}
