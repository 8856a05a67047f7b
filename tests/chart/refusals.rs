//! Invalid values are refused before anything is installed, with a message that names the value.

use crate::support::{error_output, manifests, template};

/// An account that only the namespace a may use.
const ONE_ACCOUNT: [&str; 2] =
    ["aws.accounts[0].role=arn:aws:iam::444455556666:role/a", "aws.accounts[0].namespaces={a}"];

const ROLE: &str = "aws.roleArn=arn:aws:iam::111122223333:role/a";

/// Values that are set, and the message of the refusal.
const REFUSED: &[(&[&str], &str)] = &[
    (&["watchNamespace={shop}"], "'watchNamespace'"),
    (&["crds.kept=true"], "'kept'"),
    (&["aws.awsRate=3"], "'awsRate'"),
    (&["metrics.service.port=80"], "'port'"),
    (&["replicaCount=two"], "/replicaCount"),
    (&["logFormat=xml"], "/logFormat"),
    (&["image.digest=latest"], "/image/digest"),
    (&["image.pullPolicy=never"], "/image/pullPolicy"),
    (&["regions={us_east_1}"], "/regions/0"),
    (&["watchNamespaces={Shop}"], "/watchNamespaces/0"),
    (&["clusterId=a/b"], "/clusterId"),
    (&["resync=ten"], "/resync"),
    (&["concurrency=0"], "/concurrency"),
    (&["aws.burst=2"], "/aws/burst"),
    (&["aws.rate=0"], "/aws/rate"),
    (&["aws.accounts[0].role=apprunner-operator", "aws.accounts[0].namespaces={shop}"], "/aws/accounts/0/role"),
    (&["aws.accounts[0].role=arn:aws:iam::444455556666:role/a"], "'namespaces'"),
    (&[ONE_ACCOUNT[0], "aws.accounts[0].namespaces={}"], "/aws/accounts/0/namespaces"),
    (&[ONE_ACCOUNT[0], ONE_ACCOUNT[1], "aws.accounts[0].externalID=x1"], "'externalID'"),
    (
        &[
            ONE_ACCOUNT[0],
            ONE_ACCOUNT[1],
            "aws.accounts[1].role=arn:aws:iam::444455556666:role/b",
            "aws.accounts[1].namespaces={b}",
        ],
        "aws.accounts lists account 444455556666 twice",
    ),
    (&["aws.endpointUrl=emulator:8787"], "/aws/endpointUrl"),
    (&["listenAddress=localhost"], "/listenAddress"),
    (&["health.port=80"], "/health/port"),
    (&["prometheusRule.runbookUrl=docs/operations/runbook.md"], "/prometheusRule/runbookUrl"),
    (&["rbac.namespaced=true"], "Set clusterId to a name that no other cluster has, or ownershipTags=false"),
    (&["replicaCount=2", "leaderElection.enabled=false"], "two operators would work on the same objects"),
    (&["serviceMonitor.enabled=true", "metrics.enabled=false"], "Set metrics.enabled=true"),
    (&["metrics.port=8081"], "Give each a port of its own"),
    (&["image.registry=https://mirror.example"], "/image/registry"),
    (&["defaultDeletionPolicy=Keep"], "/defaultDeletionPolicy"),
    (&["aws.roleArn=apprunner-operator"], "/aws/roleArn"),
    (&[ROLE, "serviceAccount.create=false"], "Annotate yours with eks.amazonaws.com/role-arn"),
    (&[ROLE, "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=other"], "Set aws.roleArn alone"),
    (&[ROLE, "aws.credentials.secretName=keys"], "Set one of them"),
    (&["updateStrategy.type=OnDelete"], "/updateStrategy/type"),
    (&["updateStrategy.type=RollingUpdate", "leaderElection.enabled=false"], "Set updateStrategy.type=Recreate"),
    (&["serviceMonitor.enabled=true", "podMonitor.enabled=true"], "every series twice"),
    (&["podMonitor.enabled=true", "metrics.enabled=false"], "Set metrics.enabled=true"),
    (&["serviceMonitor.scheme=ftp"], "/serviceMonitor/scheme"),
    (&["prometheusRule.enabled=true", "prometheusRule.disabled={Down}"], "alert Down, which does not exist"),
    (&["prometheusRule.enabled=true", "prometheusRule.severity.Down=info"], "The alerts are: AppRunnerOperatorDown, "),
    (&["dnsPolicy=Default"], "the value dnsPolicy has moved to extraPodSpec.dnsPolicy. Set it there."),
    (&["dnsConfig.nameservers={10.0.0.10}"], "has moved to extraPodSpec.dnsConfig"),
    (&["hostAliases[0].ip=10.0.0.1"], "has moved to extraPodSpec.hostAliases"),
];

fn set<'a>(values: &[&'a str]) -> Vec<&'a str> {
    values.iter().flat_map(|value| ["--set", value]).collect()
}

#[test]
fn invalid_values_are_refused_and_named() {
    for (values, words) in REFUSED {
        let refusal = error_output(&template(&set(values)));
        assert!(refusal.contains(words), "{values:?}: {refusal}");
    }
}

#[test]
fn valid_combinations_are_accepted() {
    let taken: [&[&str]; 9] = [
        &["leaderElection.enabled=false", "updateStrategy.type=Recreate"],
        &[ROLE, "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::111122223333:role/a"],
        // A copy of the old defaults, such as `helm upgrade --reuse-values` makes.
        &["dnsPolicy=", "hostAliases=null"],
        &["podMonitor.enabled=true", "metrics.service.create=false"],
        &["rbac.namespaced=true", "clusterId=shop-1"],
        &["rbac.namespaced=true", "ownershipTags=false"],
        &["replicaCount=2"],
        &["leaderElection.enabled=false"],
        &["podDisruptionBudget.enabled=true", "podDisruptionBudget.maxUnavailable=50%"],
    ];
    for values in taken {
        manifests(&set(values));
    }
}

#[test]
fn too_old_kubernetes_is_refused() {
    let refusal = error_output(&template(&["--kube-version", "1.29.14"]));
    assert!(refusal.contains(">=1.30"), "{refusal}");
    manifests(&["--kube-version", "1.30.0"]);
    // Versions may have a suffix, as EKS's have.
    manifests(&["--kube-version", "1.31.4-eks-5b9a16f"]);
}
