//! The chart's release, which has the chart's name.

use std::process::Command;

use apprunner_emulator::DEFAULT_SECRET_ACCESS_KEY;

use crate::world::{World, run};

pub const CHART: &str = "charts/apprunner-operator";
pub const RELEASE: &str = "apprunner-operator";

impl World {
    /// Installs the chart with the emulator as its AWS, and waits until its pods are ready.
    pub fn install(&self, values: &[&str]) {
        self.release("install", values);
    }

    /// Installs or upgrades, with these values and none of the earlier ones.
    pub fn release(&self, verb: &str, values: &[&str]) {
        self.release_in(self.name, verb, values);
    }

    /// Installs or upgrades in another namespace.
    pub fn release_in(&self, namespace: &str, verb: &str, values: &[&str]) {
        run(&mut self.releasing(namespace, verb, values));
    }

    /// The command that installs or upgrades.
    pub fn releasing(&self, namespace: &str, verb: &str, values: &[&str]) -> Command {
        let aws = format!("aws.endpointUrl={}", self.endpoint);
        let secret = format!("extraEnv[1].value={DEFAULT_SECRET_ACCESS_KEY}");
        // The images are built for this machine.
        let architecture = match std::env::consts::ARCH {
            "aarch64" => "image.architecture=arm64",
            _ => "image.architecture=amd64",
        };
        let always = [
            aws.as_str(),
            architecture,
            "image.pullPolicy=Never",
            "extraEnv[0].name=AWS_ACCESS_KEY_ID",
            "extraEnv[0].valueFrom.fieldRef.fieldPath=status.podIP",
            "extraEnv[1].name=AWS_SECRET_ACCESS_KEY",
            &secret,
        ];
        let mut arguments = vec![verb, RELEASE, CHART, "--wait", "--timeout=2m", "--namespace", namespace];
        arguments.extend(always.iter().chain(values).flat_map(|value| ["--set", value]));
        self.helm_command(&arguments)
    }

    /// Uninstalls, and deletes the CRD, which would disturb later scenarios.
    pub fn uninstall(&self) {
        self.helm(&["uninstall", RELEASE, "--wait"]);
        self.kubectl(&["delete", "crd", "vpcconnectors.apprunner-operator.dev"]);
    }
}
