//! Observations of a run that do not come from the operator: every version of every object, by a watch of the test's own,
//! and the resources in the emulator.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apprunner_emulator::{ConnectorStatus, ConnectorView, Emulator};
use apprunner_operator::api::{OWNER_TAG, VpcConnector};
use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio_util::task::AbortOnDropHandle;

/// Interval between two looks at the emulator.
const SAMPLE: Duration = Duration::from_millis(10);

/// One version of an object, and the time at which the watch delivered it.
#[derive(Clone, Debug)]
pub struct Version {
    pub at: Timestamp,
    pub object: VpcConnector,
}

/// The versions of one object, oldest first, and its end.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub versions: Vec<Version>,
    pub gone: Option<Timestamp>,
}

/// The owner tag of a connector from a time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub at: Timestamp,
    pub tag: Option<String>,
}

/// The history of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By uid.
    pub lives: BTreeMap<String, Life>,
    /// By ARN; one entry for each change that was seen.
    pub tags: HashMap<String, Vec<Tagged>>,
    /// Times at which the emulator was looked at.
    pub samples: Vec<Timestamp>,
    /// Number of versions and ends so far.
    pub events: usize,
}

/// Records a history until it is dropped.
pub struct Observer {
    history: Arc<Mutex<History>>,
    emulator: Arc<Emulator>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Observer {
    pub fn start(api: Api<VpcConnector>, emulator: Arc<Emulator>) -> Self {
        let history = Arc::<Mutex<History>>::default();
        let watching = tokio::spawn(watch(api, history.clone()));
        let sampling = tokio::spawn(sample_often(emulator.clone(), history.clone()));
        let tasks = [watching, sampling].map(AbortOnDropHandle::new);
        Self { history, emulator, _tasks: tasks }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Looks at the emulator now, so that a change by the test is recorded before the operator can see it.
    pub fn sample(&self) {
        sample(&self.emulator, &self.history);
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap()
}

async fn watch(api: Api<VpcConnector>, history: Arc<Mutex<History>>) {
    let mut listed = BTreeSet::new();
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let mut history = lock(&history);
        match event {
            Ok(watcher::Event::Apply(object)) => history.saw(object),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(object.uid().unwrap());
                history.saw(object);
            }
            Ok(watcher::Event::Delete(object)) => history.ended(&object.uid().unwrap()),
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitDone) => history.keep(&listed),
            Err(_) => {}
        }
    }
}

async fn sample_often(emulator: Arc<Emulator>, history: Arc<Mutex<History>>) {
    let mut interval = tokio::time::interval(SAMPLE);
    loop {
        interval.tick().await;
        sample(&emulator, &history);
    }
}

fn sample(emulator: &Emulator, history: &Mutex<History>) {
    // The lock is held during the look, so that the looks are recorded in their order.
    let mut history = lock(history);
    let connectors: Vec<ConnectorView> = emulator.state().into_iter().flat_map(|region| region.connectors).collect();
    let at = Timestamp::now();
    history.samples.push(at);
    for connector in connectors.into_iter().filter(|connector| connector.status == ConnectorStatus::Active) {
        let tag = connector.tags.get(OWNER_TAG).cloned();
        let tags = history.tags.entry(connector.arn).or_default();
        if tags.last().is_none_or(|last| last.tag != tag) {
            tags.push(Tagged { at, tag });
        }
    }
}

impl History {
    fn saw(&mut self, object: VpcConnector) {
        self.events += 1;
        let life = self.lives.entry(object.uid().unwrap()).or_default();
        life.versions.push(Version { at: Timestamp::now(), object });
    }

    fn ended(&mut self, uid: &str) {
        self.events += 1;
        if let Some(life) = self.lives.get_mut(uid) {
            life.gone.get_or_insert_with(Timestamp::now);
        }
    }

    /// After a new list: whatever is not in it has ended.
    fn keep(&mut self, listed: &BTreeSet<String>) {
        let ended = self.lives.iter().filter(|(uid, life)| life.gone.is_none() && !listed.contains(*uid));
        let ended: Vec<String> = ended.map(|(uid, _)| uid.clone()).collect();
        for uid in ended {
            self.ended(&uid);
        }
    }

    /// The tags that a connector had at some time between two times. A change counts for both of its tags from the look
    /// before it was seen.
    pub fn tags_between(&self, arn: &str, from: Timestamp, to: Timestamp) -> Vec<Option<&str>> {
        let Some(tags) = self.tags.get(arn) else { return vec![None] };
        let ends = tags.iter().skip(1).map(|next| next.at).chain([Timestamp::MAX]);
        let spans = tags.iter().zip(ends).map(|(tagged, end)| (self.look_before(tagged.at), end, tagged));
        spans
            .filter(|(began, end, _)| *began <= to && *end >= from)
            .map(|(_, _, tagged)| tagged.tag.as_deref())
            .collect()
    }

    fn look_before(&self, at: Timestamp) -> Timestamp {
        let later = self.samples.partition_point(|sample| *sample < at);
        later.checked_sub(1).map_or(Timestamp::MIN, |before| self.samples[before])
    }
}

impl Life {
    pub fn name(&self) -> String {
        self.versions[0].object.name_any()
    }

    pub fn arn(&self) -> &str {
        &self.versions[0].object.spec.arn
    }

    pub fn last(&self) -> &VpcConnector {
        &self.versions[self.versions.len() - 1].object
    }

    /// The versions that were current at some time between two times.
    pub fn versions_between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &VpcConnector> {
        let ends = self.versions.iter().skip(1).map(|next| next.at).chain([self.gone.unwrap_or(Timestamp::MAX)]);
        let spans = self.versions.iter().zip(ends);
        spans.filter(move |(version, end)| version.at <= to && *end >= from).map(|(version, _)| &version.object)
    }
}
