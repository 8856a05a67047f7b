//! The panels of the chart's dashboard, with their data.

use serde::Deserialize;
use serde_json::Value;

use crate::prometheus::{Prometheus, RATE_INTERVAL, Series};
use crate::test_bed::{Result, check};

const DASHBOARD: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/charts/apprunner-operator/files/dashboard.json"));

/// A panel, with the members of Grafana's model that the picture shows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) title: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) grid_pos: Place,
    field_config: Value,
    targets: Vec<Target>,
    #[serde(skip)]
    pub(crate) lines: Vec<Line>,
}

/// Grafana's grid is 24 columns wide.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Place {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    expr: String,
    legend_format: String,
}

/// One series of a panel: seconds since the start of the run, and numbers.
pub(crate) struct Line {
    pub(crate) legend: String,
    pub(crate) points: Vec<(i64, f64)>,
}

/// Reads the dashboard, and evaluates its queries. No query may return nothing.
pub(crate) fn panels(prometheus: &Prometheus, end: i64) -> Result<Vec<Panel>> {
    let mut dashboard: Value = serde_json::from_str(DASHBOARD)?;
    let mut panels: Vec<Panel> = serde_json::from_value(dashboard["panels"].take())?;
    for panel in &mut panels {
        for target in &panel.targets {
            let query = resolved(&target.expr, &dashboard["templating"]["list"])?;
            let series = prometheus.query(&query, end)?;
            let lines = series.into_iter().map(|series| Line {
                legend: legend(&target.legend_format, &series),
                points: prometheus.since_start(&series),
            });
            let before = panel.lines.len();
            panel.lines.extend(lines.filter(|line| !line.points.is_empty()));
            check(panel.lines.len() > before, &format!("the panel \"{}\" shows nothing: {query}", panel.title))?;
        }
    }
    Ok(panels)
}

/// The query with all clusters, namespaces and releases selected.
fn resolved(query: &str, variables: &Value) -> Result<String> {
    let mut query = query.replace("$__rate_interval", &format!("{RATE_INTERVAL}s"));
    for variable in variables.as_array().into_iter().flatten() {
        if let (Some(name), Some(all)) = (variable["name"].as_str(), variable["allValue"].as_str()) {
            query = query.replace(&format!("${name}"), all);
        }
    }
    check(!query.contains('$'), &format!("the dashboard does not define a variable of {query}"))?;
    Ok(query)
}

/// A legend with the values of the labels; a series without a label has nothing there.
fn legend(format: &str, series: &Series) -> String {
    let mut parts = format.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (label, after) in parts.filter_map(|part| part.split_once("}}")) {
        text.push_str(series.labels.get(label).map_or("", String::as_str));
        text.push_str(after);
    }
    text.trim().to_owned()
}

impl Panel {
    /// A number in the unit of the panel.
    pub(crate) fn show(&self, number: f64) -> Result<String> {
        let (number, unit) = match self.field_config["defaults"]["unit"].as_str() {
            Some("short") => (number, ""),
            Some("reqps") => (number, " req/s"),
            Some("s") if number >= 60.0 => {
                return Ok(format!("{:.0}:{:02.0} min", (number / 60.0).floor(), (number % 60.0).floor()));
            }
            Some("s") if number >= 1.0 || number == 0.0 => (number, " s"),
            Some("s") => (number * 1e3, " ms"),
            other => return Err(format!("the picture has no unit {other:?}: {}", self.title).into()),
        };
        let text = format!("{number:.2}");
        Ok(format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.')))
    }

    /// The name of the color of a number: that of the last threshold up to it.
    pub(crate) fn color(&self, number: f64) -> Option<&str> {
        let mut steps = self.field_config["defaults"]["thresholds"]["steps"].as_array()?.iter();
        steps.rfind(|step| step["value"].as_f64().is_none_or(|value| value <= number))?["color"].as_str()
    }
}
