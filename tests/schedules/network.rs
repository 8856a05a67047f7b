//! Changes of the API server, and of the network between it and the operator.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::run::{Run, name};
use crate::steps::{ApiChange, Lasting, Requests, Watches};
use crate::support::proxy::{self, Calls};

/// Events are dropped within this time of the step, or not at all.
const DROPS: Duration = Duration::from_secs(1);

impl Run {
    pub async fn change_api(&mut self, change: ApiChange) {
        match change {
            ApiChange::Fault { requests, kind, lasting } => {
                let fault = proxy::Fault::new(kind).on(calls(requests));
                match lasting {
                    Lasting::Times(count) => {
                        self.proxy.fault(fault.times(count));
                    }
                    Lasting::Until(ending) => {
                        let id = self.proxy.fault(fault.forever());
                        self.api_faults.insert(ending, id);
                    }
                }
            }
            ApiChange::EndFault(ending) => {
                if let Some(id) = self.api_faults.remove(&ending) {
                    self.proxy.clear_fault(id);
                }
            }
            ApiChange::DisturbWatches(watches) => self.disturb(watches),
            ApiChange::DelayWatches { ms } => {
                self.blind_begins();
                self.proxy.show_events_late(Duration::from_millis(ms));
            }
            ApiChange::SilenceWatches => {
                self.blind_begins();
                self.proxy.silence_watches();
            }
            ApiChange::RestoreWatches => self.restore_watches(),
            ApiChange::StopAnswering => {
                self.blind_begins();
                self.proxy.stop_answering();
            }
            ApiChange::RefuseConnections => {
                self.blind_begins();
                self.proxy.refuse().await;
            }
            ApiChange::RestoreConnections => self.restore_connections().await,
            ApiChange::RefuseWrites(refused) => self.policy.refuse(refused).await,
            ApiChange::AllowWrites => self.policy.allow().await,
        }
    }

    /// Ends every fault and every refusal.
    pub async fn restore_api(&mut self) {
        self.proxy.clear_faults();
        self.restore_watches();
        self.restore_connections().await;
        self.policy.allow().await;
    }

    fn disturb(&mut self, watches: Watches) {
        let now = Timestamp::now();
        self.acts.blind.push((now, now + DROPS));
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
                let events = self.proxy.events().into_iter().filter(|event| event.name == name(object));
                let uids: BTreeSet<_> = events.map(|event| event.uid).collect();
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

    async fn restore_connections(&mut self) {
        self.proxy.resume_answering();
        self.proxy.allow().await;
        self.blind_ends();
    }

    fn blind_begins(&mut self) {
        self.blind_since.get_or_insert_with(Timestamp::now);
    }

    fn blind_ends(&mut self) {
        self.acts.blind.extend(self.blind_since.take().map(|since| (since, Timestamp::now())));
    }

    /// The times at which the operator's lists and watches got a fault.
    pub fn faulty_watches(&self) -> Vec<(Timestamp, Timestamp)> {
        let requests = self.proxy.requests().into_iter();
        let of_watches = requests.filter(|r| r.fault.is_some() && matches!(r.verb.as_str(), "list" | "watch"));
        let times = of_watches.map(|request| Timestamp::now() - request.at.elapsed());
        times.map(|at| (at, at)).collect()
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
