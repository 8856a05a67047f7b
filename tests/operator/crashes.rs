//! The operator is killed before and after every single call that it makes, and started again.

use apprunner_emulator::{Fault, FaultKind, Operation};
use futures::StreamExt;
use futures::stream;

use crate::support::proxy::{Calls, Side};
use crate::support::{World, eventually, with_finalizer};

const SIDE_BY_SIDE: usize = 6;

/// The call at which the operator is killed.
#[derive(Clone, Copy, Debug)]
enum Call {
    AddsFinalizer,
    /// The n-th status write, counted from 0.
    WritesStatus(u32),
    RemovesFinalizer,
    CallsAws(Operation),
    /// The second call of an operation.
    CallsAwsAgain(Operation),
}

impl Call {
    /// The operation in AWS, and the number of earlier calls of that operation.
    fn to_aws(self) -> Option<(Operation, usize)> {
        match self {
            Self::CallsAws(operation) => Some((operation, 0)),
            Self::CallsAwsAgain(operation) => Some((operation, 1)),
            Self::AddsFinalizer | Self::WritesStatus(_) | Self::RemovesFinalizer => None,
        }
    }
}

/// The task of the operator when it is killed.
#[derive(Clone, Copy, Debug)]
enum Work {
    Claims,
    Deletes,
    DeletesUnclaimed,
}

/// Every call of each task, in the order they are made.
const CALLS: [(Work, &[Call]); 3] = [
    (
        Work::Claims,
        &[
            Call::AddsFinalizer,
            Call::WritesStatus(0),
            Call::CallsAws(Operation::GetCallerIdentity),
            Call::CallsAws(Operation::DescribeVpcConnector),
            Call::CallsAws(Operation::ListTagsForResource),
            Call::CallsAws(Operation::TagResource),
            Call::CallsAwsAgain(Operation::ListTagsForResource),
            Call::WritesStatus(1),
        ],
    ),
    (
        Work::Deletes,
        &[
            Call::CallsAws(Operation::GetCallerIdentity),
            Call::CallsAws(Operation::ListTagsForResource),
            Call::CallsAws(Operation::DeleteVpcConnector),
            Call::WritesStatus(0),
            Call::RemovesFinalizer,
        ],
    ),
    (
        Work::DeletesUnclaimed,
        &[
            Call::CallsAws(Operation::GetCallerIdentity),
            Call::CallsAws(Operation::DescribeVpcConnector),
            Call::CallsAws(Operation::ListTagsForResource),
            Call::WritesStatus(0),
            Call::CallsAws(Operation::DeleteVpcConnector),
            Call::WritesStatus(1),
            Call::RemovesFinalizer,
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_killed_at_any_call_loses_nothing() {
    let points = CALLS.into_iter().flat_map(|(work, calls)| calls.iter().map(move |call| (work, *call)));
    let points = points.flat_map(|(work, call)| [(work, call, Side::BeforeEffect), (work, call, Side::AfterEffect)]);
    let crashes = stream::iter(points);
    crashes.for_each_concurrent(SIDE_BY_SIDE, async |(work, call, side)| crash(work, call, side).await).await;
}

/// Proves that the list above is complete: an undisturbed operator makes these calls and no others.
#[tokio::test]
async fn call_list_is_complete() {
    for (work, calls) in CALLS {
        let world = World::new().await;
        prepare(&world, work).await;
        let proxy = world.proxy().await;
        let before = world.emulator.calls().len();
        let _operator = world.operator_through(&proxy);
        finish(&world, work).await;
        let asked: Vec<_> = world.emulator.calls()[before..].iter().filter_map(|call| call.operation.clone()).collect();
        let asks = |call: &Call| call.to_aws().map(|(operation, _)| operation.name().to_owned());
        assert_eq!(asked, calls.iter().filter_map(asks).collect::<Vec<_>>(), "{work:?}");
        let written = proxy.requests().iter().filter(|r| r.resource == "vpcconnectors" && r.verb == "patch").count();
        assert_eq!(written, calls.iter().filter(|call| call.to_aws().is_none()).count(), "{work:?}");
    }
}

async fn crash(work: Work, call: Call, side: Side) {
    let world = World::new().await;
    let arn = prepare(&world, work).await;
    let proxy = world.proxy().await;
    let stop_at = |calls: Calls, skip| proxy.hold(side, calls, skip);
    let before = world.emulator.calls().len();
    let gate = match call {
        Call::AddsFinalizer => Some(stop_at(Calls::finalizer_added(), 0)),
        Call::WritesStatus(skip) => Some(stop_at(Calls::status_patch(), skip)),
        Call::RemovesFinalizer => Some(stop_at(Calls::finalizer_removed(), 0)),
        Call::CallsAws(operation) | Call::CallsAwsAgain(operation) => {
            let kind = FaultKind::BlackHole { after_effect: side == Side::AfterEffect };
            let earlier = u32::from(matches!(call, Call::CallsAwsAgain(_)));
            world.emulator.add_fault(Fault::new(kind).on(operation).skip(earlier));
            None
        }
    };
    let operator = world.operator_through(&proxy);
    match (&gate, call.to_aws()) {
        (Some(gate), _) => drop(gate.reached().await),
        (None, Some((operation, earlier))) => {
            let asked = |call: &&apprunner_emulator::Call| call.operation.as_deref() == Some(operation.name());
            let reached =
                async || (world.emulator.calls()[before..].iter().filter(asked).count() > earlier).then_some(());
            assert!(eventually(reached).await.is_some(), "{work:?} never comes to {call:?}");
        }
        (None, _) => unreachable!("every write has a gate"),
    }
    drop(operator);
    drop(gate);
    world.emulator.clear_faults();

    let _operator = world.operator_through(&proxy);
    finish(&world, work).await;
    if matches!(work, Work::Claims) {
        assert!(world.owner_tag(&arn).is_some());
        world.delete("egress").await;
        world.until_deleted("egress").await;
    }
    assert!(world.inactive(&arn), "{work:?} killed {side:?} {call:?}: the connector is still there");
    assert!(world.deletes() <= 2, "{work:?} killed {side:?} {call:?}: {} deletes", world.deletes());
    let history = world.history("egress").await;
    let reasons: Vec<_> = history.iter().filter_map(|status| status.ready_reason()).collect();
    let recorded = reasons.iter().position(|reason| *reason == "Deleted");
    let lost = recorded.is_some_and(|at| reasons[at..].iter().any(|reason| *reason != "Deleted"));
    assert!(!lost, "{work:?} killed {side:?} {call:?}: a receipt that was recorded is lost: {reasons:?}");
}

async fn prepare(world: &World, work: Work) -> String {
    match work {
        Work::Claims => {
            let arn = world.connector("conn-egress");
            world.create("egress", &arn).await;
            arn
        }
        Work::Deletes => {
            let operator = world.operator();
            let arn = world.claimed("egress").await;
            drop(operator);
            world.delete("egress").await;
            arn
        }
        Work::DeletesUnclaimed => {
            let arn = world.connector("conn-egress");
            world.create_with("egress", &arn, with_finalizer).await;
            world.delete("egress").await;
            arn
        }
    }
}

async fn finish(world: &World, work: Work) {
    match work {
        Work::Claims => drop(world.reason("egress", "Available").await),
        Work::Deletes | Work::DeletesUnclaimed => world.until_deleted("egress").await,
    }
}
