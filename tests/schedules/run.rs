//! One run of a schedule: its world, its steps, and the acts of the test that the invariants have to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use apprunner_emulator::{CallFilter, Emulator, FaultId};
use apprunner_operator::api::VpcConnector;
use jiff::Timestamp;
use kube::Api;

use crate::generator;
use crate::observer::Observer;
use crate::policy::Policy;
use crate::processes::Processes;
use crate::steps::{Ending, Planned, Step};
use crate::support::World;
use crate::support::proxy::{self, Proxy};

/// The cluster id of the operators.
pub const CLUSTER: &str = "schedules";
/// Divisor of the operator's waits: a schedule of half a minute then contains its longest backoff.
pub const PACE: u32 = 40;
/// Longest wait for the operator's progress after a step: the operator may have nothing to do.
const PROGRESS: Duration = Duration::from_millis(250);

/// Acts of the test on which the invariants depend.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    /// Uids of objects whose finalizer the test removed.
    pub finalizers_removed: BTreeSet<String>,
    /// Uids of objects that ended because of that.
    pub released_by_hand: BTreeSet<String>,
    /// Resource versions of the statuses that the test wrote.
    pub statuses_edited: BTreeSet<String>,
    /// ARNs of connectors that the test deleted or removed, with the time.
    pub connectors_deleted: BTreeMap<String, Timestamp>,
    /// Starts of operator processes.
    pub starts: Vec<Timestamp>,
    /// Those of them that ran beside another process.
    pub overlaps: Vec<Timestamp>,
    /// Periods in which the operator may not have seen the objects as they were.
    pub blind: Vec<(Timestamp, Timestamp)>,
    /// Number of requests for a reconcile and changes of services: each may bring an attempt forward.
    pub nudges: usize,
    /// Violations that were seen during the run.
    pub violations: Vec<String>,
    /// The logs of the processes that have ended.
    pub logs: Vec<String>,
}

/// A run.
pub struct Run {
    pub world: World,
    pub observer: Observer,
    pub proxy: Proxy,
    pub objects: Api<VpcConnector>,
    pub acts: Acts,
    pub processes: Processes,
    pub policy: Policy,
    pub connectors: HashMap<usize, String>,
    pub services: HashMap<usize, String>,
    pub aws_faults: HashMap<Ending, FaultId>,
    pub api_faults: HashMap<Ending, proxy::FaultId>,
    pub blind_since: Option<Timestamp>,
}

impl Run {
    pub async fn start(seed: u64) -> Self {
        let mut world = World::with_behaviors(generator::behaviors(seed)).await;
        world.settings.pace = PACE;
        world.settings.arguments.extend([format!("--cluster-id={CLUSTER}"), "--resync=30s".to_owned()]);
        let mut run = Self {
            observer: Observer::start(world.api.clone(), world.emulator.clone()),
            proxy: world.proxy().await,
            objects: world.api.clone(),
            acts: Acts::default(),
            processes: Processes::default(),
            policy: Policy::new(&world),
            connectors: HashMap::new(),
            services: HashMap::new(),
            aws_faults: HashMap::new(),
            api_faults: HashMap::new(),
            blind_since: None,
            world,
        };
        run.start_operator();
        run
    }

    pub fn emulator(&self) -> &Emulator {
        &self.world.emulator
    }

    /// Performs a step, and waits until the operator has made progress, or has had the time for it.
    pub async fn perform(&mut self, planned: Planned) {
        let before = self.progress();
        match planned.step {
            Step::Object(number, change) => self.change_object(number, change).await,
            Step::Aws(change) => self.change_aws(change),
            Step::Process(process) => self.change_processes(process),
            Step::Api(change) => self.change_api(change).await,
        }
        self.notice_exits();
        let enough = async {
            while self.progress() < before + planned.progress {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(PROGRESS, enough).await;
    }

    /// Calls to AWS and versions of objects so far.
    fn progress(&self) -> usize {
        self.emulator().calls_matching(&CallFilter::default()).len() + self.observer.history().events
    }

    /// Ends every fault and every refusal, and leaves one operator running.
    pub async fn heal(&mut self) {
        self.emulator().clear_faults();
        self.emulator().allow_connections().await;
        self.restore_api().await;
        self.until_one_operator_runs().await;
    }

    /// Ends the last process.
    pub fn finish(&mut self) {
        self.notice_exits();
        self.crash();
        self.acts.blind.extend(self.faulty_watches());
    }
}

pub fn name(object: usize) -> String {
    format!("egress-{object}")
}

/// The owner tag of an object.
pub fn owner_tag(namespace: &str, name: &str) -> String {
    format!("{CLUSTER}/{namespace}/{name}")
}
