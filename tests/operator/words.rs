//! AWS's words in any case: claims, waits, blockers, deletions and receipts work with either spelling.

use apprunner_emulator::{Behaviors, DeleteReply, FaultKind, Operation, StatusCase};

use crate::support::{ACCOUNT, REGION, World, message};

const BOTH: [StatusCase; 2] = [StatusCase::AsDocumented, StatusCase::Lower];

async fn world_of(case: StatusCase) -> World {
    let behaviors = Behaviors { status_case: case, list_deleted_services: true, ..Behaviors::default() };
    World::with_behaviors(behaviors).await
}

fn in_spelling(case: StatusCase, word: &str) -> String {
    if case == StatusCase::Lower { word.to_lowercase() } else { word.to_owned() }
}

#[tokio::test]
async fn connector_states_in_either_case_are_understood_and_shown_unchanged() {
    for case in BOTH {
        let world = world_of(case).await;
        world.emulator.change_behaviors(|behaviors| {
            behaviors.delete_reply = DeleteReply::Eventual;
            behaviors.delete_settles_after_ms = 2_000;
        });
        let _operator = world.operator();
        let arn = world.claimed("egress").await;
        let adopted = world.reason("egress", "Available").await;
        assert_eq!(adopted.status.unwrap().status, Some(in_spelling(case, "ACTIVE").as_str().into()));

        let web = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
        let gone = world.emulator.create_service(ACCOUNT, REGION, "gone", Some(&arn));
        assert!(world.emulator.delete_service(&gone));
        world.delete("egress").await;
        let named = |count| {
            move |object: &apprunner_operator::api::VpcConnector| {
                object.status.as_ref().is_some_and(|status| status.blocked_by_count == Some(count))
            }
        };
        let held = world.until("egress", "held", named(1)).await;
        let running = in_spelling(case, "RUNNING");
        assert!(message(&held).contains(&format!("used by App Runner service web ({running})")), "{}", message(&held));
        let blocker = held.status.unwrap().blocked_by.remove(0);
        assert_eq!((blocker.arn, blocker.status), (web.clone(), running), "a deleted service does not block");

        assert!(world.emulator.delete_service(&web));
        world.until_deleted("egress").await;
        assert!(world.inactive(&arn));
        let history = world.history("egress").await;
        let receipt = history.last().unwrap();
        assert_eq!(
            (receipt.ready_reason(), receipt.status.clone()),
            (Some("Deleted"), Some(in_spelling(case, "INACTIVE").as_str().into()))
        );
        assert!(receipt.deleted_at.is_some());
        let reasons: Vec<_> = history.iter().filter_map(|status| status.ready_reason()).collect();
        assert!(!reasons.contains(&"Unproven") && reasons.contains(&"Deleting"), "{reasons:?}");
    }
}

#[tokio::test]
async fn earlier_deletion_is_understood_in_either_case() {
    for case in BOTH {
        let world = world_of(case).await;
        let _operator = world.operator();
        let arn = world.connector("conn-egress");
        world.emulator.delete_connector(&arn);
        world.create("egress", &arn).await;
        let shown = world.reason("egress", "Inactive").await;
        assert_eq!(shown.status.unwrap().status, Some(in_spelling(case, "INACTIVE").as_str().into()));
        world.delete("egress").await;
        world.until_deleted("egress").await;
        assert_eq!(
            (world.history("egress").await.pop().unwrap().ready_reason(), world.deletes()),
            (Some("AlreadyGone"), 0)
        );
    }
}

#[tokio::test]
async fn codes_and_phrases_are_understood_in_either_case() {
    let world = world_of(StatusCase::Lower).await;
    let _operator = world.operator();
    let delete = Operation::DeleteVpcConnector;
    for (name, code, words, reason) in [
        ("in-use", "invalidrequestexception", "The Connector Is Being Used By other services.", "InUse"),
        ("denied", "accessdenied", "not allowed", "AccessDenied"),
        ("gone", "RESOURCENOTFOUNDEXCEPTION", "no such connector", "AlreadyGone"),
    ] {
        let arn = world.claimed(name).await;
        let fault = apprunner_emulator::Fault::new(FaultKind::error(code, 400, words)).on(delete).arn(&arn);
        let id = world.emulator.add_fault(fault.forever());
        world.delete(name).await;
        if reason != "AlreadyGone" {
            world.reason(name, reason).await;
            world.emulator.remove_fault(id);
        }
        world.until_deleted(name).await;
        let reported = world.history(name).await.iter().any(|status| status.ready_reason() == Some(reason));
        assert!(reported, "{reason} was never reported");
    }
}
