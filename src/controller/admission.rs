//! Admits objects to the workers, of which one account and region gets at most half.
//!
//! kube's `Controller` polls each reconcile that has begun whenever one of them makes progress. So an object that has to
//! wait for a worker does not begin: it is queued here, and triggered again once a worker is reserved for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use kube::runtime::reflector::ObjectRef;

use super::triggers::Triggers;
use crate::cluster::received::Received;
use crate::core::arn::AccountRegion;
use crate::sync::lock;

type Object = ObjectRef<Received>;
/// `None` for the objects whose ARN does not parse.
type Group = Option<AccountRegion>;

/// The workers, and the objects that wait for one.
pub(super) struct Admission {
    queue: Mutex<Queue>,
    triggers: Triggers,
}

/// A worker that reconciles one object. When it is dropped, the next object gets it.
pub(super) struct Worker {
    admission: Arc<Admission>,
    group: Group,
}

impl Admission {
    /// Workers for `concurrency` objects at a time.
    pub(super) fn new(concurrency: usize, triggers: Triggers) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(Queue::new(concurrency)), triggers })
    }

    /// Returns a worker, or queues the object, which is triggered again when a worker is free.
    pub(super) fn admit(self: &Arc<Self>, object: Object, group: Group) -> Option<Worker> {
        let group = lock(&self.queue).admit(object, group)?;
        Some(Worker { admission: self.clone(), group })
    }

    /// Forgets an object that no longer exists, and the worker that is reserved for it.
    pub(super) fn forget(&self, object: &Object) {
        let next = lock(&self.queue).forget(object);
        self.triggers.send_all(next);
    }

    /// The number of objects that wait for a worker.
    pub(super) fn queued(&self) -> usize {
        lock(&self.queue).queued.len()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let next = lock(&self.admission.queue).release(&self.group);
        self.admission.triggers.send_all(next);
    }
}

/// The queue: whenever a worker is free that a waiting object may have, it is reserved for that object.
struct Queue {
    free: usize,
    per_group: usize,
    groups: HashMap<Group, Members>,
    queued: HashSet<Object>,
    /// The objects that were triggered and have not begun yet. Their workers are not free.
    reserved: HashMap<Object, Group>,
}

#[derive(Default)]
struct Members {
    running: usize,
    /// In the order of their arrival; those that are no longer in `queued` are skipped.
    waiting: VecDeque<Object>,
}

impl Queue {
    fn new(workers: usize) -> Self {
        let free = workers.max(1);
        let (groups, queued, reserved) = Default::default();
        Self { free, per_group: (free / 2).max(1), groups, queued, reserved }
    }

    /// Takes a worker for an object and returns the group that it belongs to, or queues the object.
    fn admit(&mut self, object: Object, group: Group) -> Option<Group> {
        if let Some(group) = self.reserved.remove(&object) {
            return Some(group);
        }
        let members = self.groups.entry(group.clone()).or_default();
        if self.free > 0 && members.running < self.per_group {
            self.free -= 1;
            members.running += 1;
            return Some(group);
        }
        if self.queued.insert(object.clone()) {
            members.waiting.push_back(object);
        }
        None
    }

    /// Returns a worker; the objects that get it are to be triggered.
    fn release(&mut self, group: &Group) -> Vec<Object> {
        self.free += 1;
        if let Some(members) = self.groups.get_mut(group) {
            members.running = members.running.saturating_sub(1);
        }
        std::iter::from_fn(|| self.reserve()).collect()
    }

    fn forget(&mut self, object: &Object) -> Vec<Object> {
        self.dequeue(object);
        self.reserved.remove(object).map_or_else(Vec::new, |group| self.release(&group))
    }

    /// Reserves a free worker for the next object, of the account and region that has the fewest.
    fn reserve(&mut self) -> Option<Object> {
        let queued = &self.queued;
        self.groups.retain(|_, members| {
            while members.waiting.front().is_some_and(|object| !queued.contains(object)) {
                members.waiting.pop_front();
            }
            members.running > 0 || !members.waiting.is_empty()
        });
        let may_run = |members: &Members| members.running < self.per_group && !members.waiting.is_empty();
        let groups = self.groups.iter_mut().filter(|(_, members)| self.free > 0 && may_run(members));
        let (group, members) = groups.min_by_key(|(_, members)| members.running)?;
        let (group, object) = (group.clone(), members.waiting.pop_front()?);
        self.free -= 1;
        members.running += 1;
        self.dequeue(&object);
        self.reserved.insert(object.clone(), group);
        Some(object)
    }

    /// An empty set gives back its memory: thousands of objects wait only after a start.
    fn dequeue(&mut self, object: &Object) {
        self.queued.remove(object);
        if self.queued.is_empty() {
            self.queued = HashSet::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(name: &str) -> Object {
        ObjectRef::new(name).within("shop")
    }

    fn numbered(n: usize) -> Object {
        object(&n.to_string())
    }

    fn groups() -> [Group; 3] {
        ["eu-west-1", "us-east-1", "us-west-2"].map(|region| {
            Some(AccountRegion { account: "111122223333".parse().unwrap(), region: region.parse().unwrap() })
        })
    }

    #[test]
    fn a_region_gets_at_most_half_of_the_workers() {
        let (mut queue, [slow, other, _]) = (Queue::new(4), groups());
        assert!((0..2).all(|n| queue.admit(numbered(n), slow.clone()).is_some()));
        assert_eq!(queue.admit(numbered(2), slow), None, "a third object of the same region waits");
        assert!((3..5).all(|n| queue.admit(numbered(n), other.clone()).is_some()), "another region does not");
        assert_eq!(queue.free, 0);
    }

    #[test]
    fn a_free_worker_goes_to_the_object_that_waited_longest_and_to_no_other() {
        let (mut queue, [region, ..]) = (Queue::new(2), groups());
        assert!(queue.admit(object("runs"), region.clone()).is_some());
        for waiting in ["first", "second", "first"] {
            assert_eq!(queue.admit(object(waiting), region.clone()), None);
        }
        assert_eq!(queue.release(&region), [object("first")]);
        assert_eq!(queue.admit(object("late"), region.clone()), None, "the worker is reserved");
        assert_eq!(queue.admit(object("first"), None), Some(region.clone()), "it keeps the group that it queued in");
        assert_eq!(queue.release(&region), [object("second")]);
        assert_eq!(queue.queued.len(), 1);
    }

    #[test]
    fn worker_of_an_object_that_is_gone_goes_to_the_next() {
        let (mut queue, [region, ..]) = (Queue::new(2), groups());
        assert!(queue.admit(object("runs"), region.clone()).is_some());
        for waiting in ["gone", "also gone", "next"] {
            assert_eq!(queue.admit(object(waiting), region.clone()), None);
        }
        assert!(queue.forget(&object("also gone")).is_empty());
        assert_eq!(queue.release(&region), [object("gone")]);
        assert_eq!(queue.forget(&object("gone")), [object("next")]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Reconcile(usize),
        End(usize),
        Forget(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..12_usize).prop_map(Step::Reconcile),
            2 => (0..12_usize).prop_map(Step::End),
            1 => (0..12_usize).prop_map(Step::Forget),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_worker_is_lost_and_none_is_idle_while_an_object_may_have_it(steps in steps(), workers in 1..7_usize) {
            let (groups, mut queue, mut running) = (groups(), Queue::new(workers), HashMap::new());
            for step in steps {
                match step {
                    Step::Reconcile(n) if !running.contains_key(&n) => {
                        let admitted = queue.admit(numbered(n), groups[n % 3].clone());
                        running.extend(admitted.map(|group| (n, group)));
                    }
                    Step::Reconcile(_) => {}
                    Step::End(n) => drop(running.remove(&n).map(|group| queue.release(&group))),
                    Step::Forget(n) => drop(queue.forget(&numbered(n))),
                }
                prop_assert_eq!(queue.free + running.len() + queue.reserved.len(), workers);
                for (group, members) in &queue.groups {
                    prop_assert!(members.running <= queue.per_group);
                    let waits = members.waiting.iter().any(|object| queue.queued.contains(object));
                    prop_assert!(!waits || queue.free == 0 || members.running == queue.per_group, "{group:?} is idle");
                }
            }
        }
    }
}
