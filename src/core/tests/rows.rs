//! The decision table: the evidence, and the decision. One test for each row, in the order of the table.

use super::evidence::{
    ARN, OTHER_ARN, accounts, claim, claimed, connector, described, read_other_object, refused, tag, unanswered,
    unclaimed, unknown, written,
};
use crate::core::attempt::{Attempt, Observed};
use crate::core::decide::Decision;
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite, Proof, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::event;
use crate::core::evidence::{Caller, Evidence, Finalizer, Phase, Target};
use crate::core::outcome::{Operation, Outcome};
use crate::core::ownership::OtherObjectState;
use std::time::Duration;

use crate::api::{DeletionPolicy, Reason};
use crate::core::status;

#[test]
fn a_released_object_needs_no_action() {
    assert_eq!(claimed().deleting().with(|e| e.object.finalizer = Finalizer::Absent).decision(), Decision::Nothing);
    assert_eq!(claimed().deleting().with(|e| e.object.finalizer = Finalizer::Removed).decision(), Decision::Nothing);
}

#[test]
fn retain_removes_our_tag_and_then_the_finalizer() {
    let off = Proof::Retained;
    let e = claimed().deleting().retained();
    assert_eq!(e.acts(), AwsCall::ReadTags);
    let e = e.ours();
    assert_eq!(e.acts(), AwsCall::RemoveTag);
    let untagged = e.clone().after_untag(written());
    assert_eq!(untagged.acts(), off);
    let failed = e.after_untag(unknown(Operation::UntagResource, ErrorClass::Unreachable));
    assert_eq!(failed.acts(), off, "a tag that remains does not block the release");
    for not_ours in [tag(None), tag(Some("c2/shop/egress")), tag(Some("c1/shop/other"))] {
        assert_eq!(claimed().deleting().retained().after_tags(not_ours).acts(), off);
    }
    let unreadable = refused(Operation::ListTagsForResource, ErrorClass::AccessDenied);
    assert_eq!(claimed().deleting().retained().after_tags(unreadable).acts(), off);
}

#[test]
fn retain_releases_the_object_even_if_something_else_blocks_its_deletion() {
    let off = Proof::Retained;
    let e = || claimed().deleting().retained();
    assert_eq!(e().without_tags().acts(), off);
    assert_eq!(unclaimed().deleting().retained().acts_if_ours(), AwsCall::RemoveTag, "a claim was in progress");
    assert_eq!(e().of_account("999999999999").acts(), off);
    assert_eq!(e().with(|e| e.object.paused = true).acts_if_ours(), AwsCall::RemoveTag);
    assert_eq!(e().with(|e| e.object.protected = true).acts_if_ours(), AwsCall::RemoveTag);
    assert_eq!(e().with(|e| e.object.target = Target::of("nonsense")).acts(), off);
    assert_eq!(e().deletion(unanswered()).acts_if_ours(), AwsCall::RemoveTag);
    let identify = e().with(|e| e.caller = Caller::Unknown);
    assert_eq!(identify.acts(), AwsCall::Identify);
    let changed = e().ours().of_account("999999999999");
    assert_eq!(changed.acts(), off, "the credentials changed after the tag was read");
    let in_vain = identify.after_identify(refused(Operation::GetCallerIdentity, ErrorClass::CredentialsRejected));
    assert_eq!(in_vain.acts(), off);
}

#[test]
fn a_paused_object_gets_no_call_and_no_finalizer_change() {
    for e in [claimed(), claimed().deleting(), unclaimed(), unclaimed().deleting()] {
        assert_eq!(e.with(|e| e.object.paused = true).decision(), Decision::Pause);
    }
    let new = unclaimed().with(|e| (e.object.paused, e.object.finalizer) = (true, Finalizer::Absent));
    assert_eq!(new.decision(), Decision::Pause);
}

#[test]
fn the_finalizer_comes_before_any_call_to_aws() {
    let e = unclaimed().with(|e| (e.object.finalizer, e.caller) = (Finalizer::Absent, Caller::Unknown));
    assert_eq!(e.acts(), KubeWrite::AddFinalizer);
}

#[test]
fn a_receipt_in_the_status_releases_the_object_without_a_call_to_aws() {
    let receipt = claimed().deleting().with(|e| e.object.status.status = Some("INACTIVE".into()));
    let off = Proof::Receipt;
    assert_eq!(receipt.acts(), off);
    assert_eq!(
        receipt.clone().with(|e| e.object.protected = true).acts(),
        off,
        "the connector is deleted, protected or not"
    );
    assert_eq!(receipt.of_account("999999999999").acts(), off);
    let lower = claimed().deleting().with(|e| e.object.status.status = Some("inactive".into()));
    assert_eq!(lower.acts(), off, "App Runner's word in any case");
    let not_ours = unclaimed().deleting().with(|e| e.object.status.status = Some("INACTIVE".into()));
    assert_eq!(not_ours.acts(), AwsCall::Describe, "without a claim INACTIVE is no receipt");
}

#[test]
fn a_condition_is_no_proof() {
    let mut e = claimed().deleting();
    for reason in [Reason::Deleted, Reason::AlreadyGone, Reason::Gone] {
        e.object.status.conditions[0].reason = reason.to_string();
        assert_eq!(e.acts_if_ours(), AwsCall::Delete, "{reason}");
    }
}

#[test]
fn protected_blocks_only_a_deletion() {
    let protected = |e: Evidence| e.with(|e| e.object.protected = true);
    assert_eq!(protected(claimed().deleting()).waits().reason, Reason::Protected);
    assert_eq!(protected(unclaimed().deleting()).waits().reason, Reason::Protected);
    assert_eq!(protected(unclaimed()).acts(), AwsCall::Describe);
}

#[test]
fn a_status_of_another_connector_counts_as_no_claim() {
    for e in [claimed(), claimed().deleting()] {
        let e = e.with(|e| e.object.status.arn = Some(OTHER_ARN.into()));
        assert_eq!(e.acts(), StatusWrite::Correction);
        let corrected = e.after_write(StatusWrite::Correction);
        assert_eq!(corrected.object.status.arn, None);
        assert_eq!(corrected.object.status.status, None);
        assert_eq!(corrected.acts(), AwsCall::Describe);
        let reason = (!corrected.object.deleting).then_some("Adopting");
        assert_eq!(corrected.object.status.ready_reason(), reason, "no tool takes it for a finished object");
    }
}

#[test]
fn a_receipt_of_another_connector_releases_no_object() {
    let e = claimed().deleting().with(|e| {
        e.object.status.arn = Some(OTHER_ARN.into());
        e.object.status.status = Some("INACTIVE".into());
    });
    assert_eq!(e.acts(), StatusWrite::Correction);
}

#[test]
fn an_unusable_spec_is_reported_and_not_acted_on() {
    let unreadable = unclaimed().with(|e| e.object.target = Target::of("nonsense"));
    assert_eq!(unreadable.waits().reason, Reason::InvalidRequest);
    assert_eq!(unreadable.deleting().waits().reason, Reason::InvalidRequest);
    let unknown_policy = claimed().with(|e| e.object.policy = Some(DeletionPolicy::Other("Orphan".into())));
    assert_eq!(
        unknown_policy.waits().reason,
        Reason::Available,
        "the policy matters only once the object is being deleted"
    );
    assert!(unknown_policy.deleting().waits().message.contains("'Orphan'"));
}

#[test]
fn credentials_of_another_account_make_no_call() {
    for e in [claimed(), claimed().deleting(), unclaimed(), unclaimed().deleting()] {
        let wait = e.of_account("999999999999").waits();
        assert_eq!(wait.reason, Reason::WrongAccount);
        assert!(wait.message.contains("999999999999") && wait.message.contains("111122223333"), "{}", wait.message);
    }
}

#[test]
fn an_account_is_used_only_by_the_namespaces_and_in_the_regions_that_are_listed() {
    let objects = || [claimed(), claimed().deleting(), unclaimed(), unclaimed().deleting()];
    for (namespace, region, denied) in
        [("jobs", "us-east-1", "namespace shop may not use account"), ("shop", "eu-west-1", "in region us-east-1")]
    {
        for e in objects() {
            let listed = accounts(&[("111122223333", &[namespace], Some(&[region]))]);
            // Also with the credentials, which another namespace may have needed, and also when their account is unknown.
            for caller in [e.caller.clone(), Caller::Unknown] {
                let held = e.clone().with_accounts(listed.clone()).with(|e| e.caller = caller).waits();
                assert_eq!(held.reason, Reason::WrongAccount);
                assert!(held.message.contains(denied), "{}", held.message);
            }
        }
    }
    let allowed = accounts(&[("111122223333", &["shop"], None)]);
    assert_eq!(unclaimed().with_accounts(allowed).acts(), AwsCall::Describe);
}

#[test]
fn an_account_that_is_not_listed_is_named_with_the_operators_own() {
    let listed = accounts(&[("444455556666", &["shop"], None)]);
    let wait = claimed().with_accounts(listed).of_account("999999999999").waits();
    assert_eq!(wait.reason, Reason::WrongAccount);
    assert_eq!(
        wait.message,
        "account 111122223333 is not listed in --accounts, and the operator's own account is 999999999999"
    );
}

#[test]
fn retain_releases_an_object_whose_account_is_denied_without_a_call() {
    let denied = accounts(&[("111122223333", &["jobs"], None)]);
    for e in [claimed(), unclaimed()] {
        assert_eq!(e.deleting().retained().with_accounts(denied.clone()).acts(), Proof::Retained);
    }
    let not_listed = accounts(&[("444455556666", &["shop"], None)]);
    let e = claimed().deleting().retained().with_accounts(not_listed);
    assert_eq!(e.of_account("999999999999").acts(), Proof::Retained);
}

#[test]
fn no_call_is_made_to_another_region_or_partition() {
    for arn in [ARN.replace("us-east-1", "eu-north-1"), ARN.replace("arn:aws:", "arn:aws-cn:")] {
        let e = unclaimed().with(|e| e.object.target = Target::of(&arn));
        assert_eq!(e.waits().reason, Reason::WrongAccount, "{arn}");
    }
}

#[test]
fn the_account_is_known_before_any_call_names_an_arn() {
    for e in [claimed().deleting(), unclaimed(), unclaimed().deleting()] {
        let e = e.with(|e| e.caller = Caller::Unknown);
        assert_eq!(e.acts(), AwsCall::Identify);
        let known = e.clone().after_identify(Outcome::Done("111122223333".parse().unwrap()));
        assert!(matches!(known.acts(), Effect::Aws(AwsCall::Describe | AwsCall::ReadTags, _)));
        let in_vain = e.after_identify(refused(Operation::ResolveCredentials, ErrorClass::CredentialsRejected));
        assert_eq!(in_vain.waits_for(), (Reason::CredentialsRejected, 45));
        let waiting = in_vain.reconciled_early();
        assert_eq!(waiting.waits().reason, Reason::CredentialsRejected, "no repeated call before its time");
    }
}

#[test]
fn a_waiting_object_makes_no_call_before_its_time_unless_requested() {
    let e = claimed().deleting().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse));
    assert_eq!(e.clone().reconciled_early().waits(), e.waits());
    let asked = e.clone().reconciled_early().requested_with("now");
    assert_eq!(asked.acts_if_ours(), AwsCall::Delete);
    assert_eq!(e.next_attempt().acts_if_ours(), AwsCall::Delete);
    let lost = claimed().reconciled_early().with(|e| e.object.status = unclaimed().object.status);
    assert_eq!(lost.acts(), AwsCall::Describe, "the wait of a claimed object ends with its claim");
}

#[test]
fn a_requested_attempt_runs_to_its_end() {
    let waiting = || {
        let e = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress")));
        e.reconciled_early().requested_with("t1")
    };
    let claim = |e: Evidence| e.after_describe(described("ACTIVE")).after_tags(tag(None));
    let written_tag = claim(waiting()).after_tag_write(written());
    assert_eq!(written_tag.waits().reason, Reason::Adopting, "not the reason of the wait before");
    let adopted = written_tag.next_attempt().ours().after_claim();
    assert_eq!(adopted.object.status.last_handled_reconcile_at.as_deref(), Some("t1"));
    assert_eq!(adopted.waits().reason, Reason::Available);
    let deleting = claim(waiting().deleting()).after_claim();
    assert_eq!(deleting.acts(), AwsCall::Delete);
}

#[test]
fn a_request_during_an_attempt_is_handled_by_the_next_attempt() {
    let e = claimed().reconciled_early().requested_with("t1").after_describe(described("ACTIVE")).ours();
    let (status, _) = status::status_while(&e.clone().with(|e| e.object.request = Some("t2".into())), &e.waits());
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("t1"));
}

#[test]
fn after_a_restart_only_an_available_object_waits_for_its_resync() {
    let well = claimed();
    assert_eq!(well.waits().reason, Reason::Available);
    let gone = well.clone().with(|e| e.object.status.conditions[0].reason = Reason::Gone.to_string());
    assert_eq!(gone.acts(), AwsCall::Describe);
    let changed = well.clone().with(|e| e.object.generation = Some(2));
    assert_eq!(changed.acts(), AwsCall::Describe);
    assert_eq!(well.requested_with("now").acts(), AwsCall::Describe);
}

#[test]
fn a_failed_describe_is_reported_unless_the_object_was_available() {
    let gone = claimed().with(|e| e.object.status.conditions[0].reason = Reason::Gone.to_string());
    let failed = gone.after_describe(unknown(Operation::DescribeVpcConnector, ErrorClass::ServiceError));
    assert_eq!(failed.waits().reason, Reason::ServiceError);
}

#[test]
fn a_failed_describe_keeps_an_available_object_available() {
    let due = || claimed().next_attempt();
    let failed = due().after_describe(unknown(Operation::DescribeVpcConnector, ErrorClass::ServiceError));
    assert_eq!(failed.waits().reason, Reason::Available);
    let (status, events) = status::status_while(&failed, &failed.waits());
    assert_eq!((status.ready_reason(), events), (Some("Available"), Vec::new()));
    assert_eq!(status.last_error.unwrap().operation, "DescribeVpcConnector");
    let denied = due().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::AccessDenied));
    assert_eq!(denied.waits().reason, Reason::AccessDenied, "this failure is not transient");
}

#[test]
fn retain_during_an_unanswered_delete_still_removes_the_tag() {
    let hung = claimed().deleting().after_delete(unknown(Operation::DeleteVpcConnector, ErrorClass::Unreachable));
    assert_eq!(hung.retained().acts_if_ours(), AwsCall::RemoveTag);
}

#[test]
fn a_confirmed_deletion_of_another_arn_releases_no_object() {
    let gone = claimed().deleting().after_delete(described("INACTIVE"));
    let moved = gone.with(|e| {
        e.object.target = Target::of(OTHER_ARN);
        e.object.status.arn = Some(OTHER_ARN.into());
    });
    assert_eq!(moved.acts_if_ours(), AwsCall::Delete);
}

#[test]
fn deleting_an_unclaimed_object_describes_the_connector_first() {
    let e = unclaimed().deleting();
    assert_eq!(e.acts(), AwsCall::Describe);
    let missing = e.clone().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    assert_eq!(missing.acts(), StatusWrite::AlreadyGone);
    let recorded = missing.after_write(StatusWrite::AlreadyGone);
    assert_eq!(recorded.object.status.arn, None);
    assert_eq!(recorded.acts(), Proof::NotFound);
    let inactive = e.clone().after_describe(described("INACTIVE"));
    assert_eq!(inactive.acts(), StatusWrite::Receipt);
    let recorded = inactive.after_write(StatusWrite::Receipt);
    assert_eq!(recorded.object.status.arn, None, "this object did not own it");
    assert_eq!(recorded.object.status.ready_reason(), Some("AlreadyGone"));
    assert_eq!(recorded.acts(), Proof::Receipt);
    let refused = e.after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::AccessDenied));
    assert_eq!(refused.waits().reason, Reason::AccessDenied);
}

#[test]
fn deleting_an_unclaimed_object_claims_a_free_connector_without_a_tag() {
    let active = || unclaimed().deleting().after_describe(described("ACTIVE"));
    assert_eq!(active().acts(), AwsCall::ReadTags);
    assert_eq!(active().without_tags().acts(), claim());
    for free in [tag(None), tag(Some("c1/shop/egress"))] {
        assert_eq!(active().after_tags(free).acts(), claim());
    }
    let claim = active().after_tags(tag(None)).after_claim();
    assert_eq!(claim.object.status.arn.as_deref(), Some(ARN));
    assert_eq!(claim.acts(), AwsCall::Delete);
}

#[test]
fn deleting_an_unclaimed_object_owned_by_another_releases_it() {
    let read = |value: &str| {
        let e = unclaimed().deleting().after_describe(described("ACTIVE"));
        e.after_tags(tag(Some(value)))
    };
    let foreign = Proof::AnotherOwner { tag: "c2/shop/egress".into() };
    assert_eq!(read("c2/shop/egress").acts(), foreign);
    let other_object = read("c1/shop/other");
    assert_eq!(other_object.acts(), read_other_object());
    let found = |n| other_object.clone().after_other_object(n).acts();
    let theirs = Proof::AnotherOwner { tag: "c1/shop/other".into() };
    assert_eq!(found(OtherObjectState::Claims), theirs);
    assert_eq!(found(OtherObjectState::Unreadable), theirs);
    assert_eq!(found(OtherObjectState::Released), claim());
}

#[test]
fn deleting_a_claimed_object_reads_the_tag_before_the_delete() {
    let e = || claimed().deleting();
    assert_eq!(e().acts(), AwsCall::ReadTags);
    assert_eq!(e().without_tags().acts(), AwsCall::Delete);
    for allowed in [tag(None), tag(Some("c1/shop/egress"))] {
        assert_eq!(e().after_tags(allowed).acts(), AwsCall::Delete);
    }
    let theirs = |tag: &str| Proof::AnotherOwner { tag: tag.into() };
    assert_eq!(e().after_tags(tag(Some("c2/shop/egress"))).acts(), theirs("c2/shop/egress"));
    let other = e().after_tags(tag(Some("c1/shop/other")));
    assert_eq!(other.acts(), read_other_object());
    let found = |n| other.clone().after_other_object(n).acts();
    assert_eq!(found(OtherObjectState::Released), AwsCall::Delete);
    assert_eq!(found(OtherObjectState::Claims), theirs("c1/shop/other"));
    assert_eq!(found(OtherObjectState::Unreadable), theirs("c1/shop/other"));
}

#[test]
fn no_delete_is_sent_while_the_owner_tag_cannot_be_read() {
    for (class, reason) in [
        (ErrorClass::AccessDenied, Reason::AccessDenied),
        (ErrorClass::Throttled, Reason::Throttled),
        (ErrorClass::Unproven, Reason::Unproven),
    ] {
        let e = claimed().deleting().after_tags(refused(Operation::ListTagsForResource, class));
        assert_eq!(e.waits().reason, reason);
        assert_eq!(e.next_attempt().acts(), AwsCall::ReadTags, "the tag is read before the delete");
    }
}

#[test]
fn tags_that_are_not_found_lead_to_a_describe() {
    for class in [ErrorClass::NotFound, ErrorClass::InvalidRequest] {
        let e = claimed().deleting().after_tags(refused(Operation::ListTagsForResource, class));
        assert_eq!(e.acts(), AwsCall::Describe);
        assert_eq!(e.clone().after_describe(described("INACTIVE")).acts(), StatusWrite::Receipt);
        let missing = refused(Operation::DescribeVpcConnector, ErrorClass::NotFound);
        assert_eq!(e.clone().after_describe(missing).acts(), StatusWrite::AlreadyGone);
        let active = e.after_describe(described("ACTIVE"));
        assert_eq!(active.waits().reason, class.reason());
        assert_eq!(active.next_attempt().acts(), AwsCall::ReadTags);
    }
}

#[test]
fn a_repeated_delete_of_a_connector_in_use_trusts_a_tag_read_within_a_minute() {
    let refused = claimed().deleting().ours().after_delete(refused(Operation::DeleteVpcConnector, ErrorClass::InUse));
    assert_eq!(refused.clone().later(59).requested_with("now").acts(), AwsCall::Delete);
    assert_eq!(refused.clone().later(60).requested_with("now").acts(), AwsCall::ReadTags);
    let moved = refused.later(60).requested_with("now").after_tags(tag(Some("c2/shop/egress")));
    assert!(matches!(moved.acts(), Effect::Kube(KubeWrite::RemoveFinalizer(Proof::AnotherOwner { .. }))));
    let failed =
        claimed().deleting().ours().after_delete(unknown(Operation::DeleteVpcConnector, ErrorClass::Unreachable));
    assert_eq!(
        failed.next_attempt().after_describe(described("ACTIVE")).acts(),
        AwsCall::ReadTags,
        "the tag is read again after any other failure"
    );
}

#[test]
fn a_new_object_is_first_reported_as_adopting() {
    let e = unclaimed().with(|e| e.object.status.conditions.clear());
    assert_eq!(e.acts(), StatusWrite::Adopting);
    let said = e.after_write(StatusWrite::Adopting);
    assert_eq!(said.object.status.ready_reason(), Some("Adopting"));
    assert_eq!(said.acts(), AwsCall::Describe);
}

#[test]
fn adopting_describes_reads_the_tag_writes_it_and_claims() {
    let e = unclaimed();
    assert_eq!(e.acts(), AwsCall::Describe);
    let active = e.after_describe(described("ACTIVE"));
    assert_eq!(active.acts(), AwsCall::ReadTags);
    let free = active.clone().after_tags(tag(None));
    assert_eq!(free.acts(), AwsCall::WriteTag);
    let tagged = free.after_tag_write(written());
    assert_eq!(tagged.waits().reason, Reason::Adopting);
    assert_eq!(tagged.waits().until.since(tagged.now.moment), Duration::from_millis(550));
    assert_eq!(status::status_while(&tagged, &tagged.waits()).0, tagged.object.status, "no status write");
    let tagged = tagged.next_attempt();
    assert_eq!(tagged.acts(), AwsCall::ReadTags, "another owner may have written its tag at the same time");
    let tagged = tagged.ours();
    assert_eq!(tagged.acts(), claim());
    let ours = active.clone().after_tags(tag(Some("c1/shop/egress")));
    assert_eq!(ours.acts(), claim(), "a re-created object is the same owner");
    assert_eq!(active.without_tags().acts(), claim());
    let done = tagged.after_claim();
    let status = &done.object.status;
    assert_eq!(status.arn.as_deref(), Some(ARN));
    assert_eq!((status.name.as_deref(), status.revision), (Some("shop"), Some(1)));
    assert_eq!((status.subnets.len(), status.security_groups.len()), (2, 1));
    assert_eq!(status.ready_reason(), Some("Available"));
    assert_eq!(done.waits().reason, Reason::Available);
}

#[test]
fn adopting_waits_if_the_connector_is_missing_or_owned_by_another() {
    let missing = unclaimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    assert_eq!(missing.waits_for(), (Reason::NotFound, 300));
    let inactive = unclaimed().after_describe(described("INACTIVE"));
    assert_eq!(inactive.waits_for(), (Reason::Inactive, 300));
    let read = |v: &str| unclaimed().after_describe(described("ACTIVE")).after_tags(tag(Some(v)));
    let wait = read("c2/shop/egress").waits();
    assert_eq!(wait.reason, Reason::OwnedByAnother);
    assert!(wait.message.contains("c2/shop/egress") && wait.message.contains("aws apprunner untag-resource"));
    assert_eq!(read("c2/shop/egress").waits_for(), (Reason::OwnedByAnother, 600));
    let found = |n| read("c1/shop/other").after_other_object(n);
    assert_eq!(found(OtherObjectState::Claims).waits().reason, Reason::OwnedByAnother);
    assert_eq!(found(OtherObjectState::Unreadable).waits().reason, Reason::OwnedByAnother);
    assert_eq!(
        found(OtherObjectState::Released).acts(),
        AwsCall::WriteTag,
        "a connector that its owner released is claimed"
    );
}

#[test]
fn a_refused_adoption_names_the_missing_iam_action() {
    let active = || unclaimed().after_describe(described("ACTIVE"));
    let refusals = [
        unclaimed().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::AccessDenied)),
        active().after_tags(refused(Operation::ListTagsForResource, ErrorClass::AccessDenied)),
        active().after_tags(tag(None)).after_tag_write(refused(Operation::TagResource, ErrorClass::AccessDenied)),
    ];
    let actions = ["apprunner:DescribeVpcConnector", "apprunner:ListTagsForResource", "apprunner:TagResource"];
    for (e, action) in refusals.iter().zip(actions) {
        let wait = e.waits();
        assert_eq!(wait.reason, Reason::AccessDenied);
        assert!(wait.message.contains(action), "{}", wait.message);
    }
}

#[test]
fn a_claimed_connector_is_described_at_every_resync() {
    let fresh = claimed();
    assert_eq!(fresh.waits_for(), (Reason::Available, 300), "spread over the first resync after a restart");
    let due = fresh.next_attempt();
    assert_eq!(due.acts(), AwsCall::Describe);
    assert_eq!(due.clone().after_describe(described("ACTIVE")).ours().waits_for(), (Reason::Available, 600));
    let gone = due.clone().after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::NotFound));
    assert_eq!(gone.waits_for(), (Reason::Gone, 300));
    let inactive = due.after_describe(described("INACTIVE"));
    assert_eq!(inactive.waits_for(), (Reason::Gone, 300));
    assert_eq!(inactive.attempt.observed, Some(Observed::Inactive(connector("INACTIVE"))));
}

fn tag_written(outcome: Outcome<()>) -> Completed {
    Completed::Aws(AwsOutcome::WriteTag(outcome), ARN.parse().unwrap())
}

#[test]
fn a_claimed_connector_with_another_owners_tag_loses_its_claim() {
    let read = |value: &str| claimed().next_attempt().after_describe(described("ACTIVE")).after_tags(tag(Some(value)));
    let lost = read("c2/shop/egress");
    let wait = lost.waits();
    assert_eq!((wait.reason, lost.waits_for().1), (Reason::OwnedByAnother, 600));
    let (status, events) = status::status_while(&lost, &wait);
    assert_eq!((status.arn.as_deref(), events[0].warning), (None, true));
    let given_up =
        lost.clone().with(|e| (e.object.status, e.state.phase) = (status, Phase::Claimed)).reconciled_early();
    assert_eq!(given_up.waits(), wait, "our own write is no reason for a describe");
    let other = read("c1/shop/other");
    assert_eq!(other.acts(), read_other_object());
    let found = |n| other.clone().after_other_object(n);
    assert_eq!(found(OtherObjectState::Claims).waits().reason, Reason::OwnedByAnother);
    assert_eq!(found(OtherObjectState::Unreadable).waits().reason, Reason::OwnedByAnother);
    let released = found(OtherObjectState::Released);
    assert_eq!(released.acts(), AwsCall::WriteTag);
    let event = event::tag_event(&released, &tag_written(written())).unwrap();
    assert_eq!(event.reason.to_string(), "OwnershipTaken");
    assert_eq!(released.after_tag_write(written()).waits().reason, Reason::Available);
}

#[test]
fn a_missing_tag_is_written_again_at_most_once_an_hour() {
    let untagged = |e: Evidence| e.next_attempt().after_describe(described("ACTIVE")).after_tags(tag(None));
    let first = untagged(claimed());
    assert_eq!(first.acts(), AwsCall::WriteTag);
    let event = event::tag_event(&first, &tag_written(written())).unwrap();
    assert_eq!((event.reason.to_string().as_str(), event.warning), ("OwnerTagRestored", true));
    assert_eq!(event::tag_event(&first, &tag_written(unknown(Operation::TagResource, ErrorClass::Unreachable))), None);
    let restored = first.after_tag_write(written());
    assert_eq!(restored.waits().reason, Reason::Available);
    let mut stripped = untagged(restored);
    for _ in 0..5 {
        let wait = stripped.waits();
        assert_eq!(wait.reason, Reason::Available);
        assert!(wait.message.contains("removes its owner tag"), "{}", wait.message);
        stripped = untagged(stripped);
    }
    assert_eq!(stripped.acts(), AwsCall::WriteTag, "an hour later");
}

#[test]
fn an_unusable_owner_tag_at_a_resync_becomes_a_stall() {
    let described = |e: Evidence| e.next_attempt().after_describe(described("ACTIVE"));
    let unreadable =
        |e: Evidence| described(e).after_tags(refused(Operation::ListTagsForResource, ErrorClass::AccessDenied));
    let unwritable = |e: Evidence| {
        described(e).after_tags(tag(None)).after_tag_write(refused(Operation::TagResource, ErrorClass::AccessDenied))
    };
    for twice in [unreadable(unreadable(claimed())), unwritable(unwritable(claimed()))] {
        assert_eq!(twice.waits().reason, Reason::AccessDenied);
        assert_eq!(
            twice.state.failures.map(|failures| failures.of_class),
            Some(2),
            "a describe that succeeds does not end it"
        );
    }
}

#[test]
fn a_claim_is_recorded_after_its_tag_is_read_back() {
    let written_tag = || {
        let active = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None));
        active.after_tag_write(written()).next_attempt()
    };
    let lost = written_tag().after_tags(tag(Some("c2/shop/egress")));
    assert_eq!(lost.waits().reason, Reason::OwnedByAnother, "the other owner wrote its tag later");
    assert_eq!(written_tag().after_tags(tag(Some("c1/shop/other"))).acts(), read_other_object());
    let gone = refused(Operation::ListTagsForResource, ErrorClass::NotFound);
    assert_eq!(written_tag().after_tags(gone).next_attempt().acts(), AwsCall::Describe);
    let read_back = written_tag().ours();
    let (status, _) = status::status_after(&read_back, &claim());
    assert_eq!(status.subnets.len(), 2, "from the description before");
}

#[test]
fn a_written_tag_that_is_not_shown_yet_is_read_again_with_backoff() {
    let active = unclaimed().with(|e| e.jitter = 1.0).after_describe(described("ACTIVE"));
    let mut e = active.after_tags(tag(None)).after_tag_write(written()).next_attempt();
    let mut seconds = Vec::new();
    while e.acts() == AwsCall::ReadTags {
        e = e.after_tags(tag(None));
        if matches!(e.decision(), Decision::Act(Effect::Aws(AwsCall::WriteTag, _))) {
            break;
        }
        assert_eq!(e.waits().reason, Reason::Adopting);
        seconds.push(e.waits_for().1);
        e = e.next_attempt();
    }
    assert_eq!(seconds[..6], [4, 8, 16, 32, 60, 60]);
    assert_eq!(e.acts(), AwsCall::WriteTag);
    let waited: u64 = seconds.iter().sum();
    assert!((600..660).contains(&waited), "{waited}");
}

#[test]
fn the_old_tag_of_a_released_object_is_not_overwritten_twice() {
    let old = || tag(Some("c1/shop/other"));
    let read = unclaimed().after_describe(described("ACTIVE")).after_tags(old());
    let taken = read.after_other_object(OtherObjectState::Released).after_tag_write(written());
    let still_old = taken.next_attempt().after_tags(old());
    assert_eq!(still_old.waits().reason, Reason::Adopting);
    let shown = still_old.next_attempt().ours();
    let (_, events) = status::status_after(&shown, &claim());
    assert_eq!(events[0].reason.to_string(), "OwnershipTaken");
}

#[test]
fn an_old_description_is_renewed_before_a_claim_is_recorded() {
    let active = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None));
    let written_tag = active.after_tag_write(written());
    assert_eq!(written_tag.clone().next_attempt().ours().acts(), claim());
    let late = written_tag.later(60).requested_with("now").ours();
    assert_eq!(late.acts(), AwsCall::Describe);
    assert_eq!(late.clone().after_describe(described("INACTIVE")).waits().reason, Reason::Inactive);
    assert_eq!(late.after_describe(described("ACTIVE")).acts(), claim());
}

#[test]
fn retain_after_a_confirmed_deletion_writes_the_receipt() {
    let e = claimed().deleting().after_delete(described("INACTIVE")).retained();
    assert_eq!(e.acts(), StatusWrite::Receipt);
    assert_eq!(e.with(|e| e.object.paused = true).acts(), StatusWrite::Receipt);
}

#[test]
fn the_state_of_a_deletion_survives_a_change_of_phase() {
    let unknown = claimed().deleting().deletion(unanswered());
    let gone = claimed().deleting().after_delete(described("INACTIVE"));
    // The watch may show an older version of the object, from before its deletion, and then the current one.
    for e in [unknown, gone] {
        let deletion = e.state.deletion.clone();
        let back = e.with(|e| e.object.deleting = false).with(Evidence::reconcile);
        let again = back.with(|e| e.object.deleting = true).with(Evidence::reconcile);
        assert_eq!(again.state.deletion, deletion);
    }
}

#[test]
fn tags_that_are_not_found_at_a_resync_end_the_attempt() {
    let due = claimed().next_attempt().after_describe(described("ACTIVE"));
    let missing = due.after_tags(refused(Operation::ListTagsForResource, ErrorClass::NotFound));
    assert_eq!(missing.waits().reason, Reason::NotFound, "only a deletion describes the connector a second time");
}

#[test]
fn a_delete_that_is_due_again_is_sent_without_a_describe() {
    let accepted = claimed().deleting().after_delete(described("ACTIVE"));
    let just_before = accepted.clone().with(|e| e.now = e.now.at(e.moment_after(Duration::from_millis(119_999))));
    let due = accepted.later(120);
    for (e, call) in [(just_before, AwsCall::Describe), (due, AwsCall::ReadTags)] {
        let e = e.with(|e| {
            e.attempt = Attempt::default();
            e.state.wait = None;
        });
        assert_eq!(e.acts(), call);
    }
}

#[test]
fn an_owner_tag_ends_failures_of_a_claimed_object_only_at_a_resync() {
    let failed =
        |e: Evidence| e.after_tags(refused(Operation::ListTagsForResource, ErrorClass::Throttled)).next_attempt();
    let resynced = failed(claimed().next_attempt().after_describe(described("ACTIVE")));
    assert_eq!(resynced.after_describe(described("ACTIVE")).ours().state.failures, None);
    let deleting = failed(claimed().deleting()).ours();
    assert_eq!(deleting.state.failures.unwrap().attempts, 1, "the delete is still to come");
    let unclaimed = failed(unclaimed().after_describe(described("ACTIVE"))).after_describe(described("ACTIVE")).ours();
    assert_eq!(unclaimed.state.failures.unwrap().attempts, 1, "the claim is still to be recorded");
}

#[test]
fn a_description_ends_failures_if_no_tag_has_to_be_read() {
    let failed =
        |e: Evidence| e.after_describe(refused(Operation::DescribeVpcConnector, ErrorClass::Throttled)).next_attempt();
    let failures = |e: Evidence| e.state.failures.is_some();
    assert!(failures(failed(claimed()).after_describe(described("ACTIVE"))), "the tag is still to be read");
    assert!(!failures(failed(claimed().without_tags()).after_describe(described("ACTIVE"))));
    assert!(failures(failed(unclaimed().without_tags()).after_describe(described("ACTIVE"))), "nothing is claimed yet");
    assert!(!failures(failed(claimed()).after_describe(described("INACTIVE"))));
}

#[test]
fn a_claim_uses_a_description_that_is_less_than_six_seconds_old() {
    let active = unclaimed().after_describe(described("ACTIVE")).after_tags(tag(None));
    let written_tag = active.after_tag_write(written());
    let after = |millis| {
        let e = written_tag.clone().with(|e| e.now = e.now.at(e.moment_after(Duration::from_millis(millis))));
        e.requested_with("now").ours().acts()
    };
    assert_eq!(after(5_999), claim());
    assert_eq!(after(6_000), AwsCall::Describe);
}
