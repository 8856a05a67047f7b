//! A reply that lacks a member of the API's model proves nothing, for any operation.

use apprunner_emulator::{Fault, FaultKind, Operation};
use apprunner_operator::api::{self, VpcConnector};

use crate::support::{ACCOUNT, REGION, World, message};

/// Members that a description or a list of services may lack, and the words that report the lack.
fn services_lacking_something() -> Vec<(Operation, FaultKind, &'static str)> {
    const DESCRIBE: Operation = Operation::DescribeService;
    const LIST: Operation = Operation::ListServices;
    let egress_without_arn = "the answer has EgressType VPC and no VpcConnectorArn";
    let without_arn = "/Service/NetworkConfiguration/EgressConfiguration/VpcConnectorArn";
    vec![
        (DESCRIBE, FaultKind::without("/Service"), "the answer has no Service"),
        (DESCRIBE, FaultKind::without("/Service/ServiceArn"), "the answer has no Service.ServiceArn"),
        (DESCRIBE, FaultKind::without("/Service/Status"), "the answer has no Service.Status"),
        (DESCRIBE, FaultKind::without("/Service/NetworkConfiguration"), "has no Service.NetworkConfiguration"),
        (DESCRIBE, FaultKind::without(without_arn), egress_without_arn),
        (LIST, FaultKind::without("/ServiceSummaryList"), "the answer has no ServiceSummaryList"),
        (LIST, FaultKind::without("/ServiceSummaryList/0/ServiceArn"), "has no ServiceSummaryList.1.ServiceArn"),
        (LIST, FaultKind::with("/ServiceSummaryList/0", serde_json::Value::Null), "has no ServiceSummaryList.1"),
    ]
}

#[tokio::test]
async fn service_described_incompletely_still_counts_as_a_possible_blocker() {
    for (operation, lacking, words) in services_lacking_something() {
        let world = World::new().await;
        let _operator = world.operator();
        let arn = world.claimed("egress").await;
        let web = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
        world.lasting_fault(operation, lacking);
        world.delete("egress").await;
        let says = |words| move |object: &VpcConnector| object.status.is_some() && message(object).contains(words);
        let held = world.until("egress", words, says(words)).await;
        assert_eq!(held.status.as_ref().unwrap().ready_reason(), Some("InUse"), "{words}");
        assert!(message(&held).contains("the services that use it cannot be read"), "{}", message(&held));
        world.emulator.clear_faults();
        world.until("egress", "named", says("used by App Runner service web (RUNNING)")).await;
        assert!(world.emulator.delete_service(&web));
        world.until_deleted("egress").await;
        assert!(world.inactive(&arn));
        let messages =
            world.statuses().filter_map(|status| status.condition("Ready").map(|ready| ready.message.clone()));
        let messages: Vec<_> = messages.collect();
        let used = messages.iter().rposition(|message| message.contains("used by App Runner service web")).unwrap();
        assert!(!messages[..used].iter().any(|m| m.contains("no service references it")), "{words}: {messages:#?}");
    }
}

#[tokio::test]
async fn connector_described_incompletely_is_neither_claimed_nor_released() {
    for member in ["/VpcConnector", "/VpcConnector/VpcConnectorArn", "/VpcConnector/Status"] {
        let words = format!("the answer has no {}", member[1..].replace('/', "."));
        let world = World::new().await;
        let _operator = world.operator();
        let arn = world.connector("conn-egress");
        world.lasting_fault(Operation::DescribeVpcConnector, FaultKind::without(member));
        world.create("egress", &arn).await;
        let held = world.reason("egress", "Unproven").await;
        assert!(message(&held).contains(&words), "{}", message(&held));
        assert_eq!((held.status.unwrap().arn, world.owner_tag(&arn)), (None, None), "{member}");
        world.emulator.clear_faults();
        world.reason("egress", "Available").await;

        world.emulator.add_fault(Fault::new(FaultKind::without(member)).on(Operation::DeleteVpcConnector));
        world.delete("egress").await;
        world.until_deleted("egress").await;
        let history = world.history("egress").await;
        let unproven = history.iter().filter(|status| status.ready_reason() == Some("Unproven"));
        let errors: Vec<_> = unproven.filter_map(|status| status.last_error.as_ref()).collect();
        assert!(errors.iter().any(|error| error.operation == "DeleteVpcConnector" && error.message == words));
        assert_eq!((world.inactive(&arn), world.deletes()), (true, 1), "the describe that follows proves the deletion");
    }
}

#[tokio::test]
async fn tag_without_its_key_or_our_tag_without_its_value_proves_no_owner() {
    for member in ["/Tags", "/Tags/0/Key", "/Tags/0/Value"] {
        let world = World::new().await;
        let _operator = world.operator();
        let arn = world.connector("conn-egress");
        world.emulator.set_tags(&arn, &[(api::OWNER_TAG, "another-cluster/shop/egress")]);
        world.lasting_fault(Operation::ListTagsForResource, FaultKind::without(member));
        world.create("egress", &arn).await;
        world.reason("egress", "Unproven").await;
        world.delete("egress").await;
        let deleting = |object: &VpcConnector| object.metadata.deletion_timestamp.is_some();
        let reads = world.calls(Operation::ListTagsForResource).len();
        let read_again = async || (world.calls(Operation::ListTagsForResource).len() > reads + 2).then_some(());
        assert!(crate::support::eventually(read_again).await.is_some(), "{member}: the tags were not read again");
        world.until("egress", "held", deleting).await;
        world.emulator.clear_faults();
        world.until_deleted("egress").await;
        assert!(!world.inactive(&arn), "{member}: it is another's");
        assert_eq!(world.deletes(), 0, "{member}");
        assert_eq!(world.owner_tag(&arn).as_deref(), Some("another-cluster/shop/egress"), "{member}");
    }
}
