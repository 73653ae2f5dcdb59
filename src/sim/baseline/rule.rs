//! The rules: which items of a line run next.

use super::Rule;
use super::line::{Line, Waiting};
use super::regression::{LATENCY, Queue, Regression, TICK};
use crate::sched::{CostModel, Grid};
use crate::types::Time;
use std::time::Duration;

/// What a rule may look at besides the line.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) now: Time,
    pub(super) cost: &'a CostModel,
    pub(super) grid: Grid,
    /// Busy workers of the device once the batch runs.
    pub(super) busy: u32,
    pub(super) regression: &'a Regression,
}

/// What a rule wants.
#[derive(Debug)]
pub(super) enum Step {
    Run(Vec<Waiting>),
    /// Look again then.
    Hold(Time),
    /// Refuse the oldest, and look again.
    Refuse,
}

impl Scene<'_> {
    /// When a batch is predicted to have ended, if it is as slow as 19 of 20 are not.
    fn end(&self, rows: u32, longest: u32) -> Time {
        let time = self.cost.predict(rows, self.grid.padded(longest), self.busy) * self.cost.margin();
        self.now + Duration::from_nanos(time as u64)
    }

    /// The place in a batch of the item that is late soonest, if that is before the batch has ended.
    pub(super) fn late(&self, batch: &[Waiting]) -> Option<usize> {
        let rows = batch.iter().map(|w| w.item.rows).sum();
        let longest = batch.iter().map(|w| w.item.len).max()?;
        let first = (0..batch.len()).min_by_key(|&i| batch[i].due)?;
        (batch[first].due < self.end(rows, longest)).then_some(first)
    }
}

impl Rule {
    /// What is to be done with a line that is not empty.
    pub(super) fn step(self, line: &mut Line, scene: &Scene<'_>) -> Step {
        let (Some(oldest), Some(newest)) = (line.waiting.front(), line.waiting.back()) else {
            return Step::Run(line.cut.pop_front().unwrap_or_default());
        };
        let count = match self {
            Self::None => 1,
            Self::Fixed { rows, delay } => {
                let due = oldest.arrived + delay;
                if line.rows() < u64::from(rows) && scene.now < due {
                    return Step::Hold(due);
                }
                line.count(|total, _| total <= u64::from(rows))
            }
            Self::Fifo { tokens } => line.count(|rows, longest| rows * u64::from(longest) <= u64::from(tokens)),
            Self::Window { rows, batch } => return Step::Run(window(line, rows, batch)),
            Self::Regression { rows } => {
                let queue = Queue { items: line.waiting.len(), oldest: oldest.arrived, newest: newest.arrived };
                let latency = if oldest.due == Time::NEVER { LATENCY } else { oldest.due.since(oldest.arrived) };
                if scene.regression.refuses(queue, latency, scene.now) {
                    return Step::Refuse;
                }
                if line.rows() < u64::from(rows) && scene.regression.waits(queue, scene.now) {
                    return Step::Hold(scene.now + TICK);
                }
                let most = u64::from(rows.min(scene.regression.most()));
                line.count(|total, _| total <= most)
            }
            Self::Drop { rows } => {
                let due = oldest.due;
                line.count(|total, longest| total <= u64::from(rows) && scene.end(total as u32, longest) <= due)
            }
        };
        Step::Run(line.take(count))
    }
}

/// The next batch of the window, cut anew where nothing is left of the last.
fn window(line: &mut Line, rows: u32, batch: u32) -> Vec<Waiting> {
    if line.cut.is_empty() {
        let mut taken = line.take(line.count(|total, _| total <= u64::from(rows)));
        taken.sort_by_key(|w| w.item.len);
        let mut cut = Vec::new();
        for waiting in taken {
            let full = |cut: &Vec<Waiting>| cut.iter().map(|w| w.item.rows).sum::<u32>() + waiting.item.rows > batch;
            if !cut.is_empty() && full(&cut) {
                line.cut.push_back(std::mem::take(&mut cut));
            }
            cut.push(waiting);
        }
        line.cut.push_back(cut);
    }
    line.cut.pop_front().unwrap_or_default()
}
