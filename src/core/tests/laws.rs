//! Laws that hold for every object, every state and every sequence of replies.

use super::evidence::{
    ARN, NOW, OTHER_ARN, accounts, claimed, connector, described, failure, not_sent, perform, refused, unclaimed,
    unknown,
};
use crate::core::accounts::Accounts;
use crate::core::blocker::Blocker;
use crate::core::blockers::{Blockers, Services};
use crate::core::decide::{Decision, decide};
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite, Proof};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Caller, Evidence, Finalizer, Phase, Rules, Target};
use crate::core::outcome::{Connector, Operation, Outcome};
use crate::core::ownership::OtherObjectState;
use crate::core::refusal::{self, Refusal, Refusals, WriteKind};
use crate::core::state::{Deletion, PendingClaim, RefusedDelete, Wait};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::api::{DeletionPolicy, Reason};
use crate::core::arn::{AccountId, ConnectorArn};
use crate::core::clock::Moment;

/// More passes than any reconcile needs.
const MAX_PASSES: usize = 16;

/// One reply to every call, of which a call takes its own.
#[derive(Clone, Debug)]
struct Replies {
    account: Outcome<AccountId>,
    connector: Outcome<Connector>,
    tag: Outcome<Option<String>>,
    written: Outcome<()>,
    other_object: OtherObjectState,
    default_policy: Result<DeletionPolicy, String>,
}

impl Replies {
    fn to(&self, effect: &Effect) -> Completed {
        match effect {
            Effect::Kube(write) => Completed::Kube(write.clone()),
            Effect::ReadOtherObject { .. } => Completed::OtherObject(self.other_object),
            Effect::ReadDefaultPolicy => Completed::DefaultPolicy(self.default_policy.clone()),
            Effect::ScanServices(_) => Completed::ScanServices,
            Effect::Aws(call, arn) => {
                let outcome = match call {
                    AwsCall::Identify => AwsOutcome::Identify(self.account.clone()),
                    AwsCall::Describe => AwsOutcome::Describe(self.connector.clone()),
                    AwsCall::ReadTags => AwsOutcome::ReadTags(self.tag.clone()),
                    AwsCall::WriteTag => AwsOutcome::WriteTag(self.written.clone()),
                    AwsCall::RemoveTag => AwsOutcome::RemoveTag(self.written.clone()),
                    AwsCall::Delete => AwsOutcome::Delete(self.connector.clone()),
                };
                Completed::Aws(outcome, arn.clone())
            }
        }
    }
}

/// One of these replies, or a failure.
fn any_outcome<T: Clone + std::fmt::Debug + 'static>(replies: Vec<T>) -> impl Strategy<Value = Outcome<T>> {
    let class = || prop::sample::select(&ErrorClass::ALL[..]);
    prop_oneof![
        4 => prop::sample::select(replies).prop_map(Outcome::Done),
        1 => class().prop_map(|c| refused(Operation::DeleteVpcConnector, c)),
        1 => class().prop_map(|c| unknown(Operation::DeleteVpcConnector, c)),
        1 => class().prop_map(|c| not_sent(Operation::DescribeVpcConnector, c)),
        1 => class().prop_map(|c| refused(Operation::ListTagsForResource, c)),
    ]
}

fn any_replies() -> impl Strategy<Value = Replies> {
    let mut connectors = ["ACTIVE", "active", "INACTIVE", "inactive", "DELETING"].map(connector).to_vec();
    connectors.push(Connector::default());
    connectors.push(Connector { arn: Some(OTHER_ARN.into()), ..connector("INACTIVE") });
    let tags = [None, Some("c1/shop/egress"), Some("c1/shop/other"), Some("c2/x/y")];
    let accounts = ["111122223333", "999999999999"].map(|account| account.parse().unwrap());
    let states = vec![OtherObjectState::Released, OtherObjectState::Claims, OtherObjectState::Unreadable];
    let replies = (
        any_outcome(accounts.to_vec()),
        any_outcome(connectors),
        any_outcome(tags.map(|tag| tag.map(str::to_owned)).to_vec()),
        any_outcome(vec![()]),
        prop::sample::select(states),
        prop::sample::select(vec![Ok(DeletionPolicy::Delete), Ok(DeletionPolicy::Retain), Err("forbidden".to_owned())]),
    );
    replies.prop_map(|(account, connector, tag, written, other_object, default_policy)| Replies {
        account,
        connector,
        tag,
        written,
        other_object,
        default_policy,
    })
}

fn ago(seconds: u64) -> Moment {
    Moment::new(NOW.since(Moment::new(Duration::from_secs(seconds))))
}

fn any_deletion() -> impl Strategy<Value = Deletion> {
    let class = prop::sample::select(vec![ErrorClass::InUse, ErrorClass::InvalidRequest]);
    let refused = (0..1_000_u64, 0..400_u64, class).prop_map(|(since, last, class)| {
        let failure = failure(Operation::DeleteVpcConnector, class);
        Deletion::Refused(Box::new(RefusedDelete { since: ago(since + last), last: ago(last), failure }))
    });
    let refused_since = prop::option::of((0..1_000_u64).prop_map(ago));
    prop_oneof![
        1 => Just(Deletion::NotSent),
        1 => refused_since.prop_map(|refused_since| Deletion::Unanswered { refused_since }),
        1 => Just(Deletion::Accepted { since: NOW, describes: 3 }),
        2 => refused,
    ]
}

fn any_blockers() -> impl Strategy<Value = Blockers> {
    let times = prop::array::uniform3(prop::option::of(0..400_u64));
    let stuck = Blocker { status: "DELETE_FAILED".into(), since: Some(Timestamp::UNIX_EPOCH), ..Blocker::default() };
    let services = prop::sample::select(vec![
        Services::Unknown,
        Services::None,
        Services::Unreadable(failure(Operation::ListServices, ErrorClass::AccessDenied)),
        Services::Blocking(vec![Blocker::default()]),
        Services::Blocking(vec![stuck, Blocker::default()]),
    ]);
    (services, times, 0..100_u64).prop_map(|(services, [released, unreferenced, changed], interval)| Blockers {
        services,
        released_at: released.map(ago),
        unreferenced_at: unreferenced.map(ago),
        changed_at: changed.map(ago),
        min_interval: Duration::from_secs(interval),
    })
}

/// The state of the owner tag: a pending claim, its last read, and its last restoration.
fn any_tag_state() -> impl Strategy<Value = (Option<Box<PendingClaim>>, Option<Moment>, Option<Moment>)> {
    let pending = (0..2_000_u64, 0..5_u32).prop_map(move |(written, unseen)| PendingClaim {
        connector: Some(connector("ACTIVE")),
        replaced_tag: None,
        written_at: ago(written),
        unseen,
    });
    let checked = prop::option::of((0..120_u64).prop_map(ago));
    (prop::option::of(pending.prop_map(Box::new)), checked, prop::option::of((0..8_000_u64).prop_map(ago)))
}

/// The connector's account, not listed, or listed for this namespace, for another one, or for another region.
fn any_accounts() -> impl Strategy<Value = Arc<Accounts>> {
    let listed = |namespace: &str, region: &str| accounts(&[("111122223333", &[namespace], Some(&[region]))]);
    prop::sample::select(vec![
        Arc::default(),
        listed("shop", "us-east-1"),
        listed("jobs", "us-east-1"),
        listed("shop", "eu-west-1"),
        accounts(&[("444455556666", &["shop"], None)]),
    ])
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    prop::sample::select(vec![WriteKind::AddFinalizer, WriteKind::RemoveFinalizer, WriteKind::WriteStatus])
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
    let caller = (caller, any_accounts());
    let policy = prop::sample::select(vec![
        None,
        Some(DeletionPolicy::Delete),
        Some(DeletionPolicy::Delete),
        Some(DeletionPolicy::Retain),
        Some(DeletionPolicy::Other("Orphan".into())),
    ]);
    let scan = (any_deletion(), prop::option::of(any_blockers()));
    (flags, status_arn, word, target, caller, policy, 0.0..1.0f64, scan, any_tag_state(), refusals).prop_map(
        |(flags, status_arn, word, target, (caller, accounts), policy, jitter, (deletion, blockers), tag, refusals)| {
            let [deleting, finalizer, paused, protected, requested, tags, reported, waiting, was_claimed] = flags;
            let mut e = if reported { claimed() } else { unclaimed().with(|e| e.object.status.conditions.clear()) };
            e.object.status.arn = status_arn.map(Into::into);
            e.object.status.status = word.map(Into::into);
            e.object.target = Target::of(target);
            e.object.policy = policy;
            e.object.deleting = deleting;
            e.object.finalizer = if finalizer { Finalizer::Present } else { Finalizer::Absent };
            (e.object.paused, e.object.protected) = (paused, protected);
            e.object.request = requested.then(|| "t1".to_owned());
            e.rules = Arc::new(Rules { accounts, ..(*e.rules).clone() });
            e.caller = caller.map_or(Caller::Unknown, |a| Caller::Account(a.parse().unwrap()));
            e.state.phase = match (deleting, was_claimed) {
                (false, false) => Phase::Unclaimed,
                (false, true) => Phase::Claimed,
                (true, false) => Phase::DeletingUnclaimed,
                (true, true) => Phase::DeletingClaimed,
            };
            e.jitter = jitter;
            if waiting {
                let refused = deletion.refused();
                let reason = if refused.is_some() { Reason::InUse } else { Reason::Available };
                let failure = refused.map(|refused| Box::new(refused.failure.clone()));
                e.state.wait = Some(Wait { reason, failure, ..claimed().waits() });
            }
            (e.state.deletion, e.blockers, e.state.refusals) = (deletion, blockers, refusals);
            (e.state.pending_claim, e.state.owner_checked_at, e.state.tag_restored_at) = tag;
            e.reconcile();
            if tags { e } else { e.without_tags() }
        },
    )
}

/// The effects so far, with their outcomes.
type Done = [Completed];

/// Every law that must hold when an effect is decided.
fn check(e: &Evidence, effect: &Effect, done: &Done) -> Result<(), TestCaseError> {
    match effect {
        Effect::Aws(call, arn) => check_call(e, *call, arn, done),
        Effect::Kube(KubeWrite::RemoveFinalizer(proof)) => {
            prop_assert!(e.object.deleting);
            prop_assert!(proved(e, proof, done), "{proof:?} without proof: {done:?}");
            Ok(())
        }
        Effect::Kube(KubeWrite::AddFinalizer | KubeWrite::Status(_))
        | Effect::ReadOtherObject { .. }
        | Effect::ReadDefaultPolicy
        | Effect::ScanServices(_) => Ok(()),
    }
}

fn check_call(e: &Evidence, call: AwsCall, arn: &ConnectorArn, done: &Done) -> Result<(), TestCaseError> {
    prop_assert_eq!(Some(arn), e.object.target.arn());
    prop_assert!(e.denial(arn).is_none(), "a call that --accounts denies");
    if names_an_arn(call) {
        prop_assert_eq!(&e.caller, &Caller::Account(arn.account().clone()));
    }
    match call {
        AwsCall::Delete => {
            prop_assert!(e.object.deleting && e.object.finalizer == Finalizer::Present);
            prop_assert_eq!(e.object.status.arn.as_deref(), Some(arn.as_str()));
            prop_assert!(!e.object.paused && !e.object.protected);
            prop_assert_eq!(e.policy(), Some(&DeletionPolicy::Delete));
            prop_assert!(owner_allows(e, done), "a delete that the owner tag does not allow: {done:?}");
        }
        AwsCall::RemoveTag => {
            prop_assert!(e.is_retained());
            prop_assert_eq!(owner_read(done), Some(&Some("c1/shop/egress".to_owned())), "not our tag");
        }
        AwsCall::WriteTag => prop_assert!(!e.object.deleting && e.rules.cluster_id.is_some()),
        AwsCall::Identify | AwsCall::Describe | AwsCall::ReadTags => {}
    }
    Ok(())
}

/// A call that names an ARN is decided only with the credentials of the connector's account.
fn names_an_arn(call: AwsCall) -> bool {
    match call {
        AwsCall::Identify => false,
        AwsCall::Describe | AwsCall::ReadTags | AwsCall::WriteTag | AwsCall::RemoveTag | AwsCall::Delete => true,
    }
}

/// The owner tag, as it was last read in this attempt.
fn owner_read(done: &Done) -> Option<&Option<String>> {
    done.iter().rev().find_map(|completed| match completed {
        Completed::Aws(AwsOutcome::ReadTags(Outcome::Done(tag)), _) => Some(tag),
        _ => None,
    })
}

/// The owner tag was read in this attempt, or less than a minute ago if the connector is in use since, and is ours,
/// absent, or of an object that was read and no longer names the connector.
fn owner_allows(e: &Evidence, done: &Done) -> bool {
    let recently = |at: Moment| e.now.moment.since(at) < Duration::from_mins(1);
    let retries = e.state.deletion.refused().is_some() && e.state.owner_checked_at.is_some_and(recently);
    let released = || done.contains(&Completed::OtherObject(OtherObjectState::Released));
    let read_in_this_attempt = match owner_read(done).map(Option::as_deref) {
        Some(None | Some("c1/shop/egress")) => true,
        Some(Some("c1/shop/other")) => released(),
        None | Some(Some(_)) => false,
    };
    e.rules.cluster_id.is_none() || retries || read_in_this_attempt
}

fn proved(e: &Evidence, proof: &Proof, done: &Done) -> bool {
    let mut replies = done.iter().filter_map(|completed| match completed {
        Completed::Aws(AwsOutcome::Describe(outcome) | AwsOutcome::Delete(outcome), _) => Some(outcome),
        _ => None,
    });
    match proof {
        Proof::Receipt => {
            let inactive = |outcome: &Outcome<Connector>| ["INACTIVE", "inactive"].map(described).contains(outcome);
            e.object.has_receipt() || replies.any(inactive)
        }
        Proof::NotFound => {
            replies.any(|outcome| matches!(outcome, Outcome::Refused(f) if f.class == ErrorClass::NotFound))
        }
        Proof::AnotherOwner { tag } => owner_read(done) == Some(&Some(tag.clone())),
        Proof::Retained => e.policy() == Some(&DeletionPolicy::Retain),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_reconcile_keeps_the_laws_and_ends_for_all_replies(
        mut e in any_evidence(),
        replies in prop::collection::vec(any_replies(), MAX_PASSES),
        refused_write in prop::option::of(0..MAX_PASSES),
    ) {
        let mut done = Vec::new();
        let mut ended = false;
        for (pass, replies) in replies.into_iter().enumerate() {
            let Decision::Act(effect) = decide(&e) else { ended = true; break };
            prop_assert!(!e.attempt.write_refused(), "{effect:?} after a write was refused");
            check(&e, &effect, &done)?;
            if let Effect::Kube(write) = &effect
                && refused_write.is_some_and(|from| pass >= from)
            {
                refusal::refused(&mut e, Refusal { write: write.kind(), code: 403, message: "denied".into() });
                continue;
            }
            let completed = replies.to(&effect);
            perform(&mut e, completed.clone());
            done.push(completed);
        }
        prop_assert!(ended, "still acting after {MAX_PASSES} passes: {done:?}");
    }

    #[test]
    fn a_repeated_decision_is_the_same(
        mut e in any_evidence(),
        replies in prop::collection::vec(any_replies(), MAX_PASSES),
    ) {
        for replies in replies {
            let first = decide(&e);
            prop_assert_eq!(&first, &decide(&e));
            match first {
                Decision::Act(effect) => perform(&mut e, replies.to(&effect)),
                Decision::Wait(wait) => {
                    e.state.wait = Some(wait.clone());
                    // The status of the wait records the default.
                    e.object.policy = e.policy().cloned();
                    e.reconcile();
                    prop_assert!(wait.until > e.now.moment, "a wait ends in the future");
                    if !e.object.requested() {
                        prop_assert_eq!(decide(&e), Decision::Wait(wait), "the wait does not change before its end");
                    }
                    break;
                }
                Decision::Nothing | Decision::Pause | Decision::Blocked(_) => break,
            }
        }
    }

    #[test]
    fn a_change_of_the_wall_clock_changes_no_decision(e in any_evidence(), seconds in -100_000_000..100_000_000_i64) {
        let decided = decide(&e);
        let set = e.with(|e| e.now.wall = e.now.wall.saturating_add(SignedDuration::from_secs(seconds)).unwrap());
        prop_assert_eq!(decide(&set), decided);
    }
}
