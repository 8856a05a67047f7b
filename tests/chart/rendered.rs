//! Rendered objects fit the binary and follow the values.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    CLUSTER_NAME, NAMESPACE, RELEASE, arguments, find, helm, names, notes, objects, output_of, template, text,
    values_files,
};

/// Runs the operator without a cluster, so that it ends once its arguments are parsed.
pub fn started_with(arguments: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"));
    let ended = command.args(arguments).env_clear().env("HOME", "/nowhere").output().unwrap();
    (ended.status.code(), text(&ended.stderr))
}

/// The arguments with the file of accounts as the pod has it.
pub fn with_accounts(objects: &[Value], arguments: Vec<String>) -> Vec<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rendered-accounts.yaml");
    let mounted = |argument: String| {
        if argument != "--accounts=/etc/apprunner-operator/accounts.yaml" {
            return argument;
        }
        let text = objects.iter().find_map(|object| object["data"]["accounts.yaml"].as_str()).unwrap();
        std::fs::write(&file, text).unwrap();
        format!("--accounts={}", file.display())
    };
    arguments.into_iter().map(mounted).collect()
}

#[test]
fn every_rendered_flag_is_a_flag_of_the_binary() {
    for values in values_files() {
        let objects = objects(&["--values", values.to_str().unwrap()]);
        let set = with_accounts(&objects, arguments(&objects));
        let (code, stderr) = started_with(&set);
        assert!(code == Some(1) && stderr.contains("no way to reach a cluster"), "{set:?}: {stderr}");
    }
}

#[test]
fn uninstall_check_is_a_command_of_the_binary() {
    let objects = objects(&["--set", "watchNamespaces={shop,jobs}"]);
    let job = find(&objects, "Job", &format!("{RELEASE}-preflight"));
    let set = &job["spec"]["template"]["spec"]["containers"][0]["args"];
    let release = ["--release=apprunner-operator", "--release-namespace=apprunner-system", "--release-revision=1"];
    let expected =
        [&["preflight", "uninstall", "--watch-namespace=shop", "--watch-namespace=jobs"], release.as_slice()].concat();
    assert_eq!(*set, json!(expected));
    let (code, stderr) = started_with(&serde_json::from_value::<Vec<String>>(set.clone()).unwrap());
    assert!(code == Some(1) && stderr.contains("nothing is uninstalled"), "{stderr}");
}

/// The pod's template with these values.
pub fn pod(arguments: &[&str]) -> Value {
    find(&objects(arguments), "Deployment", RELEASE)["spec"]["template"].clone()
}

#[test]
fn accounts_are_mounted_and_a_change_restarts_the_pods() {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/multi-account-values.yaml");
    let objects = objects(&["--values", values]);
    find(&objects, "ConfigMap", &format!("{RELEASE}-accounts"));
    let set = with_accounts(&objects, arguments(&objects));
    let (code, stderr) = started_with(&set);
    assert!(code == Some(1) && stderr.contains("no way to reach a cluster"), "{set:?}: {stderr}");
    let three = pod(&["--values", values]);
    let container = &three["spec"]["containers"][0];
    let mount = json!([{"name": "accounts", "mountPath": "/etc/apprunner-operator", "readOnly": true}]);
    assert_eq!(container["volumeMounts"], mount);
    let volume = json!([{"name": "accounts", "configMap": {"name": format!("{RELEASE}-accounts")}}]);
    assert_eq!(three["spec"]["volumes"], volume);
    let checksum = |pod: &Value| pod["metadata"]["annotations"]["checksum/accounts"].clone();
    let changed = pod(&["--values", values, "--set", "aws.accounts[0].namespaces={team-shop}"]);
    assert!(checksum(&three).is_string() && checksum(&three) != checksum(&changed));
    assert_eq!((checksum(&pod(&[])), &pod(&[])["spec"]["volumes"]), (Value::Null, &Value::Null));
}

/// The Job of the uninstall check.
pub fn check_of(objects: &[Value]) -> &Value {
    &find(objects, "Job", &format!("{RELEASE}-preflight"))["spec"]
}

#[test]
fn uninstall_check_runs_where_the_operator_runs_and_without_a_sidecar() {
    let set = "podAnnotations.team=platform,podAnnotations.linkerd\\.io/inject=enabled,nodeSelector.pool=a,\
               tolerations[0].operator=Exists,priorityClassName=high,resources.limits.memory=1Gi,podLabels.team=platform,\
               preflight.deadlineSeconds=900,preflight.podLabels.mesh=none";
    let objects = objects(&["--set", set]);
    let check = check_of(&objects);
    assert_eq!(check["activeDeadlineSeconds"], 900);
    let (metadata, pod) = (&check["template"]["metadata"], &check["template"]["spec"]);
    let operator = &find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"];
    for field in ["nodeSelector", "tolerations", "priorityClassName", "affinity", "securityContext"] {
        assert_eq!(pod[field], operator[field], "{field}");
    }
    assert_eq!(pod["containers"][0]["resources"], operator["containers"][0]["resources"]);
    let annotations = json!({
        "team": "platform",
        "consul.hashicorp.com/connect-inject": "false",
        "linkerd.io/inject": "disabled",
        "sidecar.istio.io/inject": "false",
    });
    assert_eq!(metadata["annotations"], annotations);
    let labels = json!({
        "app.kubernetes.io/name": "apprunner-operator-preflight",
        "app.kubernetes.io/instance": RELEASE,
        "team": "platform",
        "mesh": "none",
        "kuma.io/sidecar-injection": "disabled",
        "sidecar.istio.io/inject": "false",
    });
    assert_eq!(metadata["labels"], labels);
}

/// Returns whether a label selector selects these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().unwrap().iter().all(|(key, value)| labels[key] == *value);
    let expressions = selector["matchExpressions"].as_array().unwrap();
    equal
        && expressions.iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            expression["values"].as_array().unwrap().contains(&labels[expression["key"].as_str().unwrap()])
        })
}

#[test]
fn network_policy_selects_only_the_operator_and_the_uninstall_check() {
    let objects = objects(&["--set", "networkPolicy.enabled=true"]);
    let selector = &find(&objects, "NetworkPolicy", RELEASE)["spec"]["podSelector"];
    let operator = &find(&objects, "Deployment", RELEASE)["spec"]["template"]["metadata"]["labels"];
    assert!(selects(selector, operator) && selects(selector, &check_of(&objects)["template"]["metadata"]["labels"]));
    let mut another = operator.clone();
    another["app.kubernetes.io/instance"] = json!("another");
    assert!(!selects(selector, &another));
    // The selector that counts the operator's pods must not count the uninstall check.
    let of_the_operator = &find(&objects, "Deployment", RELEASE)["spec"]["selector"]["matchLabels"];
    let check = &check_of(&objects)["template"]["metadata"]["labels"]["app.kubernetes.io/name"];
    assert!(of_the_operator["app.kubernetes.io/name"] != *check);
}

#[test]
fn values_reach_the_operator() {
    let set = "watchNamespaces={shop,jobs},regions={us-east-1,eu-west-1},clusterId=c-1,ownershipTags=false,resync=5m,\
               concurrency=4,aws.rate=0.5,aws.burst=20,logLevel=debug,logFormat=text,metrics.enabled=false,\
               leaderElection.leaseName=one,extraArgs={--pace-divisor=2}";
    let expected = [
        "run",
        "--watch-namespace=shop",
        "--watch-namespace=jobs",
        "--regions=us-east-1,eu-west-1",
        "--cluster-id=c-1",
        "--ownership-tags=false",
        "--default-deletion-policy=Delete",
        "--resync=5m",
        "--concurrency=4",
        "--aws-rate=0.5",
        "--aws-burst=20",
        "--leader-election=true",
        "--lease-namespace=apprunner-system",
        "--lease-name=one",
        "--health-address=[::]:8081",
        "--log=debug",
        "--log-format=text",
        "--pace-divisor=2",
    ];
    assert_eq!(arguments(&objects(&["--set", set])), expected);
}

#[test]
fn network_policy_has_the_ports_of_dns_api_server_and_pod_identity_agent() {
    let egress = |set: &str| {
        let objects = objects(&["--set", &format!("networkPolicy.enabled=true,{set}")]);
        find(&objects, "NetworkPolicy", RELEASE)["spec"]["egress"].clone()
    };
    let port = |port: u16, protocol: &str| json!({"port": port, "protocol": protocol});
    let dns = json!({"ports": [port(53, "UDP"), port(53, "TCP"), port(5353, "UDP"), port(5353, "TCP")]});
    let calls = json!({"ports": [port(443, "TCP"), port(6443, "TCP"), port(8443, "TCP")]});
    let agent = [json!({"cidr": "169.254.170.23/32"}), json!({"cidr": "fd00:ec2::23/128"})];
    let by_address = json!({"ports": [port(80, "TCP")], "to": agent.map(|block| json!({"ipBlock": block}))});
    let operator = json!({"app.kubernetes.io/name": "apprunner-operator", "app.kubernetes.io/instance": RELEASE});
    let to_operator = json!([{"podSelector": {"matchLabels": operator}}]);
    let metrics = json!({"ports": [port(8080, "TCP")], "to": to_operator});
    assert_eq!(egress(""), json!([dns, calls, by_address, metrics]));
    let anywhere = json!({"ports": [port(80, "TCP")]});
    assert_eq!(egress("networkPolicy.podIdentity=anywhere"), json!([dns, calls, anywhere, metrics]));
    let least = "networkPolicy.podIdentity=none,networkPolicy.dnsPorts={53},networkPolicy.egressPorts={443}";
    let least = egress(&format!("{least},metrics.enabled=false"));
    assert_eq!(least, json!([{"ports": [port(53, "UDP"), port(53, "TCP")]}, {"ports": [port(443, "TCP")]}]));
}

/// A value, its flag, and settings at the bounds of both.
const BOUNDS: &[(&str, &str, &[&str])] = &[
    (
        "aws.rate",
        "--aws-rate",
        &["0", "0.0", "0.09", "0.1", "0.5", "1", "9999.9", "10000", "10000.0", "10000.1", "-1", "x"],
    ),
    ("aws.burst", "--aws-burst", &["0", "2", "3", "10000", "10001", "-3", "3.5", "x"]),
    ("concurrency", "--concurrency", &["0", "1", "1024", "1025", "-1", "1.5", "x"]),
    (
        "resync",
        "--resync",
        &[
            "0s",
            "1s",
            "90s",
            "86400s",
            "86401s",
            "0m",
            "1m30s",
            "1440m",
            "1441m",
            "1h30m",
            "23h59m59s",
            "24h",
            "25h",
            "48h",
            "10",
            "ten",
        ],
    ),
    ("clusterId", "--cluster-id", &["c", "A.b_c-9", "a/b", "a b", "CLUSTERID64", "CLUSTERID65"]),
    ("logFormat", "--log-format", &["auto", "text", "json", "xml", "JSON"]),
    (
        "watchNamespaces[0]",
        "--watch-namespace",
        &["shop", "a-b", "-a", "a-", "Shop", "a.b", "NAMESPACE63", "NAMESPACE64"],
    ),
    ("regions[0]", "--regions", &["us-east-1", "ap-southeast-2", "us_east_1", "US-EAST-1"]),
    ("listenAddress", "--health-address", &["[::]", "0.0.0.0", "127.0.0.1", "localhost", "::", "0.0.0"]),
];

#[test]
fn schema_and_binary_agree_on_every_bound() {
    for (value, flag, candidates) in BOUNDS {
        for candidate in *candidates {
            let long = match *candidate {
                "CLUSTERID64" => "c".repeat(64),
                "CLUSTERID65" => "c".repeat(65),
                "NAMESPACE63" => "n".repeat(63),
                "NAMESPACE64" => "n".repeat(64),
                short => short.to_owned(),
            };
            let rendered = template(&["--set", &format!("{value}={long}")]);
            let port = if *value == "listenAddress" { ":8081" } else { "" };
            let (code, stderr) = started_with(&["run".to_owned(), format!("{flag}={long}{port}")]);
            // The binary exits with 2 if it does not accept a flag, and here with 1 because there is no cluster.
            assert!(matches!(code, Some(1 | 2)), "{flag}={long}: {code:?} {stderr}");
            assert_eq!(
                rendered.status.success(),
                code == Some(1),
                "{value}={long}: {}{stderr}",
                text(&rendered.stderr)
            );
        }
    }
}

#[test]
fn by_default_other_users_get_only_read_access() {
    let objects = objects(&[]);
    let aggregated = |name: &str| {
        let role = find(&objects, "ClusterRole", name);
        let labels = role["metadata"]["labels"].as_object().unwrap();
        labels.keys().filter(|key| key.contains("aggregate-to")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(aggregated(&format!("{CLUSTER_NAME}-view")), ["rbac.authorization.k8s.io/aggregate-to-view"]);
    assert_eq!(aggregated(&format!("{CLUSTER_NAME}-edit")), Vec::<String>::new());
}

#[test]
fn with_roles_only_the_crd_is_the_only_cluster_scoped_object() {
    let objects = objects(&["--set", "rbac.namespaced=true,clusterId=c-1"]);
    let outside: Vec<_> = objects.iter().filter(|object| object["metadata"]["namespace"] == Value::Null).collect();
    let outside: Vec<_> = outside.into_iter().cloned().collect();
    assert_eq!(names(&outside), ["CustomResourceDefinition/vpcconnectors.apprunner-operator.dev"]);
    assert!(arguments(&objects).contains(&format!("--watch-namespace={NAMESPACE}")));
}

#[test]
fn operator_may_change_only_its_own_lease() {
    let objects = objects(&[]);
    let rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [RELEASE],
            "verbs": ["get", "update"],
        },
    ]);
    assert_eq!(find(&objects, "Role", &format!("{RELEASE}-lease"))["rules"], rules);
}

#[test]
fn every_values_file_passes_the_strict_lint() {
    for values in values_files() {
        let mut lint = helm();
        lint.args(["lint", "--strict"]).arg(crate::support::chart()).arg("--values").arg(&values);
        let notes = output_of(&lint.output().unwrap());
        assert!(!notes.contains("[INFO]") && !notes.contains("[WARNING]"), "{notes}");
    }
}

#[test]
fn notes_give_the_next_steps_and_the_warnings() {
    let plain = notes("");
    for words in ["kubectl rollout status", "EKS Pod Identity", "     helm test ", "`helm uninstall` refuses"] {
        assert!(plain.contains(words), "{words} is missing in {plain}");
    }
    let role = notes("aws.roleArn=arn:aws:iam::111122223333:role/a,aws.instanceMetadata=true");
    assert!(role.contains("     111122223333   with the role arn") && !role.contains("Pod Identity"), "{role}");
    assert!(role.contains("Careful: aws.instanceMetadata is true"), "{role}");
    let accounts = "aws.accounts[0].role=arn:aws:iam::444455556666:role/a,aws.accounts[0].namespaces={shop,jobs}";
    let keys = notes(&format!("aws.credentials.secretName=keys,metrics.enabled=false,{accounts}"));
    let row = "444455556666   with the role arn:aws:iam::444455556666:role/a, for the namespaces shop, jobs\n";
    assert!(keys.contains("Secret apprunner-system/keys\n") && keys.contains(row), "{keys}");
    assert!(keys.contains("     kubectl logs ") && !keys.contains("helm test"), "{keys}");
    assert!(!plain.contains("Terminating"), "{plain}");
    let roles = notes("rbac.namespaced=true,clusterId=c-1,watchNamespaces={shop}");
    for words in ["delete the objects first, and then the namespace", "Terminating", "-rescue"] {
        assert!(roles.contains(words), "{words} is missing in {roles}");
    }
    assert!(!roles.contains("another one") && notes("rbac.namespaced=true,clusterId=c-1").contains("another one"));
    assert!(notes("preflight.enabled=false").contains("preflight.enabled is false"));
}
