//! The health of an object in Argo CD and in tools that follow kstatus, for every reason.

use super::evidence::{ARN, claim, claimed, described, refused, tag, unclaimed, unknown, written};
use crate::core::blocker::Blocker;
use crate::core::blockers::{Blockers, Services};
use crate::core::effect::{Effect, KubeWrite, StatusWrite};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::{Evidence, Finalizer, Target};
use crate::core::outcome::Operation;
use crate::core::refusal::WriteKind;
use crate::core::stall;
use serde_json::{Value, json};

use crate::api::{Reason, VpcConnectorStatus, condition};
use crate::core::status;

#[path = "../../../tests/operator/support/gitops_health.rs"]
mod verdicts;
use verdicts::{Health, Kstatus, argo, checked, kstatus};

const DELETE: Operation = Operation::DeleteVpcConnector;
const DESCRIBE: Operation = Operation::DescribeVpcConnector;

/// A status and its expected health. All tools show an object that is being deleted as such; then `health` is the result
/// of our health check.
struct Case {
    e: Evidence,
    status: VpcConnectorStatus,
    health: Health,
    kstatus: Kstatus,
}

fn case(e: Evidence, status: VpcConnectorStatus, health: Health) -> Case {
    let kstatus = match health {
        _ if e.object.deleting => Kstatus::Terminating,
        Health::Healthy => Kstatus::Current,
        Health::Degraded => Kstatus::Failed,
        Health::Suspended | Health::Progressing => Kstatus::InProgress,
    };
    Case { e, status, health, kstatus }
}

/// Case for an object that waits.
fn waiting(e: Evidence, health: Health) -> Case {
    let status = status::status_while(&e, &e.waits()).0;
    case(e, status, health)
}

/// Case for an object after a status write.
fn stored(e: Evidence, write: StatusWrite, health: Health) -> Case {
    let status = status::status_after(&e, &write).0;
    case(e, status, health)
}

fn deleting() -> Evidence {
    claimed().deleting()
}

/// Cases for a transient failure of a describe or a delete.
fn passing(class: ErrorClass) -> Vec<Case> {
    vec![
        waiting(unclaimed().after_describe(refused(DESCRIBE, class)), Health::Progressing),
        waiting(deleting().after_delete(unknown(DELETE, class)), Health::Progressing),
        waiting(claimed().next_attempt().after_describe(refused(DESCRIBE, class)), Health::Healthy),
    ]
}

/// Cases for a failure that needs a user: it stalls from the second failure on, after `stall_after`.
fn lasting(class: ErrorClass) -> Vec<Case> {
    let twice = |e: Evidence, fail: fn(Evidence, ErrorClass) -> Evidence| {
        let e = fail(fail(e, class).next_attempt(), class);
        e.with(|e| e.now = e.now.at(e.moment_after(e.rules.intervals.stall_after)))
    };
    let describe = |e: Evidence, class| e.after_describe(refused(DESCRIBE, class));
    let delete = |e: Evidence, class| e.after_delete_only(refused(DELETE, class));
    vec![
        waiting(unclaimed().after_describe(refused(DESCRIBE, class)), Health::Progressing),
        waiting(deleting().after_delete(refused(DELETE, class)), Health::Progressing),
        waiting(twice(unclaimed(), describe), Health::Degraded),
        waiting(twice(deleting(), delete), Health::Degraded),
        waiting(claimed().next_attempt().after_describe(refused(DESCRIBE, class)), Health::Progressing),
        waiting(twice(claimed().next_attempt(), describe), Health::Degraded),
    ]
}

/// Cases for a connector in use: without a known service, and with one that is stuck.
fn in_use() -> Vec<Case> {
    let in_use = deleting().after_delete(refused(DELETE, ErrorClass::InUse));
    let since = in_use.now.wall.checked_sub(in_use.rules.intervals.stuck_after).ok();
    let stuck = Blocker { status: "OPERATION_IN_PROGRESS".into(), since, ..Blocker::default() };
    let blockers = Blockers { services: Services::Blocking(vec![stuck]), ..Blockers::default() };
    vec![waiting(in_use.clone(), Health::Progressing), waiting(in_use.with_blockers(blockers), Health::Degraded)]
}

/// All states with a reason. A new reason does not compile without an arm here.
fn cases(reason: Reason) -> Vec<Case> {
    use Health::{Degraded, Healthy, Progressing};
    match reason {
        Reason::Available => vec![
            waiting(claimed(), Healthy),
            waiting(claimed().next_attempt().after_describe(described("ACTIVE")).ours(), Healthy),
            stored(unclaimed().without_tags().after_describe(described("ACTIVE")), claim(), Healthy),
        ],
        Reason::Adopting => vec![
            stored(unclaimed().with(|e| e.object.status.conditions.clear()), StatusWrite::Adopting, Progressing),
            stored(
                claimed().with(|e| e.object.status.arn = Some("another".into())),
                StatusWrite::Correction,
                Progressing,
            ),
        ],
        Reason::Deleting => vec![
            waiting(deleting().after_delete(described("ACTIVE")), Progressing),
            waiting(
                deleting()
                    .after_delete(refused(DELETE, ErrorClass::InvalidRequest))
                    .after_describe(described("ACTIVE"))
                    .after_scan_start(),
                Progressing,
            ),
            stored(unclaimed().deleting().after_describe(described("ACTIVE")), claim(), Progressing),
        ],
        Reason::Deleted => {
            vec![stored(deleting().after_delete(described("INACTIVE")), StatusWrite::Receipt, Progressing)]
        }
        Reason::AlreadyGone => vec![stored(
            deleting().after_delete(refused(DELETE, ErrorClass::NotFound)),
            StatusWrite::AlreadyGone,
            Progressing,
        )],
        Reason::InUse => in_use(),
        Reason::Protected => vec![waiting(deleting().with(|e| e.object.protected = true), Progressing)],
        // Such an object still exists only if it has another finalizer, and the removal of ours was refused at first.
        Reason::Retained => {
            let e = deleting().retained().after_refusal(WriteKind::RemoveFinalizer);
            vec![stored(e, StatusWrite::Released, Progressing)]
        }
        Reason::NotFound => {
            vec![waiting(unclaimed().after_describe(refused(DESCRIBE, ErrorClass::NotFound)), Degraded)]
        }
        Reason::Inactive => vec![waiting(unclaimed().after_describe(described("INACTIVE")), Degraded)],
        Reason::Gone => vec![
            waiting(claimed().after_describe(described("INACTIVE")), Degraded),
            waiting(claimed().after_describe(refused(DESCRIBE, ErrorClass::NotFound)), Degraded),
        ],
        Reason::OwnedByAnother => [unclaimed(), claimed()]
            .map(|e| e.after_describe(described("ACTIVE")).after_tags(tag(Some("c2/shop/egress"))))
            .map(|e| waiting(e, Degraded))
            .into(),
        Reason::WrongAccount => {
            let other = "999999999999";
            vec![
                waiting(unclaimed().of_account(other), Degraded),
                waiting(claimed().of_account(other), Degraded),
                waiting(deleting().of_account(other), Degraded),
            ]
        }
        Reason::AccessDenied => lasting(ErrorClass::AccessDenied),
        Reason::CredentialsRejected => lasting(ErrorClass::CredentialsRejected),
        Reason::UntrustedCertificate => lasting(ErrorClass::Untrusted),
        Reason::SubscriptionRequired => vec![
            waiting(unclaimed().after_describe(refused(DESCRIBE, ErrorClass::SubscriptionRequired)), Degraded),
            waiting(deleting().after_delete(refused(DELETE, ErrorClass::SubscriptionRequired)), Degraded),
        ],
        Reason::InvalidRequest => vec![
            waiting(unclaimed().with(|e| e.object.target = Target::of("no ARN")), Degraded),
            waiting(
                deleting().with(|e| e.object.target = Target::of("no ARN")).with(|e| e.object.status.arn = None),
                Degraded,
            ),
            waiting(
                deleting()
                    .after_delete(refused(DELETE, ErrorClass::InvalidRequest))
                    .after_describe(described("ACTIVE"))
                    .with(|e| e.blockers = Some(Blockers { services: Services::None, ..Blockers::default() })),
                Degraded,
            ),
        ],
        Reason::Throttled => passing(ErrorClass::Throttled),
        Reason::ServiceError => passing(ErrorClass::ServiceError),
        Reason::Unreachable => passing(ErrorClass::Unreachable),
        Reason::Unproven => passing(ErrorClass::Unproven),
        Reason::WriteRefused => {
            let new = || unclaimed().with(|e| e.object.finalizer = Finalizer::Absent);
            let receipt = || deleting().after_delete(described("INACTIVE")).after_write(StatusWrite::Receipt);
            let lasting = |e: Evidence, write| {
                let e = e.after_refusal(write).after_refusal(write);
                e.with(|e| e.now = e.now.at(e.moment_after(e.rules.intervals.stall_after)))
            };
            vec![
                waiting(new().after_refusal(WriteKind::AddFinalizer), Progressing),
                waiting(lasting(new(), WriteKind::AddFinalizer), Degraded),
                waiting(receipt().after_refusal(WriteKind::RemoveFinalizer), Progressing),
                waiting(lasting(receipt(), WriteKind::RemoveFinalizer), Degraded),
            ]
        }
    }
}

/// All reasons. The test of the runbook fails if one is missing, because the runbook has an entry for each.
fn reasons() -> Vec<Reason> {
    super::runbook::reasons()
}

/// The object as the API server returns it.
fn object(e: &Evidence, status: Option<&VpcConnectorStatus>) -> Value {
    let deleted = e.object.deleting.then_some("2026-11-24T08:00:00Z");
    let mut object = json!({
        "apiVersion": "apprunner-operator.dev/v1alpha1",
        "kind": "VpcConnector",
        "metadata": {"name": "egress", "namespace": "shop", "generation": e.object.generation},
        "spec": {"arn": ARN, "deletionPolicy": "Delete"},
    });
    if let Some(at) = deleted {
        object["metadata"]["deletionTimestamp"] = json!(at);
    }
    if let Some(status) = status {
        object["status"] = json!(status);
    }
    object
}

#[test]
fn every_reason_has_the_expected_health() {
    for reason in reasons() {
        for Case { e, status, health, kstatus: expected } in cases(reason) {
            let ready = status.condition(condition::READY).unwrap();
            let expected_reason = if health == Health::Healthy { Reason::Available } else { reason };
            assert_eq!(ready.reason, expected_reason.to_string());
            let object = object(&e, Some(&status));
            let (said, words) = checked(&object);
            assert_eq!(said, health, "{object:#}");
            assert_eq!(words, format!("{expected_reason}: {}", ready.message));
            assert_eq!(kstatus(Some(&object)), expected, "{object:#}");
            let shown = if e.object.deleting { Health::Progressing } else { health };
            assert_eq!(argo(&object).0, shown);
            assert_eq!(status.condition(condition::STALLED).is_some(), health == Health::Degraded, "{object:#}");
        }
    }
}

#[test]
fn only_reasons_that_stall_become_degraded() {
    for reason in reasons() {
        let degraded = cases(reason).iter().any(|case| case.health == Health::Degraded);
        assert_eq!(degraded, stall::stalls(reason), "{reason}");
    }
}

#[test]
fn an_object_that_was_never_reconciled_is_in_progress() {
    let e = unclaimed();
    let fresh = VpcConnectorStatus { observed_generation: Some(-1), ..VpcConnectorStatus::default() };
    let fresh = object(&e, Some(&fresh));
    assert_eq!((checked(&fresh).0, kstatus(Some(&fresh))), (Health::Progressing, Kstatus::InProgress));
    // Without the default of the CRD kstatus reports such an object as current; our health check does not.
    let mut silent = status::status_while(&claimed(), &claimed().waits()).0;
    silent.conditions[0].type_ = "Unknown".into();
    for status in [None, Some(&VpcConnectorStatus::default()), Some(&silent)] {
        let bare = object(&e, status);
        assert_eq!((checked(&bare).0, kstatus(Some(&bare))), (Health::Progressing, Kstatus::Current));
    }
}

#[test]
fn an_object_changed_since_the_last_reconcile_is_in_progress() {
    for e in [claimed(), unclaimed().of_account("999999999999")] {
        let status = status::status_while(&e, &e.waits()).0;
        let changed = e.with(|e| e.object.generation = Some(2));
        let changed = object(&changed, Some(&status));
        assert_eq!((checked(&changed).0, kstatus(Some(&changed))), (Health::Progressing, Kstatus::InProgress));
        assert!(checked(&changed).1.contains("latest change"));
    }
}

#[test]
fn a_paused_object_is_suspended_and_a_new_paused_one_is_in_progress() {
    let paused = |e: Evidence| e.with(|e| e.object.paused = true);
    for (e, expected) in [
        (paused(claimed()), Kstatus::Current),
        (paused(claimed()).with(|e| e.object.generation = Some(2)), Kstatus::InProgress),
        (paused(unclaimed()), Kstatus::InProgress),
        (paused(unclaimed()).with(|e| e.object.status.conditions.clear()), Kstatus::InProgress),
        (paused(deleting()), Kstatus::Terminating),
    ] {
        let paused = object(&e, Some(&status::status_while_paused(&e)));
        let (said, words) = checked(&paused);
        assert_eq!((said, kstatus(Some(&paused))), (Health::Suspended, expected), "{paused:#}");
        assert!(words.contains("held by the annotation"), "{words}");
    }
    let unpaused = claimed().with(|e| e.object.status = status::status_while_paused(e));
    assert_eq!(waiting(unpaused, Health::Healthy).status.condition(condition::PAUSED), None);
}

/// The examples keep the promises of docs/guides/gitops.md. The API server of the tests knows neither kind.
#[test]
fn the_examples_put_the_operator_first_and_never_prune_it() {
    let read = |text: &str| -> [Value; 2] {
        let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap());
        documents.collect::<Vec<Value>>().try_into().unwrap()
    };
    let [operator, connectors] = read(include_str!("../../../examples/argocd/applications.yaml"));
    let wave = |application: &Value| application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].clone();
    assert_eq!((wave(&operator), wave(&connectors)), (json!("0"), json!("1")));
    let prunes = |application: &Value| application["spec"]["syncPolicy"]["automated"]["prune"].clone();
    assert_eq!((prunes(&operator), prunes(&connectors)), (Value::Null, json!(true)));

    let [operator, connectors] = read(include_str!("../../../examples/flux/kustomizations.yaml"));
    assert_eq!(connectors["spec"]["dependsOn"], json!([{"name": operator["metadata"]["name"]}]));
    assert_eq!((&operator["spec"]["prune"], &connectors["spec"]["prune"]), (&json!(false), &json!(true)));
    assert_eq!((&operator["spec"]["wait"], &connectors["spec"]["wait"]), (&json!(true), &json!(true)));
}

#[test]
fn a_deleted_object_is_not_found() {
    assert_eq!(kstatus(None), Kstatus::NotFound);
    let e = deleting().retained().ours().after_untag(written());
    assert!(matches!(e.acts(), Effect::Kube(KubeWrite::RemoveFinalizer(_))));
}
