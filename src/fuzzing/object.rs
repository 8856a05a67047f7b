//! A `VpcConnector` as the API server returns it; any version of any tool may have written it.

use std::time::Duration;

use serde_json::Value;

use super::{ARN, CLUSTER, MAX_MESSAGE_BYTES, MAX_NOTE_BYTES, assert_shown};
use crate::api::{ConnectorStatus, DeletionPolicy, FINALIZER, PAUSED, PROTECTED, VpcConnector, VpcConnectorStatus};
use crate::cluster::received::Received;
use crate::core::arn::ConnectorArn;
use crate::core::decide::{Decision, decide};
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite, Proof};
use crate::core::error_class::ErrorClass;
use crate::core::event::{EventReason, PendingEvent, release_event, tag_event};
use crate::core::evidence::{Caller, Evidence, Finalizer};
use crate::core::outcome::{Connector, Failure, Operation, Outcome};
use crate::core::ownership::OtherObjectState;
use crate::core::state::Wait;
use crate::core::{status, transition};

/// As many passes as a reconcile may take.
const MAX_PASSES: usize = 24;
/// Reconciles of one object.
const RECONCILES: usize = 4;

/// Reads a line of letters, which choose the outcomes of calls to AWS, and an object in JSON; reconciles the object.
///
/// Each reconcile ends. The operator deletes only what the object claims, and releases the object only with a proof. What
/// it writes is read back unchanged, and all texts of its own can be shown.
pub fn object(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(received) = serde_json::from_slice::<Received>(&data[end + 1..]) else { return };
    let object = match received.0 {
        Ok(object) => object,
        Err(unparsable) => {
            let note = format!("the object does not parse and is left as it is: {}", unparsable.error);
            return assert_shown(PendingEvent::warning(EventReason::Malformed, &note).note(), MAX_NOTE_BYTES);
        }
    };
    assert!(
        object.metadata.managed_fields.is_none()
            && object.id().to_string() == object.metadata.uid.as_deref().unwrap_or_default()
    );
    assert_read_back(&object);
    if ![&object.metadata.namespace, &object.metadata.name].into_iter().flatten().all(|name| is_name(name)) {
        return;
    }
    let mut evidence = super::evidence(&object);
    let mut script = data[..end].iter().cycle().copied();
    for _ in 0..RECONCILES {
        let Some(wait) = reconcile(&object, &mut evidence, &mut || script.next().unwrap_or(b'a')) else { return };
        let later = wait.until.since(evidence.now.moment).max(Duration::from_secs(1));
        evidence.now.moment = evidence.now.moment.after(later);
        evidence.state.wait = Some(wait);
        evidence.attempt = evidence.state.start_reconcile(&evidence.object, evidence.now.moment);
    }
}

/// The API server stores no other name of an object or a namespace.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
}

/// Reconciles until the object has to wait. Returns nothing once there is nothing more to do.
fn reconcile(object: &VpcConnector, evidence: &mut Evidence, next: &mut impl FnMut() -> u8) -> Option<Wait> {
    let mut done = Vec::new();
    for _ in 0..MAX_PASSES {
        assert_events(&evidence.object.unusual.clone().take_events(&mut evidence.state.published));
        let wait = match decide(evidence) {
            Decision::Act(effect) => {
                assert_lawful(object, evidence, &effect, &done);
                let completed = carry_out(evidence, effect, next());
                done.push(completed);
                continue;
            }
            Decision::Nothing => return None,
            Decision::Pause => {
                write(evidence, &status::status_while_paused(evidence), &[]);
                return None;
            }
            Decision::Blocked(wait) | Decision::Wait(wait) => wait,
        };
        let (status, events) = status::status_while(evidence, &wait);
        assert!(wait.until > evidence.now.moment, "the wait has ended: {wait:?}");
        write(evidence, &status, &events);
        assert!(!status::needs_write(evidence, &status), "the status is written again and again");
        return Some(wait);
    }
    unreachable!("the reconcile did not end: {done:?}")
}

/// The laws of `core::tests::laws` that can be stated with the object as it was stored.
fn assert_lawful(object: &VpcConnector, evidence: &Evidence, effect: &Effect, done: &[Completed]) {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let held = |name| {
        object
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(name))
            .is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("false"))
    };
    match effect {
        Effect::Aws(call, arn) => {
            assert_eq!(arn.as_str(), object.spec.arn);
            let account = Caller::Account(arn.account().clone());
            assert!(*call == AwsCall::Identify || evidence.caller == account, "{call:?} of another account");
            assert!(!held(PAUSED) || evidence.is_retained(), "{call:?} of a paused object");
            let owner = done.iter().rev().find_map(tag_read);
            if *call == AwsCall::Delete {
                assert!(deleting && !held(PROTECTED) && !evidence.is_retained());
                assert_eq!(evidence.object.status.arn.as_deref(), Some(object.spec.arn.as_str()));
                let checked = evidence.state.owner_checked_at.is_some();
                assert!(checked || owner.is_some_and(|tag| tag.as_ref().is_none_or(|tag| tag.starts_with(CLUSTER))));
            }
        }
        Effect::Kube(KubeWrite::RemoveFinalizer(proof)) => {
            assert!(deleting);
            let inactive =
                |outcome: &Outcome<Connector>| matches!(outcome, Outcome::Done(c) if is_inactive(c.status.as_ref()));
            let missing =
                |outcome: &Outcome<Connector>| outcome.failure().is_some_and(|f| f.class == ErrorClass::NotFound);
            let replied =
                |proves: &dyn Fn(&Outcome<Connector>) -> bool| done.iter().filter_map(connector_in).any(proves);
            let proved = match proof {
                Proof::Receipt => is_inactive(evidence.object.status.status.as_ref()) || replied(&inactive),
                Proof::NotFound => replied(&missing),
                Proof::AnotherOwner { tag } => done.iter().filter_map(tag_read).any(|read| read.as_ref() == Some(tag)),
                Proof::Retained => evidence.is_retained(),
            };
            assert!(proved, "{proof:?} without proof");
        }
        Effect::Kube(KubeWrite::AddFinalizer | KubeWrite::Status(_))
        | Effect::ReadOtherObject { .. }
        | Effect::ReadDefaultPolicy
        | Effect::ScanServices(_) => {}
    }
}

fn is_inactive(status: Option<&ConnectorStatus>) -> bool {
    status.is_some_and(|status| status.as_str().eq_ignore_ascii_case("INACTIVE"))
}

fn tag_read(completed: &Completed) -> Option<&Option<String>> {
    match completed {
        Completed::Aws(AwsOutcome::ReadTags(Outcome::Done(tag)), _) => Some(tag),
        _ => None,
    }
}

fn connector_in(completed: &Completed) -> Option<&Outcome<Connector>> {
    match completed {
        Completed::Aws(AwsOutcome::Describe(outcome) | AwsOutcome::Delete(outcome), _) => Some(outcome),
        _ => None,
    }
}

/// Carries out an effect with the outcome that a letter chooses, and applies it.
fn carry_out(evidence: &mut Evidence, effect: Effect, letter: u8) -> Completed {
    let completed = match effect {
        Effect::Kube(write) => {
            match &write {
                KubeWrite::AddFinalizer => evidence.object.finalizer = Finalizer::Present,
                KubeWrite::RemoveFinalizer(proof) => {
                    evidence.object.finalizer = Finalizer::Removed;
                    assert_events(release_event(evidence, proof).as_slice());
                }
                KubeWrite::Status(change) => {
                    let (status, events) = status::status_after(evidence, change);
                    self::write(evidence, &status, &events);
                }
            }
            Completed::Kube(write)
        }
        Effect::ReadOtherObject { .. } => Completed::OtherObject(match letter {
            b'f' => OtherObjectState::Released,
            b'u' => OtherObjectState::Unreadable,
            _ => OtherObjectState::Claims,
        }),
        Effect::ReadDefaultPolicy => Completed::DefaultPolicy(match letter {
            b'r' => Ok(DeletionPolicy::Retain),
            b'u' => Err("forbidden".to_owned()),
            _ => Ok(DeletionPolicy::Delete),
        }),
        Effect::ScanServices(_) => Completed::ScanServices,
        Effect::Aws(call, arn) => Completed::Aws(reply(evidence, call, &arn, letter), arn),
    };
    assert_events(tag_event(evidence, &completed).as_slice());
    transition::apply(evidence, completed.clone());
    completed
}

fn reply(evidence: &Evidence, call: AwsCall, arn: &ConnectorArn, letter: u8) -> AwsOutcome {
    match call {
        AwsCall::Identify => {
            let other = ARN.parse::<ConnectorArn>().map_or_else(|_| arn.account().clone(), |arn| arn.account().clone());
            let account = if letter == b'w' { other } else { arn.account().clone() };
            AwsOutcome::Identify(outcome(letter, Operation::GetCallerIdentity, account))
        }
        AwsCall::Describe => {
            AwsOutcome::Describe(outcome(letter, Operation::DescribeVpcConnector, connector(arn, letter)))
        }
        AwsCall::Delete => AwsOutcome::Delete(outcome(letter, Operation::DeleteVpcConnector, connector(arn, letter))),
        AwsCall::ReadTags => {
            let tag = match letter {
                b'o' => Some("c2/shop/egress".to_owned()),
                b'f' => Some(format!("{CLUSTER}/shop/other")),
                b'e' => None,
                _ => evidence.owner_tag().map(|tag| tag.to_string()),
            };
            AwsOutcome::ReadTags(outcome(letter, Operation::ListTagsForResource, tag))
        }
        AwsCall::WriteTag => AwsOutcome::WriteTag(outcome(letter, Operation::TagResource, ())),
        AwsCall::RemoveTag => AwsOutcome::RemoveTag(outcome(letter, Operation::UntagResource, ())),
    }
}

fn outcome<T>(letter: u8, operation: Operation, done: T) -> Outcome<T> {
    let failure = |class: ErrorClass| Failure::new(operation, class, &format!("{class:?}Exception"), "in AWS's words");
    match letter {
        b'n' => Outcome::Refused(failure(ErrorClass::NotFound)),
        b'r' => Outcome::Refused(failure(ErrorClass::InUse)),
        b'q' => Outcome::Refused(failure(ErrorClass::InvalidRequest)),
        b'd' => Outcome::Refused(failure(ErrorClass::AccessDenied)),
        b's' => Outcome::NotSent(failure(ErrorClass::Unreachable)),
        b'u' => Outcome::Unknown(failure(ErrorClass::Unreachable)),
        _ => Outcome::Done(done),
    }
}

fn connector(arn: &ConnectorArn, letter: u8) -> Connector {
    let word = match letter {
        b'i' => "INACTIVE",
        b'x' => "SOMETHING_NEW",
        _ => "ACTIVE",
    };
    Connector { arn: Some(arn.to_string()), status: Some(word.into()), ..Connector::default() }
}

/// Writes a status; its new conditions and its Events can be shown.
fn write(evidence: &mut Evidence, status: &VpcConnectorStatus, events: &[PendingEvent]) {
    let before = &evidence.object.status.conditions;
    for condition in status.conditions.iter().filter(|condition| !before.contains(condition)) {
        assert_shown(&condition.message, MAX_MESSAGE_BYTES);
    }
    assert_events(events);
    let json = serde_json::to_value(status).expect("a status is JSON");
    assert_eq!(&serde_json::from_value::<VpcConnectorStatus>(json).expect("a status is read back"), status);
    evidence.object.status = status.clone();
    evidence.state.status_written_at = Some(evidence.now.moment);
}

fn assert_events(events: &[PendingEvent]) {
    for event in events {
        assert_shown(event.note(), MAX_NOTE_BYTES);
    }
}

/// A stored object that was read and is written as JSON is read as the same object.
fn assert_read_back(object: &VpcConnector) {
    let written_and_read = |object: &VpcConnector| {
        let json: Value = serde_json::to_value(object).expect("an object is JSON");
        serde_json::from_value::<VpcConnector>(json).expect("an object is read back")
    };
    // An input may have times with fractions of a second, which the API server stores in no object.
    let stored = written_and_read(object);
    assert_eq!(written_and_read(&stored), stored);
    let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
    assert_eq!(object.finalizer_index().is_some(), finalizers.iter().any(|finalizer| finalizer == FINALIZER));
}
