//! The invariants of a finished run. Each is checked against the test's own watch and the emulator, not against the word of
//! the operator; a check returns the violations it finds.

use std::collections::BTreeSet;
use std::time::Duration;

use apprunner_emulator::{Behaviors, Call, ConnectorView, DeleteReply, Operation};
use apprunner_operator::api::{self, DeletionPolicy, Reason, VpcConnector};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::observer::{History, Life};
use crate::run::{Acts, CLUSTER, PACE, owner_tag};
use crate::support::OTHER;

/// From the operator's view of an object to its call: scheduling on a busy machine.
const REACTION: Duration = Duration::from_secs(3);
/// From the disturbance of a watch until the next restart of the watch has ended its effects: 5 minutes, varied by a
/// fifth, at this pace, and the time for a list.
const WATCH_RESTART: Duration = Duration::from_secs(12);
/// From reading an owner tag to the call or write that relies on it: a write of at most 10 s may come between, and the time
/// of [`OWNER_CHECK`].
const TAG_RELIED_ON: Duration = Duration::from_secs(16);
/// A repeated delete of a connector in use relies on an owner tag that was read within a minute, at this pace.
const OWNER_CHECK: Duration = Duration::from_mins(1).checked_div(PACE).unwrap().saturating_add(REACTION);
/// Longest time for which two processes run side by side: until a second operator is killed, or one that received SIGTERM
/// has finished its calls.
const OVERLAP: Duration = Duration::from_secs(15);
/// Interval of the fastest repeated delete while a connector is in use, at this pace.
const FASTEST_REPETITION: Duration = Duration::from_secs(5).checked_div(PACE).unwrap();

/// Everything that is known about a finished run.
pub struct Finished {
    pub history: History,
    pub acts: Acts,
    pub calls: Vec<Call>,
    pub connectors: Vec<ConnectorView>,
    pub behaviors: Behaviors,
    pub namespace: String,
}

impl Finished {
    /// All violations.
    pub fn violations(&self) -> Vec<String> {
        let mut all = self.acts.violations.clone();
        for (uid, life) in &self.history.lives {
            all.extend(self.lost(uid, life));
            all.extend(self.finalizer_taken_from_a_living_object(uid, life));
            all.extend(self.receipt_lost(life));
            all.extend(self.ended_without_a_word(uid, life));
        }
        for call in self.calls.iter().filter(|call| is(call, Operation::DeleteVpcConnector)) {
            all.extend(self.deleted_without_an_object(call));
            all.extend(self.deleted_for_another_owner(call));
        }
        let arns: BTreeSet<&str> = self.calls.iter().filter_map(|call| call.arn.as_deref()).collect();
        for arn in arns {
            all.extend(self.too_many_deletes(arn));
            all.extend(arn.contains(OTHER.2).then(|| format!("called AWS for {arn}, which is of another account")));
        }
        all.extend(self.acts.logs.iter().flat_map(|log| defects(log)));
        all
    }

    /// Numbers that show how much a run has tried.
    pub fn summary(&self) -> String {
        let lives = &self.history.lives;
        let released: Vec<_> =
            lives.iter().filter(|(uid, life)| self.released(uid, life)).map(|(_, life)| life).collect();
        let retained = released.iter().filter(|life| retained(life)).count();
        let receipts = released.iter().filter(|life| has_receipt(life.last())).count();
        let foreign =
            released.iter().filter(|life| !retained_or_receipt(life) && self.foreign_at_the_end(life)).count();
        let deletes = self.calls.iter().filter(|call| is(call, Operation::DeleteVpcConnector)).count();
        let faulty = self.calls.iter().filter(|call| call.fault.is_some()).count();
        format!(
            "{} objects, {} released ({receipts} with a receipt, {retained} retained, {foreign} to another owner), {} calls \
             to AWS ({deletes} deletes, {faulty} with a fault), {} processes",
            lives.len(),
            released.len(),
            self.calls.len(),
            self.acts.starts.len()
        )
    }

    /// Invariant 1. An object that the operator released has no ACTIVE connector, or was retained, or its connector has
    /// another owner.
    fn lost(&self, uid: &str, life: &Life) -> Option<String> {
        let gone = life.gone?;
        let proven = self.inactive_at(life.arn()).is_some_and(|at| at <= gone);
        let lost = self.released(uid, life) && !proven && !retained(life) && !self.foreign_at_the_end(life);
        lost.then(|| format!("{} ({uid}) is gone at {gone} and its connector {} was ACTIVE", life.name(), life.arn()))
    }

    /// True if the operator removed the finalizer, and with it the object.
    fn released(&self, uid: &str, life: &Life) -> bool {
        // An object that was never shown as being deleted had no finalizer when the API server decided to delete it. A
        // finalizer that is added between that decision and the deletion does not prevent the deletion.
        let held = life.last().deleting() && life.last().finalizer_index().is_some();
        life.gone.is_some() && held && !self.acts.released_by_hand.contains(uid)
    }

    /// The time from which a connector did not exist; the beginning of time for one that never did.
    fn inactive_at(&self, arn: &str) -> Option<Timestamp> {
        let by_hand = self.acts.connectors_deleted.get(arn).copied();
        match self.connectors.iter().find(|connector| connector.arn == arn) {
            Some(connector) => connector.deleted_at,
            None => Some(by_hand.unwrap_or(Timestamp::MIN)),
        }
    }

    /// True if the owner tag may have named another owner when the operator last read it.
    fn foreign_at_the_end(&self, life: &Life) -> bool {
        let Some(gone) = life.gone else { return false };
        let ours = owner_tag(&self.namespace, &life.name());
        let tags = self.history.tags_between(life.arn(), gone - TAG_RELIED_ON, gone);
        tags.into_iter().flatten().any(|tag| tag != ours)
    }

    /// Also invariant 1. The operator takes its finalizer only from an object that is being deleted.
    fn finalizer_taken_from_a_living_object(&self, uid: &str, life: &Life) -> Option<String> {
        let taken = life.versions.windows(2).any(|pair| {
            let [before, after] = [&pair[0].object, &pair[1].object];
            !after.deleting() && before.finalizer_index().is_some() && after.finalizer_index().is_none()
        });
        let ours = taken && !self.acts.finalizers_removed.contains(uid);
        ours.then(|| format!("{} ({uid}) lost its finalizer while it was not being deleted", life.name()))
    }

    /// Invariant 2. Every delete call, carried out or not, is for an object that is being deleted with policy Delete, is
    /// neither paused nor protected, and had claimed the connector.
    fn deleted_without_an_object(&self, call: &Call) -> Option<String> {
        let allowed = self.lives_of(call).any(|life| self.allows_the_delete(life, call));
        (!allowed).then(|| format!("call {} at {} deletes {:?} for no object", call.seq, call.received_at, call.arn))
    }

    fn lives_of(&self, call: &Call) -> impl Iterator<Item = &Life> {
        self.history.lives.values().filter(move |life| Some(life.arn()) == call.arn.as_deref())
    }

    fn allows_the_delete(&self, life: &Life, call: &Call) -> bool {
        let (from, to) = (self.seen_since(call.received_at), call.received_at + REACTION);
        let allows = |object: &VpcConnector| {
            let held = object.held_by(api::PAUSED).is_some() || object.held_by(api::PROTECTED).is_some();
            object.deleting() && object.spec.deletion_policy == Some(DeletionPolicy::Delete) && !held
        };
        let claims = |object: &VpcConnector| object.status.as_ref().and_then(|s| s.arn.as_deref()) == Some(life.arn());
        let claimed =
            life.versions.iter().take_while(|version| version.at <= to).any(|version| claims(&version.object));
        claimed && life.versions_between(from, to).any(allows)
    }

    /// The oldest version of an object that the operator may have acted on at a time is the one of this time.
    fn seen_since(&self, at: Timestamp) -> Timestamp {
        let mut since = at - REACTION;
        // A disturbance may begin before the effects of another have ended.
        while let Some((began, _)) =
            self.acts.blind.iter().find(|(began, ended)| *began - REACTION < since && *ended + WATCH_RESTART >= since)
        {
            since = *began - REACTION;
        }
        since
    }

    /// Also invariant 2. The operator read the owner tag not long before each delete, and the tag did not name another owner
    /// from that read on.
    fn deleted_for_another_owner(&self, call: &Call) -> Option<String> {
        let (arn, at) = (call.arn.as_deref()?, call.received_at);
        let earliest = at - TAG_RELIED_ON;
        let reads = self.calls.iter().filter(|read| {
            let of_tags = is(read, Operation::ListTagsForResource) && read.arn == call.arn;
            of_tags && read.status == Some(200) && (earliest..=at).contains(&read.received_at)
        });
        let Some(read) = reads.map(|read| read.received_at).max() else {
            return Some(format!("call {} at {at} deletes {arn}, and no call has read its tag", call.seq));
        };
        // With two processes, the last read may be of the one, and the delete of the other.
        let alone = !self.acts.overlaps.iter().any(|start| (at - OVERLAP..=at).contains(start));
        let shown_late = Duration::from_millis(self.behaviors.tags_visible_after_ms);
        let since = if alone { read.min(at - OWNER_CHECK) } else { earliest } - shown_late;
        let ours: Vec<_> = self
            .lives_of(call)
            .filter(|life| self.allows_the_delete(life, call))
            .map(|life| owner_tag(&self.namespace, &life.name()))
            .collect();
        let is_free = |tag: Option<&str>| {
            tag.is_none_or(|tag| ours.iter().any(|ours| ours == tag) || !self.is_of_another(tag, arn, since, at))
        };
        let tags = self.history.tags_between(arn, since, at);
        let foreign = !tags.iter().copied().any(is_free);
        foreign.then(|| format!("call {} at {at} deletes {arn}, whose tag was {tags:?} since {since}", call.seq))
    }

    /// True if a tag names another cluster, or an object that names this connector and existed all the time.
    fn is_of_another(&self, tag: &str, arn: &str, since: Timestamp, at: Timestamp) -> bool {
        let Some(name) = tag.strip_prefix(&format!("{CLUSTER}/{}/", self.namespace)) else { return true };
        let existed = |life: &Life| life.versions[0].at <= since && life.gone.is_none_or(|gone| gone > at + REACTION);
        self.history.lives.values().any(|life| life.name() == name && life.arn() == arn && existed(life))
    }

    /// Invariant 3. A receipt stays in the status as it is, unless a user edits the status.
    fn receipt_lost(&self, life: &Life) -> Option<String> {
        let mut receipt = None;
        for version in &life.versions {
            let object = &version.object;
            let status = object.status.clone().unwrap_or_default();
            let now = (status.arn, status.status, status.deleted_at);
            if self.edited(object) {
                receipt = None;
            }
            if receipt.as_ref().is_some_and(|receipt| *receipt != now) {
                return Some(format!("{} had the receipt {receipt:?}, and at {} {now:?}", life.name(), version.at));
            }
            // A connector that was seen INACTIVE before the deletion began has no receipt yet.
            if object.deleting() && has_receipt(object) && says(object, Reason::Deleted) {
                receipt = Some(now);
            }
        }
        None
    }

    fn edited(&self, object: &VpcConnector) -> bool {
        object.resource_version().is_some_and(|version| self.acts.statuses_edited.contains(&version))
    }

    /// Invariant 4. The status of an object whose connector was deleted, or was gone, has said so before the object ended.
    fn ended_without_a_word(&self, uid: &str, life: &Life) -> Option<String> {
        let deleting = || life.versions.iter().map(|version| &version.object).filter(|object| object.deleting());
        if deleting().any(|object| self.edited(object))
            || !self.released(uid, life)
            || retained(life)
            || self.foreign_at_the_end(life)
        {
            return None;
        }
        // A refusal of the write that removes the finalizer replaces the reason AlreadyGone, and not a receipt.
        let said = deleting().any(|object| has_receipt(object) || says(object, Reason::AlreadyGone));
        (!said).then(|| format!("{} ({uid}) ended without a receipt: {:?}", life.name(), life.last().status))
    }

    /// Invariant 5. Deletes are bounded: one, and one more for each process that started in between, each faulty call for
    /// the connector and each object that names it; while App Runner refuses, one for each interval and each nudge.
    fn too_many_deletes(&self, arn: &str) -> Option<String> {
        let of_arn = |call: &&Call| call.arn.as_deref() == Some(arn);
        let deletes: Vec<_> =
            self.calls.iter().filter(of_arn).filter(|call| is(call, Operation::DeleteVpcConnector)).collect();
        let (first, last) = (deletes.first()?.received_at, deletes.last()?.received_at);
        let answers = [Operation::DeleteVpcConnector, Operation::DescribeVpcConnector];
        let of_answers = self.calls.iter().filter(of_arn).filter(|call| answers.iter().any(|answer| is(call, *answer)));
        let faulty = of_answers.filter(|call| call.fault.is_some()).count();
        let starts = self.acts.starts.iter().filter(|start| (first..=last).contains(start)).count();
        let beside = (first - OVERLAP)..first;
        let beside = self.acts.overlaps.iter().filter(|start| beside.contains(start)).count();
        let others = self.history.lives.values().filter(|life| life.arn() == arn).count().saturating_sub(1);
        let done = self.effect_of_delete(arn);
        let (before, after): (Vec<&Call>, Vec<&Call>) =
            deletes.into_iter().partition(|call| done.is_none_or(|done| call.received_at <= done));
        let refused = before.iter().filter(|call| call.fault.is_none() && call.error.is_some()).count();
        let rest = before.len() - refused + after.len();
        let repetitions = intervals(first, last, FASTEST_REPETITION);
        let eventual = match self.behaviors.delete_reply {
            DeleteReply::Eventual => intervals(first, last, Duration::from_mins(2) / PACE),
            DeleteReply::Inactive => 0,
        };
        let allowed_refused = 2 + repetitions + self.acts.nudges + starts;
        let allowed_rest = 1 + starts + beside + faulty + others + eventual;
        let many = refused > allowed_refused || rest > allowed_rest;
        many.then(|| {
            format!(
                "{arn}: {refused} refused deletes of {allowed_refused}, and {rest} others of {allowed_rest} allowed"
            )
        })
    }

    /// The time at which a delete call took effect.
    fn effect_of_delete(&self, arn: &str) -> Option<Timestamp> {
        let deleted_at = self.connectors.iter().find(|connector| connector.arn == arn)?.deleted_at?;
        Some(match self.behaviors.delete_reply {
            DeleteReply::Eventual => deleted_at - Duration::from_millis(self.behaviors.delete_settles_after_ms),
            DeleteReply::Inactive => deleted_at,
        })
    }
}

fn is(call: &Call, operation: Operation) -> bool {
    call.operation.as_deref() == Some(operation.name())
}

/// True if the object was to be retained at some time while it was being deleted: an operator whose watch is late may act
/// on that version.
fn retained(life: &Life) -> bool {
    let retains =
        |object: &VpcConnector| object.deleting() && object.spec.deletion_policy == Some(DeletionPolicy::Retain);
    life.versions.iter().any(|version| retains(&version.object))
}

fn retained_or_receipt(life: &Life) -> bool {
    retained(life) || has_receipt(life.last())
}

/// The status of the object says that its connector is INACTIVE.
pub(crate) fn has_receipt(object: &VpcConnector) -> bool {
    let status = object.status.clone().unwrap_or_default();
    status.arn.as_deref() == Some(object.spec.arn.as_str())
        && status.status.is_some_and(|word| word.eq_ignore_ascii_case("INACTIVE"))
}

fn says(object: &VpcConnector, reason: Reason) -> bool {
    object.status.as_ref().is_some_and(|status| status.says(reason))
}

fn intervals(from: Timestamp, to: Timestamp, each: Duration) -> usize {
    let all = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    usize::try_from(all.as_millis() / each.as_millis()).unwrap_or(usize::MAX)
}

/// Invariant 6. The log has no panic and no defect; the first line of each kind is enough.
fn defects(log: &str) -> Vec<String> {
    let words = ["panicked", "the reconcile did not end", "does not parse"];
    let first = words.iter().filter_map(|word| log.lines().find(|line| line.contains(word)));
    first.map(|line| format!("the log has a defect: {line}")).collect()
}
