//! One lane's wish: which of its items to run now, or until when to wait.

use super::event::{Grid, Release};
use super::form::{Former, Segment, Terms};
use super::lane::{Lane, edge};
use super::strategy::{Choice, GUARD, LEAST_GUARD, Rule};
use super::table::Table;
use super::urgency::Entry;
use crate::types::Time;
use std::time::Duration;

/// What a lane wants.
pub(super) enum Wish {
    /// Run these items now.
    Run(Vec<u32>, Release),
    /// Wait until then for more.
    Hold(Time),
    /// Nothing waits.
    Nothing,
}

/// What a decision may look at.
pub(super) struct View<'a> {
    pub(super) table: &'a Table,
    pub(super) terms: Terms<'a>,
    pub(super) rule: Rule,
    pub(super) grid: Grid,
    /// Free workers of the model.
    pub(super) idle: u32,
    pub(super) now: Time,
    pub(super) draining: bool,
}

impl Segment {
    /// Why a best batch of it is released.
    fn release(&self) -> Release {
        if self.capped { Release::Full } else { Release::Best }
    }
}

impl View<'_> {
    /// What a lane wants, given what waits in it.
    pub(super) fn wish(&self, lane: &mut Lane, former: &mut Former) -> Wish {
        let Some(anchor) = lane.anchor(self.table) else {
            return Wish::Nothing;
        };
        match self.rule.choice {
            Choice::Alone => Wish::Run(vec![anchor.slot], Release::Alone),
            Choice::Arrival => self.arrival(lane, anchor),
            Choice::Anchor | Choice::Richest => self.by_length(lane, anchor, former),
        }
    }

    /// The first N rows in arrival order once there are N, or once the first waited long enough.
    fn arrival(&self, lane: &mut Lane, anchor: Entry) -> Wish {
        let first = self.table.item(anchor.slot);
        let limits = lane.policy.batch.clone();
        let due = first.arrival + limits.max_queue_delay;
        let why = if lane.classes[first.class as usize].rows >= limits.max_batch_size {
            Release::Full
        } else if self.draining {
            Release::Drain
        } else if self.now >= due {
            Release::Delay
        } else {
            return Wish::Hold(due);
        };
        let (mut items, mut skipped) = (Vec::new(), Vec::new());
        let (mut rows, mut longest) = (0, 0);
        while rows < limits.max_batch_size {
            let Some(entry) = lane.pop_anchor(self.table) else {
                break;
            };
            let slot = self.table.item(entry.slot);
            if slot.class != first.class {
                skipped.push(entry);
                continue;
            }
            let (total, len) = (rows + slot.item.rows, longest.max(slot.item.len));
            if !items.is_empty() && (total > limits.max_batch_size || total > self.terms.cap(len)) {
                skipped.push(entry);
                break;
            }
            (rows, longest) = (total, len);
            items.push(entry.slot);
        }
        for entry in skipped {
            lane.restore(entry);
        }
        Wish::Run(items, why)
    }

    /// A segment of like lengths, at once or once it is worth it.
    fn by_length(&self, lane: &mut Lane, anchor: Entry, former: &mut Former) -> Wish {
        let item = self.table.item(anchor.slot);
        let class = item.class as usize;
        let Some(at) = lane.classes[class].position(edge(self.grid, item.item.len)) else {
            return Wish::Nothing;
        };
        let delay = lane.policy.batch.max_queue_delay;
        let guard = (delay * GUARD).max(LEAST_GUARD);
        let mut segment = None;
        if self.rule.choice == Choice::Richest && self.now < item.arrival + guard {
            segment = former.richest(&mut lane.classes[class], at, false, &self.terms);
        }
        let segment = segment.unwrap_or_else(|| former.around(&mut lane.classes[class], at, &self.terms));
        let mut target = segment.best_rows;
        if self.rule.spreads && self.idle > 1 {
            target = target.min(lane.rows.div_ceil(self.idle)).max(1);
        }
        let (segment, why) = if segment.rows >= target {
            (segment, if target >= segment.best_rows { segment.release() } else { Release::Idle })
        } else if !self.rule.waits {
            (segment, Release::Idle)
        } else if self.draining {
            (segment, Release::Drain)
        } else {
            let preferred = lane.policy.batch.preferred_batch_sizes.iter().rfind(|p| **p <= segment.rows);
            let (due, cause) = self.due(anchor, &segment, delay);
            if let Some(&size) = preferred {
                target = size;
                (segment, Release::Preferred)
            } else if self.now >= due {
                (segment, cause)
            } else if let Some(full) = former.richest(&mut lane.classes[class], at, true, &self.terms) {
                target = full.best_rows;
                (full, full.release())
            } else {
                return Wish::Hold(due);
            }
        };
        Wish::Run(self.take(lane, class, &segment, target), why)
    }

    /// When a held-back segment must go, and why then.
    fn due(&self, anchor: Entry, segment: &Segment, delay: Duration) -> (Time, Release) {
        let item = self.table.item(anchor.slot);
        let by_delay = item.arrival + delay;
        let deadline = self.table.request(item.request).deadline;
        // A tenth more than predicted, and a millisecond: time for the answer to get out.
        let needed = Duration::from_nanos((segment.time * 1.1) as u64) + Duration::from_millis(1);
        let by_deadline = deadline - needed;
        if deadline < Time::NEVER && by_deadline < by_delay {
            (by_deadline, Release::Deadline)
        } else {
            (by_delay, Release::Delay)
        }
    }

    /// The most urgent items of a segment, up to `target` rows; a bucket whose next item does not fit
    /// is closed, so that order within a length is kept.
    fn take(&self, lane: &mut Lane, class: usize, segment: &Segment, target: u32) -> Vec<u32> {
        let buckets = &mut lane.classes[class].buckets[segment.low..=segment.high];
        let live = |e: &Entry| self.table.is_waiting(e);
        let mut fronts: Vec<Option<Entry>> = buckets.iter_mut().map(|b| b.queue.peek(live)).collect();
        let (mut items, mut rows) = (Vec::new(), 0);
        while rows < target {
            let next = fronts.iter().enumerate().filter_map(|(i, e)| e.map(|e| (e, i))).min();
            let Some((entry, i)) = next else { break };
            let own = self.table.item(entry.slot).item.rows;
            if rows + own > target && !items.is_empty() {
                fronts[i] = None;
                continue;
            }
            rows += own;
            items.push(entry.slot);
            buckets[i].queue.pop();
            fronts[i] = buckets[i].queue.peek(live);
        }
        items
    }
}
