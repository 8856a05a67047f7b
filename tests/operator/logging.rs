//! The log: one line for each change in AWS.

use apprunner_emulator::{FaultKind, Operation};
use serde_json::Value;

use crate::support::World;
use crate::support::operator::Operator as Running;

/// Operation and outcome of the calls that were logged at a level.
fn calls(operator: &Running, level: &str) -> Vec<(String, String)> {
    let lines = operator.logged("called AWS").into_iter().filter(|line| line["level"] == level);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    lines.map(|line| (word(&line["operation"]), word(&line["outcome"]))).collect()
}

#[tokio::test]
async fn each_change_in_aws_is_one_line_and_reads_are_none() {
    let world = World::new().await;
    let operator = world.operator();
    let arn = world.claimed("egress").await;
    world.fault(Operation::DeleteVpcConnector, FaultKind::ClosedAfterEffect);
    world.delete("egress").await;
    world.gone("egress").await;
    let done = |operation: &str| (operation.to_owned(), "Done".to_owned());
    let lost = ("DeleteVpcConnector".to_owned(), "Unknown".to_owned());
    assert_eq!(calls(&operator, "INFO"), [done("TagResource"), lost]);
    let reads = calls(&operator, "DEBUG");
    for operation in ["GetCallerIdentity", "DescribeVpcConnector", "ListTagsForResource"] {
        assert!(reads.contains(&done(operation)), "{operation}: {reads:?}");
    }

    let line = operator.logged("called AWS").into_iter().find(|line| line["operation"] == "TagResource").unwrap();
    let said = ["namespace", "name", "arn", "region"].map(|field| line[field].as_str().unwrap_or_default());
    assert_eq!(said, [world.namespace.as_str(), "egress", arn.as_str(), "us-east-1"]);
    assert!(line["request_id"].is_string() && line["duration_ms"].is_u64() && line["error"].is_null(), "{line}");
}
