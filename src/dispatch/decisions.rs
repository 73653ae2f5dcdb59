//! The last decisions: which rows ran together, why then, and how long it was thought to take.
//!
//! Decides how many are kept. Does not know what is done with them.

use super::driver::InFlight;
use crate::clock;
use crate::exec::Failure;
use crate::policy::Policy;
use crate::types::{BatchId, WorkerId, locked};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Most decisions kept.
pub const MOST: usize = 1_000;
/// Most rows kept, over all decisions; the newest is kept whatever it holds.
const MOST_ROWS: u64 = 65_536;

/// One batch that ended.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Its number.
    pub batch: BatchId,
    /// When it was dispatched, by the wall clock of the time it ended.
    pub at: SystemTime,
    /// The model's name.
    pub model: Arc<str>,
    /// The device's name.
    pub device: Arc<str>,
    /// Who ran it.
    pub worker: WorkerId,
    /// The policy that formed it.
    pub policy: Arc<Policy>,
    /// Generation of that policy's set.
    pub generation: u64,
    /// Its rows.
    pub rows: u32,
    /// What it held, in batch order.
    pub members: Vec<Member>,
    /// The length every row was padded to.
    pub padded_len: u32,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Rows of the batch that would have paid most at that length; `None` where length does not count.
    pub best_rows: Option<u32>,
    /// How long it was predicted to run.
    pub predicted: Duration,
    /// How long it ran; `None` when its worker was lost.
    pub compute: Option<Duration>,
    /// The longest that a member had waited.
    pub queued: Duration,
    /// Why it was released when it was: the label of `inferneo_batch_release_total`.
    pub reason: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

/// One item of a batch: all of its rows have one length.
#[derive(Debug, Clone)]
pub struct Member {
    /// The caller's request id.
    pub request: Arc<str>,
    /// The tenant's name; empty when none was given.
    pub tenant: Arc<str>,
    /// Tokens a row.
    pub len: u32,
    /// Rows.
    pub rows: u32,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every row has its answer.
    Ok,
    /// The model refused it.
    Failed,
    /// The device had no memory for it.
    OutOfMemory,
    /// Its worker or device was lost.
    WorkerLost,
}

impl Outcome {
    /// Its word in `/decisions`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::OutOfMemory => "out_of_memory",
            Self::WorkerLost => "worker_lost",
        }
    }
}

impl From<Option<&Failure>> for Outcome {
    fn from(failure: Option<&Failure>) -> Self {
        match failure {
            None => Self::Ok,
            Some(Failure::Failed(_) | Failure::Inseparable(_)) => Self::Failed,
            Some(Failure::OutOfMemory(_)) => Self::OutOfMemory,
            Some(Failure::DeviceLost(_)) => Self::WorkerLost,
        }
    }
}

impl Decision {
    /// Tells of a batch that ended.
    pub(super) fn of(
        ran: &mut InFlight,
        [model, device]: [&Arc<str>; 2],
        compute: Option<Duration>,
        outcome: Outcome,
    ) -> Self {
        let members = std::mem::take(&mut ran.members);
        let InFlight { dispatch: d, started, .. } = ran;
        Self {
            batch: d.batch,
            at: clock::date(*started),
            model: Arc::clone(model),
            device: Arc::clone(device),
            worker: d.worker,
            policy: Arc::clone(&d.policy),
            generation: d.generation,
            rows: d.rows,
            members,
            padded_len: d.padded_len,
            tokens: d.tokens,
            best_rows: d.best_rows,
            predicted: d.predicted,
            compute,
            queued: started.since(d.oldest),
            reason: d.why.label(),
            outcome,
        }
    }
}

/// The last decisions, bounded in batches and in rows.
#[derive(Debug, Default)]
pub struct Decisions {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    decisions: VecDeque<Arc<Decision>>,
    rows: u64,
}

impl Decisions {
    /// The last `n`, of one model or of all, newest last.
    #[must_use]
    pub fn last(&self, n: usize, model: Option<&str>) -> Vec<Arc<Decision>> {
        let ring = locked(&self.ring);
        let newest = ring.decisions.iter().rev().filter(|d| model.is_none_or(|model| *d.model == *model));
        let mut last: Vec<_> = newest.take(n).cloned().collect();
        last.reverse();
        last
    }

    /// Adds the newest, at the cost of the oldest.
    pub(super) fn push(&self, decision: Decision) {
        let decision = Arc::new(decision);
        let mut ring = locked(&self.ring);
        ring.rows += u64::from(decision.rows);
        ring.decisions.push_back(decision);
        while ring.decisions.len() > MOST || ring.rows > MOST_ROWS && ring.decisions.len() > 1 {
            let Some(oldest) = ring.decisions.pop_front() else { break };
            ring.rows -= u64::from(oldest.rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Strategy;

    fn decision(batch: u64, rows: u32) -> Decision {
        Decision {
            batch: BatchId(batch),
            at: SystemTime::UNIX_EPOCH,
            model: "m".into(),
            device: "cpu".into(),
            worker: WorkerId(0),
            policy: Arc::new(Policy::preset("default", Strategy::Adaptive)),
            generation: 1,
            rows,
            members: Vec::new(),
            padded_len: 1,
            tokens: u64::from(rows),
            best_rows: None,
            predicted: Duration::ZERO,
            compute: None,
            queued: Duration::ZERO,
            reason: "full",
            outcome: Outcome::Ok,
        }
    }

    fn batches(decisions: &Decisions, n: usize) -> Vec<u64> {
        decisions.last(n, None).iter().map(|d| d.batch.0).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_come_last() {
        let decisions = Decisions::default();
        (0..1_500).for_each(|batch| decisions.push(decision(batch, 1)));
        assert_eq!(batches(&decisions, 3), [1_497, 1_498, 1_499]);
        assert_eq!(batches(&decisions, usize::MAX), (500..1_500).collect::<Vec<_>>());
    }

    #[test]
    fn those_of_one_model_are_found_among_the_others() {
        let decisions = Decisions::default();
        for (batch, model) in ["a", "b", "a", "a", "b"].into_iter().enumerate() {
            decisions.push(Decision { model: model.into(), ..decision(batch as u64, 1) });
        }
        let of = |model, n| decisions.last(n, Some(model)).iter().map(|d| d.batch.0).collect::<Vec<_>>();
        assert_eq!((of("a", 2), of("b", 10), of("c", 10)), (vec![2, 3], vec![1, 4], vec![]));
    }

    #[test]
    fn rows_are_bounded_and_the_newest_is_always_kept() {
        let decisions = Decisions::default();
        (0..10).for_each(|batch| decisions.push(decision(batch, 20_000)));
        assert_eq!(batches(&decisions, 100), [7, 8, 9]);
        decisions.push(decision(10, 1_000_000));
        assert_eq!(batches(&decisions, 100), [10]);
        decisions.push(decision(11, 1));
        assert_eq!(batches(&decisions, 100), [11]);
    }
}
