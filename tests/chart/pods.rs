//! The pods: their image, their nodes, and the fields that the values add.

use serde_json::{Value, json};

use crate::rendered::{check_of, pod};
use crate::support::{RELEASE, chart, error_output, find, objects, template};

#[test]
fn digest_takes_precedence_over_tag() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let image = |set: &str| {
        let objects = objects(&["--set", set]);
        find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(""), json!(format!("localhost/apprunner-operator:{}", env!("CARGO_PKG_VERSION"))));
    assert_eq!(image("image.repository=here/it,image.tag=one"), json!("here/it:one"));
    let both = format!("image.tag=one,image.digest={digest}");
    assert_eq!(image(&both), json!(format!("localhost/apprunner-operator@{digest}")));
}

#[test]
fn registry_replaces_the_one_of_the_repository() {
    let image = |set: &str| pod(&["--set", set])["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    for (repository, expected) in [
        ("localhost/apprunner-operator", "apprunner-operator"),
        ("registry.example/team/it", "team/it"),
        ("registry:5000/it", "it"),
        ("team/it", "team/it"),
        ("it", "it"),
    ] {
        let set = format!("image.registry=mirror.example:5000/hub,image.repository={repository}");
        assert_eq!(image(&set), format!("mirror.example:5000/hub/{expected}:{version}"));
    }
}

#[test]
fn pods_run_only_on_nodes_of_the_image_architecture() {
    let selectors = |set: &str| {
        let objects = objects(&["--set", set]);
        let operator = find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"]["nodeSelector"].clone();
        assert_eq!(operator, check_of(&objects)["template"]["spec"]["nodeSelector"]);
        operator
    };
    assert_eq!(selectors(""), json!({"kubernetes.io/arch": "amd64"}));
    let both = "image.architecture=arm64,nodeSelector.pool=a";
    assert_eq!(selectors(both), json!({"kubernetes.io/arch": "arm64", "pool": "a"}));
    assert_eq!(selectors("image.architecture="), Value::Null);
    let own = "nodeSelector.kubernetes\\.io/arch=arm64";
    assert_eq!(selectors(own), json!({"kubernetes.io/arch": "arm64"}));
}

#[test]
fn openshift_chooses_user_and_group() {
    let values = chart().join("ci/openshift-values.yaml");
    let objects = objects(&["--values", values.to_str().unwrap()]);
    let left = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    let operator = &find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"];
    assert_eq!(operator["securityContext"], left);
    assert_eq!(check_of(&objects)["template"]["spec"]["securityContext"], left);
}

#[test]
fn update_strategy_follows_leader_election_unless_it_is_set() {
    let strategy = |set: &str| find(&objects(&["--set", set]), "Deployment", RELEASE)["spec"]["strategy"].clone();
    assert_eq!(strategy(""), json!({"type": "RollingUpdate"}));
    assert_eq!(strategy("leaderElection.enabled=false"), json!({"type": "Recreate"}));
    let set = "updateStrategy.type=RollingUpdate,updateStrategy.rollingUpdate.maxSurge=2";
    assert_eq!(strategy(set), json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}));
    assert_eq!(strategy("updateStrategy.type=Recreate"), json!({"type": "Recreate"}));
}

#[test]
fn every_pod_has_the_extra_fields_and_only_the_operator_has_init_containers() {
    let set = "extraPodSpec.hostAliases[0].ip=10.0.0.1,extraPodSpec.dnsPolicy=Default,\
               extraPodSpec.initContainers[0].name=proxy";
    let objects = objects(&["--set", set]);
    let operator = &find(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"];
    let test = &find(&objects, "Pod", &format!("{RELEASE}-test"))["spec"];
    let check = &check_of(&objects)["template"]["spec"];
    for pod in [operator, check, test] {
        assert_eq!((&pod["hostAliases"], &pod["dnsPolicy"]), (&json!([{"ip": "10.0.0.1"}]), &json!("Default")));
    }
    assert_eq!(operator["initContainers"], json!([{"name": "proxy"}]));
    assert_eq!((&check["initContainers"], &test["initContainers"]), (&Value::Null, &Value::Null));
}

/// Fields of pods that the chart does not set with any value, but that it must not get twice.
const ALIASES: [&str; 1] = ["serviceAccount"];

#[test]
fn extra_fields_that_the_chart_sets_itself_are_refused_with_the_value_to_use() {
    let values = chart().join("ci/everything-values.yaml");
    let mut own: Vec<String> = Vec::new();
    let objects = objects(&["--values", values.to_str().unwrap()]);
    let pods = objects.iter().filter_map(|object| match object["kind"].as_str() {
        Some("Deployment" | "Job") => Some(&object["spec"]["template"]["spec"]),
        Some("Pod") => Some(&object["spec"]),
        _ => None,
    });
    let extra = ["dnsPolicy", "dnsConfig", "hostAliases", "initContainers"];
    for pod in pods {
        own.extend(pod.as_object().unwrap().keys().filter(|field| !extra.contains(&field.as_str())).cloned());
    }
    own.extend(ALIASES.map(str::to_owned));
    own.sort();
    own.dedup();
    assert_eq!(own.len(), 15, "{own:?}");
    for field in own {
        let refusal = error_output(&template(&["--set", &format!("extraPodSpec.{field}=x")]));
        assert!(refusal.contains(&format!("extraPodSpec.{field}: the chart sets this field")), "{refusal}");
        assert!(refusal.contains(" instead.") || refusal.contains("Remove it."), "{refusal}");
    }
}
