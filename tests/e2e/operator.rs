//! The operator in a pod, from its scratch image, as the chart installs it.

use std::io::Write;
use std::process::Stdio;
use std::sync::Once;

use apprunner_emulator::{
    CallFilter, ConnectorStatus, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY,
};

use crate::support::{World, image, scenario};

const CHART: &str = "charts/apprunner-operator";
const REGION: &str = "us-east-1";

static LOADED: Once = Once::new();

impl World {
    /// Installs the chart with the emulator as its AWS, and waits until the pod is ready.
    fn install(&self) {
        LOADED.call_once(|| self.cluster.load_image(&image("apprunner-operator").unwrap()).unwrap());
        let credentials =
            [("AWS_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", DEFAULT_SECRET_ACCESS_KEY)];
        let mut values = vec![format!("aws.endpointUrl={}", self.endpoint), "image.pullPolicy=Never".to_owned()];
        for (n, (name, value)) in credentials.iter().enumerate() {
            values.push(format!("extraEnv[{n}].name={name}"));
            values.push(format!("extraEnv[{n}].value={value}"));
        }
        let install = ["install", "operator", CHART, "--wait", "--timeout=2m"];
        let set = values.iter().flat_map(|value| ["--set", value]);
        self.helm(&install.into_iter().chain(set).collect::<Vec<_>>());
    }

    /// An object that has taken a new connector over; gives the connector's ARN.
    fn adopted(&self, name: &str) -> String {
        let arn = self.emulator.create_connector(DEFAULT_ACCOUNT, REGION, name);
        self.apply(&format!(
            "apiVersion: apprunner-operator.dev/v1alpha1\nkind: VpcConnector\nmetadata: {{name: {name}}}\n\
             spec: {{arn: '{arn}', deletionPolicy: Delete}}\n"
        ));
        self.kubectl(&["wait", &format!("vpcc/{name}"), "--for=condition=Ready", "--timeout=60s"]);
        arn
    }

    fn apply(&self, manifest: &str) {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.namespace, "apply", "--filename=-"]).stdin(Stdio::piped());
        let mut applying = kubectl.spawn().unwrap();
        applying.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        assert!(applying.wait().unwrap().success(), "{manifest}");
    }

    fn status(&self, arn: &str) -> ConnectorStatus {
        self.emulator.connector(arn).unwrap().status
    }

    fn deletes(&self) -> usize {
        let filter = CallFilter { operation: Some("DeleteVpcConnector".to_owned()), ..CallFilter::default() };
        self.emulator.calls_matching(&filter).len()
    }

    /// Takes away what scenarios after this one would trip over.
    fn uninstall(&self) {
        self.helm(&["uninstall", "operator", "--wait"]);
        self.kubectl(&["delete", "crd", "vpcconnectors.apprunner-operator.dev"]);
    }
}

#[test]
fn a_pod_adopts_a_connector_names_who_holds_it_and_deletes_it_when_they_let_go() {
    scenario("by-a-pod", async |world| {
        world.install();
        let arn = world.adopted("shop-egress");
        world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
        assert_eq!((world.status(&arn), world.deletes()), (ConnectorStatus::Inactive, 1));

        let arn = world.adopted("jobs-egress");
        let service = world.emulator.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&arn));
        world.kubectl(&["delete", "vpcc/jobs-egress", "--wait=false"]);
        let named = "--for=jsonpath={.status.blockedBySummary}=jobs";
        world.kubectl(&["wait", "vpcc/jobs-egress", named, "--timeout=60s"]);
        assert!(world.emulator.delete_service(&service));
        world.kubectl(&["wait", "vpcc/jobs-egress", "--for=delete", "--timeout=60s"]);
        assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
        world.uninstall();
    });
}

#[test]
fn it_is_not_uninstalled_while_objects_need_it_and_keeps_the_crd_when_it_is() {
    scenario("uninstall", async |world| {
        world.install();
        let arn = world.adopted("shop-egress");
        let refused = world.helm_refused(&["uninstall", "operator", "--wait", "--timeout=90s"]);
        assert!(refused.contains("shop-egress"), "what still needs it is not named: {refused}");
        // A refusal leaves the release half uninstalled, and a rollback mends it.
        world.helm(&["rollback", "operator", "1", "--wait"]);
        world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);
        assert_eq!(world.status(&arn), ConnectorStatus::Inactive);
        world.helm(&["uninstall", "operator", "--wait"]);
        let kept = world.kubectl(&["get", "crd", "vpcconnectors.apprunner-operator.dev", "--output=name"]);
        assert!(kept.contains("vpcconnectors"));
        world.kubectl(&["delete", "crd", "vpcconnectors.apprunner-operator.dev"]);
    });
}
