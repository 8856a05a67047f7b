//! The way out as text: for each account and region what to remove, in order, with the commands.
//!
//! The plan changes nothing, and it never says that a deletion is safe: whether something still uses a service cannot be
//! read from App Runner.

use std::borrow::Cow;

use super::model::{
    AccountReport, ConnectorReport, IngressReport, ManagedBy, OwnerState, RegionReport, Report, ServiceReport, State,
    UnusedReport,
};
use super::rows::{UNKNOWN, ingress_name, owner, service_name};
use super::{ascii, counted, notes};
use crate::core::words::same;

const HEAD: &str = "\
What remains of App Runner, in the order in which it can be removed. Nothing was changed.
Whether a service still has traffic is not known here: check that before you delete it.
";

const BY_HAND: &str = "\
At last, by hand, where nothing else uses them: log groups /aws/apprunner/..., ECR repositories, access and instance
roles, and the roles AWSServiceRoleForAppRunner and AWSServiceRoleForAppRunnerNetworking.
";

/// Renders the plan.
pub(super) fn render(report: &Report) -> String {
    let cluster = notes::of_cluster(&report.cluster).map(|note| format!("\n{note}\n"));
    let parts = std::iter::once(HEAD.to_owned())
        .chain(report.accounts.iter().map(of_account))
        .chain([format!("\n{BY_HAND}")])
        .chain(cluster)
        .chain([format!("\n{}\n", notes::summary(report))]);
    parts.collect()
}

fn of_account(account: &AccountReport) -> String {
    let name = account.account.as_deref().unwrap_or("unknown");
    if let Some(problem) = &account.problem {
        return format!("\nAccount {name} ({}): not read: {}\n", account.credentials, ascii(&problem.message));
    }
    let (aws, name) = (Aws::of(account), format!("{name} ({})", account.credentials));
    account.regions.iter().map(|region| of_region(&name, &aws, region)).collect()
}

/// The words before a command of the AWS CLI.
struct Aws(String);

impl Aws {
    /// With a profile if the report was read with one; a role has to be chosen by the user.
    fn of(account: &AccountReport) -> Self {
        let profile = account.credentials.strip_prefix("profile ");
        Self(profile.map_or_else(|| "aws".to_owned(), |profile| format!("aws --profile {}", quoted(profile))))
    }

    fn command(&self, service: &str, region: &RegionReport, command: &str, arguments: &str) -> String {
        format!("        {} {service} {command} --region {} {arguments}\n", self.0, region.region)
    }
}

fn of_region(account: &str, aws: &Aws, region: &RegionReport) -> String {
    match region.state {
        State::NotSubscribed => return String::new(),
        State::NotRead => return format!("\nAccount {account}, {}: not read: {}\n", region.region, failures(region)),
        State::Read | State::PartlyRead => {}
    }
    let steps = [
        ingress_connections(aws, region),
        services(aws, region),
        connectors(aws, region),
        network(aws, region),
        left_over(aws, region),
    ];
    let steps: Vec<_> = steps.into_iter().filter(|step| !step.is_empty()).collect();
    if steps.is_empty() && region.state == State::Read {
        return String::new();
    }
    let head = format!("\nAccount {account}, {}: {}\n", region.region, numbers(region));
    let steps = (1..).zip(&steps).map(|(number, step)| format!("\n  {number}. {step}"));
    let unread = (region.state == State::PartlyRead)
        .then(|| format!("\n  Not read, so this may lack something: {}\n", failures(region)));
    std::iter::once(head).chain(steps).chain(unread).collect()
}

fn numbers(region: &RegionReport) -> String {
    let number = |number: Option<usize>, noun: &str| {
        number.map_or_else(|| format!("{UNKNOWN} {noun}s"), |number| counted(number, noun))
    };
    let connectors = region.connectors.as_ref();
    [
        number(region.ingress_connections.as_ref().map(Vec::len), "VPC ingress connection"),
        number(region.services.as_ref().map(Vec::len), "service"),
        number(connectors.map(|all| all.iter().filter(|one| !one.is_inactive()).count()), "VPC connector"),
    ]
    .join(", ")
}

fn failures(region: &RegionReport) -> String {
    let texts: Vec<_> = region.problems.iter().map(|one| format!("{} ({})", one.operation, one.code)).collect();
    ascii(&texts.join(", "))
}

fn step(title: &str, items: impl Iterator<Item = String>) -> String {
    let items: String = items.collect();
    if items.is_empty() { String::new() } else { format!("{title}\n{items}") }
}

fn item(name: &str, notes: &[String]) -> String {
    format!("      {}   {}\n", ascii(name), ascii(&notes.join("; ")))
}

fn ingress_connections(aws: &Aws, region: &RegionReport) -> String {
    let of = |one: &IngressReport| {
        let mut notes = vec![one.status.clone().unwrap_or_else(|| UNKNOWN.to_owned())];
        notes.extend(one.service.as_deref().map(|arn| format!("holds {}", service_name(region, arn))));
        let argument = format!("--vpc-ingress-connection-arn {}", quoted(&one.arn));
        let command = aws.command("apprunner", region, "delete-vpc-ingress-connection", &argument);
        item(one.name.as_deref().unwrap_or(&one.arn), &notes) + &command
    };
    step("VPC ingress connections, which hold services", region.ingress_connections.iter().flatten().map(of))
}

fn services(aws: &Aws, region: &RegionReport) -> String {
    let of = |one: &ServiceReport| {
        let mut notes = vec![one.status.clone()];
        notes.extend(care(&one.status).map(str::to_owned));
        match &one.ingress_connections {
            None => notes.push("whether a VPC ingress connection holds it is unknown".to_owned()),
            Some(all) if all.is_empty() => {}
            Some(all) => {
                let names: Vec<_> = all.iter().map(|arn| ingress_name(region, arn)).collect();
                notes.push(format!("after {}", names.join(", ")));
            }
        }
        match &one.custom_domains {
            None => notes.push("its custom domains are unknown".to_owned()),
            Some(domains) if domains.is_empty() => {}
            Some(domains) => notes.push(format!("custom domains: {}", domains.join(", "))),
        }
        let argument = format!("--service-arn {}", quoted(&one.arn));
        item(&one.name, &notes) + &aws.command("apprunner", region, "delete-service", &argument)
    };
    step("Services, which hold connectors", region.services.iter().flatten().map(of))
}

/// What to know about a service in this status.
fn care(status: &str) -> Option<&'static str> {
    [
        ("OPERATION_IN_PROGRESS", "wait until the operation has ended, then delete it"),
        ("DELETE_FAILED", "delete it again; if that fails too, ask AWS Support"),
        ("CREATE_FAILED", "it never ran, and holds its connector all the same"),
        ("PAUSED", "it serves nothing, and holds its connector all the same"),
    ]
    .into_iter()
    .find_map(|(word, care)| same(status, word).then_some(care))
}

fn connectors(aws: &Aws, region: &RegionReport) -> String {
    let remaining = region.connectors.iter().flatten().filter(|one| !one.is_inactive());
    step("VPC connectors", remaining.map(|one| connector(aws, region, one)))
}

fn connector(aws: &Aws, region: &RegionReport, one: &ConnectorReport) -> String {
    let mut notes = vec![held(one)];
    notes.extend(owned(one));
    let manager = one.managed_by.as_ref().and_then(|all| all.iter().find(|manager| manager.claimed).or(all.first()));
    let (note, command) = match (manager, &one.managed_by, one.owner.state) {
        // An object of this cluster would be released without its connector.
        (.., OwnerState::AnotherCluster) => (Some("delete its object in that cluster".to_owned()), String::new()),
        (Some(manager), ..) => by_object(manager),
        (None, None, _) => (Some("which object manages it is unknown".to_owned()), String::new()),
        (None, Some(_), _) => {
            let argument = format!("--vpc-connector-arn {}", quoted(&one.arn));
            let note = "no object manages it: run apprunner-operator adopt, or delete it once nothing holds it";
            (Some(note.to_owned()), aws.command("apprunner", region, "delete-vpc-connector", &argument))
        }
    };
    notes.extend(note);
    item(&one.name, &notes) + &command
}

fn held(one: &ConnectorReport) -> String {
    let names = one.held_by.iter().flatten().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&one.held_by, one.held_by_complete) {
        (None, _) => "which services hold it is unknown".to_owned(),
        (Some(held), true) if held.is_empty() => "held by no service".to_owned(),
        (Some(_), true) => format!("after {names}"),
        (Some(_), false) => format!("after {names}, and perhaps other services, which could not be read"),
    }
}

fn owned(one: &ConnectorReport) -> Option<String> {
    match one.owner.state {
        OwnerState::Object | OwnerState::Nobody => None,
        OwnerState::Unknown => Some("its owner is unknown".to_owned()),
        OwnerState::Orphan | OwnerState::AnotherCluster => Some(format!("owner: {}", owner(&one.owner))),
    }
}

/// The object can be deleted at once: the operator deletes the connector when the last service has released it.
fn by_object(manager: &ManagedBy) -> (Option<String>, String) {
    let ManagedBy { namespace, name, .. } = manager;
    let object = format!("vpcc/{} --namespace {}", quoted(name), quoted(namespace));
    let waits = manager.reason.as_deref().filter(|reason| *reason != "Available");
    let waits = waits.map_or_else(String::new, |reason| format!(", {reason}"));
    if manager.deleting {
        return (Some(format!("{namespace}/{name} is being deleted{waits}: nothing to do")), String::new());
    }
    let delete = format!("        kubectl delete {object} --wait=false\n");
    if manager.deletion_policy.as_deref().is_some_and(|policy| policy != "Delete") {
        let policy = r#"--type=merge --patch='{"spec":{"deletionPolicy":"Delete"}}'"#;
        let note = format!("managed by {namespace}/{name} with Retain{waits}");
        return (Some(note), format!("        kubectl patch {object} {policy}\n{delete}"));
    }
    let note = format!("managed by {namespace}/{name}{waits}; its deletion may begin now, and waits for the services");
    (Some(note), delete)
}

fn network(aws: &Aws, region: &RegionReport) -> String {
    let ids = |of: fn(&ConnectorReport) -> &Vec<String>| {
        let mut ids: Vec<_> = region.connectors.iter().flatten().flat_map(of).cloned().collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let (subnets, groups) = (ids(|one| &one.subnets), ids(|one| &one.security_groups));
    if subnets.is_empty() && groups.is_empty() {
        return String::new();
    }
    let filters = format!(
        "--filters Name=tag-key,Values=AWSAppRunnerManaged Name=subnet-id,Values={}",
        subnets.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(",")
    );
    let title = "Network interfaces, which App Runner removes some minutes after the last service; until then the security groups \
                 and subnets cannot be deleted\n";
    let named = format!("      security groups: {}\n      subnets: {}\n", groups.join(", "), subnets.join(", "));
    [title, &aws.command("ec2", region, "describe-network-interfaces", &filters), &ascii_lines(&named)].concat()
}

fn left_over(aws: &Aws, region: &RegionReport) -> String {
    let unused = &region.unused;
    let kinds = [
        (&unused.auto_scaling_configurations, "auto-scaling-configuration"),
        (&unused.source_connections, "connection"),
        (&unused.observability_configurations, "observability-configuration"),
    ];
    let of = |kind: &str, one: &UnusedReport| {
        let command = format!("delete-{kind}");
        let argument = format!("--{kind}-arn {}", quoted(&one.arn));
        item(&one.name, &[format!("{}, unused", kind.replace('-', " "))])
            + &aws.command("apprunner", region, &command, &argument)
    };
    let items = kinds.into_iter().flat_map(|(list, kind)| list.iter().flatten().map(move |one| (kind, one)));
    step("Configurations that no service uses", items.map(|(kind, one)| of(kind, one)))
}

/// An argument of a shell command. Text from AWS or the cluster must not become another command.
fn quoted(text: &str) -> String {
    let text = ascii(text);
    shlex::try_quote(&text).map_or_else(|_| "?".to_owned(), Cow::into_owned)
}

fn ascii_lines(text: &str) -> String {
    text.lines().map(|line| ascii(line) + "\n").collect()
}
