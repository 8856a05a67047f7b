//! The steps of a schedule.
//!
//! A step names objects, connectors and services by number, and its meaning does not depend on the run. So a seed
//! repeats its steps exactly; the moments at which they meet the operator vary.

use apprunner_emulator::{FaultKind, Operation, ServiceStatus};

use crate::support::proxy;

/// One step, and the progress of the operator that is awaited after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub step: Step,
    /// Number of calls to AWS and versions of objects before the next step, or until a deadline.
    pub progress: usize,
}

/// The connector that a new object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The connector of this number, which is created when a step first names it.
    Connector(usize),
    /// A connector that never existed.
    Missing(usize),
    /// A connector of another account.
    OtherAccount(usize),
}

/// An edit of a status by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wipe {
    Everything,
    Conditions,
    Claim,
    /// Sets `.status.arn` to the connector of this number.
    ClaimOf(usize),
}

/// A new owner tag of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    None,
    OtherCluster,
    Object(usize),
}

/// Requests to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    Any,
    StatusPatches,
    FinalizerAdded,
    FinalizerRemoved,
    Gets,
    Lists,
    Watches,
}

/// Changes of the watches between the operator and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watches {
    Cut,
    End,
    Expire,
    Strand,
    /// Drops this many events.
    Drop(u32),
    /// Delivers all events of an object once more.
    Replay(usize),
}

/// The writes of the operator that a policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Objects,
    Statuses,
    Both,
}

/// Calls that a fault affects: this many, or all until the step that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Times(u32),
    Until(Ending),
}

/// The number of a condition that a later step ends.
pub type Ending = usize;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A user changes the object of this number.
    Object(usize, Change),
    Aws(AwsChange),
    Process(Process),
    Api(ApiChange),
}

/// A change of an object by a user.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Create { target: Target, retain: bool },
    Delete,
    SetPolicy { retain: bool },
    Pause(bool),
    Protect(bool),
    Request,
    EditStatus(Wipe),
    RemoveFinalizer,
}

/// A change in AWS; numbers name services and connectors.
#[derive(Clone, Debug, PartialEq)]
pub enum AwsChange {
    CreateService {
        service: usize,
        connector: usize,
    },
    SetService {
        service: usize,
        status: ServiceStatus,
    },
    DeleteService(usize),
    MoveTag {
        connector: usize,
        to: Tag,
    },
    DeleteConnector(usize),
    /// Deletes a connector that App Runner does not know from then on.
    ForgetConnector(usize),
    Fault {
        operation: Option<Operation>,
        kind: FaultKind,
        lasting: Lasting,
    },
    EndFault(Ending),
}

/// A change of the processes of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// kill -9, and a new process at once.
    Kill,
    /// kill -9, and a new process only at `Start`.
    Crash,
    Start,
    /// SIGTERM, and a new process at once.
    HandOver,
    /// Another operator on the same objects, without a Lease.
    SecondStarts,
    SecondIsKilled,
}

/// A change of the API server, or of the network between it and the operator.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiChange {
    Fault {
        requests: Requests,
        kind: proxy::FaultKind,
        lasting: Lasting,
    },
    EndFault(Ending),
    DisturbWatches(Watches),
    DelayWatches {
        ms: u64,
    },
    SilenceWatches,
    RestoreWatches,
    StopAnswering,
    RefuseConnections,
    RestoreConnections,
    /// A policy refuses these writes of the operator.
    RefuseWrites(Refused),
    AllowWrites,
}
