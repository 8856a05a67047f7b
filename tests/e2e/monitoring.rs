//! The metrics in a real Prometheus, and the queries of the Grafana dashboard.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apprunner_emulator::DEFAULT_ACCOUNT;
use devcluster::{NodeCluster, Program};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::release::{CHART, RELEASE};
use crate::world::{CHECKOUT, REGION, World, eventually, run, scenario};

const PORT: u16 = 9090;

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("monitoring", every_panel_has_data_and_every_alert_is_evaluated),
        Trial::test("alerts", || {
            alerts_pass_their_promtool_tests();
            Ok(())
        }),
    ]
}

async fn every_panel_has_data_and_every_alert_is_evaluated(world: &World) {
    world.install(&["replicaCount=2"]);
    let both = eventually("two targets", async || Some(targets(world)).filter(|targets| targets.len() == 2)).await;
    let _prometheus = prometheus(world, &both);
    has_data("count(up == 1) == 2").await;
    let held = world.claimed("jobs-egress");
    world.emulator.create_service(DEFAULT_ACCOUNT, REGION, "jobs", Some(&held));
    world.claimed("shop-egress");
    world.kubectl(&["delete", "vpcc/jobs-egress", "--wait=false"]);
    world.until_reason("vpcc/jobs-egress", "InUse");
    world.kubectl(&["delete", "vpcc/shop-egress", "--wait", "--timeout=60s"]);

    for query in panels() {
        has_data(&query).await;
    }
    // The first deletion of its kind, which shows only on a counter that was 0 before.
    has_data(r#"increase(apprunner_operator_deletions_total{outcome="Deleted"}[30s]) > 0"#).await;
    let evaluated = async || rules().await.filter(|rules| rules.iter().all(|it| it["health"] != "unknown"));
    let rules = eventually("every rule is evaluated", evaluated).await;
    assert_eq!(rules.len(), file(&format!("{CHART}/files/rules.yaml")).matches("- alert:").count());
    for rule in rules {
        assert!(rule["health"] == "ok" && rule["lastError"].is_null(), "{rule}");
    }

    world.kubectl(&["patch", "vpcc/jobs-egress", "--type=merge", r#"--patch={"spec":{"deletionPolicy":"Retain"}}"#]);
    world.kubectl(&["wait", "vpcc/jobs-egress", "--for=delete", "--timeout=60s"]);
    world.uninstall();
}

fn alerts_pass_their_promtool_tests() {
    let rules = format!("{CHART}/files/rules.yaml");
    for arguments in [["check", "rules", &rules], ["test", "rules", "tests/chart/alerts.yaml"]] {
        run(Command::new(program("promtool")).current_dir(CHECKOUT).args(arguments));
    }
}

/// A Prometheus that scrapes these targets. The distribution's build cannot discover them in Kubernetes, so the
/// configuration lists them.
fn prometheus(world: &World, targets: &[String]) -> Program {
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [Path::new(CHECKOUT).join(CHART).join("files/rules.yaml")],
        "scrape_configs": [{"job_name": "operator", "static_configs": [{"targets": targets}]}],
    });
    let directory = world.cluster.directory();
    let file = directory.join("prometheus.json");
    fs::write(&file, configuration.to_string()).unwrap();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", directory.join("prometheus").display()),
        format!("--web.listen-address={}:{PORT}", NodeCluster::ADDRESS),
    ];
    world.cluster.run("prometheus", &program("prometheus"), &arguments).unwrap()
}

/// The targets of the chart's `ServiceMonitor`: the endpoints of the Service with its labels, at the named port.
fn targets(world: &World) -> Vec<String> {
    let labels = format!("app.kubernetes.io/name=apprunner-operator,app.kubernetes.io/instance={RELEASE}");
    let found = world.kubectl(&["get", "endpointslices", "--selector", &labels, "--output=json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let [slice] = found["items"].as_array().unwrap().as_slice() else { panic!("{found}") };
    let port = slice["ports"].as_array().unwrap().iter().find(|port| port["name"] == "metrics").unwrap();
    let addresses = slice["endpoints"].as_array().unwrap().iter().map(|endpoint| &endpoint["addresses"][0]);
    addresses.map(|address| format!("{}:{}", address.as_str().unwrap(), port["port"])).collect()
}

/// The dashboard's queries, as Grafana sends them for the last half minute.
fn panels() -> Vec<String> {
    let text = file(&format!("{CHART}/files/dashboard.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<_> = targets.map(|target| chosen(target["expr"].as_str().unwrap())).collect();
    assert_eq!(queries.len(), text.matches(r#""expr""#).count());
    assert!(queries.iter().all(|query| !query.contains('$')), "{queries:?}");
    queries
}

/// A query with every cluster, namespace and release selected.
fn chosen(query: &str) -> String {
    let all = ["$cluster", "$namespace", "$job"]
        .into_iter()
        .fold(query.to_owned(), |query, variable| query.replace(variable, ".*"));
    all.replace("$__rate_interval", "30s")
}

/// Waits until a query's result contains a number.
async fn has_data(query: &str) {
    let has_number = async || numbers(&ask(query)).iter().any(|number| !number.is_nan()).then_some(());
    eventually(&format!("{query} has data"), has_number).await;
}

fn ask(query: &str) -> Output {
    let url = format!("http://{}:{PORT}", NodeCluster::ADDRESS);
    Command::new(program("promtool")).args(["query", "instant", "--format=json", &url, query]).output().unwrap()
}

/// The numbers in a result; empty until Prometheus listens.
fn numbers(answer: &Output) -> Vec<f64> {
    let samples: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

/// The rules that Prometheus has loaded.
async fn rules() -> Option<Vec<Value>> {
    let mut stream = TcpStream::connect((NodeCluster::ADDRESS, PORT)).await.ok()?;
    stream.write_all(b"GET /api/v1/rules HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let mut answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).unwrap();
    serde_json::from_value(answer["data"]["groups"][0]["rules"].take()).ok()
}

/// A program of the distribution.
fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let found = env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on the PATH: hack/e2e/packages install"))
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(CHECKOUT).join(path)).unwrap()
}
