//! One run of a schedule: operators, the steps, and the acts of the test that the invariants have to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use apprunner_emulator::{CallFilter, ConnectorStatus, Emulator, Fault, FaultId, ServiceStatus};
use apprunner_operator::api::{self, DeletionPolicy, VpcConnector, VpcConnectorSpec};
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::observer::Observer;
use crate::policy::Policy;
use crate::steps::{Ending, Lasting, Planned, Requests, Step, Tag, Target, Watches, Wipe};
use crate::support::operator::Operator;
use crate::support::proxy::{self, Calls, Proxy};
use crate::support::{ACCOUNT, OTHER, REGION, World};

pub const CLUSTER: &str = "schedules";
/// Divisor of the operator's waits: a schedule of half a minute then contains its longest backoff.
pub const PACE: u32 = 40;
/// Longest wait for the operator's progress after a step: the operator may have nothing to do.
const PROGRESS: Duration = Duration::from_millis(250);
const SIGTERM: i32 = 15;
/// Events are dropped within this time of the step, or not at all.
const DROPS: Duration = Duration::from_secs(1);

/// Acts of the test on which the invariants depend.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    /// Uids of objects whose finalizer the test removed.
    pub finalizers_removed: BTreeSet<String>,
    /// Resource versions of the statuses that the test wrote.
    pub statuses_edited: BTreeSet<String>,
    /// ARNs of connectors that the test deleted or removed, with the time.
    pub connectors_deleted: BTreeMap<String, Timestamp>,
    /// Starts of operator processes.
    pub starts: Vec<Timestamp>,
    /// Periods in which the operator may not have seen the objects as they were.
    pub blind: Vec<(Timestamp, Timestamp)>,
    /// Requests for a reconcile and changes of services: each may bring an attempt forward.
    pub nudges: usize,
    /// Exits of the operator that the test did not cause, and other violations that are seen during the run.
    pub violations: Vec<String>,
    /// The logs of the processes that have ended.
    pub logs: Vec<String>,
}

pub struct Run {
    pub world: World,
    pub observer: Observer,
    pub proxy: Proxy,
    pub acts: Acts,
    pub objects: Api<VpcConnector>,
    operator: Option<Operator>,
    second: Option<Operator>,
    /// Processes that received SIGTERM.
    leaving: Vec<Operator>,
    policy: Policy,
    connectors: HashMap<usize, String>,
    services: HashMap<usize, String>,
    aws_faults: HashMap<Ending, FaultId>,
    api_faults: HashMap<Ending, proxy::FaultId>,
    blind_since: Option<Timestamp>,
    requests: usize,
}

impl Run {
    pub async fn start(seed: u64) -> Self {
        let mut world = World::with_behaviors(crate::steps::behaviors(seed)).await;
        world.settings.pace = PACE;
        world.settings.arguments.extend([format!("--cluster-id={CLUSTER}"), "--resync=30s".to_owned()]);
        let observer = Observer::start(world.api.clone(), world.emulator.clone());
        let proxy = world.proxy().await;
        let policy = Policy::new(&world);
        let objects = world.api.clone();
        let mut run = Self {
            world,
            observer,
            proxy,
            acts: Acts::default(),
            objects,
            operator: None,
            second: None,
            leaving: Vec::new(),
            policy,
            connectors: HashMap::new(),
            services: HashMap::new(),
            aws_faults: HashMap::new(),
            api_faults: HashMap::new(),
            blind_since: None,
            requests: 0,
        };
        run.start_operator();
        run
    }

    pub fn emulator(&self) -> &Emulator {
        &self.world.emulator
    }

    pub async fn perform(&mut self, planned: Planned) {
        let before = self.progress();
        self.step(planned.step).await;
        self.notice_exits();
        let enough = async {
            while self.progress() < before + planned.progress {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // The step comes anyway when the operator has nothing to do.
        let _ = tokio::time::timeout(PROGRESS, enough).await;
    }

    /// Calls to AWS and versions of objects so far.
    pub fn progress(&self) -> usize {
        self.emulator().calls_matching(&CallFilter::default()).len() + self.observer.history().events
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Create { object, target, retain } => self.create(object, target, retain).await,
            Step::Delete { object } => ignore(self.objects.delete(&name(object), &DeleteParams::default()).await),
            Step::SetPolicy { object, retain } => {
                let policy = if retain { "Retain" } else { "Delete" };
                self.merge(object, json!({"spec": {"deletionPolicy": policy}})).await;
            }
            Step::Pause { object, on } => self.annotate(object, api::PAUSED, on.then_some("true")).await,
            Step::Protect { object, on } => self.annotate(object, api::PROTECTED, on.then_some("true")).await,
            Step::Request { object } => {
                self.acts.nudges += 1;
                self.requests += 1;
                let value = self.requests.to_string();
                self.annotate(object, api::RECONCILE_REQUESTED_AT, Some(&value)).await;
            }
            Step::EditStatus { object, wipe } => self.edit_status(object, wipe).await,
            Step::RemoveFinalizer { object } => self.remove_finalizer(object).await,
            Step::CreateService { .. }
            | Step::SetService { .. }
            | Step::DeleteService { .. }
            | Step::MoveTag { .. }
            | Step::DeleteConnector { .. }
            | Step::ForgetConnector { .. }
            | Step::AwsFault { .. }
            | Step::EndAwsFault(_) => self.step_in_aws(step),
            Step::Kill | Step::Crash | Step::Start | Step::HandOver | Step::SecondStarts | Step::SecondIsKilled => {
                self.step_of_a_process(&step);
            }
            Step::RefuseWrites(refused) => self.policy.refuse(refused).await,
            Step::AllowWrites => self.policy.allow().await,
            Step::ApiFault { .. }
            | Step::EndApiFault(_)
            | Step::DisturbWatches(_)
            | Step::DelayWatches { .. }
            | Step::SilenceWatches
            | Step::RestoreWatches
            | Step::StopAnswering
            | Step::RefuseConnections
            | Step::RestoreApi => self.network_step(step).await,
        }
    }

    async fn create(&mut self, object: usize, target: Target, retain: bool) {
        let arn = match target {
            Target::Connector(number) => self.connector(number),
            Target::Missing(number) => {
                format!("arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/missing/1/{number:032}")
            }
            Target::OtherAccount(number) => self.foreign_connector(number),
        };
        let deletion_policy = if retain { DeletionPolicy::Retain } else { DeletionPolicy::Delete };
        let object = VpcConnector::new(&name(object), VpcConnectorSpec { arn, deletion_policy });
        ignore(self.objects.create(&PostParams::default(), &object).await);
    }

    /// The connector of this number, created when it is first needed.
    fn connector(&mut self, number: usize) -> String {
        let create = || self.world.emulator.create_connector(ACCOUNT, REGION, &format!("conn-{number}"));
        self.connectors.entry(number).or_insert_with(create).clone()
    }

    fn foreign_connector(&self, number: usize) -> String {
        let name = format!("foreign-{number}");
        let all = self.emulator().state().into_iter().flat_map(|region| region.connectors);
        let existing = all.into_iter().find(|connector| connector.name == name).map(|connector| connector.arn);
        existing.unwrap_or_else(|| self.emulator().create_connector(OTHER.2, REGION, &name))
    }

    async fn annotate(&self, object: usize, key: &str, value: Option<&str>) {
        self.merge(object, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    async fn merge(&self, object: usize, patch: Value) {
        ignore(self.objects.patch(&name(object), &PatchParams::default(), &Patch::Merge(patch)).await);
    }

    async fn edit_status(&mut self, object: usize, wipe: Wipe) {
        let status = match wipe {
            Wipe::Everything => None,
            Wipe::Conditions => Some(json!({"conditions": null})),
            Wipe::Claim => Some(json!({"arn": null})),
            Wipe::ClaimOf(number) => Some(json!({"arn": self.connector(number)})),
        };
        let (name, params) = (name(object), PatchParams::default());
        let edited = match status {
            Some(status) => self.objects.patch_status(&name, &params, &Patch::Merge(json!({"status": status}))).await,
            None => {
                let replace = json!([{"op": "replace", "path": "/status", "value": {}}]);
                let patch: json_patch::Patch = serde_json::from_value(replace).unwrap();
                self.objects.patch_status(&name, &params, &Patch::Json::<()>(patch)).await
            }
        };
        if let Ok(edited) = &edited {
            self.acts.statuses_edited.extend(edited.resource_version());
        }
        ignore(edited);
    }

    async fn remove_finalizer(&mut self, object: usize) {
        let Ok(Some(found)) = self.objects.get_opt(&name(object)).await else { return };
        let uid = found.uid().unwrap();
        // The test of the uid lets the patch fail if another object has the name by now.
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "finalizers": null}}));
        self.acts.finalizers_removed.insert(uid);
        ignore(self.objects.patch(&name(object), &PatchParams::default(), &patch).await);
    }

    fn step_in_aws(&mut self, step: Step) {
        match step {
            Step::CreateService { service, connector } => {
                self.acts.nudges += 1;
                let connector = self.connector(connector);
                if self.is_active(&connector) && !self.service_runs(service) {
                    let name = format!("service-{service}");
                    let arn = self.emulator().create_service(ACCOUNT, REGION, &name, Some(&connector));
                    self.services.insert(service, arn);
                }
            }
            Step::SetService { service, status } => {
                self.acts.nudges += 1;
                if self.service_runs(service) {
                    self.emulator().set_service_status(&self.services[&service], status);
                }
            }
            Step::DeleteService { service } => {
                self.acts.nudges += 1;
                self.services.get(&service).map(|arn| self.emulator().delete_service(arn));
            }
            Step::MoveTag { connector, to } => self.move_tag(connector, to),
            Step::DeleteConnector { connector } | Step::ForgetConnector { connector } => {
                let arn = self.connector(connector);
                if self.is_active(&arn) {
                    self.acts.connectors_deleted.insert(arn.clone(), Timestamp::now());
                    match step {
                        Step::ForgetConnector { .. } => self.emulator().forget_connector(&arn),
                        _ => self.emulator().delete_connector(&arn),
                    };
                }
            }
            Step::AwsFault { operation, kind, lasting } => {
                let fault = Fault { operation, ..Fault::new(kind) };
                match lasting {
                    Lasting::Times(count) => drop(self.emulator().add_fault(fault.times(count))),
                    Lasting::Until(ending) => {
                        let id = self.emulator().add_fault(fault.forever());
                        self.aws_faults.insert(ending, id);
                    }
                }
            }
            Step::EndAwsFault(ending) => {
                self.aws_faults.remove(&ending).map(|id| self.emulator().remove_fault(id));
            }
            _ => {}
        }
    }

    fn move_tag(&mut self, connector: usize, to: Tag) {
        let arn = self.connector(connector);
        if !self.is_active(&arn) {
            return;
        }
        let tag = match to {
            Tag::None => None,
            Tag::OtherCluster => Some("another-cluster/shop/egress".to_owned()),
            Tag::Object(object) => Some(owner_tag(&self.world.namespace, &name(object))),
        };
        let tags: Vec<_> = tag.iter().map(|tag| (api::OWNER_TAG, tag.as_str())).collect();
        self.emulator().set_tags(&arn, &tags);
        self.observer.sample();
    }

    pub fn is_active(&self, arn: &str) -> bool {
        self.emulator().connector(arn).is_some_and(|connector| connector.status == ConnectorStatus::Active)
    }

    fn service_runs(&self, service: usize) -> bool {
        let found = self.services.get(&service).and_then(|arn| self.emulator().service(arn));
        found.is_some_and(|service| service.status != ServiceStatus::Deleted)
    }

    fn step_of_a_process(&mut self, step: &Step) {
        match step {
            Step::Kill => {
                self.crash();
                self.start_operator();
            }
            Step::Crash => self.crash(),
            Step::Start => self.start_operator(),
            Step::HandOver => {
                if let Some(operator) = self.operator.take() {
                    operator.terminate();
                    self.leaving.push(operator);
                }
                self.start_operator();
            }
            Step::SecondStarts => {
                if self.second.is_none() {
                    self.acts.starts.push(Timestamp::now());
                    self.second = Some(self.world.operator());
                }
            }
            _ => {
                let ended = self.second.take().map(|operator| operator.log());
                self.acts.logs.extend(ended);
            }
        }
    }

    fn start_operator(&mut self) {
        if self.operator.is_none() {
            self.acts.starts.push(Timestamp::now());
            self.operator = Some(self.world.operator_through(&self.proxy));
        }
    }

    fn crash(&mut self) {
        let ended = self.operator.take().map(|operator| operator.log());
        self.acts.logs.extend(ended);
    }

    /// An operator that ends by itself is a violation; the next one is started, as the kubelet does.
    fn notice_exits(&mut self) {
        for running in [&mut self.operator, &mut self.second] {
            if let Some(status) = running.as_mut().and_then(Operator::exited) {
                self.acts.violations.push(format!("the operator ended by itself: {status}"));
                self.acts.logs.extend(running.take().map(|operator| operator.log()));
            }
        }
    }

    async fn network_step(&mut self, step: Step) {
        match step {
            Step::ApiFault { requests, kind, lasting } => {
                let fault = proxy::Fault::new(kind).on(calls(requests));
                match lasting {
                    Lasting::Times(count) => drop(self.proxy.fault(fault.times(count))),
                    Lasting::Until(ending) => {
                        let id = self.proxy.fault(fault.forever());
                        self.api_faults.insert(ending, id);
                    }
                }
            }
            Step::EndApiFault(ending) => {
                self.api_faults.remove(&ending).into_iter().for_each(|id| self.proxy.clear_fault(id));
            }
            Step::DisturbWatches(watches) => self.disturb(watches),
            Step::DelayWatches { ms } => {
                self.blind_begins();
                self.proxy.show_events_late(Duration::from_millis(ms));
            }
            Step::SilenceWatches => {
                self.blind_begins();
                self.proxy.silence_watches();
            }
            Step::RestoreWatches => self.restore_watches(),
            Step::StopAnswering => {
                self.blind_begins();
                self.proxy.stop_answering();
            }
            Step::RefuseConnections => {
                self.blind_begins();
                self.proxy.refuse().await;
            }
            _ => self.restore_api().await,
        }
    }

    fn disturb(&mut self, watches: Watches) {
        self.blind_now();
        match watches {
            Watches::Cut => self.proxy.cut_watches(),
            Watches::End => self.proxy.end_watches(),
            Watches::Expire => self.proxy.expire_watches(),
            Watches::Strand => self.proxy.strand_watches(),
            Watches::Drop(count) => {
                let end = Instant::now() + DROPS;
                let drops = move |event: &proxy::Event| event.resource == "vpcconnectors" && Instant::now() < end;
                self.proxy.drop_events(count, drops);
            }
            Watches::Replay(object) => {
                let name = name(object);
                let uids: BTreeSet<_> =
                    self.proxy.events().into_iter().filter(|e| e.name == name).map(|e| e.uid).collect();
                for uid in uids {
                    self.proxy.replay(&uid);
                }
            }
        }
    }

    fn restore_watches(&mut self) {
        self.proxy.show_events_late(Duration::ZERO);
        self.proxy.unsilence_watches();
        self.blind_ends();
    }

    async fn restore_api(&mut self) {
        self.proxy.resume_answering();
        self.proxy.allow().await;
        self.blind_ends();
    }

    fn blind_now(&mut self) {
        let now = Timestamp::now();
        self.acts.blind.push((now, now + DROPS));
    }

    fn blind_begins(&mut self) {
        self.blind_since.get_or_insert_with(Timestamp::now);
    }

    fn blind_ends(&mut self) {
        self.acts.blind.extend(self.blind_since.take().map(|since| (since, Timestamp::now())));
    }

    /// Ends every fault and every refusal, and leaves one operator running.
    pub async fn heal(&mut self) {
        self.emulator().clear_faults();
        self.emulator().allow_connections().await;
        self.proxy.clear_faults();
        self.restore_watches();
        self.restore_api().await;
        self.policy.allow().await;
        self.step_of_a_process(&Step::SecondIsKilled);
        self.start_operator();
        for mut operator in std::mem::take(&mut self.leaving) {
            let status = operator.ended().await;
            // A process that has just started may die of SIGTERM before it can handle it.
            if !status.success() && status.signal() != Some(SIGTERM) {
                self.acts.violations.push(format!("the operator ended with {status} after SIGTERM"));
            }
            self.acts.logs.push(operator.log());
        }
        self.notice_exits();
        self.start_operator();
    }

    /// Ends the last process.
    pub fn finish(&mut self) {
        self.notice_exits();
        self.crash();
        self.acts.blind.extend(self.faulty_watches());
    }

    /// The times at which the operator's lists and watches got a fault.
    fn faulty_watches(&self) -> Vec<(Timestamp, Timestamp)> {
        let requests = self.proxy.requests().into_iter();
        let of_watches = requests.filter(|r| r.fault.is_some() && matches!(r.verb.as_str(), "list" | "watch"));
        let times = of_watches.map(|request| Timestamp::now() - request.at.elapsed());
        times.map(|at| (at, at)).collect()
    }
}

pub fn name(object: usize) -> String {
    format!("egress-{object}")
}

pub fn owner_tag(namespace: &str, name: &str) -> String {
    format!("{CLUSTER}/{namespace}/{name}")
}

/// A step may meet an object that is gone, exists already, or has changed; anything else fails the run.
fn ignore<T>(result: kube::Result<T>) {
    match result {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
        Err(error) => panic!("the API server refuses a step: {error}"),
    }
}

fn calls(requests: Requests) -> Calls {
    let of_objects = |verb| Calls::verb(verb).resource("vpcconnectors");
    match requests {
        Requests::Any => Calls::any(),
        Requests::StatusPatches => Calls::status_patch(),
        Requests::FinalizerAdded => Calls::finalizer_added(),
        Requests::FinalizerRemoved => Calls::finalizer_removed(),
        Requests::Gets => of_objects("get"),
        Requests::Lists => of_objects("list"),
        Requests::Watches => of_objects("watch"),
    }
}
