//! Laws that hold for every object, every memory and every sequence of answers.

use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::evidence::{
    ARN, NOW, OTHER_ARN, claimed, connector, described, failure, not_sent, perform, refused, tag, unclaimed, unknown,
    written,
};
use crate::api::{DeletionPolicy, Reason};
use crate::core::arn::ConnectorArn;
use crate::core::blockers::Blockers;
use crate::core::clock::Moment;
use crate::core::decide::{Decision, Effect, Proof, decide};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Deletion, Evidence, PendingClaim, RefusedDelete, Wait};
use crate::core::outcome::{Connector, Operation, Outcome, Reply, Service};
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{self, Refusal, Refusals, Write};

/// Far more than any way through the table takes.
const MOST_TURNS: usize = 16;

const CLASSES: [ErrorClass; 11] = [
    ErrorClass::NotFound,
    ErrorClass::InUse,
    ErrorClass::InvalidRequest,
    ErrorClass::Throttled,
    ErrorClass::AccessDenied,
    ErrorClass::CredentialsRejected,
    ErrorClass::SubscriptionRequired,
    ErrorClass::ServiceError,
    ErrorClass::Unreachable,
    ErrorClass::Untrusted,
    ErrorClass::Unproven,
];

fn any_answer() -> impl Strategy<Value = Outcome> {
    let class = prop::sample::select(&CLASSES[..]);
    prop_oneof![
        prop::sample::select(vec!["ACTIVE", "active", "INACTIVE", "inactive", "DELETING"]).prop_map(described),
        Just(Outcome::Done(Reply::Connector(Connector::default()))),
        Just(Outcome::Done(Reply::Connector(Connector { arn: Some(OTHER_ARN.into()), ..connector("INACTIVE") }))),
        prop::sample::select(vec![None, Some("c1/shop/egress"), Some("c1/shop/other"), Some("c2/x/y")]).prop_map(tag),
        Just(written()),
        Just(Outcome::Done(Reply::Caller("111122223333".parse().unwrap()))),
        Just(Outcome::Done(Reply::Caller("999999999999".parse().unwrap()))),
        prop::sample::select(vec![OtherObjectState::Released, OtherObjectState::Claims, OtherObjectState::Unreadable])
            .prop_map(|n| Outcome::Done(Reply::OtherObject(n))),
        class.clone().prop_map(|c| refused(Operation::DeleteVpcConnector, c)),
        class.clone().prop_map(|c| unknown(Operation::DeleteVpcConnector, c)),
        class.prop_map(|c| not_sent(Operation::DescribeVpcConnector, c)),
    ]
}

/// Refusals to delete a connector, and what is seen of who uses it.
fn any_use() -> impl Strategy<Value = (Option<RefusedDelete>, Option<Blockers>)> {
    let ago = |seconds: u64| Moment::new(NOW.since(Moment::new(Duration::from_secs(seconds))));
    let class = prop::sample::select(vec![ErrorClass::InUse, ErrorClass::InvalidRequest]);
    let refused = (0..1_000_u64, 0..400_u64, class).prop_map(move |(since, last, class)| RefusedDelete {
        since: ago(since + last),
        last: ago(last),
        failure: failure(Operation::DeleteVpcConnector, class),
    });
    let times = prop::array::uniform3(prop::option::of(0..400_u64));
    let blockers = (0..3_usize, any::<bool>(), times, any::<bool>(), 0..100_u64).prop_map(
        move |(services, complete, [released, unused, changed], unreadable, min_interval)| Blockers {
            services: vec![Service::default(); services],
            complete,
            released_at: released.map(ago),
            unreferenced_at: unused.map(ago),
            changed_at: changed.map(ago),
            unreadable: unreadable.then(|| failure(Operation::ListServices, ErrorClass::AccessDenied)),
            min_interval: Duration::from_secs(min_interval),
        },
    );
    (prop::option::of(refused), prop::option::of(blockers))
}

/// What is remembered of the owner tag: a claim that waits for it, when it was last read, and when it was restored.
fn any_tag_memory() -> impl Strategy<Value = (Option<PendingClaim>, Option<Moment>, Option<Moment>)> {
    let ago = |seconds: u64| Moment::new(NOW.since(Moment::new(Duration::from_secs(seconds))));
    let pending = (0..2_000_u64, 0..5_u32).prop_map(move |(written, unseen)| PendingClaim {
        connector: Some(connector("ACTIVE")),
        released_tag: None,
        written_at: ago(written),
        unseen,
    });
    let at = || prop::option::of((0..8_000_u64).prop_map(ago));
    (prop::option::of(pending), prop::option::of((0..120_u64).prop_map(ago)), at())
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    prop::sample::select(vec![Write::AddFinalizer, Write::RemoveFinalizer, Write::WriteStatus])
        .prop_map(|write| Refusal { write, code: 422, message: "denied".into() })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let refusals = prop::option::of((any_refusal(), 1..10_u32))
        .prop_map(|refusals| refusals.map(|(last, failures)| Refusals { last, failures, since: NOW }));
    let flags = prop::array::uniform9(any::<bool>());
    let status_arn = prop::sample::select(vec![None, Some(ARN), Some(OTHER_ARN)]);
    let word = prop::sample::select(vec![None, Some("ACTIVE"), Some("INACTIVE"), Some("inactive"), Some("odd")]);
    let target = prop::sample::select(vec![ARN, "nonsense"]);
    let caller = prop::sample::select(vec![None, Some("111122223333"), Some("999999999999")]);
    let deletion = prop::sample::select(vec![
        Deletion::NotUnderWay,
        Deletion::Unknown,
        Deletion::Accepted { since: NOW, looks: 3 },
    ]);
    let policy = prop::sample::select(vec![
        DeletionPolicy::Delete,
        DeletionPolicy::Delete,
        DeletionPolicy::Retain,
        DeletionPolicy::Other("Orphan".into()),
    ]);
    (flags, status_arn, word, target, caller, deletion, policy, 0.0..1.0f64, any_use(), (any_tag_memory(), refusals))
        .prop_map(
            |(
                flags,
                status_arn,
                word,
                target,
                caller,
                deletion,
                policy,
                jitter,
                (refused, blockers),
                (tag, refusals),
            )| {
                let [deleting, finalizer, paused, protected, requested, tags, told, waiting, was_claimed] = flags;
                let mut e = if told { claimed() } else { unclaimed().with(|e| e.object.status.conditions.clear()) };
                e.object.status.arn = status_arn.map(str::to_owned);
                e.object.status.status = word.map(str::to_owned);
                e.object.target = target.parse();
                e.object.policy = policy;
                (e.object.deleting, e.object.finalizer) = (deleting, finalizer);
                (e.object.paused, e.object.protected) = (paused, protected);
                e.object.request = requested.then(|| "t1".to_owned());
                e.caller = caller.map_or(Caller::Unknown, |a| Caller::Account(a.parse().unwrap()));
                e.memory.deletion = deletion;
                (e.memory.deleting, e.memory.claimed) = (deleting, was_claimed);
                e.jitter = jitter;
                if waiting {
                    let reason = if refused.is_some() { Reason::InUse } else { Reason::Available };
                    let failure = refused.as_ref().map(|refused| refused.failure.clone());
                    e.memory.wait = Some(Wait { reason, failure, ..claimed().waits() });
                }
                (e.memory.refused_delete, e.blockers, e.memory.refusals) = (refused, blockers, refusals);
                (e.memory.pending_claim, e.memory.owner_checked_at, e.memory.tag_restored_at) = tag;
                e.memory.begin(&e.object, e.now.moment);
                if tags { e } else { e.without_tags() }
            },
        )
}

/// The effects so far, and what came of each.
type Said = [(Effect, Outcome)];

/// Every law that must hold at the moment an effect is named.
fn check(e: &Evidence, effect: &Effect, said: &Said) -> Result<(), TestCaseError> {
    let target = e.object.target.as_ref().ok();
    if names_an_arn(effect) {
        let owner = target.map(|arn| Caller::Account(arn.account().clone()));
        prop_assert_eq!(Some(&e.caller), owner.as_ref());
    }
    if *effect == Effect::Delete {
        prop_assert!(e.object.deleting && e.object.finalizer && !e.object.released);
        prop_assert_eq!(e.object.status.arn.as_deref(), target.map(ConnectorArn::as_str));
        prop_assert!(!e.object.paused && !e.object.protected);
        prop_assert_eq!(&e.object.policy, &DeletionPolicy::Delete);
        prop_assert!(owner_allows(e, said), "a delete that the owner tag does not allow: {said:?}");
    }
    if *effect == Effect::RemoveTag {
        prop_assert!(e.object.deleting && e.object.policy == DeletionPolicy::Retain);
        prop_assert_eq!(owner_read(said), Some(&Some("c1/shop/egress".to_owned())), "a tag taken off that is not ours");
    }
    if *effect == Effect::WriteTag {
        prop_assert!(!e.object.deleting && e.rules.cluster_id.is_some());
    }
    if let Effect::RemoveFinalizer(proof) = effect {
        prop_assert!(e.object.deleting);
        prop_assert!(proved(e, proof, said), "{proof:?} without proof: {said:?}");
    }
    Ok(())
}

fn names_an_arn(effect: &Effect) -> bool {
    use Effect::{Delete, Describe, ReadTags, RemoveTag, WriteTag};
    matches!(effect, Delete | Describe | ReadTags | RemoveTag | WriteTag)
}

/// The owner tag, as it was last read in this attempt.
fn owner_read(said: &Said) -> Option<&Option<String>> {
    said.iter().rev().find_map(|(effect, outcome)| match outcome {
        Outcome::Done(Reply::OwnerTag(tag)) if *effect == Effect::ReadTags => Some(tag),
        _ => None,
    })
}

/// The owner tag was read in this attempt, or less than a minute ago if the connector is in use since, and is ours,
/// absent, or of an object that was looked at and no longer names the connector.
fn owner_allows(e: &Evidence, said: &Said) -> bool {
    let recently = |at: Moment| e.now.moment.since(at) < Duration::from_mins(1);
    let retries = e.memory.refused_delete.is_some() && e.memory.owner_checked_at.is_some_and(recently);
    let released =
        || said.iter().any(|(_, outcome)| *outcome == Outcome::Done(Reply::OtherObject(OtherObjectState::Released)));
    let read_in_this_attempt = match owner_read(said).map(Option::as_deref) {
        Some(None | Some("c1/shop/egress")) => true,
        Some(Some("c1/shop/other")) => released(),
        None | Some(Some(_)) => false,
    };
    e.rules.cluster_id.is_none() || retries || read_in_this_attempt
}

fn proved(e: &Evidence, proof: &Proof, said: &Said) -> bool {
    let any = |wanted: &dyn Fn(&Outcome) -> bool| said.iter().any(|(_, outcome)| wanted(outcome));
    match proof {
        Proof::Receipt => {
            let said_so = |outcome: &Outcome| ["INACTIVE", "inactive"].map(described).contains(outcome);
            e.object.has_receipt() || any(&said_so)
        }
        Proof::NotFound => any(&|outcome| matches!(outcome, Outcome::Refused(f) if f.class == ErrorClass::NotFound)),
        Proof::AnotherOwner { tag } => owner_read(said) == Some(&Some(tag.clone())),
        Proof::Retained => e.object.policy == DeletionPolicy::Retain,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_aws_says_no_law_is_broken_and_it_comes_to_an_end(
        mut e in any_evidence(),
        answers in prop::collection::vec(any_answer(), MOST_TURNS),
        refused_write in prop::option::of(0..MOST_TURNS),
    ) {
        let mut said = Vec::new();
        let mut answers = answers.into_iter();
        let mut ended = false;
        for turn in 0..MOST_TURNS {
            let Decision::Act(effect) = decide(&e) else { ended = true; break };
            prop_assert!(!e.memory.seen.write_refused, "{effect:?} after a write was refused");
            check(&e, &effect, &said)?;
            if let Some(write) = Write::of(&effect).filter(|_| refused_write.is_some_and(|from| turn >= from)) {
                refusal::refused(&mut e, Refusal { write, code: 403, message: "denied".into() });
                continue;
            }
            let answer = if names_an_arn(&effect) || matches!(effect, Effect::Identify | Effect::ReadOtherObject { .. }) {
                answers.next().unwrap()
            } else {
                written()
            };
            perform(&mut e, &effect, answer.clone());
            said.push((effect, answer));
        }
        prop_assert!(ended, "still acting after {MOST_TURNS} turns: {said:?}");
    }

    #[test]
    fn deciding_twice_changes_nothing(mut e in any_evidence(), answers in prop::collection::vec(any_answer(), MOST_TURNS)) {
        for answer in answers {
            let first = decide(&e);
            prop_assert_eq!(&first, &decide(&e));
            match first {
                Decision::Act(effect) => perform(&mut e, &effect, answer),
                Decision::Wait(wait) => {
                    e.memory.wait = Some(wait.clone());
                    e.memory.begin(&e.object, e.now.moment);
                    prop_assert!(wait.until > e.now.moment, "a wait lies ahead");
                    if !e.object.requested() {
                        prop_assert_eq!(decide(&e), Decision::Wait(wait), "and holds until its time");
                    }
                    break;
                }
                _ => break,
            }
        }
    }

    #[test]
    fn setting_the_wall_clock_changes_no_decision(e in any_evidence(), seconds in -100_000_000..100_000_000_i64) {
        let decided = decide(&e);
        let set = e.with(|e| e.now.wall = e.now.wall.saturating_add(SignedDuration::from_secs(seconds)).unwrap());
        prop_assert_eq!(decide(&set), decided);
    }
}
