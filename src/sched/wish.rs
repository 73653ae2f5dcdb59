//! One lane's wish: which of its items to run now, or until when to wait.

use super::edge::edge;
use super::event::{Grid, Release};
use super::form::{Former, Segment, Terms};
use super::lane::Lane;
use super::place::Crew;
use super::strategy::{Choice, GUARD, LEAST_GUARD, Rule};
use super::table::{RequestSlot, Table};
use super::urgency::Entry;
use crate::types::Time;
use std::sync::Arc;
use std::time::Duration;

/// What a lane wants.
pub(super) enum Wish {
    /// Run these items now. None are left where none can meet their deadlines any more.
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
    /// The workers it would be among.
    pub(super) crew: Crew,
    pub(super) now: Time,
    pub(super) draining: bool,
}

/// Whether a batch is put off.
enum Deferral {
    /// It is not.
    No,
    /// It has been for as long as it may.
    Over(Release),
    /// It is.
    Until(Time),
}

/// Rows are shared out among free workers, or wait for company, where that leaves at most this share of
/// the time.
const SHARED_PAYS: f64 = 0.9;
/// A next row is cheap that takes less than this share of the time of those before it.
const CHEAP: f64 = 0.5;

impl Segment {
    /// Why a best batch of it is released.
    fn release(&self) -> Release {
        match (self.squeezed, self.capped) {
            (true, _) => Release::Scarce,
            (false, true) => Release::Full,
            (false, false) => Release::Best,
        }
    }
}

impl View<'_> {
    /// What a lane wants, given what waits in it.
    pub(super) fn wish(&self, lane: &mut Lane, former: &mut Former) -> Wish {
        let Some(anchor) = lane.anchor(self.now) else {
            return Wish::Nothing;
        };
        let mut wish = match self.rule.choice {
            Choice::Alone => {
                let mut items = former.filler.list();
                items.push(anchor.slot);
                lane.pop(anchor.slot, self.grid, self.table);
                Wish::Run(items, Release::Alone)
            }
            Choice::Arrival => self.arrival(lane, former),
            Choice::Anchor | Choice::Richest => self.by_length(lane, anchor, former),
            Choice::Scored => {
                let (wish, fault) = self.scripted(lane, anchor, former);
                lane.fault = fault;
                wish
            }
        };
        if let Wish::Run(items, why) = &mut wish
            && self.keep_promises(lane, items, former)
        {
            *why = Release::Trimmed;
        }
        wish
    }

    /// The first N rows in arrival order once there are N, or once the first waited long enough.
    fn arrival(&self, lane: &mut Lane, former: &mut Former) -> Wish {
        let Some(anchor) = lane.accounts.first(&lane.pool) else {
            return Wish::Nothing;
        };
        let first = self.table.item(anchor.slot);
        let policy = Arc::clone(&lane.policy);
        let limits = &policy.batch;
        let due = self.table.owner(anchor.slot).arrival + limits.max_queue_delay;
        let mut why = if lane.classes[first.class as usize].rows >= limits.max_batch_size {
            Release::Full
        } else if self.draining {
            Release::Drain
        } else if self.now >= due {
            Release::Delay
        } else {
            return Wish::Hold(due);
        };
        let (mut items, mut skipped) = (former.filler.list(), former.filler.list());
        let (mut rows, mut longest) = (0, 0);
        while rows < limits.max_batch_size {
            let Some(entry) = lane.accounts.first(&lane.pool) else {
                break;
            };
            let slot = self.table.item(entry.slot);
            lane.pop(entry.slot, self.grid, self.table);
            if slot.class != first.class {
                skipped.push(entry.slot);
                continue;
            }
            let (total, len) = (rows + slot.rows, longest.max(slot.len));
            let padded = self.terms.learned.padded(len);
            if !items.is_empty() && (total > limits.max_batch_size || total > self.terms.cap(padded)) {
                if total <= limits.max_batch_size && self.terms.is_squeezed(padded) {
                    why = Release::Scarce;
                }
                skipped.push(entry.slot);
                break;
            }
            (rows, longest) = (total, len);
            items.push(entry.slot);
        }
        for &slot in &skipped {
            lane.put_back(slot, self.grid, self.table);
        }
        former.filler.reclaim(skipped);
        Wish::Run(items, why)
    }

    /// A segment of like lengths, at once or once it is worth it.
    pub(super) fn by_length(&self, lane: &mut Lane, anchor: Entry, former: &mut Former) -> Wish {
        let item = self.table.item(anchor.slot);
        let class = item.class as usize;
        let Some(at) = lane.classes[class].position(edge(self.grid, item.len)) else {
            return Wish::Nothing;
        };
        let delay = lane.policy.batch.max_queue_delay;
        let guard = (delay * GUARD).max(LEAST_GUARD);
        let mut segment = None;
        if self.rule.choice == Choice::Richest && self.now < self.table.owner(anchor.slot).arrival + guard {
            segment = former.richest(&mut lane.classes[class], at, false, &self.terms);
        }
        let segment = segment.unwrap_or_else(|| former.around(&mut lane.classes[class], at, &self.terms));
        if let Some(other) = self.relief(lane, anchor, &segment, former) {
            return Wish::Run(self.take(lane, class, &other, other.best_rows, former), Release::Overload);
        }
        let mut target = self.target(lane, &segment);
        let (segment, why) = if segment.rows >= segment.best_rows && target >= segment.best_rows {
            (segment, segment.release())
        } else if segment.rows >= target || !self.rule.waits {
            match self.defer(lane, anchor, &segment, target) {
                Deferral::No => (segment, Release::Idle),
                Deferral::Over(cause) => (segment, cause),
                Deferral::Until(due) => return Wish::Hold(due),
            }
        } else if self.draining {
            (segment, Release::Drain)
        } else {
            let preferred = lane.policy.batch.preferred_batch_sizes.iter().rfind(|p| **p <= segment.rows);
            let (due, cause) = self.due(anchor, segment.time, delay);
            if let Some(&size) = preferred {
                target = size;
                (segment, Release::Preferred)
            } else if self.now >= due {
                (segment, cause)
            } else if let Some(full) = former.richest(&mut lane.classes[class], at, true, &self.terms) {
                target = full.best_rows;
                (full, full.release())
            } else {
                match self.company(lane, class, &segment, due) {
                    Some(until) => return Wish::Hold(until),
                    None => (segment, Release::Idle),
                }
            }
        };
        Wish::Run(self.take(lane, class, &segment, target, former), why)
    }

    /// How many rows of a segment are to run here: the best batch, or less where the rows are shared out.
    pub(super) fn target(&self, lane: &Lane, segment: &Segment) -> u32 {
        let best = segment.best_rows;
        if !self.rule.spreads || self.crew.free <= 1.0 {
            return best;
        }
        let part = self.crew.part(lane.rows).min(best);
        let together = segment.rows.min(best);
        let pays = |part| self.terms.time(part, segment.edge) <= SHARED_PAYS * self.terms.time(together, segment.edge);
        // Where together takes no longer, the other workers are better kept for what comes next.
        if part < together && !pays(part) { best } else { part }
    }

    /// Whether an unfull batch that could run waits although its strategy does not hold back: while other
    /// workers run, batches as small as this could not keep up with the arrivals, and the next row costs
    /// little more time.
    fn defer(&self, lane: &mut Lane, anchor: Entry, segment: &Segment, target: u32) -> Deferral {
        let rows = segment.rows.min(target);
        if !self.rule.defers || self.draining || !self.crew.busy || rows >= segment.best_rows {
            return Deferral::No;
        }
        let (time, next) = (self.terms.time(rows, segment.edge), self.terms.time(rows + 1, segment.edge));
        let a_row = time / f64::from(rows);
        let strained = lane.pace.rate(self.now) * a_row > self.crew.all;
        if !strained || next - time > CHEAP * a_row {
            return Deferral::No;
        }
        let (due, cause) = self.due(anchor, next, lane.policy.batch.max_queue_delay);
        if self.now >= due { Deferral::Over(cause) } else { Deferral::Until(due) }
    }

    /// Until when a segment that may wait until `due` does: with a strategy that weighs it, for as long as
    /// another row of its lengths is more likely to come by then than not, and would take less time in the
    /// batch than alone. `None` where it does not wait at all.
    fn company(&self, lane: &mut Lane, class: usize, segment: &Segment, due: Time) -> Option<Time> {
        let shortest = lane.classes[class].buckets[segment.low].edge;
        let rate = if self.rule.weighs { lane.pace.rate_of(shortest, segment.edge, self.now) } else { None };
        let Some(rate) = rate else { return Some(due) };
        let time = |rows| self.terms.time(rows, segment.edge);
        if time(segment.rows + 1) - time(segment.rows) > SHARED_PAYS * time(1) {
            return None;
        }
        // Of a Poisson stream, one comes within this time as often as not.
        let likely = Duration::from_nanos((std::f64::consts::LN_2 / rate.max(1e-12)) as u64);
        Some(due - likely).filter(|until| *until > self.now)
    }

    /// When a held-back segment must go, and why then.
    pub(super) fn due(&self, anchor: Entry, time: f64, delay: Duration) -> (Time, Release) {
        let RequestSlot { arrival, deadline, .. } = *self.table.owner(anchor.slot);
        let by_delay = arrival + delay;
        // A tenth more than predicted, and a millisecond: time for the answer to get out.
        let needed = Duration::from_nanos((time * 1.1) as u64) + Duration::from_millis(1);
        let by_deadline = deadline - needed;
        if deadline < Time::NEVER && by_deadline < by_delay {
            (by_deadline, Release::Deadline)
        } else {
            (by_delay, Release::Delay)
        }
    }
}
