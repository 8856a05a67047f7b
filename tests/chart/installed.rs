//! An operator as this Helm installs it on this Kubernetes: with the arguments of its Deployment, the rights of its service
//! account, and the policy that protects objects.
//!
//! There is no node, so the test starts the process. `make matrix` runs it for each combination of versions; `make e2e`
//! runs pods.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use apprunner_emulator::{
    Behaviors, Config, ConnectorStatus, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY, Emulator,
};
use devcluster::DevCluster;

use crate::served::{cluster, kubectl, until_served};
use crate::support::{NAMESPACE, RELEASE, arguments, chart, error_output, helm, output_of, parsed};

const REGION: &str = "us-east-1";
const OBJECT: &str = "vpcc/egress";
const SHOP: &str = "--namespace=shop";

/// The operator's process; it ends with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The cluster with the chart, and the App Runner.
struct World {
    cluster: DevCluster,
    aws: Emulator,
}

impl World {
    async fn installed() -> Self {
        let behaviors = Behaviors { connector_quota: 1000, ..Behaviors::default() };
        let aws = Emulator::start(Config { behaviors, ..Config::default() }).await.unwrap();
        let cluster = cluster();
        let set = "deletionProtection.enabled=true,extraArgs={--pace-divisor=20}";
        let mut install = helm();
        install.args(["install", RELEASE, "--namespace", NAMESPACE, "--set", set]).arg(chart());
        output_of(&install.env("KUBECONFIG", cluster.kubeconfig()).output().unwrap());
        until_served(&cluster);
        Self { cluster, aws }
    }

    /// Starts the Deployment's program, except that it serves no probes and metrics: their ports belong to a pod.
    fn operator(&self) -> Operator {
        let get = ["get", "deployment", RELEASE, "--namespace", NAMESPACE, "--output=yaml"];
        let mut arguments = arguments(&parsed(&kubectl(&self.cluster, &get)));
        arguments.retain(|argument| {
            !argument.starts_with("--health-address=") && !argument.starts_with("--metrics-address=")
        });
        let account = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
        let kubeconfig = self.cluster.user_kubeconfig(&account, None).unwrap();
        let log = File::create(self.cluster.directory().join("operator.log")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", include_str!("../../hack/guarded.sh"), "sh", env!("CARGO_BIN_EXE_apprunner-operator")]);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", kubeconfig).env("AWS_ENDPOINT_URL", self.aws.url());
        command.env("AWS_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", DEFAULT_SECRET_ACCESS_KEY);
        Operator(command.stdin(Stdio::piped()).stderr(log).spawn().unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.directory().join("operator.log")).unwrap_or_default()
    }

    /// Runs kubectl in the namespace of the objects.
    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.cluster.kubectl().args(arguments).arg(SHOP).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// The message with which the API server refuses a command.
    fn refused(&self, arguments: &[&str]) -> String {
        error_output(&self.cluster.kubectl().args(arguments).arg(SHOP).output().unwrap())
    }

    fn connector(&self, name: &str) -> String {
        self.aws.create_connector(DEFAULT_ACCOUNT, REGION, name)
    }

    /// Writes the manifest of an object without a policy, and returns its path.
    fn manifest(&self, name: &str, arn: &str) -> String {
        let text = format!(
            "apiVersion: apprunner-operator.dev/v1alpha1\nkind: VpcConnector\nmetadata: {{name: {name}}}\nspec: {{arn: \"{arn}\"}}\n"
        );
        let path = self.cluster.directory().join("object.yaml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn create(&self, arn: &str) {
        self.kubectl(&["create", "--filename", &self.manifest("egress", arn)]);
    }

    fn until(&self, condition: &str) {
        self.kubectl(&["wait", OBJECT, "--timeout=60s", condition]);
    }

    fn patch(&self, patch: &str) -> String {
        self.kubectl(&["patch", OBJECT, "--type=merge", "--patch", patch])
    }

    fn assert_columns(&self, words: &[&str]) {
        let table = self.kubectl(&["get", OBJECT, "--output=wide"]);
        for word in words {
            assert!(table.contains(word), "{word} is missing in {table}");
        }
    }

    fn in_aws(&self, arn: &str) -> Option<ConnectorStatus> {
        self.aws.connector(arn).map(|connector| connector.status)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`make matrix` runs it; `make e2e` runs the same with pods"]
async fn operator_claims_protects_deletes_waits_and_retains_as_installed() {
    let world = World::installed().await;
    let arn = world.connector("shop-egress");

    // Before the first reconcile: the default and the rules of the CRD.
    world.create(&arn);
    assert_eq!(world.kubectl(&["get", OBJECT, "--output=jsonpath={.status.observedGeneration}"]), "-1");
    let arn_of_another = r#"{"spec":{"arn":"arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/2/0"}}"#;
    let refused = world.refused(&["patch", OBJECT, "--type=merge", "--patch", arn_of_another]);
    assert!(refused.contains("spec.arn is immutable"), "{refused}");
    let refused = world.refused(&["create", "--filename", &world.manifest(&"n".repeat(64), &arn)]);
    assert!(refused.contains("at most 63 characters"), "{refused}");
    let refused = world.refused(&["create", "--filename", &world.manifest("another", "arn:aws:sns:eu-west-1::x")]);
    assert!(refused.contains("spec.arn"), "{refused}");

    // Claimed, with its columns and conditions.
    let _operator = world.operator();
    world.until("--for=condition=Ready");
    world.assert_columns(&[
        "READY",
        "BLOCKED BY",
        "True",
        "Available",
        "ACTIVE",
        "Delete",
        DEFAULT_ACCOUNT,
        REGION,
        &arn,
    ]);
    assert!(world.aws.tags(&arn).unwrap().contains_key("apprunner-operator.dev/owner"));

    // Protected by the API server, then deleted.
    world.kubectl(&["annotate", OBJECT, "apprunner-operator.dev/protected=true"]);
    let refused = world.refused(&["delete", OBJECT, "--wait=false"]);
    assert!(refused.contains("is protected") && refused.contains("apprunner-operator.dev/protected-"), "{refused}");
    world.kubectl(&["annotate", OBJECT, "apprunner-operator.dev/protected-"]);
    world.kubectl(&["delete", OBJECT, "--timeout=60s"]);
    assert_eq!(world.in_aws(&arn), Some(ConnectorStatus::Inactive));

    // Held while a service uses it, which the object names.
    let arn = world.connector("jobs-egress");
    let service = world.aws.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&arn));
    world.create(&arn);
    world.until("--for=condition=Ready");
    world.kubectl(&["delete", OBJECT, "--wait=false"]);
    world.until("--for=jsonpath={.status.blockedBySummary}=jobs");
    world.assert_columns(&["False", "InUse", "jobs"]);
    assert_eq!(world.in_aws(&arn), Some(ConnectorStatus::Active));
    assert!(world.aws.delete_service(&service));
    world.until("--for=delete");
    assert_eq!(world.in_aws(&arn), Some(ConnectorStatus::Inactive));

    // Retained.
    let arn = world.connector("legacy-egress");
    world.create(&arn);
    world.until("--for=condition=Ready");
    world.patch(r#"{"spec":{"deletionPolicy":"Retain"}}"#);
    world.kubectl(&["delete", OBJECT, "--timeout=60s"]);
    assert_eq!(world.in_aws(&arn), Some(ConnectorStatus::Active));
    assert!(world.aws.tags(&arn).unwrap().is_empty());
}
