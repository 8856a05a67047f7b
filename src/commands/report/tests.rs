//! Tests of the pure parts: what is known, each format, the difference of two reports, and the manifests.

use std::collections::HashSet;

use jiff::Timestamp;
use proptest::prelude::*;

use super::combine::{self, AccountScan, CALLS};
use super::diff;
use super::manifests::{self, Into, Unmanaged, names};
use super::model::{ConnectorReport, Credentials, OwnerState, RegionReport, Report, State};
use super::objects::{ClusterState, Object};
use super::scan::{Described, Partial, RegionScan, Tagged};
use super::{csv, notes, plan, table, yaml};
use crate::api::DeletionPolicy;
use crate::apprunner::inventory::{Configuration, IngressConnection, ServiceSettings};
use crate::cli::AccessArgs;
use crate::committed::assert_committed;
use crate::core::accounts::{Account, Accounts, Namespaces};
use crate::core::arn::ConnectorArn;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Connector, Failure, Operation, Service};

const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "111122223333";
const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

fn resource(kind: &str, name: &str, id: u128) -> String {
    format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:{kind}/{name}/{id:032x}")
}

fn connector_arn(name: &str, id: u128) -> String {
    resource("vpcconnector", &format!("{name}/1"), id)
}

fn connector(name: &str, id: u128, status: &str) -> Connector {
    Connector {
        arn: Some(connector_arn(name, id)),
        name: Some(name.into()),
        revision: Some(1),
        status: Some(status.into()),
        subnets: vec!["subnet-1".into(), "subnet-2".into()],
        security_groups: vec![format!("sg-{id}")],
        ..Connector::default()
    }
}

fn tagged(connector: Connector, tag: Option<&str>) -> Tagged {
    Tagged { connector, owner_tag: Ok(tag.map(str::to_owned)) }
}

fn active(name: &str) -> Tagged {
    tagged(connector(name, 1, "ACTIVE"), None)
}

fn service(name: &str, status: &str, connector: Option<&str>) -> Described {
    Described {
        service: Service {
            arn: resource("service", name, 7),
            name: name.into(),
            status: status.into(),
            updated_at: Some(NOW),
        },
        settings: Ok(ServiceSettings { connector: connector.map(str::to_owned), ..ServiceSettings::default() }),
        custom_domains: Ok(Vec::new()),
    }
}

fn part<T>(items: Vec<T>) -> Partial<T> {
    Partial { items, failure: None }
}

fn denied(operation: Operation) -> Failure {
    Failure::new(operation, ErrorClass::AccessDenied, "AccessDeniedException", "not authorized")
}

fn scan(connectors: Vec<Tagged>, services: Vec<Described>) -> RegionScan {
    RegionScan { connectors: part(connectors), services: part(services), ..RegionScan::default() }
}

fn of_account(account: &str, regions: Vec<(&str, RegionScan)>) -> AccountScan {
    let regions = regions.into_iter().map(|(region, scan)| (region.parse().unwrap(), scan)).collect();
    AccountScan { account: Some(account.into()), credentials: Credentials::Current, regions: Ok(regions) }
}

fn cluster(objects: Vec<Object>) -> ClusterState {
    ClusterState { id: Ok("c1".parse().unwrap()), objects: Ok(objects) }
}

fn object(name: &str, named: &str, claimed: Option<&str>) -> Object {
    Object {
        namespace: "shop".into(),
        name: name.into(),
        arn: Some(named.into()),
        claimed: claimed.map(str::to_owned),
        reason: claimed.map(|_| "Available".into()),
        deletion_policy: Some("Delete".into()),
        deleting: false,
    }
}

fn report(scan: RegionScan, cluster: &ClusterState) -> Report {
    combine::report(vec![of_account(ACCOUNT, vec![(REGION, scan)])], cluster, NOW)
}

fn region(scan: RegionScan, cluster: &ClusterState) -> RegionReport {
    report(scan, cluster).accounts.remove(0).regions.remove(0)
}

fn only_connector(scan: RegionScan, cluster: &ClusterState) -> ConnectorReport {
    region(scan, cluster).connectors.unwrap().remove(0)
}

/// One of everything: held and free, managed and not, of this cluster and of others, known and unknown.
fn everything() -> Report {
    let [shop, orphan, kept, moving, foreign] =
        [("shop", 1), ("orphan", 2), ("kept", 3), ("moving", 4), ("foreign", 5)]
            .map(|(name, id)| connector_arn(name, id));
    let connectors = vec![
        tagged(connector("shop", 1, "ACTIVE"), Some("c1/shop/shop")),
        tagged(connector("orphan", 2, "ACTIVE"), Some("c1/shop/gone")),
        tagged(connector("kept", 3, "ACTIVE"), Some("c1/shop/kept")),
        tagged(connector("moving", 4, "ACTIVE"), Some("c1/shop/moving")),
        tagged(connector("foreign", 5, "ACTIVE"), Some("c2/jobs/foreign")),
        tagged(connector("nobodys", 6, "ACTIVE"), None),
        tagged(connector("old-one", 8, "INACTIVE"), None),
    ];
    let mut web = service("web", "RUNNING", Some(&shop));
    web.custom_domains = Ok(vec!["shop.example.com".into(), "www.example.com".into()]);
    let services = vec![
        web,
        service("batch", "PAUSED", Some(&shop)),
        service("plain", "OPERATION_IN_PROGRESS", None),
        service("broken", "DELETE_FAILED", Some(&moving)),
        service("draft", "CREATE_FAILED", Some(&kept)),
    ];
    let ingress = IngressConnection {
        arn: resource("vpcingressconnection", "web-in", 9),
        name: Some("web-in".into()),
        status: Some("AVAILABLE".into()),
        service: Some(resource("service", "web", 7)),
    };
    let unused = |kind: &str, name: &str, used| Configuration {
        arn: resource(kind, &format!("{name}/1"), 3),
        name: name.into(),
        used,
        built_in: false,
    };
    let full = RegionScan {
        ingress_connections: part(vec![ingress]),
        auto_scaling: part(vec![
            unused("autoscalingconfiguration", "tight", Some(false)),
            unused("autoscalingconfiguration", "busy", Some(true)),
        ]),
        source_connections: part(vec![unused("connection", "github", None)]),
        observability: part(vec![unused("observabilityconfiguration", "traces", None)]),
        ..scan(connectors, services)
    };
    let refused = |operation| Partial { items: Vec::new(), failure: Some(denied(operation)) };
    let half = RegionScan {
        services: Partial { failure: Some(denied(Operation::ListServices)), ..part(vec![]) },
        ingress_connections: refused(Operation::ListVpcIngressConnections),
        ..scan(vec![active("half")], Vec::new())
    };
    let nowhere = Failure::new(Operation::ListVpcConnectors, ErrorClass::SubscriptionRequired, "OptInRequired", "no");
    let refused = Partial { items: Vec::new(), failure: Some(nowhere.clone()) };
    let services = Partial { items: Vec::new(), failure: Some(nowhere) };
    let unsubscribed = RegionScan { connectors: refused, services, ..RegionScan::default() };
    let objects = vec![
        object("shop", &shop, Some(&shop)),
        Object { deletion_policy: Some("Retain".into()), ..object("kept", &kept, Some(&kept)) },
        Object { deleting: true, reason: Some("InUse".into()), ..object("moving", &moving, Some(&moving)) },
        Object { reason: Some("OwnedByAnother".into()), ..object("asks", &foreign, None) },
        object("gone", &orphan.replace("orphan", "other"), None),
    ];
    let regions =
        vec![(REGION, full), ("us-east-1", half), ("us-west-2", unsubscribed), ("eu-central-1", RegionScan::default())];
    let unread = AccountScan {
        account: Some("444455556666".into()),
        credentials: Credentials::Role("arn:aws:iam::444455556666:role/apprunner-operator".into()),
        regions: Err(denied(Operation::AssumeRole)),
    };
    combine::report(vec![of_account(ACCOUNT, regions), unread], &cluster(objects), NOW)
}

#[track_caller]
fn assert_expected(file: &str, text: &str) {
    assert_committed(file, text, "run the test with UPDATE_EXPECTED=1 to accept the change");
}

fn expected(file: &str) -> String {
    format!("src/commands/report/expected/{file}")
}

#[test]
fn every_format_is_as_committed() {
    let report = everything();
    assert_expected(&expected("table.txt"), &table::render(&report, false));
    assert_expected(&expected("wide.txt"), &table::render(&report, true));
    assert_expected(&expected("report.md"), &table::markdown(&report));
    assert_expected(&expected("report.csv"), &csv::render(&report).unwrap());
    assert_expected(&expected("report.json"), &super::json(&report).unwrap());
    assert_expected(&expected("report.yaml"), &yaml(&report).unwrap());
    assert_expected(&expected("plan.txt"), &plan::render(&report, &AccessArgs::default()));
    let into =
        Into { objects: Some(&[]), namespace: Some("shop"), deletion_policy: &DeletionPolicy::Retain, accounts: None };
    let manifests = manifests::render(&Unmanaged::of(&report), &into).unwrap();
    assert_expected(&expected("manifests.yaml"), &manifests);
}

#[test]
fn the_json_follows_the_published_schema() {
    assert_expected(
        "docs/reference/report.schema.json",
        &(serde_json::to_string_pretty(&super::schema()).unwrap() + "\n"),
    );
    let validator = jsonschema::validator_for(&super::schema()).unwrap();
    let json = serde_json::to_value(everything()).unwrap();
    validator.validate(&json).unwrap_or_else(|error| panic!("{error}"));
    let mut without = json.clone();
    without["accounts"][0]["regions"][0].as_object_mut().unwrap().remove("state");
    assert!(validator.validate(&without).is_err());
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), everything(), "a report is read back");
}

#[test]
fn an_active_connector_without_blockers_is_deletable() {
    let none = cluster(Vec::new());
    let of = |status: &str, services: Vec<Described>, failure: Option<Failure>| {
        let services = Partial { items: services, failure };
        let connectors = part(vec![tagged(connector("shop", 1, status), None)]);
        only_connector(RegionScan { connectors, services, ..RegionScan::default() }, &none)
    };
    let (using, other) = (|| service("web", "RUNNING", Some(&connector_arn("shop", 1))), service("x", "RUNNING", None));
    let cut = || Some(denied(Operation::ListServices));
    assert_eq!(of("ACTIVE", vec![other.clone()], None).deletable, Some(true));
    assert_eq!(of("active", Vec::new(), None).deletable, Some(true));
    assert_eq!(of("ACTIVE", vec![using()], None).deletable, Some(false));
    assert_eq!(of("ACTIVE", vec![using()], cut()).deletable, Some(false), "one known blocker suffices");
    assert_eq!(of("ACTIVE", Vec::new(), cut()).deletable, None);
    assert_eq!(of("INACTIVE", Vec::new(), None).deletable, Some(false));
    assert_eq!(of("DELETING", Vec::new(), None).deletable, None);
    let undescribed = Described { settings: Err(denied(Operation::DescribeService)), ..other };
    assert_eq!(of("ACTIVE", vec![undescribed], None).deletable, None);
}

#[test]
fn what_could_not_be_read_is_null_and_never_empty() {
    let none = cluster(Vec::new());
    let unread = |operation| Partial { items: Vec::new(), failure: Some(denied(operation)) };
    let connectors = part(vec![active("shop")]);
    let services = unread(Operation::ListServices);
    let source_connections = part(vec![Configuration { name: "github".into(), ..Configuration::default() }]);
    let one = region(RegionScan { connectors, services, source_connections, ..RegionScan::default() }, &none);
    let shop = &one.connectors.as_ref().unwrap()[0];
    assert_eq!((&shop.held_by, shop.held_by_complete), (&None, false));
    assert_eq!((one.services, one.state), (None, State::PartlyRead));
    assert_eq!(one.unused.source_connections, None, "a service that was not read may use it");

    let using = service("web", "RUNNING", Some(&connector_arn("shop", 1)));
    let unknown = Described { settings: Err(denied(Operation::DescribeService)), ..service("x", "RUNNING", None) };
    let one = region(scan(vec![active("shop")], vec![using, unknown]), &none);
    let shop = &one.connectors.as_ref().unwrap()[0];
    assert_eq!((shop.held_by.as_ref().map(Vec::len), shop.held_by_complete), (Some(1), false));
    assert_eq!(one.services.unwrap().iter().filter(|service| service.connectors.is_none()).count(), 1);

    let cut = || Partial { items: Vec::new(), failure: Some(denied(Operation::ListConnections)) };
    let none_read = RegionScan {
        connectors: Partial { items: Vec::new(), failure: Some(denied(Operation::ListVpcConnectors)) },
        services: unread(Operation::ListServices),
        ingress_connections: Partial { items: Vec::new(), failure: Some(denied(Operation::ListVpcIngressConnections)) },
        auto_scaling: cut(),
        source_connections: cut(),
        observability: cut(),
    };
    let one = region(none_read, &none);
    assert_eq!((one.state, one.connectors, one.quota), (State::NotRead, None, None));
}

#[test]
fn the_owner_is_that_of_the_tag_and_the_cluster_tells_an_orphan() {
    let shop = connector_arn("shop", 1);
    let here = cluster(vec![object("egress", &shop, Some(&shop)), object("moved", "another", None)]);
    let no_id = ClusterState { id: Err("no".into()), ..here.clone() };
    let no_objects = ClusterState { objects: Err("no".into()), ..here.clone() };
    let owner = |tag: Option<&str>, cluster: &ClusterState| {
        let one = scan(vec![tagged(connector("shop", 1, "ACTIVE"), tag)], Vec::new());
        only_connector(one, cluster).owner.state
    };
    assert_eq!(owner(None, &here), OwnerState::Nobody);
    assert_eq!(owner(Some("c1/shop/egress"), &here), OwnerState::Object);
    assert_eq!(owner(Some("c1/shop/gone"), &here), OwnerState::Orphan);
    assert_eq!(owner(Some("c1/shop/moved"), &here), OwnerState::Orphan, "the object names another connector");
    assert_eq!(owner(Some("c2/shop/egress"), &here), OwnerState::AnotherCluster);
    assert_eq!(owner(Some("nonsense"), &here), OwnerState::AnotherCluster);
    assert_eq!(owner(Some("c1/shop/egress"), &no_id), OwnerState::Unknown);
    assert_eq!(owner(Some("c1/shop/egress"), &no_objects), OwnerState::Unknown);
    let unread = Tagged { owner_tag: Err(denied(Operation::ListTagsForResource)), ..active("shop") };
    assert_eq!(only_connector(scan(vec![unread], Vec::new()), &here).owner.state, OwnerState::Unknown);
}

#[test]
fn objects_that_claimed_the_connector_are_listed_before_those_that_only_name_it() {
    let (shop, other) = (connector_arn("shop", 1), connector_arn("other", 2));
    let objects = vec![
        object("asks", &shop, None),
        object("elsewhere", &other, Some(&other)),
        object("owns", &shop, Some(&shop)),
    ];
    let managers = only_connector(scan(vec![active("shop")], Vec::new()), &cluster(objects)).managed_by.unwrap();
    let managers: Vec<_> = managers.iter().map(|manager| (manager.name.as_str(), manager.claimed)).collect();
    assert_eq!(managers, [("owns", true), ("asks", false)]);
    let unread = ClusterState::unreadable("it is away");
    assert_eq!(only_connector(scan(vec![active("shop")], Vec::new()), &unread).managed_by, None);
    assert_eq!(report(RegionScan::default(), &unread).cluster.problem.as_deref(), Some("it is away"), "once");
}

#[test]
fn unread_parts_are_named_once_with_the_missing_action() {
    let cut = || RegionScan {
        services: Partial { items: Vec::new(), failure: Some(denied(Operation::ListServices)) },
        ..scan(vec![active("shop")], Vec::new())
    };
    let both = of_account(ACCOUNT, vec![("eu-west-1", cut()), ("us-east-1", cut())]);
    let text = combine::report(vec![both], &cluster(Vec::new()), NOW).unread();
    assert_eq!(text.matches("apprunner:ListServices: ").count(), 1, "{text}");
    assert!(text.contains("in eu-west-1, us-east-1: ") && text.contains("A report needs apprunner:"), "{text}");
    for call in CALLS {
        assert!(text.contains(&call.iam_action()), "{call}");
    }
    assert_eq!(report(RegionScan::default(), &cluster(Vec::new())).unread(), "");
}

#[test]
fn what_went_came_and_changed_is_told_apart_from_what_is_unknown() {
    let none = cluster(Vec::new());
    let using = service("web", "RUNNING", Some(&connector_arn("shop", 1)));
    let old = report(scan(vec![active("shop"), tagged(connector("old", 2, "ACTIVE"), None)], vec![using]), &none);
    let new = report(scan(vec![active("shop"), tagged(connector("new", 3, "ACTIVE"), None)], Vec::new()), &none);
    let difference = diff::compare(&old, &new);
    let named = |list: &[diff::Resource]| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (named(&difference.gone), named(&difference.new)),
        (vec!["web".into(), "old".into()], vec!["new".into()])
    );
    assert_eq!(difference.changed.len(), 1, "shop is no longer held");
    assert_expected(&expected("diff.txt"), &diff::render(&difference));
    assert!(diff::render(&diff::compare(&old, &old)).ends_with("\nNothing changed.\n"));

    let unread = Partial { items: Vec::new(), failure: Some(denied(Operation::ListVpcConnectors)) };
    let cut = report(RegionScan { connectors: unread, ..RegionScan::default() }, &none);
    let difference = diff::compare(&old, &cut);
    assert_eq!(
        (named(&difference.gone), named(&difference.unknown)),
        (vec!["web".into()], vec!["old".into(), "shop".into()])
    );
    let difference = diff::compare(&cut, &new);
    assert_eq!((named(&difference.new), named(&difference.first_seen)), (vec![], vec!["new".into(), "shop".into()]));
    let nothing_read = diff::render(&diff::compare(&cut, &cut));
    assert!(nothing_read.contains("Nothing changed in what both reports have read."), "{nothing_read}");
    let elsewhere =
        combine::report(vec![of_account("444455556666", vec![(REGION, RegionScan::default())])], &none, NOW);
    let difference = diff::compare(&old, &elsewhere);
    assert_eq!((named(&difference.gone), difference.unknown.len()), (vec![], 3), "another account was read");
}

#[test]
fn an_older_report_of_another_kind_is_refused() {
    let directory = std::env::temp_dir().join(format!("old-report-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("old.json");
    for (text, part) in
        [("{", "EOF"), ("{}", "apiVersion is null"), (r#"{"account": "1", "regions": []}"#, "kind null")]
    {
        std::fs::write(&file, text).unwrap();
        let error = diff::read(&file).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("report --output json"), "{text}: {error}");
    }
    std::fs::write(&file, super::json(&everything()).unwrap()).unwrap();
    assert_eq!(diff::read(&file).unwrap(), everything());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_command_of_the_plan_cannot_become_another_command() {
    let mut evil = connector("shop", 1, "ACTIVE");
    evil.arn = Some("arn:aws:apprunner:x; rm -rf /'$(x)`\n".into());
    let text =
        plan::render(&report(scan(vec![tagged(evil, None)], Vec::new()), &cluster(Vec::new())), &AccessArgs::default());
    let command = text.lines().find(|line| line.contains("delete-vpc-connector")).unwrap();
    let words = shlex::split(command).unwrap();
    assert_eq!(words.last().unwrap(), "arn:aws:apprunner:x; rm -rf /'$(x)`?", "{command}");
}

/// The plan for one connector that these objects name.
fn planned(tag: Option<&str>, objects: Vec<Object>) -> String {
    let access = AccessArgs { kubeconfig: Some("/tmp/a b".into()), context: Some("prod".into()) };
    plan::render(
        &report(scan(vec![tagged(connector("shop", 1, "ACTIVE"), tag)], Vec::new()), &cluster(objects)),
        &access,
    )
}

#[test]
fn the_plan_deletes_only_what_is_known_to_be_ours_and_in_the_cluster_that_was_read() {
    let arn = connector_arn("shop", 1);
    let egress = || object("egress", &arn, Some(&arn));
    let ours = planned(Some("c1/shop/egress"), vec![egress()]);
    assert!(ours.contains("kubectl --kubeconfig '/tmp/a b' --context prod delete vpcc/egress"), "{ours}");
    let waiting = |reason: &str| Object { deleting: true, reason: Some(reason.into()), ..egress() };
    for (object, says) in [
        (waiting("InUse"), "which is being deleted, InUse: nothing to do"),
        (waiting("WrongAccount"), "which needs you: WrongAccount"),
        (Object { deletion_policy: Some("Retain".into()), ..waiting("InUse") }, "the connector will remain"),
        (Object { reason: Some("OwnedByAnother".into()), ..object("asks", &arn, None) }, "needs you: OwnedByAnother"),
    ] {
        let plan = planned(Some("c1/shop/egress"), vec![object]);
        assert!(plan.contains(says) && !plan.contains("kubectl") && !plan.contains("delete-vpc-connector"), "{plan}");
    }
    let foreign = planned(Some("c2/shop/egress"), vec![egress()]);
    assert!(foreign.contains("delete its object in that cluster") && !foreign.contains("kubectl"), "{foreign}");
    let unread = Tagged { owner_tag: Err(denied(Operation::ListTagsForResource)), ..active("shop") };
    let unread = plan::render(&report(scan(vec![unread], Vec::new()), &cluster(Vec::new())), &AccessArgs::default());
    assert!(unread.contains("find out who owns it") && !unread.contains("delete-vpc-connector"), "{unread}");
}

#[test]
fn one_refusal_hides_nothing_and_a_cut_list_is_not_complete() {
    let none = cluster(Vec::new());
    let no = Failure::new(Operation::ListObservabilityConfigurations, ErrorClass::SubscriptionRequired, "OptIn", "no");
    let observability = Partial { items: Vec::new(), failure: Some(no) };
    let one = region(RegionScan { observability, ..RegionScan::default() }, &none);
    assert_eq!((one.state, one.problems.len()), (State::PartlyRead, 1));

    // The session failed between two pages, so the failure is not that of the list's own call.
    let web = || service("web", "RUNNING", None);
    let services = Partial { failure: Some(denied(Operation::AssumeRole)), ..part(vec![web()]) };
    let cut = report(RegionScan { services, ..RegionScan::default() }, &none);
    assert!(!cut.accounts[0].regions[0].complete.services);
    let old = report(scan(Vec::new(), vec![web(), service("more", "RUNNING", None)]), &none);
    assert_eq!(diff::compare(&old, &cut).gone, vec![]);
    assert!(csv::render(&cut).unwrap().contains("Service,unknown"));

    let ingress = IngressConnection { arn: "arn:1".into(), ..IngressConnection::default() };
    let nameless = RegionScan { ingress_connections: part(vec![ingress]), ..scan(Vec::new(), vec![web()]) };
    assert_eq!(region(nameless, &none).services.unwrap()[0].ingress_connections, None, "it may hold this service");
}

#[test]
fn adopted_objects_say_what_is_not_known_or_not_allowed() {
    let report = report(scan(vec![active("shop")], Vec::new()), &ClusterState::unreadable("it is away"));
    let mut accounts = Accounts::default();
    let role = "arn:aws:iam::111122223333:role/a".parse().unwrap();
    let namespaces = Namespaces::Only(vec!["jobs".into()]);
    accounts.insert(Account { role, external_id: None, namespaces, regions: None }).unwrap();
    let into = Into {
        objects: None,
        namespace: Some("shop"),
        deletion_policy: &DeletionPolicy::Retain,
        accounts: Some(&accounts),
    };
    let text = manifests::render(&Unmanaged::of(&report), &into).unwrap();
    assert!(text.contains("# careful: an object may manage it already"), "{text}");
    assert!(text.contains("# careful: the namespace shop may not use account 111122223333"), "{text}");
}

#[test]
fn skipped_connectors_are_not_counted_as_managed() {
    let nameless = tagged(Connector { arn: None, ..connector("shop", 1, "ACTIVE") }, None);
    let report = report(scan(vec![nameless], Vec::new()), &cluster(Vec::new()));
    let unmanaged = Unmanaged::of(&report);
    assert!(unmanaged.is_empty() && unmanaged.skipped == 1);
}

#[test]
fn the_summary_counts_what_was_read() {
    let text = notes::summary(&everything());
    assert_eq!(
        text,
        "2 accounts, 3 regions: 1 VPC ingress connection, 5 services, 7 VPC connectors (3 deletable, 3 held by services, \
         1 unknown, 1 orphan). Not everything could be read."
    );
}

fn any_arns() -> impl Strategy<Value = Vec<ConnectorArn>> {
    let one =
        ("[a-zA-Z0-9][a-zA-Z0-9_-]{3,39}", 1..4_u32, 0..3_u128, prop::sample::select(vec!["us-east-1", "eu-west-1"]));
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let arn = |(name, revision, id, region): (String, u32, u128, &str)| {
            format!("arn:aws:apprunner:{region}:{ACCOUNT}:vpcconnector/{name}/{revision}/{id:032x}").parse().unwrap()
        };
        let mut arns: Vec<ConnectorArn> = all.into_iter().map(arn).collect();
        arns.sort();
        arns.dedup();
        arns
    })
}

proptest! {
    #[test]
    fn names_are_valid_unique_free_and_the_same_for_fewer_regions(arns in any_arns(), taken in any_arns()) {
        let of = |arns: &[ConnectorArn], taken: &HashSet<&str>| names(&arns.iter().collect::<Vec<_>>(), taken);
        let others = of(&taken, &HashSet::new());
        let taken: HashSet<&str> = others.iter().map(String::as_str).collect();
        let all = of(&arns, &taken);
        for name in &all {
            prop_assert!(crate::cli::namespace(name).is_ok(), "{name} is no name of an object");
            prop_assert!(!taken.contains(name.as_str()), "{name} is taken");
        }
        prop_assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        for region in ["us-east-1", "eu-west-1"] {
            let in_region = |arn: &&ConnectorArn| arn.region().as_str() == region;
            let some: Vec<_> = arns.iter().filter(in_region).cloned().collect();
            let expected: Vec<_> =
                arns.iter().zip(&all).filter(|(arn, _)| in_region(arn)).map(|(_, name)| name.clone()).collect();
            prop_assert_eq!(of(&some, &taken), expected);
        }
    }
}
