//! The way out as text: for each account and region what to remove, in order, with the commands.
//!
//! The plan changes nothing, and it never says that a deletion is safe: whether something still uses a service cannot be
//! read from App Runner.

use std::borrow::Cow;

use super::model::{
    AccountReport, ConnectorReport, Credentials, IngressReport, ManagedBy, OwnerState, RegionReport, Report,
    ServiceReport, State, UnusedReport,
};
use super::rows::{UNKNOWN, credentials, ingress_name, owner, service_name};
use super::{ascii, counted, notes};
use crate::cli::AccessArgs;
use crate::core::words::same;

const HEAD: &str = "\
What remains of App Runner, in the order in which it can be removed. Nothing was changed.
Whether a service still has traffic is not known here: check that before you delete it.
";

const BY_HAND: &str = "\
At last, by hand, where nothing else uses them: log groups /aws/apprunner/..., ECR repositories, access and instance
roles, and the roles AWSServiceRoleForAppRunner and AWSServiceRoleForAppRunnerNetworking.
";

/// Renders the plan. The commands of kubectl name the cluster that the report has read.
pub(super) fn render(report: &Report, access: &AccessArgs) -> String {
    let kubectl = Kubectl::of(access);
    let cluster = notes::of_cluster(&report.cluster).map(|note| format!("\n{note}\n"));
    let id = report.cluster.id.as_deref().map(|id| format!("The cluster is {}.\n", ascii(id)));
    let parts = std::iter::once(HEAD.to_owned())
        .chain(id)
        .chain(report.accounts.iter().map(|account| of_account(&kubectl, account)))
        .chain([format!("\n{BY_HAND}")])
        .chain(cluster)
        .chain([format!("\n{}\n", notes::summary(report))]);
    parts.collect()
}

fn of_account(kubectl: &Kubectl, account: &AccountReport) -> String {
    let (name, read_with) = (account.account.as_deref().unwrap_or("unknown"), credentials(&account.credentials));
    if let Some(problem) = &account.problem {
        return format!("\nAccount {name} ({}): not read: {}\n", ascii(&read_with), ascii(&problem.message));
    }
    let (aws, title) = (Aws::of(account), format!("{name} ({})", ascii(&read_with)));
    let regions: String = account.regions.iter().map(|region| of_region(&title, kubectl, &aws, region)).collect();
    if regions.is_empty() { String::new() } else { aws.note(name) + &regions }
}

/// The words before a command of kubectl.
struct Kubectl(String);

impl Kubectl {
    /// With the flags of the report: in another cluster the command would reach another object of the same name.
    fn of(access: &AccessArgs) -> Self {
        let file = access.kubeconfig.as_ref().map(|file| format!(" --kubeconfig {}", quoted(&file.to_string_lossy())));
        let context = access.context.as_ref().map(|context| format!(" --context {}", quoted(context)));
        Self(["kubectl".to_owned(), file.unwrap_or_default(), context.unwrap_or_default()].concat())
    }

    fn command(&self, arguments: &str) -> String {
        format!("        {} {arguments}\n", self.0)
    }
}

/// The words before a command of the AWS CLI.
struct Aws {
    command: String,
    /// The commands need credentials that the user has to choose.
    of_role: bool,
}

impl Aws {
    /// With a profile if the report was read with one.
    fn of(account: &AccountReport) -> Self {
        let command = match &account.credentials {
            Credentials::Profile(profile) => format!("aws --profile {}", quoted(profile)),
            Credentials::Current | Credentials::Role(_) => "aws".to_owned(),
        };
        Self { command, of_role: matches!(account.credentials, Credentials::Role(_)) }
    }

    /// With the credentials of another account, a command would find nothing, and look as if nothing remained.
    fn note(&self, account: &str) -> String {
        if !self.of_role {
            return String::new();
        }
        format!(
            "\nThe aws commands of account {account} need credentials of that account. This prints the account of the present \
             ones:\n        aws sts get-caller-identity --query Account --output text\n"
        )
    }

    fn command(&self, service: &str, region: &RegionReport, command: &str, arguments: &str) -> String {
        format!("        {} {service} {command} --region {} {arguments}\n", self.command, region.region)
    }
}

fn of_region(account: &str, kubectl: &Kubectl, aws: &Aws, region: &RegionReport) -> String {
    match region.state {
        State::NotSubscribed => return String::new(),
        State::NotRead => return format!("\nAccount {account}, {}: not read: {}\n", region.region, failures(region)),
        State::Read | State::PartlyRead => {}
    }
    let steps = [
        ingress_connections(aws, region),
        services(aws, region),
        connectors(kubectl, aws, region),
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

fn connectors(kubectl: &Kubectl, aws: &Aws, region: &RegionReport) -> String {
    let remaining = region.connectors.iter().flatten().filter(|one| !one.is_inactive());
    step("VPC connectors", remaining.map(|one| connector(kubectl, aws, region, one)))
}

fn connector(kubectl: &Kubectl, aws: &Aws, region: &RegionReport, one: &ConnectorReport) -> String {
    let (note, command) = next(kubectl, aws, region, one);
    let notes: Vec<_> = std::iter::once(held(one)).chain(owned(one)).chain([note]).collect();
    item(&one.name, &notes) + &command
}

/// What to do about a connector, and the commands. There is none where it is not known who owns or manages it.
fn next(kubectl: &Kubectl, aws: &Aws, region: &RegionReport, one: &ConnectorReport) -> (String, String) {
    let only = |note: &str| (note.to_owned(), String::new());
    let Some(managers) = &one.managed_by else { return only("which object manages it is unknown") };
    match (one.owner.state, managers.first()) {
        // An object of this cluster would be released without its connector.
        (OwnerState::AnotherCluster, _) => only("delete its object in that cluster"),
        (OwnerState::Unknown, None) => only("find out who owns it before you delete it"),
        (_, Some(manager)) => by_object(kubectl, manager, managers.len() - 1),
        (_, None) => {
            let argument = format!("--vpc-connector-arn {}", quoted(&one.arn));
            let note = "no object manages it: run apprunner-operator adopt, or delete it once nothing holds it";
            (note.to_owned(), aws.command("apprunner", region, "delete-vpc-connector", &argument))
        }
    }
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
fn by_object(kubectl: &Kubectl, manager: &ManagedBy, others: usize) -> (String, String) {
    let ManagedBy { namespace, name, claimed, reason, deletion_policy, deleting } = manager;
    let object = format!("vpcc/{} --namespace {}", quoted(name), quoted(namespace));
    let more = if others > 0 { format!(" (and {} more name it)", counted(others, "object")) } else { String::new() };
    let by = format!("managed by {namespace}/{name}{more}");
    let retained = deletion_policy.as_deref().is_some_and(|policy| policy != "Delete");
    let why = reason.as_deref().unwrap_or("New");
    let waits = ["Available", "New", "Adopting", "Deleting", "InUse"].contains(&why);
    let only = |note: String| (note, String::new());
    if *deleting && retained {
        return only(format!("{by}, which is being deleted with Retain: the connector will remain"));
    }
    if !waits {
        return only(format!("{by}, which needs you: {why} (see the runbook)"));
    }
    if *deleting {
        return only(format!("{by}, which is being deleted, {why}: nothing to do"));
    }
    let delete = kubectl.command(&format!("delete {object} --wait=false"));
    if retained {
        let policy = r#"--type=merge --patch='{"spec":{"deletionPolicy":"Delete"}}'"#;
        return (format!("{by} with Retain"), kubectl.command(&format!("patch {object} {policy}")) + &delete);
    }
    let unclaimed = if *claimed { "" } else { ", which has not claimed it yet" };
    (format!("{by}{unclaimed}; its deletion may begin now, and waits for the services"), delete)
}

fn network(aws: &Aws, region: &RegionReport) -> String {
    let ids = |of: fn(&ConnectorReport) -> &Vec<String>| {
        let remaining = region.connectors.iter().flatten().filter(|one| !one.is_inactive());
        let mut ids: Vec<_> = remaining.flat_map(of).cloned().collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let (subnets, groups) = (ids(|one| &one.subnets), ids(|one| &one.security_groups));
    if subnets.is_empty() {
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
