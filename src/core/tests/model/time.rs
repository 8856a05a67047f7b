//! Time: it stands still, and when it passes, the moments that the operators remember move into the past, at most [`HORIZON`]
//! far, so that equal situations are equal worlds.

use std::time::Duration;

use super::super::evidence::NOW;
use super::world::{Life, World};
use crate::core::blockers::Blockers;
use crate::core::clock::Moment;
use crate::core::state::{Deletion, ObjectState};

/// One step of time; the intervals of the model are multiples of it.
pub(super) const TICK: Duration = Duration::from_mins(1);
/// A moment that is longer ago than this counts like one that is this long ago: no interval of the model is longer.
const HORIZON: u32 = 3;

impl World {
    /// One step of time passes.
    pub(super) fn tick(&mut self) {
        if self.aws.life == Life::Deleting {
            self.aws.life = Life::Inactive;
        }
        if self.aws.foreign() {
            self.aws.foreign_for = (self.aws.foreign_for + 1).min(2);
        }
        for operator in &mut self.operators {
            operator.states.iter_mut().flatten().for_each(age);
            operator.blockers.iter_mut().flatten().for_each(age_blockers);
            if let Some(running) = &mut operator.running {
                age(&mut running.state);
                running.attempt.tag_read_at.iter_mut().for_each(age_moment);
            }
        }
    }
}

fn age(state: &mut ObjectState) {
    match &mut state.deletion {
        Deletion::NotSent | Deletion::Confirmed { .. } => {}
        Deletion::Unanswered { refused_since } => refused_since.iter_mut().for_each(age_moment),
        Deletion::Accepted { since, describes } => {
            age_moment(since);
            *describes = (*describes).min(1);
        }
        Deletion::Refused(refused) => {
            age_moment(&mut refused.since);
            age_moment(&mut refused.last);
        }
    }
    if let Some(pending) = &mut state.pending_claim {
        age_moment(&mut pending.written_at);
    }
    if let Some(wait) = &mut state.wait {
        age_moment(&mut wait.until);
        wait.until = wait.until.max(NOW);
    }
    [&mut state.owner_checked_at, &mut state.tag_restored_at].into_iter().flatten().for_each(age_moment);
}

fn age_blockers(blockers: &mut Blockers) {
    [&mut blockers.released_at, &mut blockers.unreferenced_at].into_iter().flatten().for_each(age_moment);
}

fn age_moment(moment: &mut Moment) {
    let start = Moment::new(Duration::ZERO);
    let older = Moment::new(moment.since(start).saturating_sub(TICK));
    *moment = older.max(Moment::new(NOW.since(start).saturating_sub(TICK * HORIZON)));
}
