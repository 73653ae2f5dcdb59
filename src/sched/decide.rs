//! Decisions: while a worker is free, which lane goes, with which items, or until when it waits.

use super::event::{Dispatch, Grid, Output, Release};
use super::form::{Former, Segment, Terms};
use super::lane::{Lane, edge};
use super::model::{Group, ModelState, Running, Worker, terms};
use super::scheduler::Scheduler;
use super::strategy::{Choice, GUARD, LEAST_GUARD, Rule};
use super::table::{Status, Table};
use super::urgency::Entry;
use crate::types::{BatchId, ModelId, Time};
use std::sync::Arc;
use std::time::Duration;

/// What a lane wants.
enum Wish {
    /// Run these items now.
    Run(Vec<u32>, Release),
    /// Wait until then for more.
    Hold(Time),
    /// Nothing waits.
    Nothing,
}

/// What a decision may look at.
struct View<'a> {
    table: &'a Table,
    terms: Terms<'a>,
    rule: Rule,
    grid: Grid,
    /// Free workers of the model.
    idle: u32,
    now: Time,
    draining: bool,
}

impl Scheduler {
    /// Fills `outputs` with every batch that can be dispatched now.
    pub(super) fn decide(&mut self) {
        let dirty: Vec<ModelId> = self.models.iter().filter(|(_, m)| m.dirty).map(|(id, _)| *id).collect();
        for id in dirty {
            while self.decide_one(id) {}
        }
    }

    /// Dispatches one batch of the model if it can; otherwise notes when to look again.
    fn decide_one(&mut self, id: ModelId) -> bool {
        let Some(worker) = self.free_worker(id) else {
            if let Some(model) = self.models.get_mut(&id) {
                (model.dirty, model.wake) = (false, Time::NEVER);
            }
            return false;
        };
        if let Some(group) = self.next_retry(id) {
            self.dispatch(id, worker, group, Release::Retry);
            return true;
        }
        match self.choose(id, &worker) {
            Some((group, why)) => {
                self.dispatch(id, worker, group, why);
                true
            }
            None => false,
        }
    }

    /// The free worker on the least busy device.
    fn free_worker(&self, id: ModelId) -> Option<Worker> {
        let free = self.workers.iter().filter(|w| w.model == id && w.ready);
        free.min_by_key(|w| (self.running.iter().filter(|r| r.device == w.device).count(), w.id)).copied()
    }

    /// Asks the lanes in the order of the service they have had; the first that wants to run does.
    fn choose(&mut self, id: ModelId, worker: &Worker) -> Option<(Group, Release)> {
        let idle = self.workers.iter().filter(|w| w.model == id && w.ready).count() as u32;
        let busy = self.running.iter().filter(|r| r.device == worker.device).count() as u32 + 1;
        let model = self.models.get_mut(&id)?;
        model.cost_mut(worker.device);
        let mut order: Vec<usize> = (0..model.lanes.len()).filter(|&l| model.lanes[l].items > 0).collect();
        order.sort_by(|&a, &b| model.lanes[a].served.total_cmp(&model.lanes[b].served).then(a.cmp(&b)));
        let mut wake = Time::NEVER;
        for index in order {
            let policy = Arc::clone(&model.lanes[index].policy);
            let rule = model.rule(&policy);
            let ModelState { lanes, costs, memory, limits, .. } = &mut *model;
            let Some((_, cost)) = costs.iter().find(|(d, _)| *d == worker.device) else {
                continue;
            };
            let view = View {
                table: &self.table,
                terms: terms(&policy, rule.brief, cost, memory, busy, self.policies.generation),
                rule,
                grid: limits.grid,
                idle,
                now: self.now,
                draining: self.draining,
            };
            match view.wish(&mut lanes[index], &mut self.former) {
                Wish::Run(items, why) => {
                    return Some((Group { lane: index as u32, items, trial: None, losses: 0 }, why));
                }
                Wish::Hold(until) => wake = wake.min(until),
                Wish::Nothing => {}
            }
        }
        (model.dirty, model.wake) = (false, wake);
        None
    }

    /// Hands a group to a worker.
    fn dispatch(&mut self, id: ModelId, worker: Worker, group: Group, why: Release) {
        for &slot in &group.items {
            if self.table.item(slot).status == Status::Waiting {
                self.dequeue(id, slot, Status::Running);
            } else {
                self.table.item_mut(slot).status = Status::Running;
            }
        }
        let slots = || group.items.iter().map(|&s| self.table.item(s));
        let rows: u32 = slots().map(|s| s.item.rows).sum();
        let tokens: u64 = slots().map(|s| u64::from(s.item.rows) * u64::from(s.item.len)).sum();
        let longest = slots().map(|s| s.item.len).max().unwrap_or(1);
        let oldest = slots().map(|s| s.arrival).min().unwrap_or(self.now);
        let items = slots().map(|s| (self.table.request(s.request).id, s.index)).collect();
        let busy = self.running.iter().filter(|r| r.device == worker.device).count() as u32 + 1;
        let Some(model) = self.models.get_mut(&id) else { return };
        let padded_len = if model.limits.grid == Grid::Exact { longest } else { edge(model.limits.grid, longest) };
        let predicted = model.cost_mut(worker.device).predict(rows, padded_len, busy);
        model.charge(group.lane as usize, if group.trial.is_some() { 0.0 } else { predicted });
        let policy = Arc::clone(&model.lanes[group.lane as usize].policy);
        self.next_batch += 1;
        let batch = BatchId(self.next_batch);
        for w in &mut self.workers {
            w.ready &= w.id != worker.id;
        }
        self.outputs.push_back(Output::Dispatch(Dispatch {
            batch,
            worker: worker.id,
            model: id,
            items,
            rows,
            padded_len,
            tokens,
            policy,
            generation: self.policies.generation,
            why,
            predicted: Duration::from_nanos(predicted as u64),
            oldest,
        }));
        self.running.push(Running {
            id: batch,
            model: id,
            worker: worker.id,
            device: worker.device,
            group,
            rows,
            len: padded_len,
            busy,
            started: self.now,
            predicted,
        });
    }
}

impl ModelState {
    /// Charges a lane for device time, so that lanes take turns by what they have had; a lane that
    /// was idle starts level with the least-served waiting one.
    fn charge(&mut self, lane: usize, time: f64) {
        let floor = self.lanes.iter().filter(|l| l.items > 0).map(|l| l.served).fold(f64::INFINITY, f64::min);
        let lane = &mut self.lanes[lane];
        if floor.is_finite() && lane.served < floor {
            lane.served = floor;
        }
        lane.served += time;
    }
}

impl View<'_> {
    fn wish(&self, lane: &mut Lane, former: &mut Former) -> Wish {
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
            (segment, if segment.rows >= segment.best_rows { Release::Full } else { Release::Idle })
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
                (full, Release::Full)
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
