//! The pure parts: what is put together from what was read, and how it is written down.

use std::collections::HashSet;

use proptest::prelude::*;

use super::found::{Found, Inventory, State};
use super::manifests::{self, names};
use super::objects::Object;
use super::scan::{Part, Reading, Use};
use super::table;
use crate::cli::Policy;
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

fn used(service: &str, connector: &Connector) -> Use {
    let service = Service { name: service.into(), status: "RUNNING".into(), ..Service::default() };
    Use { service, connector: connector.arn.clone().unwrap() }
}

fn part<T>(items: Vec<T>) -> Part<T> {
    Part { items, failure: None }
}

fn reading(region: &str, connectors: Vec<Connector>, uses: Vec<Use>) -> Reading {
    Reading { region: region.parse().unwrap(), connectors: part(connectors), uses: part(uses) }
}

fn inventory(readings: Vec<Reading>, objects: &Result<Vec<Object>, String>) -> Inventory {
    Inventory::of(&"111122223333".parse().unwrap(), readings, objects)
}

fn failure(operation: Operation, class: ErrorClass) -> Failure {
    Failure::new(operation, class, "SomeCode", "some words")
}

fn object(name: &str, named: Option<&Connector>, claimed: Option<&Connector>) -> Object {
    let arn_of = |connector: Option<&Connector>| connector.and_then(|connector| connector.arn.clone());
    Object { namespace: "shop".into(), name: name.into(), arn: arn_of(named), claimed: arn_of(claimed) }
}

/// What is found of the only connector, when its services were read, or not.
fn found(connector: Connector, uses: Vec<Use>, failure: Option<Failure>) -> Found {
    let uses = Part { items: uses, failure };
    let reading = Reading { region: REGION.parse().unwrap(), connectors: part(vec![connector]), uses };
    inventory(vec![reading], &Ok(Vec::new())).regions.remove(0).connectors.remove(0)
}

#[test]
fn a_connector_could_be_deleted_when_it_is_active_and_nothing_uses_it() {
    let denied = || Some(failure(Operation::DescribeService, ErrorClass::AccessDenied));
    let one = active("shop");
    let other = listed("other", 2, "ACTIVE");
    assert_eq!(found(one.clone(), vec![used("web", &other)], None).deletable, Some(true));
    assert_eq!(found(one.clone(), vec![used("web", &one)], None).deletable, Some(false));
    assert_eq!(found(one.clone(), vec![used("web", &one)], denied()).deletable, Some(false), "that much is known");
    assert_eq!(found(one.clone(), Vec::new(), denied()).deletable, None);
    assert_eq!(found(listed("shop", 1, "INACTIVE"), Vec::new(), None).deletable, Some(false));
    assert_eq!(found(listed("shop", 1, "inactive"), Vec::new(), None).deletable, Some(false));
    let lower = found(listed("shop", 1, "active"), Vec::new(), None);
    assert_eq!((lower.deletable, lower.status.as_str(), lower.is_active()), (Some(true), "active", true));
    assert_eq!(found(listed("shop", 1, "DELETING"), Vec::new(), None).deletable, None);
    assert_eq!(found(Connector { arn: None, ..one.clone() }, Vec::new(), None).deletable, None);
    assert_eq!(found(Connector { status: None, ..one }, Vec::new(), None).deletable, None);
}

#[test]
fn services_stand_in_the_order_of_their_names() {
    let one = active("shop");
    let found = found(one.clone(), vec![used("web", &one), used("api", &one)], None);
    let names: Vec<_> = found.held_by.iter().map(|holder| holder.name.as_str()).collect();
    assert_eq!(names, ["api", "web"]);
}

#[test]
fn an_object_manages_what_it_names_and_above_all_what_it_claimed() {
    let (one, other) = (active("shop"), listed("other", 2, "ACTIVE"));
    let objects = Ok(vec![
        object("asks", Some(&one), None),
        object("elsewhere", Some(&other), Some(&other)),
        object("owns", Some(&one), Some(&one)),
        object("nothing", None, None),
    ]);
    let found =
        inventory(vec![reading(REGION, vec![one], Vec::new())], &objects).regions.remove(0).connectors.remove(0);
    let managers = found.managed_by.unwrap();
    let managers: Vec<_> = managers.iter().map(|manager| (manager.name.as_str(), manager.claimed)).collect();
    assert_eq!(managers, [("owns", true), ("asks", false)]);
}

#[test]
fn without_a_cluster_who_manages_is_unknown_and_not_nobody() {
    let readings = || vec![reading(REGION, vec![active("shop")], Vec::new())];
    let unknown = inventory(readings(), &Err("it is away".into()));
    assert_eq!(unknown.regions[0].connectors[0].managed_by, None);
    assert_eq!((unknown.cluster.read, unknown.cluster.problem.as_deref()), (false, Some("it is away")));
    assert_eq!(inventory(readings(), &Ok(Vec::new())).regions[0].connectors[0].managed_by, Some(Vec::new()));
}

#[test]
fn regions_connectors_and_revisions_stand_in_order_and_only_once() {
    let second = Connector { revision: Some(2), arn: Some(arn(REGION, "shop", 2, 9)), ..active("shop") };
    let connectors = vec![second, active("shop"), active("api1"), active("shop")];
    let readings = vec![reading("us-east-1", Vec::new(), Vec::new()), reading(REGION, connectors, Vec::new())];
    let inventory = inventory(readings, &Ok(Vec::new()));
    let regions: Vec<_> = inventory.regions.iter().map(|region| region.region.as_str()).collect();
    assert_eq!(regions, [REGION, "us-east-1"]);
    let connectors: Vec<_> =
        inventory.regions[0].connectors.iter().map(|found| (found.name.as_str(), found.revision.unwrap())).collect();
    assert_eq!(connectors, [("api1", 1), ("shop", 1), ("shop", 2)]);
}

#[test]
fn only_active_connectors_count_toward_the_quota() {
    let connectors = vec![active("shop"), listed("old1", 2, "INACTIVE")];
    let inventory = inventory(vec![reading(REGION, connectors, Vec::new())], &Ok(Vec::new()));
    let quota = inventory.regions[0].quota.unwrap();
    assert_eq!((quota.used, quota.aws_default), (1, 10));
}

#[test]
fn how_far_a_region_was_read() {
    let region = |connectors: Vec<Connector>, listing: Option<ErrorClass>, services: Option<ErrorClass>| {
        let mut reading = reading(REGION, connectors, Vec::new());
        reading.connectors.failure = listing.map(|class| failure(Operation::ListVpcConnectors, class));
        reading.uses.failure = services.map(|class| failure(Operation::ListServices, class));
        let region = inventory(vec![reading], &Ok(Vec::new())).regions.remove(0);
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
fn a_missing_right_is_told_once_for_all_regions() {
    let denied = |region: &str| {
        let mut reading = reading(region, Vec::new(), Vec::new());
        reading.connectors.failure = Some(failure(Operation::ListVpcConnectors, ErrorClass::AccessDenied));
        reading
    };
    let words = inventory(vec![denied("us-east-1"), denied(REGION)], &Ok(Vec::new())).problems_in_words();
    assert_eq!(
        words,
        "not all could be read: in eu-west-1, us-east-1: IAM does not allow apprunner:ListVpcConnectors: SomeCode: some words. A report needs \
         apprunner:ListVpcConnectors, apprunner:ListServices and apprunner:DescribeService"
    );
    assert_eq!(inventory(vec![reading(REGION, Vec::new(), Vec::new())], &Ok(Vec::new())).problems_in_words(), "");
}

#[test]
fn a_table_has_a_row_for_each_connector_and_a_line_for_each_service() {
    let one = active("shop");
    let connectors = vec![one.clone(), active("free-one"), listed("old1", 3, "INACTIVE")];
    let uses = vec![used("web", &one), used("b\x1b[2Jatch", &one)];
    let objects = Ok(vec![object("egress", Some(&one), Some(&one))]);
    let mut unread = reading("us-east-1", Vec::new(), Vec::new());
    unread.connectors.failure = Some(failure(Operation::ListVpcConnectors, ErrorClass::Unreachable));
    let readings = vec![reading(REGION, connectors, uses), reading("us-west-2", Vec::new(), Vec::new()), unread];
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
    assert_eq!(table::rendered(&inventory(readings, &objects)), expected);
}

fn rendered(connectors: Vec<Connector>, objects: &[Object], namespace: Option<&str>) -> String {
    let inventory = inventory(vec![reading(REGION, connectors, Vec::new())], &Ok(objects.to_owned()));
    manifests::rendered(&inventory, objects, namespace, Policy::Retain).unwrap()
}

#[test]
fn a_manifest_has_all_that_is_needed_and_nothing_else() {
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
    assert_eq!(rendered(vec![active("Shop_1")], &[], Some("shop")), expected);
    let without = expected.replace("  namespace: shop\n", "");
    assert_eq!(rendered(vec![active("Shop_1")], &[], None), without);
}

#[test]
fn manifests_are_for_active_connectors_that_no_object_names() {
    let (one, other) = (active("shop"), listed("other", 2, "ACTIVE"));
    let inactive = listed("old1", 3, "INACTIVE");
    let printed = rendered(vec![one.clone(), other, inactive], &[object("egress", Some(&one), None)], None);
    assert_eq!(printed.matches("kind:").count(), 1);
    assert!(printed.contains("name: other"), "{printed}");
}

#[test]
fn a_name_that_an_object_has_is_left_to_it() {
    let one = active("shop");
    let elsewhere = Object { namespace: "elsewhere".into(), name: "shop".into(), ..Object::default() };
    let here = Object { namespace: "here".into(), ..elsewhere.clone() };
    let name = |object: &Object, namespace| {
        let printed = rendered(vec![one.clone()], std::slice::from_ref(object), namespace);
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
fn two_that_would_have_the_same_name_are_told_apart_by_what_differs() {
    let regions = [arn("eu-west-1", "shop", 1, 1), arn("us-east-1", "Shop", 1, 2)];
    assert_eq!(named(&regions), ["shop-eu-west-1", "shop-us-east-1"]);
    let revisions = [arn(REGION, "shop", 1, 1), arn(REGION, "shop", 2, 2)];
    assert_eq!(named(&revisions), ["shop-r1", "shop-r2"]);
    let ids = [arn(REGION, "sh-p", 1, 0xa << 124), arn(REGION, "sh_p", 1, 0xb << 124)];
    assert_eq!(named(&ids), ["sh-p-a0000000", "sh-p-b0000000"]);
    let alike = [0xa, 0xb].map(|id| arn(REGION, "shop", 1, id));
    assert_eq!(named(&alike), ["shop-6cf819cde9652efd", "shop-6cf816cde96529e4"], "by all of the ARN");
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
    fn names_are_valid_and_nobody_elses(arns in any_arns(), taken in prop::collection::hash_set("shop|a-b|a-b-eu-west-1", 0..3)) {
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
