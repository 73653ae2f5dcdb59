//! Batches that the driver runs itself, on its own thread.
//!
//! Decides which: those that end sooner than other threads wake. To hand a batch to a worker's thread and to hear of its
//! end wakes two threads, which takes tens of microseconds each, and now and then hundreds where a core has to be given
//! back to a virtual machine first. Does not know who waits for the answers.

use super::driver::Driver;
use crate::clock;
use crate::exec::{Job, JobDone};
use crate::sched::{CostModel, Dispatch};
use crate::types::Time;
use std::time::Duration;

/// Longer batches are a worker thread's: what a runtime's thread may do without giving others a turn is some 10 to
/// 100 µs (Alice Ryhl, "Async: What is blocking?").
const LONGEST: Duration = Duration::from_micros(100);
/// What a prediction must rest on, in runs of the model on that device.
const EVIDENCE: u64 = 16;
/// Putting more than this together takes time that no prediction knows of.
const MOST_BYTES: usize = 64 << 10;
/// A batch that took longer, against its prediction, keeps its worker's batches away for so long.
const FAR_TOO_LONG: Duration = Duration::from_millis(1);
const AWAY: Duration = Duration::from_secs(1);

/// What is known of a worker's batches that the driver ran.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// None before this.
    not_before: Time,
}

impl Here {
    fn is_open(&self, now: Time) -> bool {
        now >= self.not_before
    }

    /// Takes note of a batch that took so long and ended now.
    fn took(&mut self, time: Duration, now: Time) {
        if time > FAR_TOO_LONG {
            self.not_before = now + AWAY;
        }
    }
}

impl Driver {
    /// Runs a batch here and now if that is quicker for it and holds up nobody; else gives the job back.
    pub(super) fn run_here(&mut self, dispatch: &Dispatch, job: Job) -> Result<JobDone, Job> {
        if !self.is_for_here(dispatch, &job) {
            return Err(job);
        }
        let Some(slot) = self.workers.get_mut(&dispatch.worker) else { return Err(job) };
        let Some(handle) = &slot.handle else { return Err(job) };
        let begun = clock::now();
        let done = handle.run_here(job)?;
        let now = clock::now();
        slot.here.took(now.since(begun), now);
        Ok(done)
    }

    /// Nothing else waits or runs, and by all that is known it ends at once.
    fn is_for_here(&self, dispatch: &Dispatch, job: &Job) -> bool {
        // What most batches are not comes first.
        if dispatch.predicted > LONGEST {
            return false;
        }
        let Some(slot) = self.workers.get(&dispatch.worker) else { return false };
        let (rows, len) = (dispatch.rows, dispatch.padded_len);
        let known = |cost: &CostModel| cost.observations() >= EVIDENCE && cost.measured(rows, len, 1);
        slot.plan.here
            && slot.here.is_open(clock::now())
            && self.sched.rows_running() == rows
            && self.sched.rows_retrying() == 0
            && self.models.keys().all(|model| self.sched.queue(*model).rows == 0)
            && self.sched.costs(dispatch.model).any(|(device, cost)| device == slot.plan.device && known(cost))
            && job.bytes() <= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_took_far_too_long_keeps_the_next_away_for_a_while() {
        let (mut here, now) = (Here::default(), Time(5_000_000_000));
        here.took(FAR_TOO_LONG, now);
        assert!(here.is_open(now));
        here.took(FAR_TOO_LONG + Duration::from_nanos(1), now);
        assert!(!here.is_open(now));
        assert!(!here.is_open(now + (AWAY - Duration::from_nanos(1))));
        assert!(here.is_open(now + AWAY));
    }
}
