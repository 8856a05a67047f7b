//! A Prometheus of the distribution that scrapes the operator.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;

use crate::free_address;
use crate::test_bed::{Process, Result, guarded};

/// Seconds between two scrapes, and between two points of a panel.
pub(crate) const STEP: i64 = 2;
/// Grafana's value of `$__rate_interval` for this time between scrapes: four scrapes.
pub(crate) const RATE_INTERVAL: i64 = 4 * STEP;

/// A running Prometheus.
pub(crate) struct Prometheus {
    _process: Process,
    url: String,
    started: i64,
}

/// A series in the answer to a query.
#[derive(Deserialize)]
pub(crate) struct Series {
    #[serde(rename = "metric")]
    pub(crate) labels: BTreeMap<String, String>,
    values: Vec<(i64, String)>,
}

impl Prometheus {
    /// Starts scraping, with the labels that the chart's `ServiceMonitor` causes.
    pub(crate) fn start(directory: &Path, target: &str) -> Result<Self> {
        fs::create_dir(directory)?;
        let labels = json!({"cluster": "demo", "namespace": "apprunner-system"});
        let configuration = json!({
            "global": {"scrape_interval": format!("{STEP}s"), "scrape_timeout": format!("{STEP}s")},
            "scrape_configs": [{
                "job_name": "apprunner-operator-metrics",
                "static_configs": [{"targets": [target], "labels": labels}],
            }],
        });
        let (file, address) = (directory.join("prometheus.json"), free_address()?);
        fs::write(&file, configuration.to_string())?;
        let mut command = guarded(Path::new("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(fs::File::create(directory.join("log"))?);
        let process = Process(command.spawn()?);
        Ok(Self { _process: process, url: format!("http://{address}"), started: now()? })
    }

    /// Seconds since the start.
    pub(crate) fn elapsed(&self) -> Result<i64> {
        Ok(now()? - self.started)
    }

    /// Evaluates a query for every step of the run, as Grafana does.
    pub(crate) fn query(&self, query: &str, end: i64) -> Result<Vec<Series>> {
        let [start, end] = [("start", self.started), ("end", self.started + end)].map(|(n, at)| format!("--{n}={at}"));
        let mut command = Command::new("promtool");
        command.args(["query", "range", "--format=json", &start, &end, &format!("--step={STEP}s"), &self.url, query]);
        let output = command.stderr(Stdio::inherit()).output()?;
        Ok(serde_json::from_slice(&output.stdout).map_err(|_| format!("Prometheus does not answer {query}"))?)
    }

    /// The points of a series, in seconds since the start. A quantile without observations is no number.
    pub(crate) fn since_start(&self, series: &Series) -> Vec<(i64, f64)> {
        let parsed = series.values.iter().filter_map(|(at, number)| Some((at - self.started, number.parse().ok()?)));
        parsed.filter(|(_, number): &(i64, f64)| number.is_finite()).collect()
    }
}

/// Unix seconds.
fn now() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?)
}
