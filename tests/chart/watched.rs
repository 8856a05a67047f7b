//! Alerts and dashboard select the release that they belong to.

use serde_json::{Value, json};

use crate::support::{NAMESPACE, RELEASE, file, find, objects};

/// The metric names in a query, each with the text that follows it.
fn series(query: &str) -> Vec<&str> {
    let found: Vec<_> = query.match_indices("apprunner_operator_").map(|(at, _)| &query[at..]).collect();
    assert!(!found.is_empty(), "{query}");
    found
}

fn selected(query: &str, selector: &str) -> bool {
    series(query).iter().all(|series| {
        let labels = series.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        labels.strip_prefix('{').is_some_and(|labels| labels.starts_with(selector))
    })
}

/// The alerts' rules with these values.
fn rules(set: &str) -> Vec<Value> {
    let objects = objects(&["--set", "prometheusRule.enabled=true", "--set", set]);
    find(&objects, "PrometheusRule", RELEASE)["spec"]["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn every_alert_selects_its_own_release_and_has_an_absolute_runbook_url() {
    let own = format!(r#"namespace="{NAMESPACE}",job="{RELEASE}-metrics""#);
    let runbook = "https://wiki.example/runbook";
    let linked = rules(&format!("prometheusRule.runbookUrl={runbook}"));
    assert_eq!(linked.len(), file("charts/apprunner-operator/files/rules.yaml").matches("- alert:").count());
    for rule in &linked {
        assert!(selected(rule["expr"].as_str().unwrap(), &own), "{rule}");
        let entry = rule["alert"].as_str().unwrap().to_lowercase();
        assert_eq!(rule["annotations"]["runbook_url"], format!("{runbook}#{entry}"));
    }
    let chosen = r#"cluster="a""#;
    for rule in rules(r#"prometheusRule.selector=cluster="a""#) {
        assert!(selected(rule["expr"].as_str().unwrap(), chosen), "{rule}");
        assert_eq!(rule["annotations"]["runbook_url"], Value::Null, "the link is not absolute");
    }
}

#[test]
fn every_panel_selects_the_chosen_release() {
    let dashboard: Value = serde_json::from_str(&file("charts/apprunner-operator/files/dashboard.json")).unwrap();
    let chosen = r#"cluster=~"$cluster",namespace=~"$namespace",job=~"$job""#;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            assert!(selected(target["expr"].as_str().unwrap(), chosen), "{}", target["expr"]);
        }
    }
    let variables: Vec<_> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(variables, ["datasource", "cluster", "namespace", "job"]);
}

#[test]
fn alerts_select_the_job_that_the_monitor_sets() {
    for (set, job) in [
        ("serviceMonitor.enabled=true", "apprunner-operator-metrics"),
        ("serviceMonitor.enabled=true,serviceMonitor.jobLabel=app.kubernetes.io/name,nameOverride=vpcc", "vpcc"),
        // Prometheus takes the name of the Service if the Service has no such label.
        ("serviceMonitor.enabled=true,serviceMonitor.jobLabel=absent", "apprunner-operator-metrics"),
        ("podMonitor.enabled=true", "apprunner-system/apprunner-operator"),
        ("podMonitor.enabled=true,podMonitor.namespace=monitoring", "monitoring/apprunner-operator"),
        ("podMonitor.enabled=true,podMonitor.jobLabel=app,podLabels.app=it", "it"),
    ] {
        let objects = objects(&["--set", "prometheusRule.enabled=true", "--set", set]);
        let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
        for rule in rule["spec"]["groups"][0]["rules"].as_array().unwrap() {
            let own = format!(r#"namespace="{NAMESPACE}",job="{job}""#);
            assert!(selected(rule["expr"].as_str().unwrap(), &own), "{set}: {rule}");
        }
    }
}

#[test]
fn alerts_can_be_left_out_relabelled_and_given_another_severity() {
    let all = rules("");
    let set = "prometheusRule.disabled={AppRunnerOperatorQueueStuck,AppRunnerOperatorDown},\
               prometheusRule.severity.AppRunnerOperatorAwsUnavailable=critical,\
               prometheusRule.additionalRuleLabels.team=platform,prometheusRule.additionalRuleLabels.severity=none";
    let some = rules(set);
    let kept = |rule: &&Value| {
        !["AppRunnerOperatorQueueStuck", "AppRunnerOperatorDown"].contains(&rule["alert"].as_str().unwrap())
    };
    assert_eq!((all.iter().filter(kept).count(), all.len() - 2), (some.len(), some.len()));
    for (before, rule) in all.iter().filter(kept).zip(&some) {
        let mut expected = before.clone();
        expected["labels"]["team"] = "platform".into();
        if rule["alert"] == "AppRunnerOperatorAwsUnavailable" {
            expected["labels"]["severity"] = "critical".into();
        }
        assert_eq!(*rule, expected);
    }
}

#[test]
fn monitors_scrape_the_metrics_as_the_values_say() {
    for (value, kind, endpoints) in
        [("serviceMonitor", "ServiceMonitor", "endpoints"), ("podMonitor", "PodMonitor", "podMetricsEndpoints")]
    {
        let spec = |set: &[&str]| {
            let set = set.iter().map(|set| format!("{value}.{set}")).collect::<Vec<_>>().join(",");
            find(&objects(&["--set", &set]), kind, RELEASE)["spec"].clone()
        };
        let plain = spec(&["enabled=true"]);
        let own = json!({"app.kubernetes.io/name": RELEASE, "app.kubernetes.io/instance": RELEASE});
        let endpoint = json!({"port": "metrics", "interval": "30s", "scrapeTimeout": "10s", "scheme": "http"});
        let expected = json!({
            "namespaceSelector": {"matchNames": [NAMESPACE]},
            "selector": {"matchLabels": own},
            endpoints: [endpoint],
        });
        assert_eq!(plain, expected);
        let set = [
            "enabled=true",
            "interval=1m",
            "honorLabels=true",
            "scheme=https",
            "tlsConfig.insecureSkipVerify=true",
            "jobLabel=app",
        ];
        let full = spec(&set);
        let endpoint = json!({
            "port": "metrics", "interval": "1m", "scrapeTimeout": "10s", "scheme": "https", "honorLabels": true,
            "tlsConfig": {"insecureSkipVerify": true},
        });
        assert_eq!((&full[endpoints], &full["jobLabel"]), (&json!([endpoint]), &json!("app")));
    }
}
